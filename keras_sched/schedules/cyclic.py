"""Schedules that come back: cosine with warm restarts, and the cyclical learning rates of Smith.

All are a profile and `Repeat`: the first step of every cycle comes from an exact table of integers,
where logarithms of the step (Keras, timm and PyTorch use them) put restarts into the wrong cycle.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import KW_ONLY
from typing import Any, ClassVar

from keras_sched import _validate
from keras_sched._arrays import FLOAT
from keras_sched.duration import Duration, Span
from keras_sched.schedules._arguments import positive
from keras_sched.schedules.base import Schedule, register_schedule
from keras_sched.schedules.decay import Cosine, Linear

__all__ = ["CosineRestarts", "ExpRange", "Triangular", "Triangular2"]


@register_schedule
class CosineRestarts(Schedule):
    """Fall as half a cosine wave, jump back up, and again: SGDR.

    In cycle i, of ``P_i = round(P stretch ** i)`` steps, at its step u:
    ``end + scale ** i (start - end) (1 + cos(pi u / P_i)) / 2``.

    Args:
        start: Value at the beginning of the first cycle; at least 0.
        period: P, the length of the first cycle; more than nothing.
        stretch: Length of a cycle over that of the one before (`t_mul`); at least 1.
        scale: Height of a cycle over that of the one before (`m_mul`); above 0.
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
        self._set("start", _validate.real("start", self.start, low=0.0))
        self._set("period", positive("period", self.period))
        self._set("stretch", _validate.real("stretch", self.stretch, low=1.0))
        self._set("scale", _validate.real("scale", self.scale, low=0.0, open_low=True))
        self._set("end", _validate.real("end", self.end, low=0.0))

    @functools.cached_property
    def _cycles(self) -> Schedule:
        wave = Cosine(self.start, end=self.end, length=self.period)
        return wave.repeat(stretch=self.stretch, scale=self.scale)

    def _value(self, t: Any, xp: Any) -> Any:
        return self._cycles._value(t, xp)


@register_schedule
class Triangular(Schedule):
    """Climb evenly from `start` to `peak` and fall evenly back, for ever.

    Args:
        start: The lower value, at step 0; at least 0.
        peak: The upper value; at least `start`.
        half_period: Length of a climb (Smith's step size); more than nothing.

    Raises:
        ValueError: If a value is negative, `peak` is below `start`, or the length is zero.

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
        self._set("start", _validate.real("start", self.start, low=0.0))
        self._set("peak", _validate.real("peak", self.peak, low=self.start))
        self._set("half_period", positive("half_period", self.half_period))

    @functools.cached_property
    def _cycles(self) -> Schedule:
        climb = Linear(self.start, end=self.peak, length=self.half_period)
        return climb.repeat(triangular=True, scale=self._scale)

    def _value(self, t: Any, xp: Any) -> Any:
        return self._cycles._value(t, xp)


@register_schedule
class Triangular2(Triangular):
    """`Triangular` whose height is halved after every full triangle.

    Args:
        start: The lower value, at step 0; at least 0.
        peak: The upper value of the first triangle; at least `start`.
        half_period: Length of a climb; more than nothing.

    Raises:
        ValueError: If a value is negative, `peak` is below `start`, or the length is zero.

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
        start: The lower value, at step 0; at least 0.
        peak: The upper value if nothing shrank; at least `start`.
        half_period: Length of a climb; more than nothing.
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
        height = super()._value(t, xp) - self.start
        return self.start + height * xp.power(self.gamma, xp.cast(t, FLOAT))
