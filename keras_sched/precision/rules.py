"""Which layers are quantized, and what of them: rules by the layer's path, and the papers' choices.

A layer is a target if it has a weight matrix of its own: a trainable variable of two or more
dimensions that is no bias. Normalisation layers and PReLU multiply number by number and stay as
they are. A recurrent layer has the weights of its cell, and they are quantized once per sequence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras

from keras_sched import _validate
from keras_sched.precision.checks import whole_bits

__all__ = [
    "FULL",
    "PRESETS",
    "LayerBits",
    "channel_axes",
    "is_table",
    "own_weights",
    "resolve",
    "targets",
    "walk",
]

# They multiply number by number; the last has the matrix of the layer that it wraps.
_WITHOUT_MATRIX = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.PReLU,
    keras.layers.RMSNormalization,
    keras.layers.SpectralNormalization,
)
_ALL, _ALL_BUT_LAST, _ALL_BUT_ENDS = "all", "all_but_last", "all_but_ends_and_strided_1x1"
_ALL_BUT_TABLES = "all_but_embeddings"
# What the papers' code does, by the names of its trainings.
_ALIASES = {"cpt_cifar": _ALL_BUT_LAST, "cpt_imagenet": _ALL_BUT_ENDS}
PRESETS = (_ALL, _ALL_BUT_LAST, _ALL_BUT_ENDS, _ALL_BUT_TABLES, *_ALIASES)
_FORM = (
    f"`layers` must be a preset ({', '.join(PRESETS)}) or pairs (pattern, bits), as "
    f"[('stem.*', None)]."
)


class LayerBits(NamedTuple):
    """What holds in one layer: "follow" the model's bits, a number of its own, or None for none."""

    weights: int | str | None = "follow"
    activations: int | str | None = "follow"
    gradients: int | str | None = "follow"


FULL = LayerBits(None, None, None)
# Of what multiplies without weights, where it is rounded.
PRODUCT = LayerBits(None, "follow", "follow")


def targets(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers of a model that have weight matrices, in the order of its layers.

    It looks into every layer, also those that Keras lists nowhere, as the four of an attention.
    """
    found: list[keras.layers.Layer] = []
    cells: set[int] = set()
    for layer in walk(model):
        if isinstance(layer, keras.layers.RNN):
            cells.update(id(part) for part in walk(layer.cell))
        if id(layer) not in cells and own_weights(layer):
            found.append(layer)
    return found


def walk(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Return a layer and all within it, each once, parts in the order they were made.

    Keras' own walk turns the parts of a part around, so that the last would not be the output.
    """
    found: list[keras.layers.Layer] = []
    seen: set[int] = set()
    left = [layer]
    while left:  # No generator: AutoGraph would warn of it in a trace.
        part = left.pop()
        if id(part) not in seen:
            seen.add(id(part))
            found.append(part)
            left.extend(reversed(part._layers))
    return found


def own_weights(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Return the weight matrices that a layer multiplies with."""
    if isinstance(layer, _WITHOUT_MATRIX):
        return []
    # Not `trainable_variables`, which has those of sub-layers, and none while a layer is frozen.
    parts = walk(layer.cell) if isinstance(layer, keras.layers.RNN) else [layer]
    variables = [v for part in parts for v in part._trainable_variables]
    return [v for v in variables if len(v.shape) >= 2 and "bias" not in v.name]


def is_table(layer: keras.layers.Layer) -> bool:
    """Return whether the matrices of a layer are tables of embeddings, which it looks up.

    Those of other packages, as the positions of keras-hub, are told by the names of their weights.
    """
    if isinstance(layer, keras.layers.Embedding):
        return True
    weights = own_weights(layer)
    return bool(weights) and all(weight.name == "embeddings" for weight in weights)


def channel_axes(layer: keras.layers.Layer, weight: keras.Variable) -> list[int] | None:
    """Return the axes of a weight that share one range: all but its output channels.

    A table of embeddings has one range, which is None.
    """
    layers, rank = keras.layers, len(weight.shape)
    if is_table(layer):
        return None
    if weight.name == "depthwise_kernel" or isinstance(
        layer, layers.DepthwiseConv1D | layers.DepthwiseConv2D
    ):
        return list(range(rank - 2))
    if isinstance(layer, layers.Conv1DTranspose | layers.Conv2DTranspose | layers.Conv3DTranspose):
        return [axis for axis in range(rank) if axis != rank - 2]
    if isinstance(layer, layers.EinsumDense):
        kernel, _, output = layer.equation.split(",")[1].partition("->")
        return [axis for axis, letter in enumerate(kernel) if letter not in output]
    return list(range(rank - 1))


def resolve(
    layers: Sequence[keras.layers.Layer], rules: str | Sequence[tuple[str, Any]]
) -> list[LayerBits]:
    """Return what holds in each target.

    Args:
        layers: The targets, in order.
        rules: A preset, or pairs (pattern, what). The first pattern that matches the whole path of
            a layer, as a regular expression, decides; a layer that none matches follows the model.
            `what` is None for full precision, or a mapping of "weights", "activations" and
            "gradients" to a number of bits, or to None.

    Raises:
        TypeError: If the rules are of another form.
        ValueError: If a preset, a layer or a key is unknown, or a number is out of range.
    """
    if isinstance(rules, str):
        preset = _ALIASES.get(_validate.choice("layers", rules, PRESETS), rules)
        return [
            FULL if _left_out(layer, i, len(layers), preset) else LayerBits()
            for i, layer in enumerate(layers)
        ]
    if not isinstance(rules, Sequence):
        raise TypeError(f"{_FORM} Received: {rules!r}")
    parsed = [_parse(rule) for rule in rules]
    paths = [layer.path for layer in layers]
    for pattern, _ in parsed:
        if not any(pattern.fullmatch(path) for path in paths):
            raise ValueError(
                f"`layers` names none that could be quantized. Received: {pattern.pattern!r}. "
                f"Expected a regular expression for one of: {', '.join(paths)}"
            )
    return [
        next((bits for pattern, bits in parsed if pattern.fullmatch(path)), LayerBits())
        for path in paths
    ]


def _left_out(layer: keras.layers.Layer, index: int, count: int, preset: str) -> bool:
    if preset == _ALL:
        return False
    if preset == _ALL_BUT_TABLES:
        return is_table(layer)
    if index == count - 1:
        return True
    if preset == _ALL_BUT_LAST:
        return False
    return index == 0 or _is_strided_1x1(layer)


def _is_strided_1x1(layer: keras.layers.Layer) -> bool:
    return (
        isinstance(layer, keras.layers.Conv2D)
        and tuple(layer.kernel_size) == (1, 1)
        and max(layer.strides) > 1
    )


def _parse(rule: Any) -> tuple[re.Pattern[str], LayerBits]:
    if not isinstance(rule, tuple | list) or len(rule) != 2 or not isinstance(rule[0], str):
        raise TypeError(f"{_FORM} Received: {rule!r}")
    try:
        pattern = re.compile(rule[0])
    except re.error as error:
        raise ValueError(
            f"`layers` must hold regular expressions. Received: {rule[0]!r} ({error})"
        ) from error
    what = rule[1]
    if what is None:
        return pattern, FULL
    if not isinstance(what, Mapping):
        raise TypeError(
            f"The bits of {rule[0]!r} must be None or a mapping, as {{'weights': 8}}. "
            f"Received: {what!r}"
        )
    unknown = sorted(set(what) - set(LayerBits._fields))
    if unknown:
        raise ValueError(
            f"The bits of {rule[0]!r} have the keys {', '.join(LayerBits._fields)}. "
            f"Received: {', '.join(map(str, unknown))}"
        )
    return pattern, LayerBits(
        **{key: value if value is None else whole_bits(key, value) for key, value in what.items()}
    )
