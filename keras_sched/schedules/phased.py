"""Schedules of several phases that belong together: 1cycle, its momentum, and WSD."""

from __future__ import annotations

import functools
import itertools
from dataclasses import KW_ONLY
from typing import Any

from keras_sched import _validate
from keras_sched._arrays import between, ratio
from keras_sched.duration import Duration, Span
from keras_sched.profiles import PROFILES
from keras_sched.schedules._arguments import count
from keras_sched.schedules.base import Schedule, register_schedule
from keras_sched.schedules.combinators import Cooldown
from keras_sched.schedules.steps import Constant
from keras_sched.schedules.timed import Profiled, Timed

__all__ = ["WSD", "OneCycle", "OneCycleMomentum"]

_PROFILES = ("cosine", "linear")


class _Phases(Profiled):
    """A curve that goes from knot to knot along `profile`."""

    rise: float
    profile: str
    three_phase: bool
    last: float | None

    def _check(self) -> None:
        _validate.boolean("three_phase", self.three_phase)
        high = 0.5 if self.three_phase and self.last is None else 1.0
        self._set("rise", _validate.real("rise", self.rise, low=0.0, high=high))
        if self.last is not None:
            if not self.three_phase:
                raise ValueError(
                    f"`last` is the share of a third phase: it needs `three_phase=True`. "
                    f"Received: last={self.last!r}, three_phase={self.three_phase!r}"
                )
            self._set("last", _validate.real("last", self.last, low=0.0, high=1.0 - self.rise))
        _validate.choice("profile", self.profile, _PROFILES)

    def _knots(self) -> list[tuple[float, float]]:
        """Return pairs (progress, value); progress goes from 0 to 1."""
        raise NotImplementedError

    def _back(self) -> float:
        """Return the progress at which the second of three phases ends."""
        return 2.0 * self.rise if self.last is None else 1.0 - self.last

    def _at(self, s: Any, xp: Any) -> Any:
        knots = self._knots()
        value = 0.0 * s + knots[0][1]
        for (begin, old), (finish, new) in itertools.pairwise(knots):
            if finish > begin:
                share = xp.minimum(ratio(xp.maximum(s - begin, 0.0), finish - begin), 1.0)
                phase = between(old, new, PROFILES[self.profile](share))
            else:
                phase = 0.0 * s + new
            value = xp.where(s > begin, phase, value) if begin > 0.0 else phase
        return value


@register_schedule
class OneCycle(_Phases):
    """Climb to `peak`, then fall far below where it began: the 1cycle policy.

    With r the `rise`, in progress s: from `start` at 0 to `peak` at r, and to `end` at 1. With
    three phases: to `peak` at r, back to `start` at 2 r or 1 - `last`, then to `end` at 1.

    Args:
        peak: The highest value; at least 0.
        start: Value at step 0; peak / 25 if None.
        end: Value at the end and after; start / 10_000 if None.
        rise: Share of the length that climbs, in [0, 1]; with three phases in [0, 0.5] unless
            `last` is given.
        profile: "cosine" or "linear".
        three_phase: Whether it returns to `start` before it falls to `end`.
        last: Share of the length of the third phase, in [0, 1 - `rise`]; 1 - 2 `rise` if None.
        length: Length with its unit, or `steps=`, `epochs=`, `fraction=`, `samples=`, `seconds=`;
            without one, the run's.

    Raises:
        ValueError: If a value is negative or above `peak`, `rise` is outside its range, `profile`
            is unknown, or the length is zero.
        TypeError: If `three_phase` is no bool.

    Example:
        >>> cycle = OneCycle(1.0, steps=100)
        >>> [round(float(cycle(t)), 6) for t in (0, 15, 30, 65, 100)]
        [0.04, 0.52, 1.0, 0.500002, 4e-06]
        >>> triangle = OneCycle.triangle(1.0, steps=100)
        >>> [round(float(triangle(t)), 2) for t in (0, 25, 50, 75, 100)]
        [0.1, 0.55, 1.0, 0.55, 0.1]

    References:
        Smith, "A disciplined approach to neural network hyper-parameters" (arXiv 1803.09820). For
        PyTorch's values with `total_steps` N and `pct_start` p give ``steps=N - 1`` and
        ``rise=(p N - 1) / (N - 1)``: there the end is reached at the last step.
    """

    peak: float
    _: KW_ONLY
    start: float | None = None
    end: float | None = None
    rise: float = 0.3
    profile: str = "cosine"
    three_phase: bool = False
    last: float | None = None

    def _check(self) -> None:
        super()._check()
        self._set("peak", _validate.value("peak", self.peak))
        start = self.peak / 25.0 if self.start is None else self.start
        self._set("start", _validate.value("start", start))
        _validate.not_above("start", start, "peak", self.peak)
        end = self.start / 1e4 if self.end is None else self.end  # type: ignore[operator]
        self._set("end", _validate.value("end", end))
        _validate.not_above("end", end, "peak", self.peak)

    @classmethod
    def triangle(cls, peak: float, **length: Any) -> OneCycle:
        """Return the papers' form: a tenth of `peak`, evenly to `peak` at half time, evenly back.

        REX (arXiv 2107.04197), section 4.1, without the last annihilation of Smith.
        """
        low = 0.1 * _validate.value("peak", peak)
        return cls(peak, start=low, end=low, rise=0.5, profile="linear", **length)

    def momentum(self, start: float = 0.95, *, low: float = 0.85) -> OneCycleMomentum:
        """Return the momentum that goes with this learning rate: low where the rate is high."""
        return OneCycleMomentum(
            start,
            low=low,
            rise=self.rise,
            profile=self.profile,
            three_phase=self.three_phase,
            last=self.last,
            length=self.length,
        )

    def _knots(self) -> list[tuple[float, float]]:
        start, end = float(self.start or 0.0), float(self.end or 0.0)
        back = [(self._back(), start)] if self.three_phase else []
        return [(0.0, start), (self.rise, self.peak), *back, (1.0, end)]


@register_schedule
class OneCycleMomentum(_Phases):
    """The momentum of 1cycle: from `start` down to `low` while the learning rate climbs, and back.

    Args:
        start: Momentum at step 0 and at the end, in [0, 1).
        low: Momentum where the learning rate peaks, in [0, `start`].
        rise: Share of the length in which the learning rate climbs, in [0, 1]; with three phases in
            [0, 0.5].
        profile: "cosine" or "linear".
        three_phase: Whether it is back at `start` after 2 `rise` and stays there.
        last: Share of the length that it stays there, in [0, 1 - `rise`]; 1 - 2 `rise` if None.
        length: Length with its unit, or `steps=`, `epochs=`, `fraction=`, `samples=`, `seconds=`;
            without one, the run's.

    Raises:
        ValueError: If a momentum is outside [0, 1), `low` is above `start`, `rise` is outside its
            range, `profile` is unknown, or the length is zero.
        TypeError: If `three_phase` is no bool.

    Example:
        >>> momentum = OneCycleMomentum(rise=0.5, profile="linear", steps=100)
        >>> [round(float(momentum(t)), 3) for t in (0, 25, 50, 75, 100)]
        [0.95, 0.9, 0.85, 0.9, 0.95]

    References:
        Smith (arXiv 1803.09820); REX (arXiv 2107.04197), section 4.1, for .95, .85 and .95.
    """

    start: float = 0.95
    _: KW_ONLY
    low: float = 0.85
    rise: float = 0.3
    profile: str = "cosine"
    three_phase: bool = False
    last: float | None = None

    def _check(self) -> None:
        super()._check()
        self._set("start", _validate.momentum("start", self.start))
        self._set("low", _validate.momentum("low", self.low))
        _validate.not_above("low", self.low, "start", self.start)

    def _knots(self) -> list[tuple[float, float]]:
        back = [(self._back(), self.start)] if self.three_phase else []
        return [(0.0, self.start), (self.rise, self.low), *back, (1.0, self.start)]


@register_schedule
class WSD(Timed):
    """Warmup, stable, decay: climb to `peak`, stay, and fall to `end` over the last part.

    Args:
        peak: The value that is held; at least 0.
        warmup_length: Length of the climb; may be 0. A fraction is of this schedule.
        cooldown_length: Length of the fall; may be 0. A fraction is of this schedule.
        start: Value that the climb comes from; at least 0.
        end: Value at the end and after; at least 0.
        profile: Profile of the fall: "sqrt" (1 - sqrt(s)), "linear", "cosine" or "square".
        length: Length with its unit, or `steps=`, `epochs=`, `fraction=`, `samples=`, `seconds=`;
            without one, the run's.

    Raises:
        ValueError: If a value is negative, `profile` is unknown, or climb and fall together are
            longer than the whole.

    Example:
        >>> wsd = WSD(1.0, warmup_length=2, cooldown_length=4, profile="linear", steps=10)
        >>> [float(wsd(t)) for t in (0, 1, 5, 6, 8, 10)]
        [0.5, 1.0, 1.0, 1.0, 0.5, 0.0]

    References:
        Hu et al., "MiniCPM" (arXiv 2404.06395); Hägele et al. (arXiv 2405.18392) for 1 - sqrt and a
        cooldown of 20 %.
    """

    peak: float
    _: KW_ONLY
    warmup_length: Span = "0.01dur"
    cooldown_length: Span = "0.2dur"
    start: float = 0.0
    end: float = 0.0
    profile: str = "sqrt"

    def _check(self) -> None:
        self._set("peak", _validate.value("peak", self.peak))
        self._set("warmup_length", Duration.parse(self.warmup_length, name="warmup_length"))
        cooldown = Duration.parse(self.cooldown_length, name="cooldown_length")
        self._set("cooldown_length", cooldown)
        self._set("start", _validate.value("start", self.start))
        self._set("end", _validate.value("end", self.end))
        _validate.choice("profile", self.profile, ("cosine", "linear", "sqrt", "square"))
        if self.is_resolved:
            phases = count(self.warmup_length) + count(self.cooldown_length)
            if phases > self._n:
                raise ValueError(
                    f"`warmup_length` and `cooldown_length` must fit in the whole `length`. "
                    f"Received: warmup_length='{self.warmup_length}', "
                    f"cooldown_length='{self.cooldown_length}' of {self._n} steps"
                )

    @functools.cached_property
    def _inner(self) -> Schedule:
        warm = count(self.warmup_length)
        held = Constant(self.peak, steps=max(self._n - warm, 1))
        climbing = held.warmup(warm, start=self.start)
        return Cooldown(
            climbing,
            cooldown_length=self.cooldown_length,
            end=self.end,
            profile=self.profile,
            steps=self._n,
        )

    def _value(self, t: Any, xp: Any) -> Any:
        return self._inner._value(t, xp)
