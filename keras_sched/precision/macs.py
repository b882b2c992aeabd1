"""Multiplications and additions (MACs) of a layer, from the shapes that it meets.

Counted where a layer is called, so that shared layers count as often as they are used. Only
products of a weight matrix, and the two products of attention, are counted: no bias, no
normalisation, no activation function, no table look-up, as in the published counts.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import tree

from keras_sched.precision._replaced import Replaced
from keras_sched.precision.rules import own_weights, targets, walk

__all__ = ["LayerMacs", "attention_layers", "attention_macs", "layer_macs", "macs"]

_L = keras.layers
_TRANSPOSED = (_L.Conv1DTranspose, _L.Conv2DTranspose, _L.Conv3DTranspose)
_SEPARABLE = (_L.SeparableConv1D, _L.SeparableConv2D)
_CONVOLUTIONS = (
    _L.Conv1D,
    _L.Conv2D,
    _L.Conv3D,
    _L.DepthwiseConv1D,
    _L.DepthwiseConv2D,
)
_ATTENTION = (_L.MultiHeadAttention, _L.GroupQueryAttention)


class LayerMacs(NamedTuple):
    """The MACs of one example in one layer, forward."""

    path: str
    kind: str
    macs: int


def macs(model: keras.Model, *inputs: Any) -> list[LayerMacs]:
    """Return the MACs of one example through every layer that multiplies, forward.

    The model is traced on a batch of one, not run.

    Args:
        model: A built model.
        *inputs: Shapes of one example's inputs without the batch, as ``(224, 224, 3)``, if the
            model does not know them or leaves some of their sizes open.

    Raises:
        ValueError: If a size is open, or a layer's MACs cannot be told from its shapes.

    Example:
        >>> model = keras.Sequential([keras.Input([8, 8, 3]), keras.layers.Conv2D(4, 3)])
        >>> macs(model)[0].macs, 6 * 6 * 4 * 3 * 3 * 3
        (3888, 3888)
    """
    specs = _specs(model, inputs)
    layers = [*targets(model), *attention_layers(model)]
    found: dict[int, int] = {}
    counters = [_Counter(layer, found) for layer in layers]
    try:
        tf.function(lambda *xs: model(_packed(model, xs), training=False)).get_concrete_function(
            *specs
        )
    finally:
        for counter in counters:
            counter.remove()
    return [
        LayerMacs(layer.path, type(layer).__name__, found[id(layer)])
        for layer in layers
        if found.get(id(layer))
    ]


class _Counter(Replaced):
    """Counts while its model is traced."""

    def __init__(self, layer: keras.layers.Layer, found: dict[int, int]) -> None:
        super().__init__(layer)
        self._found = found

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        outputs = self.inner(*args, **kwargs)
        count = (
            attention_macs(self.layer, [*args, *kwargs.values()])
            if isinstance(self.layer, _ATTENTION)
            else layer_macs(self.layer, self.split(args, kwargs)[0], outputs)
        )
        if not isinstance(count, int):
            shapes = [getattr(x, "shape", None) for x in tree.flatten([args, kwargs])]
            raise ValueError(
                f"The MACs of {self.layer.path!r} cannot be told from its shapes: {shapes}. Give "
                f"the shapes of one example, as `macs(model, (224, 224, 3))`."
            )
        self._found[id(self.layer)] = self._found.get(id(self.layer), 0) + count
        return outputs


def layer_macs(layer: keras.layers.Layer, inputs: Any, outputs: Any) -> Any:
    """Return the MACs of one call of a layer, with the whole batch.

    An int where all sizes are known, else a float64 tensor; None for a layer of a kind unknown.
    """
    weights = own_weights(layer)
    first_in, first_out = tree.flatten(inputs)[0], tree.flatten(outputs)[0]
    if isinstance(layer, _L.Embedding):
        return 0
    if isinstance(layer, _L.RNN):
        steps = _size(first_in, 1)
        return _size(first_in, 0) * steps * sum(math.prod(w.shape) for w in weights)
    if isinstance(layer, _SEPARABLE):
        depthwise, pointwise = weights
        places = _places(layer, first_out)
        return places * (math.prod(depthwise.shape) + math.prod(pointwise.shape))
    if isinstance(layer, _TRANSPOSED):
        return _places(layer, first_in) * math.prod(weights[0].shape)
    if isinstance(layer, _CONVOLUTIONS):
        return _places(layer, first_out) * math.prod(weights[0].shape)
    if isinstance(layer, _L.EinsumDense):
        return _einsum(layer.equation, first_in, weights[0])
    if isinstance(layer, _L.Dense):
        leading = math.prod([_size(first_in, axis) for axis in range(len(first_in.shape) - 1)])
        return leading * math.prod(weights[0].shape)
    return None


def attention_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers that multiply activations with each other."""
    return [layer for layer in walk(model) if isinstance(layer, _ATTENTION)]


def attention_macs(layer: keras.layers.Layer, inputs: list[Any]) -> Any:
    """Return the MACs of an attention's scores, and of the values weighted with them."""
    query, value = (x for x in tree.flatten(inputs)[:2])
    pairs = _size(query, 0) * _size(query, 1) * _size(value, 1)
    if isinstance(layer, _L.GroupQueryAttention):
        return pairs * layer.num_query_heads * 2 * layer.head_dim
    return pairs * layer.num_heads * (layer.key_dim + layer.value_dim)


def _places(layer: keras.layers.Layer, x: Any) -> Any:
    """Return how often a kernel is laid onto a batch of images: their number times their pixels."""
    first = 2 if layer.data_format == "channels_first" else 1
    last = len(x.shape) if first == 2 else len(x.shape) - 1
    return math.prod([_size(x, 0), *(_size(x, axis) for axis in range(first, last))])


def _einsum(equation: str, x: Any, kernel: Any) -> Any:
    """Return the product of the sizes of all letters."""
    left, _, _ = equation.partition("->")
    of_x, of_kernel = left.split(",")
    sizes: dict[str, Any] = dict(zip(of_kernel, kernel.shape, strict=True))
    rest = of_x.replace("...", "")
    dots = len(x.shape) - len(rest)
    total = math.prod(sizes.values())
    for axis, letter in enumerate(of_x.replace("...", "." * dots)):
        if letter not in sizes:
            total = total * _size(x, axis)
    return total


def _size(x: Any, axis: int) -> Any:
    """Return the size of an axis: an int if the graph knows it, else a float64 tensor."""
    known = x.shape[axis]
    return int(known) if known is not None else tf.cast(tf.shape(x)[axis], tf.float64)


def _specs(model: keras.Model, inputs: tuple[Any, ...]) -> list[tf.TensorSpec]:
    known = tree.flatten(getattr(model, "inputs", None) or [])
    shapes = [tuple(shape) for shape in inputs] or [tuple(x.shape[1:]) for x in known]
    if not shapes:
        raise ValueError(
            f"`macs` must know the shape of the inputs. Received: {model.name!r}, which has no "
            f"inputs of its own. Give them, as `macs(model, (224, 224, 3))`."
        )
    dtypes = [x.dtype for x in known] or ["float32"] * len(shapes)
    return [tf.TensorSpec((1, *shape), dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]


def _packed(model: keras.Model, xs: tuple[Any, ...]) -> Any:
    structure = getattr(model, "_inputs_struct", None)  # as the functional model was built
    if structure is not None:
        return tree.pack_sequence_as(structure, list(xs))
    return xs[0] if len(xs) == 1 else list(xs)
