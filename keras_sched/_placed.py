"""What stands in the place of a hyperparameter that is driven: for Keras as good as a number.

Keras treats a Python number as weakly typed: ``1 - beta`` is computed in 64 bits and takes the
dtype of the tensor that it meets. So does what stands here; only that its value is read, from the
driver, where a tensor needs it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

__all__ = ["DrivenNumber", "DrivenRate", "Reader"]


class Reader(Protocol):
    """What the objects here read their value from."""

    @property
    def is_deciding(self) -> bool:
        """Whether the optimizer's own code is running, which decides what to build or trace."""

    def value(self, name: str) -> Any:
        """Return the value as a float32 tensor."""

    def exact(self, name: str) -> Any:
        """Return the value in 64 bits: a float where a value exists, else a tensor."""

    def note(self, name: str) -> None:
        """Hear that the value is read."""

    def describe(self, name: str) -> str:
        """Return what drives it."""


class DrivenRate(keras.optimizers.schedules.LearningRateSchedule):
    """Stands in the place of the learning rate: Keras calls it with the iterations."""

    def __init__(self, reader: Reader, name: str) -> None:
        self._reader = reader
        self._name = name

    def __call__(self, step: Any) -> Any:
        self._reader.note(self._name)
        return self._reader.value(self._name)


def _forward(operation: Callable[[Any, Any], Any]) -> Callable[[_Weak, Any], Any]:
    return lambda self, other: self._combine(operation, other)


def _reflected(operation: Callable[[Any, Any], Any]) -> Callable[[_Weak, Any], Any]:
    return lambda self, other: self._combine(lambda one, two: operation(two, one), other)


def _comparison(operation: Callable[[Any, Any], Any]) -> Callable[[_Weak, Any], Any]:
    return lambda self, other: self._compare(operation, other)


class _Weak:
    """A scalar that combines as a Python number does, with its value read when it is needed."""

    __hash__ = object.__hash__

    def __init__(self, reader: Reader, name: str) -> None:
        self._reader = reader
        self._name = name

    def _exact(self) -> Any:
        raise NotImplementedError

    def _tensor(self) -> Any:
        """Return a float32 tensor."""
        return tf.cast(self._exact(), tf.float32)

    # Keras' functions ask `isinstance(x, int | float)`, and then for the dtype, to let another
    # operand's dtype decide. TensorFlow asks for the type itself, and is told the truth.
    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return float

    @property
    def dtype(self) -> type:
        """What Keras takes as the dtype of Python's floats."""
        return float

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        # Without a dtype Python's floats are float32, and so are those that are cast from it.
        if dtype is not None and tf.as_dtype(dtype) == tf.float64:
            return tf.convert_to_tensor(self._exact(), tf.float64)
        value = self._tensor()
        return value if dtype is None else tf.cast(value, dtype)

    # --- arithmetic ---------------------------------------------------------------------------

    def _combine(self, operation: Callable[[Any, Any], Any], other: Any) -> Any:
        if isinstance(other, keras.Variable):
            other = other.value
        if isinstance(other, np.ndarray):
            other = tf.convert_to_tensor(other)
        if tf.is_tensor(other):
            if not other.dtype.is_floating:
                raise TypeError(
                    f"A scheduled `{self._name}` can only be combined with tensors of floating "
                    f"point. Received: dtype={other.dtype.name}. Cast the tensor first."
                )
            return operation(self.__tf_tensor__(other.dtype), other)
        if isinstance(other, int | float | np.number):
            return _Derived(self._reader, self._name, operation, self, other)
        return NotImplemented

    __add__ = _forward(operator.add)
    __radd__ = _reflected(operator.add)
    __sub__ = _forward(operator.sub)
    __rsub__ = _reflected(operator.sub)
    __mul__ = _forward(operator.mul)
    __rmul__ = _reflected(operator.mul)
    __truediv__ = _forward(operator.truediv)
    __rtruediv__ = _reflected(operator.truediv)
    __pow__ = _forward(operator.pow)
    __rpow__ = _reflected(operator.pow)

    def __neg__(self) -> Any:
        return self._combine(operator.mul, -1)

    def __pos__(self) -> Any:
        return self

    # --- Python's view, where a value exists --------------------------------------------------

    def __float__(self) -> float:
        return self._known("float(...)")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self._known("numpy"), dtype=dtype)

    def __round__(self, digits: int | None = None) -> float | int:
        return round(self._known("round(...)"), digits)

    def __format__(self, spec: str) -> str:
        return format(self._known("a format"), spec) if spec else str(self)

    def __str__(self) -> str:
        return str(float(self._exact())) if tf.executing_eagerly() else repr(self)

    def __repr__(self) -> str:
        return f"<{self._name}: {self._reader.describe(self._name)}>"

    def __bool__(self) -> bool:
        return self._compare(operator.ne, 0)

    __eq__ = _comparison(operator.eq)
    __ne__ = _comparison(operator.ne)
    __gt__ = _comparison(operator.gt)
    __ge__ = _comparison(operator.ge)
    __lt__ = _comparison(operator.lt)
    __le__ = _comparison(operator.le)

    def _compare(self, operation: Callable[[Any, Any], Any], other: Any) -> Any:
        if not isinstance(other, int | float | np.number):
            return NotImplemented
        if self._reader.is_deciding or not tf.executing_eagerly():
            return self._decide(operation, other)
        return bool(operation(float(self._exact()), float(other)))

    def _decide(self, operation: Callable[[Any, Any], Any], other: Any) -> bool:
        raise self._unknown("a comparison")

    def _known(self, where: str) -> float:
        if not tf.executing_eagerly():
            raise self._unknown(where)
        return float(self._exact())

    def _unknown(self, where: str) -> TypeError:
        return TypeError(
            f"A scheduled `{self._name}` has no one value in a step that is traced, as it changes "
            f"from call to call. Received: {self!r} in {where}. Use it as a tensor, "
            f"`tf.convert_to_tensor(optimizer.{self._name})`, or read it outside of the step."
        )


class DrivenNumber(_Weak):
    """Stands in the place of a number that is driven."""

    def _exact(self) -> Any:
        self._reader.note(self._name)
        return self._reader.exact(self._name)

    def _tensor(self) -> Any:
        self._reader.note(self._name)
        return self._reader.value(self._name)

    def _decide(self, operation: Callable[[Any, Any], Any], other: Any) -> bool:
        # Keras asks `momentum != 0` and `clipnorm > 0` to decide what to build and what to trace:
        # whatever the value is now, it is to be ready for one above 0.
        if not isinstance(other, _Weak) and other <= 0:
            return bool(operation(np.inf, other))
        return super()._decide(operation, other)


class _Derived(_Weak):
    """What arithmetic of a driven number with other numbers gives, as `1 - beta`."""

    def __init__(
        self,
        reader: Reader,
        name: str,
        operation: Callable[[Any, Any], Any],
        one: _Weak,
        other: Any,
    ) -> None:
        super().__init__(reader, name)
        self._operation, self._operands = operation, (one, other)

    def _exact(self) -> Any:
        one, other = (
            each._exact() if isinstance(each, _Weak) else float(each) for each in self._operands
        )
        return self._operation(one, other)
