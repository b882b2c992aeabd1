"""One forward pass of a quantized model: what its layers do, and what they share meanwhile.

`QuantizedLayer` wraps a layer's `call`: it quantizes the inputs, lets the layer
see quantized weights, and quantizes the gradient of its outputs. The layer keeps its class, its
variables and its configuration, so a saved file is that of the plain model.
"""

from __future__ import annotations

import contextlib
import functools
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import keras
import tensorflow as tf
from keras import tree

# Keras' own word on training, masks, autocasting and symbolic calls has no public name.
from keras.src.backend.common import global_state
from keras.src.backend.common.masking import get_keras_mask, set_keras_mask
from keras.src.backend.common.variables import AutocastScope

# Nor has TensorFlow's on tapes.
from tensorflow.python.eager import record

from keras_sched.precision import quantizers
from keras_sched.precision.bits import NO_CLOCK, BitWidth
from keras_sched.precision.checks import CURRENT, MAXIMUM
from keras_sched.precision.macs import first_name, first_of, layer_macs
from keras_sched.precision.rules import channel_axes, own_weights

__all__ = [
    "Factor",
    "Handle",
    "ModelCall",
    "Pass",
    "Product",
    "QuantizedLayer",
    "bits_of",
    "bounds_of",
    "evaluated",
    "is_symbolic",
    "is_training",
    "mapped",
    "moved_bounds",
    "noise_key",
    "opened",
    "operations",
    "with_first",
]

_DENSE = {tf.SparseTensor: "tf.sparse.to_dense(x)", tf.RaggedTensor: "x.to_tensor()"}
_COMPOSITE = tuple(_DENSE)
# Weight of the past in the running range of activations, as in the papers' code.
_MOMENTUM = 0.9


class Pass:
    """What the layers share in one forward pass, so that it is computed once.

    Values of a loop's or a branch's own graph cannot be used outside of it; they are kept by graph.
    """

    def __init__(self, training: bool, values: Callable[[BitWidth], Any], given: Any = ()) -> None:
        self.training = training
        self.graph = _graph()
        # A row of tensors, also where a composite one has several.
        parts = tf.nest.flatten(given, expand_composites=True)
        self.given = [x for x in parts if isinstance(x, tf.Tensor) and not tf.executing_eagerly()]
        self._values = values
        self._kept: dict[tuple[Any, ...], tuple[Any, Any]] = {}
        self.bounds: dict[int, tuple[Any, Any]] = {}
        self.work: list[tuple[int, Any, tuple[Any, ...]]] = []
        self.unknown: set[int] = set()
        self.calls = 0

    @property
    def is_within(self) -> bool:
        """Whether the pass is in the graph that it began in, so that what it notes can be used."""
        return _graph() == self.graph

    def once(self, key: tuple[Any, ...], about: Any, compute: Callable[[], Any]) -> Any:
        """Return what `compute` returns, computed once for a key; `about` is kept alive with it."""
        key = (_graph(), *key)
        if key not in self._kept:
            self._kept[key] = (compute(), about)
        return self._kept[key][0]

    def bits(self, width: BitWidth | int | None) -> Any:
        """Return a number of bits as a float32 scalar tensor, or None."""
        if width is None:
            return None
        if isinstance(width, int):
            return self.once(("bits", width), None, lambda: tf.constant(float(width)))
        return self.once(("bits", id(width)), width, lambda: self._values(width))


class Handle(Protocol):
    """What the layers need of the handle of their model."""

    symmetric: bool

    def within_pass(self, *given: Any) -> contextlib.AbstractContextManager[Pass]:
        """Give the present pass, or begin one with what a call is given."""

    def running_bounds(self, index: int, x: Any) -> tuple[Any, Any]:
        """Return the running range of a layer's inputs, or that of `x`."""

    def noise_key(self, index: int, call: int) -> Any:
        """Return the key of the noise of a layer at one of its calls in a pass."""


class Factor:
    """A tensor that a layer multiplies: rounded, in evaluation within its running range.

    Args:
        layer: The layer.
        index: The number of the factor's range.
        handle: Keeps the ranges.
        bits: Bits of the tensor, or None for full precision.
    """

    def __init__(
        self, layer: keras.layers.Layer, index: int, handle: Handle, bits: BitWidth | int | None
    ) -> None:
        self._layer, self._index, self._handle, self.bits = layer, index, handle, bits

    def rounded(self, x: Any, current: Pass) -> Any:
        """Return a tensor as it is multiplied in a pass."""
        bits = current.bits(self.bits)
        if bits is not None and isinstance(x, _COMPOSITE):
            raise ValueError(
                f"The activations of a layer can be rounded only if they are dense. Received: a "
                f"{type(x).__name__} for {self._layer.path!r}. Make it dense before the layer, as "
                f"by `{_DENSE[type(x)]}`, or leave the activations of this layer: "
                f"`quantize(..., layers=[({self._layer.path!r}, {{'activations': None}}), ...])`."
            )
        if bits is None or not _is_float(x):
            return x
        symmetric = self._handle.symmetric
        if current.training:

            def quantize() -> tuple[Any, Any]:
                exact = tf.stop_gradient(tf.cast(x, tf.float32))
                bounds = quantizers.extremes(exact)
                rounded = quantizers.fake_quantize(x, bits, bounds=bounds, symmetric=symmetric)
                return rounded, bounds

            # Query, key and value of an attention are one tensor.
            key = ("input", id(x), _id(self.bits))
            rounded, bounds = current.once(key, x, quantize)
            if current.is_within:
                known = current.bounds.get(self._index)
                current.bounds[self._index] = bounds if known is None else _joined(known, bounds)
            return rounded
        bounds = self._handle.running_bounds(self._index, x)
        return quantizers.fake_quantize(x, bits, bounds=bounds, symmetric=symmetric)


class Product:
    """What a layer has multiplied: its gradient is rounded.

    Args:
        layer: The layer.
        index: The number of the layer.
        handle: Has the keys of the noise.
        bits: Bits of the gradient, or None for full precision.
    """

    def __init__(
        self, layer: keras.layers.Layer, index: int, handle: Handle, bits: BitWidth | int | None
    ) -> None:
        self._layer, self._index, self._handle, self.bits = layer, index, handle, bits

    def marked(self, x: Any, current: Pass) -> Any:
        """Return a tensor whose gradient is rounded in a pass of training."""
        bits = current.bits(self.bits)
        if bits is not None and current.training and isinstance(x, _COMPOSITE):
            raise ValueError(
                f"The gradients of a layer can be rounded only if its outputs are dense. Received: "
                f"a {type(x).__name__} from {self._layer.path!r}. Leave the gradients of this "
                f"layer: `quantize(..., layers=[({self._layer.path!r}, {{'gradients': None}}), "
                f"...])`."
            )
        if bits is None or not current.training or not _is_float(x):
            return x
        current.calls += 1
        key = self._handle.noise_key(self._index, current.calls)
        return quantizers.quantize_gradient(x, bits, key, symmetric=self._handle.symmetric)


class QuantizedLayer:
    """Wraps the call of a layer: its weights, inputs and gradients are quantized.

    Args:
        layer: A layer with weight matrices.
        index: Its number among the targets of the model.
        handle: Opens passes and keeps ranges.
        declared: What was said of its MACs for one example, or None.
        weights: Bits of its weights, or None for full precision.
        activations: Bits of its inputs, or None.
        gradients: Bits of the gradient of its outputs, or None.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        index: int,
        handle: Handle,
        declared: Any,
        weights: BitWidth | int | None,
        activations: BitWidth | int | None,
        gradients: BitWidth | int | None,
    ) -> None:
        self.layer = layer
        self._first = first_name(layer)
        self._index = index
        self._handle = handle
        self._declared = declared
        self.weights = weights
        self._factor = Factor(layer, index, handle, activations)
        self._product = Product(layer, index, handle, gradients)
        self._targets = [(weight, channel_axes(layer, weight)) for weight in own_weights(layer)]

    def __call__(self, inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call the layer with quantized parts."""
        if is_symbolic():
            return inner(*args, **kwargs)
        with self._handle.within_pass(args, kwargs) as current:
            first = first_of(self._first, args, kwargs)
            first = mapped(lambda x: self._factor.rounded(x, current), first)
            call = with_first(self._first, first, inner, args, kwargs)
            outputs = self._with_quantized_weights(call, current)
            outputs = mapped(lambda x: self._product.marked(x, current), outputs)
            self._note_work(first, outputs, current)
            return outputs

    # --- the quantizers of what goes in and out are those of any product --------------------------

    def _with_quantized_weights(self, call: Callable[[], Any], current: Pass) -> Any:
        bits = current.bits(self.weights)
        if bits is None:
            return call()

        def quantize(weight: keras.Variable, axes: list[int] | None) -> Any:
            with AutocastScope(None):  # The float32 weight, whatever the layer computes in.
                value = tf.convert_to_tensor(weight.value)
            symmetric = self._handle.symmetric
            return quantizers.fake_quantize(value, bits, axes=axes, symmetric=symmetric)

        mapping = []
        for weight, axes in self._targets:
            key = ("weight", id(weight), _id(self.weights))
            value = current.once(key, weight, functools.partial(quantize, weight, axes))
            mapping.append((weight, value))
        with _Swapped(mapping) as scope:
            outputs = call()
        # What the layer has written inside the scope (a seed, a state) would be lost.
        for variable, value in scope.written.values():
            if any(variable is weight for weight, _ in mapping):
                raise ValueError(
                    f"A quantized layer cannot set its own weights while it is called: they would "
                    f"take quantized values. Received: {variable.path!r}, set by "
                    f"{type(self.layer).__name__}. Leave the layer as it is: "
                    f"`quantize(..., layers=[({self.layer.path!r}, None)])`."
                )
            variable.assign(value)
        for loss in scope.losses:
            self.layer.add_loss(loss)
        return outputs

    # --- cost -----------------------------------------------------------------------------------

    def _note_work(self, inputs: Any, outputs: Any, current: Pass) -> None:
        if not current.training:
            return
        count = layer_macs(self.layer, inputs, outputs, self._declared)
        if count is None or not current.is_within:
            current.unknown.add(self._index)
            return
        parts = (self.weights, self._factor.bits, self._product.bits)
        current.work.append((self._index, count, bits_of(self.layer, parts, current)))


class _Swapped(keras.StatelessScope):
    """The scope in which a layer sees its quantized weights; it keeps what is written meanwhile.

    Of other variables it shows what the scope around it does.
    """

    def __init__(self, mapping: list[tuple[keras.Variable, Any]]) -> None:
        super().__init__(state_mapping=mapping, collect_losses=True)
        self.written: dict[int, tuple[keras.Variable, Any]] = {}

    def add_update(self, update: tuple[keras.Variable, Any]) -> None:
        """Note a variable that is written, and its value."""
        super().add_update(update)
        self.written[id(update[0])] = update

    def get_current_value(self, variable: keras.Variable) -> Any:
        """Return the value that a variable has here, or None if it is its own."""
        found = super().get_current_value(variable)
        if found is None and self.original_scope is not None:
            return self.original_scope.get_current_value(variable)
        return found


class ModelCall:
    """Wraps the call of the whole model: it opens a pass that its layers share."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    def __call__(self, inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call the model."""
        if is_symbolic():
            return inner(*args, **kwargs)
        with self._handle.within_pass(args, kwargs):
            return inner(*args, **kwargs)


def is_training() -> bool:
    """Whether Keras is in a call with ``training=True``; if nobody says so, whether a tape records.

    `fit` says nothing to a model whose `call` has no argument of this name.
    """
    context = global_state.get_global_attribute("current_call_ctx")
    training = None if context is None else context.get_value("training")
    if tf.is_tensor(training):
        raise ValueError(
            f"A quantized model must know while it is traced whether it trains. Received: "
            f"training={training}. Expected True or False."
        )
    return record.could_possibly_record() if training is None else bool(training)


def is_symbolic() -> bool:
    """Whether Keras only asks for shapes: there nothing can be noted."""
    return global_state.get_global_attribute("symbolic_scope") is not None


@contextlib.contextmanager
def opened(
    stack: list[Pass], make: Callable[[], Pass], finish: Callable[[Pass], None]
) -> Iterator[Pass]:
    """Give the pass that is open, or open one and finish it at the end."""
    if stack:
        yield stack[-1]
        return
    stack.append(make())
    try:
        yield stack[-1]
        finish(stack[-1])
    finally:
        stack.pop()


def evaluated(width: BitWidth, code: Any) -> Any:
    """Return the bits to evaluate at, a float32 scalar; `code` is a number, CURRENT or MAXIMUM."""
    if width.has_value:
        present = width.value()
    else:  # No matter, unless it is the present step that is asked for.
        tf.debugging.assert_none_equal(code, CURRENT, message=NO_CLOCK)
        present = width.highest()
    otherwise = tf.where(code == MAXIMUM, width.highest(), present)
    return tf.where(code > 0.0, code, otherwise)


def noise_key(seed: Any, place: str, step: Any) -> Any:
    """Return the uint32 key of the noise of a seed at a place, at a step and in this replica."""
    context = tf.distribute.get_replica_context()
    replica = 0 if context is None else context.replica_id_in_sync_group
    number = tf.constant(zlib.crc32(place.encode()), tf.uint32)
    key = quantizers.mix(tf.cast(step, tf.uint32) + number)
    key = quantizers.mix(key + tf.cast(seed, tf.uint32))
    return quantizers.mix(key + tf.cast(replica, tf.uint32))


def bounds_of(running: Any, x: Any) -> tuple[Any, Any]:
    """Return a running range, or that of `x` if nothing was seen yet or `x` is not finite."""
    low, high = quantizers.extremes(tf.cast(x, tf.float32))
    is_finite = tf.math.is_finite(low) & tf.math.is_finite(high)
    use = (running[0] <= running[1]) & is_finite
    return tf.where(use, running[0], low), tf.where(use, running[1], high)


def moved_bounds(old: Any, found: Mapping[int, tuple[Any, Any]]) -> Any:
    """Return the running ranges of all layers, moved towards those that one pass has found.

    A range that is not finite, as after an overflow of float16, moves nothing.
    """
    old = tf.convert_to_tensor(old)
    rows = [tf.stack(found[i]) if i in found else old[i] for i in range(old.shape[0])]
    new = tf.stack(rows)
    seen = old[:, :1] <= old[:, 1:]
    moved = tf.where(seen, _MOMENTUM * old + (1.0 - _MOMENTUM) * new, new)
    sound = tf.reduce_all(tf.math.is_finite(new), axis=1, keepdims=True)
    return tf.where(sound, moved, old)


def operations(work: Sequence[tuple[int, Any, tuple[Any, ...]]], rows: int) -> Any:
    """Return MACs and the three products of every layer in one pass, float64 of (rows, 4)."""
    # Few layers differ in their bits: each distinct set is multiplied once.
    sets = {tuple(map(id, bits)): bits for _, _, bits in work}
    number = {key: index for index, key in enumerate(sets)}
    w, a, g = (
        tf.stack([tf.cast(bits, tf.float64) for bits in part])
        for part in zip(*sets.values(), strict=True)
    )
    products = tf.stack([tf.ones_like(w), w * a, w * g, a * g], axis=1)
    counts = tf.stack([tf.cast(count, tf.float64) for _, count, _ in work])
    each = tf.gather(products, [number[tuple(map(id, bits))] for _, _, bits in work])
    layers = [index for index, _, _ in work]
    return tf.math.unsorted_segment_sum(counts[:, None] * each, layers, rows)


def with_first(
    name: str, first: Any, inner: Callable[..., Any], args: Any, kwargs: Any
) -> Callable[[], Any]:
    """Return a call with another first argument, as `first_of` found it under a name."""
    if args:
        return functools.partial(inner, first, *args[1:], **kwargs)
    if not kwargs:
        return inner
    name = name if name in kwargs else next(iter(kwargs))
    return functools.partial(inner, **{**kwargs, name: first})


def mapped(change: Callable[[Any], Any], xs: Any) -> Any:
    """Change every tensor of a structure; each keeps its mask, which Keras hangs on it."""

    def one(x: Any) -> Any:
        y = change(x)
        if y is not x:
            set_keras_mask(y, get_keras_mask(x))
        return y

    return tree.map_structure(one, xs)


def _joined(known: tuple[Any, Any], more: tuple[Any, Any]) -> tuple[Any, Any]:
    return tf.minimum(known[0], more[0]), tf.maximum(known[1], more[1])


def _id(width: BitWidth | int | None) -> int | None:
    return id(width) if isinstance(width, BitWidth) else width


def _graph() -> int:
    return 0 if tf.executing_eagerly() else id(tf.compat.v1.get_default_graph())


def _is_float(x: Any) -> bool:
    return isinstance(x, tf.Tensor) and x.dtype.is_floating


def bits_of(
    layer: keras.layers.Layer, parts: Sequence[BitWidth | int | None], current: Pass
) -> tuple[Any, ...]:
    """Return the bits of each part of a layer; of one in full precision those of its dtype."""
    full = 8.0 * tf.as_dtype(layer.compute_dtype).size
    return tuple(full if part is None else current.bits(part) for part in parts)
