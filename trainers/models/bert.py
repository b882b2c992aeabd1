"""BERT (Devlin et al., arXiv 1810.04805), of keras-hub, with a last layer that judges sentences."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import keras

from trainers.models import hub

__all__ = ["JUDGE", "KNOWN", "Sizes", "encoder", "judge", "pretrained", "sizes_of"]

# The last layer.
JUDGE = "judge"
_SMALL = 0.02  # Weights are drawn with this standard deviation (Devlin et al., their code).
_CONFIG = "config.json"
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
    if _config(folder).get("hidden_act") == "gelu":
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
