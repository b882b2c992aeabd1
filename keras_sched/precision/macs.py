"""Multiplications and additions (MACs) of a layer, from the shapes that it meets.

Counted where a layer is called, so that shared layers count as often as they are used. Only
products of a weight matrix, and the two products of attention, are counted: no bias, no
normalisation, no activation function, no table look-up, as in the published counts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import tree

from keras_sched import _validate
from keras_sched._backend import check_tensorflow
from keras_sched._patch import wrap
from keras_sched.precision.checks import check_built
from keras_sched.precision.rules import is_table, own_weights, targets, walk

__all__ = [
    "LayerMacs",
    "counted_layers",
    "declarations",
    "first_name",
    "first_of",
    "layer_macs",
    "macs",
    "product_macs",
]

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
_CONVOLVED_RNNS = (_L.ConvLSTM1D, _L.ConvLSTM2D, _L.ConvLSTM3D)
_ATTENTION = (_L.MultiHeadAttention, _L.GroupQueryAttention, _L.Attention)


class LayerMacs(NamedTuple):
    """The MACs of one example in one layer, forward."""

    path: str
    kind: str
    macs: int


def macs(
    model: keras.Model,
    *inputs: Any,
    macs: Mapping[str, int | Callable[[Any, Any], Any]] | None = None,
) -> list[LayerMacs]:
    """Return the MACs of one example through every layer that multiplies, forward.

    The model is traced on a batch of one, not run.

    Args:
        model: A built model.
        *inputs: Shapes of one example's inputs without the batch, as ``(224, 224, 3)``, if the
            model does not know them or leaves some of their sizes open.
        macs: MACs of layers whose kind is not known; see `quantize`.

    Raises:
        TypeError: If `model` is no Keras model, or a shape is no sequence of sizes.
        ValueError: If the model is not built, there are more or fewer shapes than inputs, a size is
            open, or the MACs of a layer cannot be told: its kind is not known, or it is called in
            a loop or a branch, which may run any number of times.

    Example:
        >>> model = keras.Sequential([keras.Input([8, 8, 3]), keras.layers.Conv2D(4, 3)])
        >>> macs(model)[0].macs, 6 * 6 * 4 * 3 * 3 * 3
        (3888, 3888)
    """
    specs = _specs(model, inputs)
    check_tensorflow("`macs`")
    declared = declarations(model, macs)
    layers = targets(model)
    layers += [layer for layer, _ in counted_layers(model, layers, declared)]
    tally = _Tally()

    def trace(*xs: Any) -> Any:
        tally.graph = tf.compat.v1.get_default_graph()
        return model(_packed(model, xs), training=False)

    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.callback(wrap(layer, "call", _Counter(layer, tally, declared.get(id(layer)))))
        tf.function(trace, autograph=False).get_concrete_function(*specs)
    if tally.errors:
        raise ValueError(tally.errors[0])
    return [
        LayerMacs(layer.path, type(layer).__name__, tally.macs[id(layer)])
        for layer in layers
        if tally.macs.get(id(layer))
    ]


@dataclasses.dataclass
class _Tally:
    """What is counted while a model is traced, and why something is not."""

    graph: Any = None
    macs: dict[int, int] = dataclasses.field(default_factory=dict)
    errors: list[str] = dataclasses.field(default_factory=list)


class _Counter:
    """Counts while its model is traced."""

    def __init__(self, layer: keras.layers.Layer, tally: _Tally, declared: Any) -> None:
        self.layer = layer
        self._declared = declared
        self._first = first_name(layer)
        self._tally = tally

    def __call__(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        outputs = call(*args, **kwargs)
        first = first_of(self._first, args, kwargs)
        count = (
            layer_macs(self.layer, first, outputs, self._declared)
            if own_weights(self.layer)
            else product_macs(self.layer, args, kwargs, outputs, self._declared)
        )
        error = self._error(count, args, kwargs)
        if error is None:
            found = self._tally.macs
            found[id(self.layer)] = found.get(id(self.layer), 0) + count
        else:
            self._tally.errors.append(error)
        return outputs

    def _error(self, count: Any, args: Any, kwargs: Any) -> str | None:
        """Return why a count cannot be used, or None."""
        path, graph = self.layer.path, tf.compat.v1.get_default_graph()
        if count is None:
            return (
                f"`macs` does not know how a layer of this kind multiplies. Received: "
                f"{type(self.layer).__name__} at {path!r}. Expected layers of Keras, or a "
                f"number for one example, as `macs={{{path!r}: 1000}}`."
            )
        if graph is not self._tally.graph:
            return (
                f"The MACs of {path!r} cannot be told: it is called in a loop or a branch of the "
                f"graph, which may run any number of times. Received: {graph.name}. Expected calls "
                f"that are written out."
            )
        if not isinstance(count, int):
            shapes = [getattr(x, "shape", None) for x in tree.flatten([args, kwargs])]
            return (
                f"The MACs of {path!r} cannot be told from its shapes. Received: {shapes}, of "
                f"which some depend on values. Expected sizes that are known."
            )
        return None


def declarations(
    model: keras.Model, given: Mapping[str, int | Callable[[Any, Any], Any]] | None
) -> dict[int, Any]:
    """Return what was said of the MACs of layers, for one example, by the layer's identity.

    Args:
        model: Whose layers may have an attribute or a method `macs`.
        given: Regular expressions for a layer's whole path, of which the first that matches counts,
            and a whole number or a function of the layer's inputs and outputs.

    Raises:
        TypeError: If `given` is no such mapping.
        ValueError: If a number is not whole or below 0, or a pattern matches no layer.
    """
    layers = [layer for layer in walk(model) if _multiplies_itself(layer)]
    names = [layer.path or layer.name for layer in layers]
    said = {id(layer): layer.macs for layer in layers if getattr(layer, "macs", None) is not None}
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"`macs` must map paths to numbers or functions. Received: macs={given!r}")
    for pattern, value in reversed(list((given or {}).items())):
        try:
            found = [
                layer
                for layer, name in zip(layers, names, strict=True)
                if re.fullmatch(pattern, name)
            ]
        except (re.error, TypeError) as error:
            raise ValueError(
                f"`macs` must have regular expressions as keys. Received: {pattern!r} ({error})"
            ) from error
        if not found:
            raise ValueError(
                f"`macs` names no layer. Received: {pattern!r}. Expected a regular expression for "
                f"one of: {', '.join(names)}"
            )
        said.update({id(layer): value for layer in found})
    return {
        key: value if callable(value) else _validate.integer("macs", value)
        for key, value in said.items()
    }


def counted_layers(
    model: keras.Model, targets: Sequence[keras.layers.Layer], declared: Mapping[int, Any]
) -> list[tuple[keras.layers.Layer, str]]:
    """Return the layers besides the targets whose products are counted, and what they are called.

    These are attentions, and what somebody has declared MACs of.
    """
    known = {id(layer) for layer in targets}
    found = []
    for layer in walk(model):
        if isinstance(layer, _ATTENTION):
            found.append((layer, f"{layer.path}/scores"))
        elif id(layer) in declared and id(layer) not in known:
            found.append((layer, layer.path or layer.name))
    return found


def _multiplies_itself(layer: keras.layers.Layer) -> bool:
    """Whether a layer may do more than to call others."""
    if isinstance(layer, keras.layers.InputLayer):
        return False
    return not isinstance(layer, keras.Model) or bool(own_weights(layer))


def _declared_macs(said: Any, inputs: Any, outputs: Any) -> Any:
    """Return the MACs of one call, from what was said of one example."""
    given = tree.flatten(inputs)
    if not given:
        return None
    each = said(inputs, outputs) if callable(said) else said
    each = tf.cast(each, tf.float64) if tf.is_tensor(each) else _validate.integer("macs", each)
    return _size(given[0], 0) * each


def product_macs(
    layer: keras.layers.Layer, args: Any, kwargs: Any, outputs: Any, declared: Any
) -> Any:
    """Return the MACs of one call of a layer that multiplies without weights, as `layer_macs`."""
    if declared is not None:
        return _declared_macs(declared, first_of(first_name(layer), args, kwargs), outputs)
    return _attention_macs(layer, args, kwargs)


def layer_macs(layer: keras.layers.Layer, inputs: Any, outputs: Any, declared: Any = None) -> Any:
    """Return the MACs of one call of a layer, with the whole batch.

    An int where all sizes are known, else a float64 tensor; None for a layer of a kind unknown.
    A recurrent layer multiplies with each matrix of its cell once a step.

    Args:
        layer: The layer.
        inputs: Its first argument.
        outputs: What it returned.
        declared: What was said of its MACs for one example, or None.
    """
    if declared is not None:
        return _declared_macs(declared, inputs, outputs)
    weights = own_weights(layer)
    first_in, first_out = tree.flatten(inputs)[0], tree.flatten(outputs)[0]
    if is_table(layer):
        # A reversible one looks up a table, or multiplies with it.
        is_product = isinstance(layer, _L.Embedding) and len(first_out.shape) <= len(first_in.shape)
        if not is_product:
            return 0
        return _leading(first_in) * math.prod(weights[0].shape)
    if isinstance(layer, _L.RNN):
        steps = _size(first_in, 0) * _size(first_in, 1)
        places = 1
        if isinstance(layer, _CONVOLVED_RNNS):
            places = _pixels(layer, first_out, len(weights[0].shape) - 2)
        return steps * places * sum(math.prod(w.shape) for w in weights)
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
        return _leading(first_in) * math.prod(weights[0].shape)
    return None


def first_name(layer: keras.layers.Layer) -> str:
    """Return the name of the first argument of a layer's call."""
    return next(iter(inspect.signature(layer.call).parameters), "inputs")


def first_of(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Return the first argument of a call, however it was given; None if there is none."""
    if args:
        return args[0]
    # A layer may name none, or be called without it.
    return kwargs.get(name, next(iter(kwargs.values()), None))


def _attention_macs(
    layer: keras.layers.Layer, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Return the MACs of an attention's scores, and of the values weighted with them.

    As `layer_macs`; None for a subclass that takes other arguments.
    """
    given = inspect.signature(type(layer).call).bind(layer, *args, **kwargs).arguments
    names = ("inputs",) if isinstance(layer, _L.Attention) else ("query", "value")
    if not all(name in given for name in names):
        return None
    query, value = tree.flatten([given[name] for name in names])[:2]
    axes = layer._attention_axes if isinstance(layer, _L.MultiHeadAttention) else (1,)
    pairs = _leading(query) * math.prod([_size(value, axis) for axis in axes])
    if isinstance(layer, _L.AdditiveAttention):
        return pairs * (layer.use_scale * _size(query, -1) + _size(value, -1))
    if isinstance(layer, _L.Attention):
        return pairs * ((layer.score_mode == "dot") * _size(query, -1) + _size(value, -1))
    if isinstance(layer, _L.GroupQueryAttention):
        return pairs * layer.num_query_heads * 2 * layer.head_dim
    return pairs * layer.num_heads * (layer.key_dim + layer.value_dim)


def _places(layer: keras.layers.Layer, x: Any) -> Any:
    """Return how often a kernel is laid onto a batch of images: their number times their pixels."""
    return _size(x, 0) * _pixels(layer, x, len(x.shape) - 2)


def _pixels(layer: keras.layers.Layer, x: Any, dimensions: int) -> Any:
    """Return the pixels of an image of so many dimensions."""
    end = len(x.shape) - (layer.data_format != "channels_first")
    return math.prod([_size(x, axis) for axis in range(end - dimensions, end)])


def _leading(x: Any) -> Any:
    """Return the product of all sizes but the last."""
    return math.prod([_size(x, axis) for axis in range(len(x.shape) - 1)])


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
    check_built(model)
    for shape in inputs:
        if not isinstance(shape, tuple | list):
            raise TypeError(
                f"`inputs` must be shapes, one for each input of the model, as "
                f"`macs(model, (224, 224, 3))`. Received: {', '.join(map(repr, inputs))}"
            )
    known = tree.flatten(getattr(model, "inputs", None) or [])
    shapes = [tuple(shape) for shape in inputs] or [tuple(x.shape[1:]) for x in known]
    if not shapes:
        raise ValueError(
            f"`macs` must know the shape of the inputs. Received: {model.name!r}, which has no "
            f"inputs of its own. Give them, as `macs(model, (224, 224, 3))`."
        )
    if known and len(shapes) != len(known):
        raise ValueError(
            f"`inputs` must be a shape for each input of the model. Received: {len(shapes)} shapes "
            f"for {len(known)} inputs"
        )
    if any(size is None for shape in shapes for size in shape):
        raise ValueError(
            f"`macs` must know every size of the inputs. Received: {', '.join(map(str, shapes))}. "
            f"Give them, as `macs(model, (224, 224, 3))`."
        )
    dtypes = [x.dtype for x in known] or ["float32"] * len(shapes)
    return [tf.TensorSpec((1, *shape), dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]


def _packed(model: keras.Model, xs: tuple[Any, ...]) -> Any:
    structure = getattr(model, "_inputs_struct", None)  # as the functional model was built
    if structure is not None:
        return tree.pack_sequence_as(structure, list(xs))
    return xs[0] if len(xs) == 1 else list(xs)
