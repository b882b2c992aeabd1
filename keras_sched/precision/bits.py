"""How many bits: a number that can be set at any time, or a schedule read inside the compiled step.

Either way the width is a value of the graph, so changing it traces nothing anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_sched import _validate
from keras_sched._driver import Source, driver_of
from keras_sched.hyperparameters import groups
from keras_sched.schedules import Schedule

__all__ = [
    "HIGHEST",
    "LOWEST",
    "MOST_BITS",
    "BitWidth",
    "count_of",
    "highest_of",
    "verify_schedule",
    "whole_bits",
]

LOWEST, HIGHEST = 2, 16
# More bits than the significand of a dtype can tell apart: levels would coincide.
MOST_BITS = {"bfloat16": 8, "float16": 10}
# A schedule is read at every step to verify its range; a longer one, at this many.
_MOST_READINGS = 1_000_000


def whole_bits(name: str, value: Any) -> int:
    """Return `value` as an int in [2, 16].

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is not whole or out of range.
    """
    number = _validate.real(name, value)
    if number != int(number) or not LOWEST <= number <= HIGHEST:
        raise ValueError(
            f"`{name}` must be a whole number of bits in [{LOWEST}, {HIGHEST}]. "
            f"Received: {name}={value!r}"
        )
    return int(number)


class BitWidth:
    """The number of bits of the weights, the activations or the gradients of a quantized model.

    Args:
        name: "weight_bits", "activation_bits" or "gradient_bits".
        bits: The number to begin with.
    """

    def __init__(self, name: str, bits: int) -> None:
        self.name = name
        self.source: Source | None = None
        self._clock: Callable[[], Any] = lambda: None
        self._most: int | None = None
        self.variable = keras.Variable(
            float(bits),
            dtype="float32",
            trainable=False,
            name=name,
            aggregation="only_first_replica",
            autocast=False,  # a layer that computes in 16 bits reads the number as it is
        )

    def assign(self, bits: int) -> None:
        """Set the number of bits; a compiled step uses it from its next call on.

        Raises:
            TypeError: If it is not a number.
            ValueError: If it is not whole or out of [2, 16], or a schedule sets it.
        """
        number = whole_bits(self.name, bits)
        if self.source is not None:
            raise ValueError(
                f"`{self.name}` follows a schedule and cannot be set. Received: {number}. "
                f"Detach the schedule first."
            )
        self.variable.assign(float(number))

    def bind(self, source: Source, clock: Callable[[], Any]) -> None:
        """Follow a schedule, by the steps of the optimizer that `clock` returns."""
        self._most = highest_of(source.schedule)
        self.source, self._clock = source, clock

    def release(self, attachment: object) -> None:
        """Stop following the schedule of `attachment`, unless another has taken its place."""
        if self.source is not None and self.source.attachment is attachment:
            self.source = self._most = None

    @property
    def most(self) -> int:
        """The highest number of bits: of the schedule, or the one that is set."""
        if self._most is not None:
            return self._most
        return int(keras.ops.convert_to_numpy(self.variable))

    def value(self) -> Any:
        """Return the number of bits at the present step, a float32 scalar tensor."""
        if self.source is None:
            return tf.convert_to_tensor(self.variable.value)
        return self.source.value(count_of(self._clock(), self.source.per))

    def highest(self) -> Any:
        """Return the highest number of bits as a float32 scalar: the one to evaluate at."""
        if self._most is not None:
            return tf.constant(float(self._most))
        return tf.convert_to_tensor(self.variable.value)


def count_of(optimizer: keras.optimizers.Optimizer, per: str) -> Any:
    """Return how many updates, or calls, an optimizer has behind it: the clock of all schedules."""
    return driver_of(next(iter(groups(optimizer).values()))).count(per)


def verify_schedule(name: str, schedule: Any) -> None:
    """Refuse what gives no whole number of bits at every step, before any work.

    Raises:
        TypeError: If it is no schedule.
        ValueError: If it has an open length, or leaves the whole numbers in [2, 16].
    """
    if not isinstance(schedule, Schedule):
        raise TypeError(f"`{name}` must be a keras_sched schedule. Received: {name}={schedule!r}")
    if not schedule.is_resolved:
        raise ValueError(
            f"The schedule of `{name}` must have its length in steps. Received: {schedule!r}. Give "
            f"one, as `steps=1000`, or use `ks.Scheduler({name}=...)`, which reads the run's from "
            f"`fit`."
        )
    values = _readings(schedule)
    wrong = (values != np.rint(values)) | (values < LOWEST) | (values > HIGHEST)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(
            f"`{name}` must be a whole number of bits in [{LOWEST}, {HIGHEST}] at every step. "
            f"Received: {name}={values[at]:g} in {schedule!r}. `.rounded()` makes a schedule whole."
        )


def highest_of(schedule: Schedule) -> int:
    """Return the most bits that a schedule asks for."""
    return int(_readings(schedule).max())


def _readings(schedule: Schedule) -> np.ndarray:
    last = schedule.span or _MOST_READINGS
    return schedule(np.unique(np.linspace(0, last, min(last + 1, _MOST_READINGS)).astype(np.int64)))
