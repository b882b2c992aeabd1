"""BERT (Devlin et al., arXiv 1810.04805), of keras-hub, with a last layer that judges sentences."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
from typing import Any

import h5py
import keras

from trainers.models import hub

__all__ = ["JUDGE", "KNOWN", "Sizes", "check", "encoder", "judge", "pretrained", "sizes_of"]

# The last layer.
JUDGE = "judge"
_SMALL = 0.02  # Weights are drawn with this standard deviation (Devlin et al., their code).
_CONFIG = "config.json"
# Files beside it, the vocabulary first and the weights last.
_WEIGHTS_ELSEWHERE, _SHARDED = "model.safetensors", "model.safetensors.index.json"
_FILES_HERE = ("assets/tokenizer/vocabulary.txt", "tokenizer.json", "model.weights.h5")
_FILES_ELSEWHERE = ("vocab.txt", "tokenizer_config.json", _WEIGHTS_ELSEWHERE)
_LAYER, _TABLE = re.compile(r"encoder\.layer\.(\d+)\."), "word_embeddings.weight"
_POSITIONS, _POOLER = "position_embeddings.weight", "pooler.dense.weight"
_ROUNDED = 128
# GELU by erf or, as keras-hub computes it, by tanh, under the names of Hugging Face.
_BY_ERF, _BY_TANH = ("gelu", "gelu_python"), ("gelu_new", "gelu_pytorch_tanh")
# What keras-hub builds, and what configurations that do not say it mean.
_BUILT = {"layer_norm_eps": (1e-12,), "position_embedding_type": ("absolute",)}
# What `Sizes` has, in the order of its attributes, in configurations of keras-hub and Hugging Face.
_NAMES_HERE = (
    "vocabulary_size",
    "num_layers",
    "hidden_dim",
    "num_heads",
    "intermediate_dim",
    "max_sequence_length",
)
_NAMES_ELSEWHERE = (
    "vocab_size",
    "num_hidden_layers",
    "hidden_size",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
)


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of an encoder.

    Attributes:
        vocabulary: Number of word pieces.
        layers: Number of layers.
        units: Numbers that each gives for a word piece.
        heads: Heads of each attention.
        feedforward: Units within the dense parts.
        length: Most word pieces of an example.
    """

    vocabulary: int
    layers: int
    units: int
    heads: int
    feedforward: int
    length: int = 512


# Encoders that others have trained: BERT's by the names of keras-hub, and a distilled one (Wang et
# al., "MiniLM", arXiv 2002.10957, with every second of its layers) of sentence-transformers.
KNOWN = {
    "bert_base_en_uncased": Sizes(30_522, 12, 768, 12, 3_072),
    "bert_base_en": Sizes(28_996, 12, 768, 12, 3_072),
    "bert_base_multi": Sizes(119_547, 12, 768, 12, 3_072),
    "minilm_l6": Sizes(30_522, 6, 384, 12, 1_536),
}


def encoder(sizes: Sizes, dropout: float) -> keras.Model:
    """Return a new encoder.

    Args:
        sizes: Its sizes.
        dropout: Share of the numbers that is dropped, of the attention's weights too.

    Raises:
        ValueError: If keras-hub is not installed.
    """
    return hub.imported().models.BertBackbone(
        vocabulary_size=sizes.vocabulary,
        num_layers=sizes.layers,
        num_heads=sizes.heads,
        hidden_dim=sizes.units,
        intermediate_dim=sizes.feedforward,
        dropout=dropout,
        max_sequence_length=sizes.length,
        name="encoder",
    )


def pretrained(folder: str, dropout: float) -> keras.Model:
    """Return the encoder of a folder, with its weights.

    The folder is as keras-hub writes it, or as Hugging Face does, with `config.json` and
    `model.safetensors`; PyTorch is not needed.

    Args:
        folder: Its path.
        dropout: As for `encoder`.

    Raises:
        ValueError: If keras-hub is not installed, or the folder has no weights of such an encoder.
    """
    kind = hub.imported().models.BertBackbone
    said = hub.loaded("encoder", folder, kind.from_preset, folder, dropout=dropout, name="encoder")
    if not isinstance(said, kind):
        raise ValueError(
            f"`encoder` must be a folder with the weights of a BERT. Received: encoder={folder!r} "
            f"with those of a {type(said).__name__}"
        )
    found = _config(folder)
    if "config" not in found and found.get("hidden_act", _BY_ERF[0]) in _BY_ERF:
        # keras-hub computes it by tanh, as Google's code does, Hugging Face's by erf.
        for layer in said._flatten_layers(include_self=False):
            if isinstance(layer, keras.layers.Dense) and "gelu" in str(layer.activation):
                layer.activation = keras.activations.gelu
    return said


def sizes_of(folder: str) -> Sizes:
    """Return the sizes of the encoder of a folder; no weight is read.

    Raises:
        ValueError: If the folder does not say them.
    """
    found = _config(folder)
    names = _NAMES_ELSEWHERE
    if "config" in found:
        found, names = found["config"], _NAMES_HERE
    try:
        return Sizes(*(int(found[name]) for name in names))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"`encoder` must be a folder with the sizes of a BERT in {_CONFIG}. Received: "
            f"encoder={folder!r} ({error!r})"
        ) from error


def check(folder: str) -> None:
    """Check that a folder has an encoder whose parts fit together; no weight is read.

    Raises:
        ValueError: If a file is missing or damaged, or is that of another encoder.
    """
    sizes, place = sizes_of(folder), pathlib.Path(folder)
    is_ours = "config" in _config(folder)
    needed: tuple[str, ...] = _FILES_HERE if is_ours else _FILES_ELSEWHERE
    if not is_ours and (place / _SHARDED).is_file():
        needed = tuple(name for name in needed if name != _WEIGHTS_ELSEWHERE)
    if absent := [name for name in needed if not (place / name).is_file()]:
        raise ValueError(
            f"`encoder` must be a folder with {_CONFIG}, {', '.join(needed)}. Received: "
            f"encoder={folder!r} without {', '.join(absent)}"
        )
    with open(place / needed[0], "rb") as file:
        words = sum(1 for _ in file)
    # Tables are longer than vocabularies by what makes them a multiple of a power of two.
    if not sizes.vocabulary - _ROUNDED < words <= sizes.vocabulary:
        raise ValueError(
            f"The vocabulary of `encoder` must have the {sizes.vocabulary:,} word pieces of its "
            f"table. Received: {place / needed[0]} with {words:,}"
        )
    if not is_ours:
        _check_kind(folder)
    if _WEIGHTS_ELSEWHERE in needed:
        _check_weights(place / _WEIGHTS_ELSEWHERE, sizes)
    elif is_ours:
        try:
            h5py.File(place / needed[-1]).close()
        except OSError as error:
            raise ValueError(f"`encoder` must have weights. Received: {error}") from error


def _check_kind(folder: str) -> None:
    """Check that an encoder of Hugging Face computes what keras-hub does."""
    found = _config(folder)
    for name, known in {"hidden_act": (*_BY_ERF, *_BY_TANH), **_BUILT}.items():
        if (value := found.get(name, known[0])) not in known:
            raise ValueError(
                f"`encoder` must have a {name!r} in {_CONFIG} that can be built: "
                f"{', '.join(map(str, known))}. Received: encoder={folder!r} with {value!r}"
            )


def _check_weights(path: pathlib.Path, sizes: Sizes) -> None:
    """Check what a file of safetensors says of itself."""
    try:
        with hub.safetensors().safe_open(path, framework="np") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # It has an error of its own.
        raise ValueError(f"`encoder` must have weights. Received: {path} ({error})") from error
    layers = {match[1] for name in shapes if (match := _LAYER.search(name))}
    if len(layers) != sizes.layers:
        raise ValueError(
            f"The weights of `encoder` must have {sizes.layers} layers, as its {_CONFIG} says. "
            f"Received: {path} with {len(layers)}"
        )
    expected = {
        _TABLE: [sizes.vocabulary, sizes.units],
        _POSITIONS: [sizes.length, sizes.units],
        _POOLER: [sizes.units, sizes.units],
    }
    for end, shape in expected.items():
        found = [each for name, each in shapes.items() if name.endswith(end)]
        if found != [shape]:
            raise ValueError(
                f"The weights of `encoder` must have one {end!r} of shape {shape}, as its "
                f"{_CONFIG} says. Received: {path} with {', '.join(map(str, found)) or 'none'}"
            )


def _config(folder: str) -> dict[str, Any]:
    """Return what the configuration in a folder says."""
    try:
        found = json.loads((pathlib.Path(folder) / _CONFIG).read_text())
    except (OSError, ValueError) as error:
        raise ValueError(
            f"`encoder` must be a folder with {_CONFIG}. Received: encoder={folder!r} ({error})"
        ) from error
    return found if isinstance(found, dict) else {}


def judge(body: keras.Model, pooling: str, dropout: float, outputs: int) -> keras.Model:
    """Return an encoder with a last layer that judges the whole of each example.

    Args:
        body: The encoder.
        pooling: What the last layer sees: "first" for what the pretrained dense layer makes of the
            first word piece, "mean" for the mean over all that are no padding.
        dropout: Share of the numbers that is dropped before the last layer.
        outputs: Numbers of the last layer: the logits of classes, or one for a rating.

    Returns:
        A model of a mapping of "token_ids", "segment_ids" and "padding_mask", int32 of shape
        `(examples, pieces)` each. It gives numbers of shape `(examples, outputs)`.
    """
    inputs = {
        name: keras.layers.Input((None,), dtype="int32", name=name)
        for name in ("token_ids", "segment_ids", "padding_mask")
    }
    if pooling == "mean":
        # Without the dense layer for the first word piece, which nothing would train.
        pieces = keras.Model(body.input, body.output["sequence_output"], name=body.name)
        mask = keras.ops.cast(inputs["padding_mask"], "bool")
        x = keras.layers.GlobalAveragePooling1D(name="mean")(pieces(inputs), mask=mask)
    else:
        x = body(inputs)["pooled_output"]
    x = keras.layers.Dropout(dropout)(x)
    draw = keras.initializers.TruncatedNormal(stddev=_SMALL)
    last = keras.layers.Dense(outputs, kernel_initializer=draw, name=JUDGE)
    return keras.Model(inputs, last(x), name="bert")
