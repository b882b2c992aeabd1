"""How many bits: a number that can be set at any time, or a schedule read inside the compiled step.

Either way the width is a value of the graph, so changing it traces nothing anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from keras_sched._driver import Driver, Source, driver_of
from keras_sched.hyperparameters import groups
from keras_sched.precision.checks import highest_of, whole_bits
from keras_sched.schedules import Schedule

__all__ = [
    "NO_CLOCK",
    "BitWidth",
    "clock_of",
]

NO_CLOCK = (
    "Schedules of bits, and stochastic gradients, count the steps of an optimizer. Received: a "
    "model that is not compiled. Compile it, or give `quantize(..., optimizer=optimizer)`."
)


class BitWidth:
    """The number of bits of the weights, the activations or the gradients of a quantized model.

    Args:
        name: "weight_bits", "activation_bits" or "gradient_bits".
        bits: The number to begin with.
        check: Raises a ValueError if a layer cannot tell so many bits apart; takes them by name.
    """

    def __init__(self, name: str, bits: int, check: Callable[[Mapping[str, int]], None]) -> None:
        self.name = name
        self._check = check
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
        self.check(number)
        self.variable.assign(float(number))

    def check(self, bits: int) -> None:
        """Raise a ValueError if a layer cannot tell so many bits apart."""
        self._check({self.name: bits})

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
        self.check(most)
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
