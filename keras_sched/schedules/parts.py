"""Parts of a schedule: begun in its middle, or cut before its end."""

from __future__ import annotations

import dataclasses
from dataclasses import KW_ONLY
from typing import Any

from keras_sched.duration import Duration, Run, Span
from keras_sched.schedules._arguments import count, positive
from keras_sched.schedules._written import method
from keras_sched.schedules.base import Schedule, part_of, register_schedule

__all__ = ["Skip", "Until"]


@register_schedule
class Skip(Schedule):
    """Begin in the middle of a schedule: ``v(t + by)``.

    Args:
        schedule: What is begun late; without a length it is `by` longer than its room, so that
            what is left of it fills the room.
        by: How much is left out; it may be 0.

    Raises:
        ValueError: If nothing of the schedule would be left.

    Example:
        >>> import keras_sched as ks
        >>> rest = ks.Linear(1.0, steps=4).skip(1)
        >>> [float(rest(t)) for t in range(5)]
        [0.75, 0.5, 0.25, 0.0, 0.0]
        >>> ks.Linear(1.0).skip("2ep").resolve(ks.Run(steps=80, steps_per_epoch=10)).span
        80
    """

    schedule: Schedule
    _: KW_ONLY
    by: Span

    def __post_init__(self) -> None:
        part_of("schedule", self.schedule)
        self._set("by", Duration.parse(self.by, name="by"))
        span = self.schedule.span if self.is_resolved else None
        if span is not None and count(self.by) >= span:
            raise ValueError(
                f"`by` must leave a part of the schedule. Received: by='{self.by}' of {span} steps "
                f"of {self.schedule!r}"
            )

    def __repr__(self) -> str:
        return method(self, "skip", first="by")

    @property
    def continuous(self) -> bool:  # type: ignore[override]
        """As continuous as the whole."""
        return self.schedule.continuous

    @property
    def span(self) -> int | None:
        whole = self.schedule.span
        return None if whole is None else whole - count(self.by)

    def _resolve(self, run: Run, room: int | None) -> Schedule:
        steps = Duration.parse(self.by).steps(run)
        whole = self.schedule.resolve(run, room=None if room is None else room + steps)
        return Skip(whole, by=Duration(steps, unit="steps"))

    def _value(self, t: Any, xp: Any) -> Any:
        return self.schedule._value(t + count(self.by), xp)


@register_schedule
class Until(Schedule):
    """Cut a schedule after `length`: ``v(min(t, length))``.

    From then on it holds the value that it has reached, or is followed by another: see
    `Schedule.then`. A schedule that never settles, as cycles, gets an end by it.

    Args:
        schedule: What is cut; without a length it takes the room, of which only the first `length`
            is followed.
        length: How long it is followed; must be positive. A fraction is of the run.

    Raises:
        ValueError: If the length is 0.

    Example:
        >>> import keras_sched as ks
        >>> cut = ks.Linear(1.0, steps=4).until(2)
        >>> [float(cut(t)) for t in range(5)]
        [1.0, 0.75, 0.5, 0.5, 0.5]
        >>> saw = ks.Linear(1.0, steps=2).repeat().until(4).then(ks.Constant(0.0))
        >>> [float(saw(t)) for t in range(6)]
        [1.0, 0.5, 1.0, 0.5, 0.0, 0.0]
    """

    schedule: Schedule
    _: KW_ONLY
    length: Span

    def __post_init__(self) -> None:
        part_of("schedule", self.schedule)
        self._set("length", positive("length", self.length))

    def __repr__(self) -> str:
        return method(self, "until", first="length")

    @property
    def continuous(self) -> bool:  # type: ignore[override]
        """As continuous as the whole."""
        return self.schedule.continuous

    @property
    def fills_room(self) -> bool:
        return False

    @property
    def span(self) -> int | None:
        return count(self.length)

    def _resolve(self, run: Run, room: int | None) -> Schedule:
        steps = Duration(Duration.parse(self.length).steps(run), unit="steps")
        return dataclasses.replace(
            self, schedule=self.schedule.resolve(run, room=room), length=steps
        )

    def _value(self, t: Any, xp: Any) -> Any:
        return self.schedule._value(xp.minimum(t, count(self.length)), xp)
