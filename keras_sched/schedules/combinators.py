"""Schedules made of schedules: warmup, cooldown, sequence, shift and rounding.

Each part sees its own clock, which starts at 0: a part is the same schedule wherever it stands.
Steps are subtracted, divided and compared as integers, so that boundaries are exact at any length.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import abc
from dataclasses import KW_ONLY
from typing import Any, ClassVar

from keras_sched import _validate
from keras_sched._arrays import FLOAT, between, ratio
from keras_sched.duration import Duration, Run, Span
from keras_sched.profiles import PROFILES
from keras_sched.schedules._arguments import count
from keras_sched.schedules._written import call, method, operand
from keras_sched.schedules.base import Schedule, part_of, parts_of, register_schedule
from keras_sched.schedules.timed import Timed

__all__ = [
    "Cooldown",
    "Rounded",
    "Sequence",
    "Shift",
    "Warmup",
    "join",
    "warmed",
]

# A power of 2, so that multiplying and dividing by it is exact.
_FINE = 2.0**20
_RAMPS = ("cosine", "linear", "sqrt", "square")


@register_schedule
class Warmup(Schedule):
    """Climb from `start` to the schedule's first value, then follow the schedule from its start.

    At step t of a warmup of w steps: ``start + (peak - start) (1 - profile((t + 1) / w))`` where
    peak is the schedule's value at its step 0. The first update already moves (a learning rate of 0
    would waste it) and the last step of the warmup has the peak. `offset` 0 reads the ramp at
    t / w instead, as Keras, optax and Hugging Face do.

    Args:
        schedule: What follows; without a length it takes what the warmup leaves of its room.
        length: Length of the warmup; 0 leaves the schedule as it is.
        start: Value that the climb comes from; at least 0.
        profile: Profile of the climb: "linear", "cosine", "sqrt" or "square".
        offset: 1 or 0, see above.

    Raises:
        ValueError: If `start` is negative, or `profile` or `offset` is unknown.

    Example:
        >>> import keras_sched as ks
        >>> warm = ks.Linear(1.0, steps=4).warmup(2)
        >>> [float(warm(t)) for t in (0, 1, 2, 3, 6)]
        [0.5, 1.0, 1.0, 0.75, 0.0]
    """

    schedule: Schedule
    _: KW_ONLY
    length: Span
    start: float = 0.0
    profile: str = "linear"
    offset: int = 1

    def __post_init__(self) -> None:
        part_of("schedule", self.schedule)
        self._set("length", Duration.parse(self.length, name="length"))
        self._set("start", _validate.value("start", self.start))
        _validate.choice("profile", self.profile, _RAMPS)
        self._set("offset", _validate.integer("offset", self.offset, high=1))

    def __repr__(self) -> str:
        # The method leaves out a warmup of nothing.
        nothing = Duration.parse(self.length).value == 0
        return call(self) if nothing else method(self, "warmup", first="length")

    @property
    def continuous(self) -> bool:  # type: ignore[override]
        """As continuous as what follows: the climb lands on its first value."""
        return self.schedule.continuous

    @property
    def span(self) -> int | None:
        rest = self.schedule.span
        return None if rest is None else count(self.length) + rest

    def _resolve(self, run: Run, room: int | None) -> Schedule:
        steps = Duration.parse(self.length).steps(run)
        if room is not None and self.schedule.fills_room and steps >= room:
            raise ValueError(
                f"The warmup must leave room for the schedule. Received: length='{self.length}' "
                f"({steps} steps) of {room} steps"
            )
        return warmed(
            self.schedule.resolve(run, room=_rest(room, steps)),
            length=Duration(steps, unit="steps"),
            start=self.start,
            profile=self.profile,
            offset=self.offset,
        )

    def _value(self, t: Any, xp: Any) -> Any:
        w = count(self.length)
        rest = self.schedule._value(xp.maximum(t - w, 0), xp)
        if w == 0:
            return rest
        peak = self.schedule._value(0 * t, xp)
        s = ratio(xp.cast(xp.minimum(t + self.offset, w), FLOAT), float(w))
        climb = between(self.start, peak, PROFILES[self.profile](s))
        return xp.where(t < w, climb, rest)


def warmed(schedule: Schedule, *, length: Span, **options: Any) -> Schedule:
    """Return the schedule after a warmup, or itself if the length of that is 0."""
    warm = Warmup(schedule, length=length, **options)
    return schedule if Duration.parse(length).value == 0 else warm


@register_schedule
class Cooldown(Timed):
    """Follow a schedule, then fall from where it stands to `end` over the last `cooldown_length`.

    For a whole of T steps and a cooldown of c: the schedule until T - c, then
    ``end + (v - end) profile((t - (T - c)) / c)`` where v is the schedule's value at T - c.

    Args:
        schedule: What is followed; without a length it takes the whole, of which the end is cut.
        cooldown_length: Length of the cooldown; a fraction is of the whole.
        end: Value at the end and after; at least 0.
        profile: Profile of the fall: "linear", "cosine", "sqrt" (1 - sqrt(s)) or "square"
            (1 - s**2).
        length: Length of the whole with its unit, or `steps=` and so on; by default the schedule's
            own, or the run's.

    Raises:
        ValueError: If `end` is negative, `profile` is unknown, or the cooldown is not shorter than
            the whole.

    Example:
        >>> import keras_sched as ks
        >>> cool = ks.Constant(1.0).cooldown(2).resolve(6)
        >>> [float(cool(t)) for t in (0, 3, 4, 5, 6)]
        [1.0, 1.0, 1.0, 0.5, 0.0]

    References:
        Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations"
        (arXiv 2405.18392), for the 1 - sqrt cooldown.
    """

    schedule: Schedule
    _: KW_ONLY
    cooldown_length: Span
    end: float = 0.0
    profile: str = "linear"

    def _check(self) -> None:
        part_of("schedule", self.schedule)
        self._set("cooldown_length", Duration.parse(self.cooldown_length, name="cooldown_length"))
        self._set("end", _validate.value("end", self.end))
        _validate.choice("profile", self.profile, _RAMPS)
        if self.length is None and self.schedule.is_resolved and self.schedule.span is not None:
            self._set("length", Duration(self.schedule.span, unit="steps"))
            self._count_fractions(self.schedule.span)
        if self.is_resolved and count(self.cooldown_length) > self._n:
            raise ValueError(
                f"`cooldown_length` must not be longer than the whole `length`. Received: "
                f"cooldown_length='{self.cooldown_length}' of {self._n} steps"
            )

    def __repr__(self) -> str:
        if dataclasses.replace(self, length=None) != self:
            return call(self)
        return method(self, "cooldown", first="cooldown_length", without="length")

    @property
    def continuous(self) -> bool:  # type: ignore[override]
        """As continuous as what is followed, unless there is no time to fall in."""
        return self.schedule.continuous and count(self.cooldown_length) > 0

    def _value(self, t: Any, xp: Any) -> Any:
        c = count(self.cooldown_length)
        begin = self._n - c
        body = self.schedule._value(xp.minimum(t, begin), xp)
        s = ratio(xp.cast(xp.minimum(xp.maximum(t - begin, 0), c), FLOAT), float(max(c, 1)))
        fall = between(body, self.end, PROFILES[self.profile](s))
        return xp.where(t < begin, body, fall if c else 0.0 * body + self.end)


@register_schedule
class Sequence(Schedule):
    """Follow schedules one after the other, each from its own start; the last one goes on.

    Args:
        schedules: The parts in turn. Each but the last has a length of its own; the last without
            one takes what is left.

    Raises:
        TypeError: If a part is not a schedule.
        ValueError: If there is no part, or one before the last has no end.

    Example:
        >>> import keras_sched as ks
        >>> both = ks.Linear(0.0, end=1.0, steps=2).then(ks.Cosine(1.0, steps=2))
        >>> [float(both(t)) for t in (0, 1, 2, 3, 4)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """

    continuous: ClassVar[bool] = False
    schedules: abc.Sequence[Schedule]

    def __post_init__(self) -> None:
        parts = parts_of("schedules", self.schedules)
        if not parts:
            raise ValueError("`schedules` must have at least one part. Received: schedules=()")
        for part in parts[:-1]:
            if part.fills_room or (part.is_resolved and part.span is None):
                lacking = "no length" if part.fills_room else "no end, as it never settles"
                raise ValueError(
                    f"Each of `schedules` but the last must have a length of its own, as "
                    f"`length='10ep'`. Received: {part!r}, which has {lacking}."
                )
        self._set("schedules", parts)

    def __repr__(self) -> str:
        if len(self.schedules) == 1 or any(isinstance(part, Sequence) for part in self.schedules):
            return call(self)
        first, *others = self.schedules
        return f"{operand(first)}.then({', '.join(map(repr, others))})"

    @property
    def span(self) -> int | None:
        spans = [part.span for part in self.schedules]
        return None if None in spans else sum(spans)  # type: ignore[arg-type]

    def _resolve(self, run: Run, room: int | None) -> Schedule:
        resolved: list[Schedule] = []
        for part in self.schedules:
            resolved.append(part.resolve(run, room=room))
            room = _rest(room, resolved[-1].span or 0)
        return Sequence(tuple(resolved))

    def _value(self, t: Any, xp: Any) -> Any:
        starts = [0, *itertools.accumulate(part.span or 0 for part in self.schedules[:-1])]
        value = self.schedules[0]._value(t, xp)
        for start, part in zip(starts[1:], self.schedules[1:], strict=True):
            value = xp.where(t < start, value, part._value(xp.maximum(t - start, 0), xp))
        return value


def join(*schedules: Schedule) -> Schedule:
    """Return the schedules as one sequence; a sequence among them gives its parts."""
    parts = [
        part
        for item in schedules
        for part in (item.schedules if isinstance(item, Sequence) else (item,))
    ]
    return parts[0] if len(parts) == 1 else Sequence(tuple(parts))


@register_schedule
class Shift(Schedule):
    """Hold a schedule's first value for a while, then follow it.

    Args:
        schedule: What follows; without a length it takes what is left of its room.
        by: How long the first value is held.

    Example:
        >>> import keras_sched as ks
        >>> late = ks.Linear(1.0, steps=2).shift(10)
        >>> [float(late(t)) for t in (0, 10, 11, 12)]
        [1.0, 1.0, 0.5, 0.0]
    """

    schedule: Schedule
    _: KW_ONLY
    by: Span

    def __post_init__(self) -> None:
        part_of("schedule", self.schedule)
        self._set("by", Duration.parse(self.by, name="by"))

    def __repr__(self) -> str:
        return method(self, "shift", first="by")

    @property
    def continuous(self) -> bool:  # type: ignore[override]
        """As continuous as what follows."""
        return self.schedule.continuous

    @property
    def span(self) -> int | None:
        rest = self.schedule.span
        return None if rest is None else count(self.by) + rest

    def _resolve(self, run: Run, room: int | None) -> Schedule:
        steps = Duration.parse(self.by).steps(run)
        rest = self.schedule.resolve(run, room=_rest(room, steps))
        return Shift(rest, by=Duration(steps, unit="steps"))

    def _value(self, t: Any, xp: Any) -> Any:
        return self.schedule._value(xp.maximum(t - count(self.by), 0), xp)


@register_schedule
class Rounded(Schedule):
    """Round a schedule to whole numbers, halves to even: bits, for one, are whole.

    Args:
        schedule: What is rounded.

    Example:
        >>> import keras_sched as ks
        >>> stairs = ks.Linear(3.0, end=8.0, steps=10).rounded()
        >>> [int(stairs(t)) for t in range(11)]
        [3, 4, 4, 4, 5, 6, 6, 6, 7, 8, 8]
    """

    continuous: ClassVar[bool] = False
    schedule: Schedule

    def __post_init__(self) -> None:
        part_of("schedule", self.schedule)

    def __repr__(self) -> str:
        return method(self, "rounded")

    @property
    def span(self) -> int | None:
        return self.schedule.span

    def _value(self, t: Any, xp: Any) -> Any:
        # Where the curve passes through a half, arithmetics that differ in the last place would
        # round to different sides: first to the half itself, then to the whole number.
        value = xp.round(self.schedule._value(t, xp) * _FINE) / _FINE
        return xp.round(value)


def _rest(room: int | None, steps: int) -> int | None:
    """Return what is left of a room; of one that nobody knows, nobody knows."""
    return None if room is None else room - steps
