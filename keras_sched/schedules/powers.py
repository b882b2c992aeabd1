"""Schedules that fall as a power of time, without end: they fit runs of unknown length."""

from __future__ import annotations

import dataclasses
from dataclasses import KW_ONLY
from typing import Any

from keras_sched import _validate
from keras_sched._arrays import FLOAT
from keras_sched.duration import Span
from keras_sched.schedules._arguments import count, positive
from keras_sched.schedules.base import Schedule, register_schedule

__all__ = ["InversePower", "Power"]


@register_schedule
class InversePower(Schedule):
    """Fall as a power of time, without end: ``start (k / (k + t)) ** power``.

    Args:
        start: Value at step 0; at least 0.
        timescale: k, the length after which ``0.5 ** power`` is left; must be positive. With a
            warmup of the same length, ``InversePower(peak, timescale=w).warmup(w)`` is
            ``peak (w / t) ** power`` after it.
        power: Exponent; must be positive. 1/2 is `InverseSqrt`.

    Raises:
        ValueError: If `start` is negative, `timescale` is 0 or `power` is not positive.

    Example:
        >>> schedule = InversePower(1.0, timescale=100, power=1.0)
        >>> [round(float(schedule(t)), 4) for t in (0, 100, 300, 9900)]
        [1.0, 0.5, 0.25, 0.01]
    """

    start: float
    _: KW_ONLY
    timescale: Span
    power: float = 0.5

    def __post_init__(self) -> None:
        self._set("start", _validate.value("start", self.start))
        self._set("timescale", positive("timescale", self.timescale))
        self._set("power", _validate.real("power", self.power, low=0.0, open_low=True))

    def _value(self, t: Any, xp: Any) -> Any:
        k = float(count(self.timescale))
        return self.start * xp.power(k / (k + xp.cast(t, FLOAT)), self.power)


@register_schedule
class Power(Schedule):
    """The Power scheduler: ``min(peak, batch_size factor n ** exponent)`` after n tokens.

    After t steps n is t `tokens_per_step`. The same numbers fit any batch size, number of tokens
    and width of a model (with muP), says the paper, which adds a warmup and an exponential
    cooldown over the last tenth.

    Args:
        peak: The highest value; at least 0.
        batch_size: Sequences of an update; must be positive.
        tokens_per_step: Tokens of an update; must be positive.
        factor: a in the paper; must be positive.
        exponent: b in the paper; below 0.

    Raises:
        ValueError: If a number is out of its range.

    Example:
        >>> power = Power(0.02, batch_size=128, tokens_per_step=128 * 4096)
        >>> [round(float(power(t)), 6) for t in (0, 1000, 10_000, 100_000)]
        [0.02, 0.02, 0.006501, 0.002009]

    References:
        Shen et al., "Power Scheduler: A Batch Size and Token Number Agnostic Learning Rate
        Scheduler" (arXiv 2408.13359), section 3, with a = 4.6 and b = -0.51.
    """

    peak: float
    _: KW_ONLY
    batch_size: float
    tokens_per_step: float
    factor: float = 4.6
    exponent: float = -0.51

    def __post_init__(self) -> None:
        self._set("peak", _validate.value("peak", self.peak))
        for name in ("batch_size", "tokens_per_step", "factor"):
            value = _validate.real(name, getattr(self, name), low=0.0, open_low=True)
            self._set(name, value)
        exponent = _validate.real("exponent", self.exponent, high=0.0, open_high=True)
        self._set("exponent", exponent)

    def stretched(self, factor: float) -> Schedule:
        """Return the schedule for a run `factor` times as long; a step has that many fewer."""
        return dataclasses.replace(self, tokens_per_step=self.tokens_per_step / factor)

    def _value(self, t: Any, xp: Any) -> Any:
        tokens = self.tokens_per_step * xp.cast(xp.maximum(t, 1), FLOAT)
        law = self.batch_size * self.factor * xp.power(tokens, self.exponent)
        return xp.where(t > 0, xp.minimum(self.peak, law), self.peak)
