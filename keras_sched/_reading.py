"""Reading a schedule over its whole length before it is used, to check what it will give."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from keras_sched.schedules import Schedule
from keras_sched.schedules.base import part_of

__all__ = ["check_length", "read"]

# A schedule is read at every step; of a longer one, at this many.
_MOST_READINGS = 1_000_000


def read(schedule: Schedule) -> tuple[np.ndarray, np.ndarray]:
    """Return steps, ascending, and the values of a resolved schedule there.

    One that never settles is read over two of its longest parts, a rise and a fall of a cycle, and
    over a million steps at least.
    """
    last = schedule.span
    if last is None:
        last = max(_MOST_READINGS, 2 * _longest(schedule))
    steps = np.linspace(0, last, min(last + 1, _MOST_READINGS)).astype(np.int64)
    steps = steps[np.diff(steps, prepend=-1) > 0]
    return steps, schedule(steps)


def _longest(schedule: Schedule) -> int:
    """Return the steps of the longest part that settles; 0 if none does."""
    parts: list[Schedule] = []
    for field in dataclasses.fields(schedule):
        value = getattr(schedule, field.name)
        parts += [
            each
            for each in (value if isinstance(value, tuple) else (value,))
            if isinstance(each, Schedule)
        ]
    return max([schedule.span or 0, *map(_longest, parts)])


def check_length(name: str, schedule: Any) -> None:
    """Raise a TypeError if it is not a schedule, or a ValueError if its length is open."""
    if not part_of(name, schedule).is_resolved:
        raise ValueError(
            f"The schedule of `{name}` must have its length in steps. Received: {schedule!r}. Give "
            f"one, as `steps=1000`, or use `ks.Scheduler({name}=...)`, which reads the run's from "
            f"`fit`."
        )
