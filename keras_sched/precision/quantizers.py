r"""Quantizers: tensors of few distinct values, with the number of bits known only at run time.

Arithmetic stays in float32, as in the papers: a quantizer maps each number to the nearest of `2^b`
evenly spaced levels and returns the level ("fake" quantisation). It emulates what hardware of `b`
bits would compute, and is slower than not to quantize.

Forward, `fake_quantize` rounds to the nearest level (halves to even) and passes gradients straight
through. Backward, `quantize_gradient` rounds at random, up as often as the number is near the upper
level, so that the rounding is right on average. The random numbers are a hash of a key and of the
number's place: no state, so a training that goes on draws what it would have drawn.

The bits are a tensor: `tf.quantization.fake_quant_*` takes a Python number, and so would trace a
graph for each width; it also shifts the range to hold 0 and stops gradients, which the papers'
quantizer does not.

Source: Fu et al., "CPT: Efficient Deep Neural Network Training via Cyclic Precision" (arXiv
2101.09868), whose quantizer is that of Banner et al., "Scalable Methods for 8-bit Training" (arXiv
1805.11046). Differences: its step is at least 1e-8, which would silence small gradients; here a
range below 1e-30 is one level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.python.ops import control_flow_util  # whether XLA compiles has no public name

__all__ = [
    "Grid",
    "extremes",
    "fake_quantize",
    "grid",
    "hash_uniform",
    "nearest",
    "quantize_gradient",
]

# A range narrower than this is one level: its reciprocal would overflow.
_NARROWEST = 1e-30
# Rows of a tensor in which its lowest and highest number are looked for on a CPU.
_ROWS = 8


class Grid(NamedTuple):
    """Evenly spaced levels: ``offset + k width / count`` for whole k in [first, count].

    Attributes:
        offset: The level of k = 0, float32.
        width: Distance from there to the last level, float32, above 0.
        count: Number of the last level, float32.
        bits: Number of bits, float32.
        symmetric: Whether the first level is ``-count`` rather than 0.
    """

    offset: Any
    width: Any
    count: Any
    bits: Any
    symmetric: bool


def grid(low: Any, high: Any, bits: Any, symmetric: bool = False) -> Grid:
    """Return the levels between two bounds.

    Asymmetric: ``2^b`` levels from `low` to `high`. Symmetric: ``2^b - 1`` levels from -m to m with
    ``m = max(|low|, |high|)``, 0 among them.

    Args:
        low: Lowest number to represent, float32, a scalar or one a channel.
        high: Highest, in the shape of `low`. Bounds that are not finite make every level NaN, so
            that a training that has diverged shows it.
        bits: Number of bits b, a float32 scalar tensor of whole value in [2, 16].
        symmetric: Whether the levels are symmetric about 0.
    """
    # Rounded: a power need not be exact on every device.
    levels = tf.round(tf.pow(2.0, bits - 1.0 if symmetric else bits))
    if symmetric:
        offset, width = tf.zeros_like(low), tf.maximum(tf.abs(low), tf.abs(high))
    else:
        offset, width = low, high - low
    # Each by itself: under XLA on a CPU the maximum of NaN and a number is the number.
    finite = tf.math.is_finite(low) & tf.math.is_finite(high) & tf.math.is_finite(width)
    offset = tf.where(finite, offset, float("nan"))
    width = tf.where(finite & (width > _NARROWEST), width, 1.0)
    return Grid(offset, width, levels - 1.0, bits, symmetric)


def nearest(x: Any, levels: Grid) -> Any:
    """Return the nearest level to each number of the float32 tensor `x`, halves to even.

    With one range, numbers beyond it take its ends; with one a channel, they must lie within.
    """
    if levels.offset.shape.rank == 0:
        return _nearest_in_one(x, levels)
    k = tf.round((x - levels.offset) * (levels.count / levels.width))
    return k * (levels.width / levels.count) + levels.offset


def _nearest_in_one(x: Any, levels: Grid) -> Any:
    """Return the nearest levels of one range, by the one operation whose bits are a tensor."""

    def quantized(x: Any) -> Any:
        return tf.raw_ops.QuantizeAndDequantizeV3(
            input=x,
            input_min=-levels.width if levels.symmetric else tf.zeros_like(levels.width),
            input_max=levels.width,
            num_bits=tf.cast(levels.bits, tf.int32),
            signed_input=levels.symmetric,
            narrow_range=levels.symmetric,
            range_given=True,
        )

    def shifted() -> Any:
        return quantized(x if levels.symmetric else x - levels.offset) + levels.offset

    if _has_accelerator():
        return shifted()  # There a condition would wait for the device.
    # Where levels are symmetric, or the lowest number is 0 as behind a ReLU, the passes that add
    # the offset can be left out, unless it is NaN.
    return tf.cond(levels.offset == 0.0, lambda: quantized(x), shifted)


def fake_quantize(
    x: Any,
    bits: Any,
    *,
    axes: Sequence[int] | None = None,
    bounds: tuple[Any, Any] | None = None,
    symmetric: bool = False,
) -> Any:
    """Round to the nearest level; the gradient passes straight through, wherever the number lay.

    Args:
        x: Tensor of any floating dtype; the result has the same. The levels are float32.
        bits: Number of bits, a float32 scalar tensor of whole value in [2, 16].
        axes: Axes that share one range; all of them if None.
        bounds: The one range (low, high) of the tensor if it is known, two scalars, NaN where `x`
            is not finite; numbers beyond it take its ends. By default the lowest and highest number
            that share a range.
        symmetric: Whether the levels are symmetric about 0.

    Example:
        >>> x = tf.constant([0.0, 0.4, 1.6, 3.0])
        >>> fake_quantize(x, tf.constant(2.0)).numpy().tolist()
        [0.0, 0.0, 2.0, 3.0]
    """

    @tf.custom_gradient
    def straight_through(x: Any) -> Any:
        exact = tf.cast(x, tf.float32)
        low, high = _bounds(exact, axes) if bounds is None else bounds
        return tf.cast(nearest(exact, grid(low, high, bits, symmetric)), x.dtype), lambda dy: dy

    return straight_through(x)


def quantize_gradient(x: Any, bits: Any, key: Any, *, symmetric: bool = False) -> Any:
    """Return `x`, and quantize its gradient with stochastic rounding, one range for the tensor.

    A gradient between two levels goes to the upper one with the probability of its distance from
    the lower, so its expectation is itself.

    Args:
        x: Tensor of any floating dtype.
        bits: Number of bits of the gradient, a float32 scalar tensor of whole value in [2, 16].
        key: Where the random numbers begin, a uint32 scalar tensor: another one at every step and
            place.
        symmetric: Whether the levels are symmetric about 0.

    Example:
        >>> x = tf.Variable([1.0, 2.0, 3.0])
        >>> with tf.GradientTape() as tape:
        ...     y = quantize_gradient(x, tf.constant(2.0), tf.constant(7, tf.uint32))
        ...     loss = tf.reduce_sum(y * [0.0, 1.0, 3.0])
        >>> tape.gradient(loss, x).numpy().tolist()
        [0.0, 1.0, 3.0]
    """

    @tf.custom_gradient
    def identity(x: Any) -> Any:
        def gradient(dy: Any) -> Any:
            exact = tf.cast(dy, tf.float32)
            levels = grid(*_bounds(exact, None), bits, symmetric)
            return tf.cast(stochastic(exact, levels, key), dy.dtype)

        return tf.identity(x), gradient

    return identity(x)


def stochastic(x: Any, levels: Grid, key: Any) -> Any:
    """Return one of the two levels about each number of `x`, at random and right on average."""
    first = -levels.count if levels.symmetric else tf.zeros_like(levels.count)
    return _stochastic(x, levels.offset, levels.width, first, levels.count, key)


# Compiled by XLA, so that hash and rounding are one pass over the tensor: as single operations the
# random numbers alone would take longer than the layer. Its only shapes are those of `x`.
@tf.function(jit_compile=True, autograph=False)
def _stochastic(x: Any, offset: Any, width: Any, first: Any, count: Any, key: Any) -> Any:
    place = (x - offset) * (count / width)
    # floor(q + u) with u in [0, 1) is above q with the probability of q's fraction; at a level it
    # is the level. The bounds only meet a q that arithmetic put past the last one.
    k = tf.clip_by_value(tf.floor(place + hash_uniform(tf.shape(x), key)), first, count)
    return k * (width / count) + offset


def hash_uniform(shape: Any, key: Any) -> Any:
    """Return float32 numbers in [0, 1) of 24 bits: a hash of the place in the tensor and of `key`.

    Args:
        shape: Shape of the tensor, of at most 2^32 numbers.
        key: uint32 scalar tensor.
    """
    place = tf.cast(tf.range(tf.reduce_prod(shape)), tf.uint32)
    # Multiplied by 2^32 over the golden ratio neighbours lie far apart; odd, so none coincide.
    mixed = mix(tf.bitwise.bitwise_xor(place * tf.constant(0x9E3779B1, tf.uint32), key))
    top = tf.cast(tf.bitwise.right_shift(mixed, tf.constant(8, tf.uint32)), tf.int32)
    return tf.reshape(tf.cast(top, tf.float32) * 2.0**-24, shape)


def mix(h: Any) -> Any:
    """Return a one-to-one scramble of uint32: the last steps of MurmurHash3 (public domain)."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = _fold(h, shift) * tf.constant(factor, tf.uint32)
    return _fold(h, 16)


def _fold(h: Any, shift: int) -> Any:
    return tf.bitwise.bitwise_xor(h, tf.bitwise.right_shift(h, tf.constant(shift, tf.uint32)))


def extremes(x: Any) -> tuple[Any, Any]:
    """Return the lowest and the highest number of a tensor, two scalars; NaN if one is.

    TensorFlow's CPU kernel finds those of a few long rows in a quarter of the time that it takes
    for a whole tensor.
    """
    rows = 1
    if x.shape.rank and not _has_accelerator():
        rows = math.gcd(_ROWS, math.prod(size or 1 for size in x.shape))
    if rows == 1:
        return _sound(x, None, tf.reduce_min(x), tf.reduce_max(x))
    cut = tf.reshape(x, (rows, -1))
    low, high = tf.reduce_min(cut, axis=1), tf.reduce_max(cut, axis=1)
    return _sound(x, None, tf.reduce_min(low), tf.reduce_max(high))


def _bounds(x: Any, axes: Sequence[int] | None) -> tuple[Any, Any]:
    if axes is None:
        return extremes(x)
    low = tf.reduce_min(x, axes, keepdims=True)
    return _sound(x, axes, low, tf.reduce_max(x, axes, keepdims=True))


def _sound(x: Any, axes: Sequence[int] | None, low: Any, high: Any) -> tuple[Any, Any]:
    """Return the bounds of a tensor, NaN where one of its numbers is.

    XLA on a CPU passes over NaN in a minimum. Elsewhere the kernels do not, and the pass that asks
    for it, which XLA fuses with the others, would cost time.
    """
    if not control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()):
        return low, high
    has_nan = tf.reduce_any(tf.math.is_nan(x), axes, keepdims=axes is not None)
    nan = tf.constant(float("nan"), low.dtype)
    return tf.where(has_nan, nan, low), tf.where(has_nan, nan, high)


def _has_accelerator() -> bool:
    return bool(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))
