"""Schedules made by reading another again, backwards, or rarely: cycles and sampling rates."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import KW_ONLY
from typing import Any, ClassVar

import numpy as np

from keras_sched import _validate
from keras_sched._arrays import FLOAT, INT, between, reached
from keras_sched.duration import Duration, Run, Span
from keras_sched.schedules._arguments import count, counted, points, positive
from keras_sched.schedules._written import method
from keras_sched.schedules.base import Schedule, part_of, register_schedule
from keras_sched.schedules.decay import Decay
from keras_sched.schedules.timed import Profiled

__all__ = ["Mirrored", "Repeat", "Sampled"]

# Cycles of growing length are kept in a table up to this step; no run is longer.
_HORIZON = 2**53
# Between ends that are the same, nothing is high: 0 / _TINY, where 0 / 0 is no number.
_TINY = 1e-300


@register_schedule
class Repeat(Schedule):
    """Follow a schedule again and again.

    Cycle i has the length ``P_i = round(P stretch ** i)`` and the values
    ``low + scale ** i (v - low)``, where v is the schedule's value and low the lower of its ends.
    With `triangular` every second cycle runs backwards, and a pair of cycles counts as one i for
    `scale`: mirrored in "time" it retraces the curve, ``v(P - u)``; mirrored in "value" it is
    turned upside down, ``start + end - v(u)`` with the ends it has, or heads for (`Exponential`).

    Args:
        schedule: The cycle; without a length its room is cut into `times` equal ones.
        times: Number of cycles that a room is cut into; needed only then. What is left over of the
            room begins another cycle, as in the authors' code.
        triangular: Whether every second cycle runs backwards.
        mirror: How it runs backwards: "time" or "value".
        stretch: Length of a cycle over that of the one before; at least 1.
        scale: Amplitude of a cycle over that of the one before; must be positive.
        anchor: What stays where it is while cycles shrink. "low": the lower end, see above. "high":
            the higher end, ``high + scale ** i (v - high)``, as the momentum of PyTorch's
            `CyclicLR`; `scale` is at most 1. "floor": the lower end, and the higher one is
            ``high scale ** i``, at least the lower one, as with timm's `cycle_decay`.
        rounding: Length of a cycle cut from T steps: "floor" is ``T // times``, "up" is
            ``T // times + 1`` (the two rules of the authors' code).

    Raises:
        ValueError: If a number is out of its range, the cycle has no end, or there are more cycles
            than steps.

    Example:
        >>> import keras_sched as ks
        >>> saw = ks.Linear(1.0, steps=2).repeat()
        >>> [float(saw(t)) for t in range(5)]
        [1.0, 0.5, 1.0, 0.5, 1.0]
        >>> wave = ks.Linear(1.0, steps=2).repeat(triangular=True)
        >>> [float(wave(t)) for t in range(5)]
        [1.0, 0.5, 0.0, 0.5, 1.0]
        >>> high = ks.Linear(0.75, end=0.25, steps=2).repeat(scale=0.5, anchor="high")
        >>> [float(high(t)) for t in range(5)]
        [0.75, 0.5, 0.75, 0.625, 0.75]

    References:
        Wolfe and Kyrillidis, "Better Schedules for Low Precision Training of Deep Neural Networks"
        (arXiv 2403.02243); Loshchilov and Hutter, "SGDR" (arXiv 1608.03983).
    """

    schedule: Schedule
    _: KW_ONLY
    times: int | None = None
    triangular: bool = False
    mirror: str = "time"
    stretch: float = 1.0
    scale: float = 1.0
    rounding: str = "floor"
    anchor: str = "low"

    def __post_init__(self) -> None:
        part_of("schedule", self.schedule)
        if self.times is not None:
            self._set("times", _validate.integer("times", self.times, low=1))
        _validate.boolean("triangular", self.triangular)
        _validate.choice("mirror", self.mirror, ("time", "value"))
        _validate.choice("rounding", self.rounding, ("floor", "up"))
        self._set("stretch", _validate.real("stretch", self.stretch, low=1.0))
        _validate.choice("anchor", self.anchor, ("low", "high", "floor"))
        most = 1.0 if self.anchor == "high" else math.inf
        self._set("scale", _validate.real("scale", self.scale, low=0.0, high=most, open_low=True))
        if self.schedule.fills_room and (self.times is None or self.stretch != 1.0):
            raise ValueError(
                f"A cycle without a length needs `times`, and cycles of one length. Received: "
                f"times={self.times}, stretch={self.stretch}, schedule={self.schedule!r}"
            )
        if self.schedule.is_resolved and self.schedule.span is None:
            raise ValueError(
                f"A cycle must have an end. Received: {self.schedule!r}. Give it a length."
            )

    def __repr__(self) -> str:
        return method(self, "repeat", first="times")

    @property
    def continuous(self) -> bool:  # type: ignore[override]
        """Triangular cycles of one size meet end to end when mirrored in time."""
        return (
            self.triangular
            and self.mirror == "time"
            and self.scale == 1.0
            and self.schedule.continuous
        )

    @property
    def fills_room(self) -> bool:
        return self.schedule.fills_room

    def _resolve(self, run: Run, room: int | None) -> Schedule:
        cycle = self.schedule
        if cycle.fills_room and room is not None:
            if room < (self.times or 0):
                raise ValueError(
                    f"Cycles must have at least a step each. Received: times={self.times} in "
                    f"{room} steps"
                )
            period = room // self.times + (self.rounding == "up")  # type: ignore[operator]
            cycle = cycle.resolve(run, room=period)
        else:
            cycle = cycle.resolve(run, room=room)
        return dataclasses.replace(self, schedule=cycle)

    def _starts(self) -> np.ndarray:
        """Return the first step of every cycle: an exact table, where logarithms would be late."""
        period = self.schedule.span or 1
        # JAX counts in 32 bits: what is beyond them is never reached there.
        most = int(np.iinfo(INT).max) - 1
        starts = [0]
        while starts[-1] < min(_HORIZON, most):
            length = min(period * self.stretch ** (len(starts) - 1), most)
            starts.append(min(starts[-1] + math.floor(length + 0.5), most))
            if len(starts) > 100_000:
                raise ValueError(
                    f"`stretch` must be 1, or large enough that cycles grow. "
                    f"Received: stretch={self.stretch}"
                )
        return np.array(starts, dtype=np.int64)

    def _value(self, t: Any, xp: Any) -> Any:
        period = self.schedule.span or 1
        if self.stretch == 1.0:
            cycle, u = xp.floor_divide(t, period), xp.mod(t, period)
            backwards = self.schedule._value(period - u, xp) if self._back_in_time else None
            forwards = self.schedule._value(u, xp)
        else:
            starts = self._starts()
            cycle = xp.cast(reached(starts[1:], t, xp), INT)
            u = t - xp.take(xp.cast(starts, INT), cycle)
            lengths = xp.take(xp.cast(np.diff(starts, append=starts[-1] + 1), INT), cycle)
            forwards = self._stretched_value(u, lengths, xp)
            backwards = (
                self._stretched_value(lengths - u, lengths, xp) if self._back_in_time else None
            )
        first, last = (self.schedule._value(0 * t + edge, xp) for edge in (0, period))
        if self.triangular:
            if backwards is None:
                backwards = sum(self._ends(first, last)) - forwards
            forwards = xp.where(xp.mod(cycle, 2) == 0, forwards, backwards)
        if self.scale == 1.0:
            return forwards
        turns = xp.floor_divide(cycle, 2) if self.triangular else cycle
        factor = xp.power(self.scale, xp.cast(turns, FLOAT))
        return self._scaled(forwards, factor, first, last, xp)

    def _scaled(self, value: Any, factor: Any, first: Any, last: Any, xp: Any) -> Any:
        """Return the value of a cycle whose amplitude is `factor` times that of the first."""
        if self.anchor == "low":
            low = xp.minimum(first, last)
            return low + factor * (value - low)
        if self.anchor == "high":
            return between(value, xp.maximum(first, last), factor)
        first, last = (end + 0.0 * value for end in self._ends(first, last))
        low, high = xp.minimum(first, last), xp.maximum(first, last)
        share = (value - low) / xp.maximum(high - low, _TINY)
        return between(xp.maximum(high * factor, low), low, share)

    def _ends(self, first: Any, last: Any) -> tuple[Any, Any]:
        """Return the ends of the formula, if it has any, which the values may only come near."""
        cycle = self.schedule
        return (cycle.start, cycle.end) if isinstance(cycle, Decay) else (first, last)

    @property
    def _back_in_time(self) -> bool:
        return self.triangular and self.mirror == "time"

    def _stretched_value(self, u: Any, length: Any, xp: Any) -> Any:
        """Return the cycle's value at step u of `length`; interpolated if it is no profile."""
        if isinstance(self.schedule, Profiled):
            return self.schedule._at(xp.cast(u, FLOAT) / xp.cast(length, FLOAT), xp)
        period = self.schedule.span or 1
        position = xp.cast(u, FLOAT) * float(period) / xp.cast(length, FLOAT)
        before = xp.minimum(xp.cast(position, INT), period - 1)
        share = position - xp.cast(before, FLOAT)
        left = self.schedule._value(before, xp)
        right = self.schedule._value(before + 1, xp)
        return between(right, left, share)


@register_schedule
class Mirrored(Schedule):
    """Read a schedule of T steps backwards in time: ``v(T - t)``, and ``v(0)`` ever after.

    Args:
        schedule: What is read; without a length it takes the room.

    Raises:
        ValueError: If it has no end to begin at.

    Example:
        >>> import keras_sched as ks
        >>> back = ks.Linear(1.0, steps=4).mirrored()
        >>> [float(back(t)) for t in range(6)]
        [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    """

    schedule: Schedule

    def __post_init__(self) -> None:
        part_of("schedule", self.schedule)
        if self.schedule.is_resolved and self.schedule.span is None:
            raise ValueError(
                f"What is read backwards must have an end. Received: {self.schedule!r}. Give it a "
                f"length."
            )

    def __repr__(self) -> str:
        return method(self, "mirrored")

    @property
    def continuous(self) -> bool:  # type: ignore[override]
        """As continuous as what is read."""
        return self.schedule.continuous

    @property
    def span(self) -> int | None:
        return self.schedule.span

    def _value(self, t: Any, xp: Any) -> Any:
        return self.schedule._value(xp.maximum((self.schedule.span or 0) - t, 0), xp)


@register_schedule
class Sampled(Schedule):
    """Read a schedule rarely and hold its value in between: its sampling rate.

    Args:
        schedule: The schedule that is read.
        every: Length between two readings, at 0, every, 2 every ...
        at: The readings after the one at step 0, increasing, as lengths of the run.

    Raises:
        ValueError: If not exactly one of `every` and `at` is given, or it is zero or unordered.

    Example:
        >>> import keras_sched as ks
        >>> rare = ks.Linear(1.0, steps=4).sampled(every=2)
        >>> [float(rare(t)) for t in range(5)]
        [1.0, 1.0, 0.5, 0.5, 0.0]

    References:
        REX (arXiv 2107.04197), section 3: profile and sampling rate; table 2 compares 50-75, 33-66,
        25-50-75, every 10 %, 5 % and 1 %, and every iteration.
    """

    continuous: ClassVar[bool] = False
    schedule: Schedule
    _: KW_ONLY
    every: Span | None = None
    at: Sequence[Span] | None = None

    def __post_init__(self) -> None:
        part_of("schedule", self.schedule)
        if (self.every is None) == (self.at is None):
            raise ValueError(
                f"Exactly one of `every` and `at` must be given. "
                f"Received: every={self.every!r}, at={self.at!r}"
            )
        if self.every is not None:
            self._set("every", positive("every", self.every))
        if self.at is not None:
            self._set("at", points("at", self.at))

    def __repr__(self) -> str:
        return method(self, "sampled")

    @property
    def span(self) -> int | None:
        rest = self.schedule.span
        if rest is None:
            return None
        if self.every is None:
            return max([rest, *(count(point) for point in self.at or ())])
        every = count(self.every)
        return -(-rest // every) * every

    def _resolve(self, run: Run, room: int | None) -> Schedule:
        own = dataclasses.replace(run, steps=room)
        return Sampled(
            self.schedule.resolve(run, room=room),
            every=None if self.every is None else _steps_of("every", self.every, own),
            at=None if self.at is None else tuple(_steps_of("at", d, own) for d in self.at),
        )

    def _value(self, t: Any, xp: Any) -> Any:
        if self.every is not None:
            k = count(self.every)
            return self.schedule._value(xp.floor_divide(t, k) * k, xp)
        boundaries = counted("at", self.at or ())
        readings = np.concatenate([[0], boundaries]).astype(np.int64)
        return self.schedule._value(xp.take(xp.cast(readings, INT), reached(boundaries, t, xp)), xp)


def _steps_of(name: str, length: Span, run: Run) -> Duration:
    return positive(name, Duration(Duration.parse(length).steps(run), unit="steps"))
