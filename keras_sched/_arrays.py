"""One formula, two arithmetics: NumPy on the host, ``keras.ops`` inside the compiled step.

Every profile and schedule is written once against the names below. Arithmetic is in float64 and
rounded to float32 at the very end, so that graph, eager, XLA and NumPy give the same float32: their
float64 results differ by at most a few units in the last place, 2**-29 of what float32 can see, as
long as nothing cancels: therefore `ratio` and `between`.
Step counts stay integers until the last division, so that no step is lost past 2**24.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

__all__ = ["FLOAT", "INT", "between", "is_tensor", "namespace", "ratio", "reached"]

# JAX computes in 64 bits only when its user asks for it; a cast that it refuses would warn.
INT = "int32" if keras.backend.backend() == "jax" else "int64"
FLOAT = "float32" if keras.backend.backend() == "jax" else "float64"

_TINY = np.finfo(np.float32).tiny


class _Host:
    """The part of ``keras.ops`` that schedules use, computed by NumPy."""

    exp = staticmethod(np.exp)
    power = staticmethod(np.power)
    sin = staticmethod(np.sin)
    sqrt = staticmethod(np.sqrt)
    round = staticmethod(np.round)
    minimum = staticmethod(np.minimum)
    maximum = staticmethod(np.maximum)
    where = staticmethod(np.where)
    floor_divide = staticmethod(np.floor_divide)
    mod = staticmethod(np.mod)
    take = staticmethod(np.take)

    @staticmethod
    def cast(x: Any, dtype: str) -> np.ndarray:
        array = np.asarray(x).astype(dtype)
        if dtype == "float32":
            # TensorFlow's kernels know no numbers between 0 and the smallest normal one.
            array = np.where(np.abs(array) < _TINY, np.float32(0.0), array)
        return array


def is_tensor(x: Any) -> bool:
    """Whether `x` lives in a Keras backend (tensor, variable or symbolic) rather than in NumPy."""
    return isinstance(x, keras.Variable | keras.KerasTensor) or keras.ops.is_tensor(x)


def namespace(x: Any) -> Any:
    """Return the functions that fit `x`: ``keras.ops`` for tensors, NumPy for everything else."""
    return keras.ops if is_tensor(x) else _Host


def ratio(x: Any, n: float) -> Any:
    """Return ``x / n``, correctly rounded everywhere.

    TensorFlow and XLA turn a division by a constant into a product with its reciprocal, which is
    off by one unit in the last place and makes ``1 - x / n`` differ from 0 at the end. They leave a
    divisor alone that they cannot see to be constant: ``0 x`` might not be a number.
    """
    return x / (n + 0.0 * x)


def between(start: float | Any, end: float | Any, level: Any) -> Any:
    """Return the value at `level`: 1 is `start`, 0 is `end`.

    The sum of two products of one sign, never ``end + (start - end) level``: that cancels near 0,
    where a fused multiply-add would give other bits than a product and a sum.
    """
    return start * level + end * (1.0 - level)


def reached(boundaries: np.ndarray, t: Any, xp: Any) -> Any:
    """Count, for every step in `t`, the boundaries that are at or before it.

    Args:
        boundaries: Increasing int64 array of shape `(n,)`.
        t: Integer steps of any shape.
        xp: The namespace of `t`.

    Returns:
        Integers in `[0, n]` in the shape of `t`.
    """
    if xp is _Host:
        return np.searchsorted(boundaries, t, side="right")
    table = xp.cast(boundaries, INT)
    return xp.sum(xp.cast(xp.expand_dims(t, -1) >= table, "int32"), axis=-1)
