"""How many bits: a number that can be set at any time, or a schedule read inside the compiled step.

Either way the width is a value of the graph, so changing it traces nothing anew.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_sched import _validate
from keras_sched._driver import Driver, Source, driver_of
from keras_sched._reading import check_length, read
from keras_sched.hyperparameters import groups
from keras_sched.schedules import Schedule

__all__ = [
    "HIGHEST",
    "LOWEST",
    "MOST_BITS",
    "NO_CLOCK",
    "BitWidth",
    "argument_of",
    "clock_of",
    "highest_of",
    "rising_bits",
    "verify_schedule",
    "whole_bits",
]

LOWEST, HIGHEST = 2, 16
# More bits than the significand of a dtype can tell apart: levels would coincide.
MOST_BITS = {"bfloat16": 8, "float16": 10}


NO_CLOCK = (
    "Schedules of bits, and stochastic gradients, count the steps of an optimizer. Received: a "
    "model that is not compiled. Compile it, or give `quantize(..., optimizer=optimizer)`."
)


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


def rising_bits(name: str, bits: Any) -> tuple[int, ...]:
    """Return the bits of rungs that are climbed.

    Raises:
        TypeError: If they are no numbers.
        ValueError: If one is not whole or out of [2, 16], or they fall.
    """
    if isinstance(bits, str | bytes) or not isinstance(bits, Sequence) or not bits:
        raise TypeError(f"`{name}` must be numbers of bits. Received: {name}={bits!r}")
    rungs = tuple(whole_bits(name, rung) for rung in bits)
    if list(rungs) != sorted(rungs):
        raise ValueError(f"`{name}` must not fall from rung to rung. Received: {name}={rungs}")
    return rungs


def argument_of(name: str) -> str:
    """Return the argument of `quantize` that sets some bits: "weights" for "weight_bits"."""
    return f"{name.removesuffix('_bits')}s"


class BitWidth:
    """The number of bits of the weights, the activations or the gradients of a quantized model.

    Args:
        name: "weight_bits", "activation_bits" or "gradient_bits".
        bits: The number to begin with.
        verify: Raises a ValueError if a layer cannot tell so many bits apart; takes them by name.
    """

    def __init__(self, name: str, bits: int, verify: Callable[[Mapping[str, int]], None]) -> None:
        self.name = name
        self._verify = verify
        self.source: Source | None = None
        self._clock: Callable[[], Any] = lambda: None
        self._most: int | None = None
        self._held_most: tf.Variable | None = None
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
            ValueError: If it is not whole or out of [2, 16], a layer computes in a dtype of fewer
                bits, or a schedule sets it.
        """
        number = whole_bits(self.name, bits)
        if self.source is not None:
            raise ValueError(
                f"`{self.name}` follows a schedule and cannot be set. Received: {number}. "
                f"Release it first: `ks.precision.find(model).detach_schedules()`."
            )
        self.verify(number)
        self.variable.assign(float(number))

    def verify(self, bits: int) -> None:
        """Raise a ValueError if a layer cannot tell so many bits apart."""
        self._verify({self.name: bits})

    def bind(self, source: Source, clock: Callable[[], Any]) -> None:
        """Follow a schedule, by the steps of the optimizer that `clock` returns, or None."""
        self._most = highest_of(source.schedule)
        self.source, self._clock = source, clock

    def release(self) -> None:
        """Stop following a schedule; the bits are those set before."""
        self.source = self._most = self._held_most = None

    def replace(self, schedule: Schedule, steps: int) -> None:
        """Follow another schedule in what is traced; see `keras_sched.hyperparameters.replace`.

        Raises:
            ValueError: If none is followed yet, or a layer computes in a dtype of fewer bits.
        """
        if self.source is None:
            raise ValueError(
                f"`{self.name}` follows no schedule that could be replaced. Received: {schedule!r}"
            )
        most = highest_of(schedule)
        self.verify(most)
        if self._held_most is None:
            with tf.init_scope():
                self._held_most = tf.Variable(float(most), trainable=False)
        else:
            self._held_most.assign(float(most))
        self._most = most
        self.source.replace(schedule, steps)

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
        optimizer = self._clock()
        if optimizer is None:
            raise ValueError(NO_CLOCK)
        return self.source.value(clock_of(optimizer).count(self.source.per))

    @property
    def has_value(self) -> bool:
        """Whether there is a present step, if it takes one to tell the bits."""
        return self.source is None or self._clock() is not None

    def highest(self) -> Any:
        """Return the highest number of bits as a float32 scalar: the one to evaluate at."""
        if self._held_most is not None:
            return tf.convert_to_tensor(self._held_most)
        if self._most is not None:
            return tf.constant(float(self._most))
        return tf.convert_to_tensor(self.variable.value)


def clock_of(optimizer: keras.optimizers.Optimizer) -> Driver:
    """Return the driver of an optimizer, whose counts are the clock of all schedules."""
    return driver_of(next(iter(groups(optimizer).values())))


def verify_schedule(name: str, schedule: Any) -> None:
    """Refuse what gives no whole number of bits at every step, before any work.

    Raises:
        TypeError: If it is no schedule.
        ValueError: If it has an open length, or leaves the whole numbers in [2, 16].
    """
    check_length(name, schedule)
    wrong, _ = _read(schedule)
    if wrong is not None:
        raise ValueError(
            f"`{name}` must be a whole number of bits in [{LOWEST}, {HIGHEST}] at every step. "
            f"Received: {name}={wrong:g} in {schedule!r}. `.rounded()` makes a schedule whole."
        )


def highest_of(schedule: Schedule) -> int:
    """Return the most bits that a schedule asks for."""
    return int(_read(schedule)[1])


@functools.lru_cache
def _read(schedule: Schedule) -> tuple[float | None, float]:
    """Return the first value that is no number of bits, or None, and the highest."""
    _, values = read(schedule)
    wrong = (values != np.rint(values)) | (values < LOWEST) | (values > HIGHEST)
    return float(values[np.argmax(wrong)]) if wrong.any() else None, float(values.max())
