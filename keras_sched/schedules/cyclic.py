"""Schedules that come back: cosine with warm restarts, and the cyclical learning rates of Smith.

All are a profile and `Repeat`: the first step of every cycle comes from an exact table of integers,
where logarithms of the step (Keras, timm and PyTorch use them) put restarts into the wrong cycle.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import KW_ONLY
from fractions import Fraction
from typing import Any, ClassVar

from keras_sched import _validate
from keras_sched._arrays import FLOAT, between, ratio
from keras_sched.duration import Duration, Span
from keras_sched.schedules._arguments import count, positive
from keras_sched.schedules._written import method
from keras_sched.schedules.base import Schedule, part_of, register_schedule
from keras_sched.schedules.decay import Cosine, Linear
from keras_sched.schedules.timed import Profiled

__all__ = [
    "CosineRestarts",
    "Cycles",
    "ExpRange",
    "PolynomialRestarts",
    "Triangular",
    "Triangular2",
]


@register_schedule
class CosineRestarts(Schedule):
    """Fall as half a cosine wave, jump back up, and again: SGDR.

    In cycle i, of ``P_i = round(P stretch ** i)`` steps, at its step u:
    ``end + scale ** i (start - end) (1 + cos(pi u / P_i)) / 2``.

    Args:
        start: Value at the beginning of the first cycle; at least 0.
        period: P, the length of the first cycle; must be positive.
        stretch: Length of a cycle over that of the one before (`t_mul`); at least 1.
        scale: Height of a cycle over that of the one before (`m_mul`); must be positive.
        end: The floor at the end of every cycle; at least 0.

    Raises:
        ValueError: If a number is out of its range, or the period is zero.

    Example:
        >>> restarts = CosineRestarts(1.0, period=10, stretch=2.0)
        >>> [round(float(restarts(t)), 4) for t in (0, 5, 9, 10, 20, 29, 30)]
        [1.0, 0.5, 0.0245, 1.0, 0.5, 0.0062, 1.0]

    References:
        Loshchilov and Hutter, "SGDR" (arXiv 1608.03983), equation 5. Where `stretch` is not whole,
        Keras keeps fractional periods and PyTorch rounds down; here a period is rounded.
    """

    continuous: ClassVar[bool] = False
    start: float
    _: KW_ONLY
    period: Span
    stretch: float = 1.0
    scale: float = 1.0
    end: float = 0.0

    def __post_init__(self) -> None:
        self._set("start", _validate.value("start", self.start))
        self._set("period", positive("period", self.period))
        self._set("stretch", _validate.real("stretch", self.stretch, low=1.0))
        self._set("scale", _validate.real("scale", self.scale, low=0.0, open_low=True))
        self._set("end", _validate.value("end", self.end))

    @functools.cached_property
    def _cycles(self) -> Schedule:
        wave = Cosine(self.start, end=self.end, length=self.period)
        return wave.repeat(stretch=self.stretch, scale=self.scale)

    def _value(self, t: Any, xp: Any) -> Any:
        return self._cycles._value(t, xp)


@register_schedule
class PolynomialRestarts(Schedule):
    """Fall as a power of what is left, and again as if the length had been twice, thrice as long.

    ``end + (start - end) (1 - t / (j P)) ** power``, where j is the whole number, at least 1, with
    ``(j - 1) P < t <= j P``. It jumps after every P steps, to ever lower heights: a jth of the way
    for `power` 1.

    Args:
        start: Value at step 0; at least 0.
        period: P, the steps between two jumps; must be positive.
        power: Exponent; must be positive.
        end: The floor that is reached at every multiple of P; at least 0.

    Raises:
        ValueError: If a value is negative, `power` is not positive, or the period is 0.

    Example:
        >>> restarts = PolynomialRestarts(1.0, period=4, power=1.0)
        >>> [float(restarts(t)) for t in (0, 2, 4, 5, 8, 9)]
        [1.0, 0.5, 0.0, 0.375, 0.0, 0.25]

    References:
        ``keras.optimizers.schedules.PolynomialDecay`` with `cycle=True`.
    """

    continuous: ClassVar[bool] = False
    start: float
    _: KW_ONLY
    period: Span
    power: float = 2.0
    end: float = 0.0

    def __post_init__(self) -> None:
        self._set("start", _validate.value("start", self.start))
        self._set("period", positive("period", self.period))
        self._set("power", _validate.real("power", self.power, low=0.0, open_low=True))
        self._set("end", _validate.value("end", self.end))

    def _value(self, t: Any, xp: Any) -> Any:
        period = count(self.period)
        whole = xp.maximum(xp.floor_divide(t + (period - 1), period), 1) * period
        left = xp.cast(whole - t, FLOAT) / xp.cast(whole, FLOAT)
        return between(self.start, self.end, xp.power(left, self.power))


@register_schedule
class Cycles(Schedule):
    """Run through a schedule several times within its own length, and go on like that for ever.

    At step t of T the progress is the fraction of ``times t / T``; with `triangular` every second
    cycle runs backwards. Where `Repeat` makes the whole longer, this makes a cycle shorter:
    T / `times` steps, which need not be whole.

    Args:
        schedule: What is run through: a schedule that is a function of its progress, as `Cosine`.
        times: How many times; at least 0.001. Hugging Face's `num_cycles` counts waves of two.
        triangular: Whether every second cycle runs backwards.

    Raises:
        TypeError: If `schedule` is not a function of its progress.
        ValueError: If `times` is below 0.001.

    Example:
        >>> import keras_sched as ks
        >>> wave = ks.Linear(1.0, steps=6).cycles(1.5, triangular=True)
        >>> [float(wave(t)) for t in (0, 2, 4, 6, 8, 10)]
        [1.0, 0.5, 0.0, 0.5, 1.0, 0.5]
    """

    schedule: Profiled
    _: KW_ONLY
    times: float
    triangular: bool = False

    def __post_init__(self) -> None:
        if not isinstance(part_of("schedule", self.schedule), Profiled):
            raise TypeError(
                f"`schedule` must be a function of its progress, as `ks.Cosine`. "
                f"Received: schedule={self.schedule!r}"
            )
        self._set("times", _validate.real("times", self.times, low=0.001, high=1e6))
        _validate.boolean("triangular", self.triangular)
        whole = 2 * self._whole if self.is_resolved else 0
        if whole * self._pair.numerator >= 2**63:
            raise ValueError(
                f"`times` must have fewer decimals, or the schedule fewer steps, to be counted "
                f"exactly. Received: times={self.times!r} of {self.schedule.span} steps"
            )

    def __repr__(self) -> str:
        return method(self, "cycles", first="times")

    @property
    def continuous(self) -> bool:  # type: ignore[override]
        """Triangular cycles meet end to end."""
        return self.triangular and self.schedule.continuous

    @property
    def _pair(self) -> Fraction:
        """`times` as p / q."""
        return Fraction(self.times).limit_denominator(10_000)

    @property
    def _whole(self) -> int:
        """Steps after which p cycles are over, q T: by it all counts stay whole numbers."""
        return self._pair.denominator * count(self.schedule.length)

    def _value(self, t: Any, xp: Any) -> Any:
        whole = self._whole
        passed = xp.mod(t, 2 * whole) * self._pair.numerator
        u = xp.mod(passed, whole)
        if self.triangular:
            u = xp.where(xp.mod(xp.floor_divide(passed, whole), 2) == 0, u, whole - u)
        return self.schedule._at(ratio(xp.cast(u, FLOAT), float(whole)), xp)


@register_schedule
class Triangular(Schedule):
    """Climb evenly from `start` to `peak` and fall evenly back, for ever.

    Args:
        start: The value at step 0; at least 0.
        peak: The value after half a period; at least 0. Below `start` it is a trough: the momentum
            that goes with a cyclic learning rate.
        half_period: Length of a climb (Smith's step size); must be positive.

    Raises:
        ValueError: If a value is negative, or the length is 0.

    Example:
        >>> triangular = Triangular(0.0, peak=1.0, half_period=2)
        >>> [float(triangular(t)) for t in range(6)]
        [0.0, 0.5, 1.0, 0.5, 0.0, 0.5]

    References:
        Smith, "Cyclical Learning Rates for Training Neural Networks" (arXiv 1506.01186), section 3.
    """

    _scale: ClassVar[float] = 1.0
    start: float
    _: KW_ONLY
    peak: float
    half_period: Span

    def __post_init__(self) -> None:
        self._set("start", _validate.value("start", self.start))
        self._set("peak", _validate.value("peak", self.peak))
        self._set("half_period", positive("half_period", self.half_period))

    @functools.cached_property
    def _cycles(self) -> Schedule:
        climb = Linear(self.start, end=self.peak, length=self.half_period)
        anchor = "high" if self.peak < self.start else "low"
        return climb.repeat(triangular=True, scale=self._scale, anchor=anchor)

    def _value(self, t: Any, xp: Any) -> Any:
        return self._cycles._value(t, xp)


@register_schedule
class Triangular2(Triangular):
    """`Triangular` whose height is halved after every full triangle.

    Args:
        start: The value at step 0, which every triangle comes back to; at least 0.
        peak: The value in the middle of the first triangle; at least 0.
        half_period: Length of a climb; must be positive.

    Raises:
        ValueError: If a value is negative, or the length is 0.

    Example:
        >>> triangular = Triangular2(0.0, peak=1.0, half_period=2)
        >>> [float(triangular(t)) for t in (0, 2, 4, 6, 8, 10)]
        [0.0, 1.0, 0.0, 0.5, 0.0, 0.25]

    References:
        Smith (arXiv 1506.01186), section 3.
    """

    _scale: ClassVar[float] = 0.5


@register_schedule
class ExpRange(Triangular):
    """`Triangular` whose height shrinks with every step: ``start + (v - start) gamma ** t``.

    Args:
        start: The value at step 0, which every triangle comes back to; at least 0.
        peak: The value in the middle of a triangle if nothing shrank; at least 0.
        half_period: Length of a climb; must be positive.
        gamma: Factor per update step, in (0, 1].

    Raises:
        ValueError: If a value is out of its range, or the length is zero.

    Example:
        >>> exp_range = ExpRange(0.0, peak=1.0, half_period=2, gamma=0.5)
        >>> [float(exp_range(t)) for t in (0, 1, 2, 4, 6)]
        [0.0, 0.25, 0.25, 0.0, 0.015625]

    References:
        Smith (arXiv 1506.01186), section 3.
    """

    _: KW_ONLY
    gamma: float = 0.99994

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("gamma", _validate.real("gamma", self.gamma, low=0.0, high=1.0, open_low=True))

    def stretched(self, factor: float) -> Schedule:
        """Return the schedule for a run `factor` times as long; a step shrinks that much less."""
        half_period = Duration.parse(self.half_period).stretched(factor)
        gamma = self.gamma ** (1.0 / factor)
        return dataclasses.replace(self, half_period=half_period, gamma=gamma)

    def _value(self, t: Any, xp: Any) -> Any:
        value, factor = super()._value(t, xp), xp.power(self.gamma, xp.cast(t, FLOAT))
        if self.peak < self.start:
            return between(value, self.start, factor)
        return self.start + (value - self.start) * factor
