"""The inspection behind `Schedule.check`."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_sched import _validate
from keras_sched.duration import Run
from keras_sched.schedules.base import Report, Schedule

_DEFAULT_STEPS = 1000
# How much more slowly time passes where jumps are looked for.
_FINE = 16


def check(
    schedule: Schedule, run: Run | int | None, *, low: float | None, high: float | None
) -> Report:
    """Check the promises of `schedule`; see `Schedule.check`."""
    low = None if low is None else _validate.real("low", low)
    high = None if high is None else _validate.real("high", high)
    if run is None:
        own = schedule.span if schedule.is_resolved else None
        run = Run(steps=own or _DEFAULT_STEPS)
    elif not isinstance(run, Run):
        run = Run(steps=run)
    resolved = schedule.resolve(run)
    steps = np.arange((run.steps or resolved.span or _DEFAULT_STEPS) + 1)
    values = resolved(steps)
    _check_all(np.isfinite(values), values, "finite")
    if low is not None:
        _check_all(values >= np.float32(low), values, f"at least {low:g}")
    if high is not None:
        _check_all(values <= np.float32(high), values, f"at most {high:g}")
    if resolved.continuous:
        _check_continuous(resolved, values)
    _check_same_everywhere(resolved, values)
    if resolved.can_be_saved:
        _check_saved(resolved)
    return Report(steps=len(values), low=float(values.min()), high=float(values.max()))


def _check_all(holds: np.ndarray, values: np.ndarray, promise: str) -> None:
    if not holds.all():
        step = int(np.argmin(holds))
        raise ValueError(
            f"The schedule must be {promise} at every step. "
            f"Received: {values[step]!r} at step {step}"
        )


def _check_continuous(schedule: Schedule, values: np.ndarray) -> None:
    """Without jumps, time that passes 16 times as slowly changes the values more gently.

    A profile as steep as a square root at its end shrinks by 4 only; a jump does not shrink at all.
    """
    if len(values) < 3:
        return
    coarse = float(np.abs(np.diff(values)).max())
    fine = schedule.stretched(_FINE)(np.arange((len(values) - 1) * _FINE + 1))
    changes = np.abs(np.diff(fine))
    if coarse > 0.0 and float(changes.max()) > 0.6 * coarse:
        step = int(np.argmax(changes)) // _FINE
        raise ValueError(
            f"The schedule must have no jumps. "
            f"Received: a change of {changes.max():g} at step {step}"
        )


def _check_same_everywhere(schedule: Schedule, values: np.ndarray) -> None:
    """The compiled step must see the values that this report is about."""
    import tensorflow as tf

    steps = tf.range(len(values), dtype=tf.int64)
    for way, call in (
        ("in eager mode", schedule),
        ("in a graph", tf.function(schedule)),
        ("compiled by XLA", tf.function(schedule, jit_compile=True)),
    ):
        _check_equal(np.asarray(call(steps)), values, way)


def _check_equal(got: np.ndarray, expected: np.ndarray, way: str) -> None:
    if not np.array_equal(got, expected):
        step = int(np.argmax(got != expected))
        raise ValueError(
            f"The schedule must have the same values everywhere. Received: {got[step]!r} {way}, "
            f"{expected[step]!r} in NumPy, at step {step}"
        )


def _check_saved(schedule: Schedule) -> None:
    saved: Any = keras.saving.serialize_keras_object(schedule)
    again = keras.saving.deserialize_keras_object(saved)
    if again != schedule:
        raise ValueError(
            f"The schedule must come back from its saved form. Received: {again!r}, "
            f"expected {schedule!r}"
        )
