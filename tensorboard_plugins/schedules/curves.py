"""Curves of many runs on one axis, as bytes that a browser draws as they are."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tensorboard import errors

from tensorboard_plugins.schedules.runs import Run, is_number

__all__ = ["AXES", "curves", "packed", "values_on"]

AXES = ("share", "step", "epoch", "seconds")
_MOST = 512


def curves(runs: Sequence[Run], name: str, axis: str, points: int) -> dict[str, Any]:
    """Return one column of many runs, each at the same places of an axis.

    What is applied stays until the next value; what is measured is joined by straight lines. Where
    a run has not come, or was not measured, there is NaN.

    Args:
        runs: The runs.
        name: The column: a hyperparameter, "planned NAME", "loss", or what was measured.
        axis: "share" of the run, "step", "epoch" or "seconds".
        points: Places of the axis, 2 to `_MOST`.

    Returns:
        "x", float32 of shape `(points,)`, and "y", float32 of shape `(runs, points)`.

    Raises:
        InvalidArgumentError: If the axis is unknown or there are too few or too many points.
    """
    if axis not in AXES:
        raise errors.InvalidArgumentError(
            f"`x` must be one of {', '.join(AXES)}. Received: x={axis!r}"
        )
    if not 2 <= points <= _MOST:
        raise errors.InvalidArgumentError(f"`k` must be from 2 to {_MOST}. Received: k={points}")
    found = [_series(run, name, axis) for run in runs]
    ends = [x[-1] for x, _, _ in found if len(x)]
    # A whole run ends at 1 whether it is over or not.
    end = 1.0 if axis == "share" else float(max(ends, default=1.0)) or 1.0
    x = np.linspace(0.0, end, points)
    y = np.full((len(runs), points), np.nan, np.float32)
    for row, (at, values, is_held) in enumerate(found):
        if len(at):
            y[row] = values_on(x, at, values, is_held)
    return {"x": x.astype(np.float32), "y": y}


def values_on(x: np.ndarray, at: np.ndarray, values: np.ndarray, is_held: bool) -> np.ndarray:
    """Return values at other places: NaN outside of those that are known.

    Args:
        x: The places, rising.
        at: Where values are known, rising.
        values: These.
        is_held: Whether one stays until the next, or straight lines join them.
    """
    # Half a place early is as near as it can be drawn.
    near = 0.5 * (x[1] - x[0])
    inside = (x >= at[0] - near) & (x <= at[-1] + near)
    if is_held:
        found = values[np.clip(np.searchsorted(at, x, side="right") - 1, 0, len(at) - 1)]
    else:
        found = np.interp(x, at, values)
    return np.where(inside, found, np.nan)


def _series(run: Run, name: str, axis: str) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return places of an axis, the values there, and whether these are held."""
    is_measured = name in run.columns("evaluations") and name not in run.columns("steps")
    table = "evaluations" if is_measured else "steps"
    values = run.column(table, name)
    at = _axis(run, table, axis)
    is_held = table == "steps" and name != "loss"
    if is_held and len(values) and (done := _number(run.state.get("step"))):
        # What was applied last holds to the end of its steps.
        (end,) = _axis_of(run, np.array([done]), axis, at[-1:])
        at, values = np.append(at, end), np.append(values, values[-1])
    known = np.isfinite(values) & np.isfinite(at)
    at, values = at[known], values[known]
    # A run that began again may have gone back: what came later counts.
    order = np.argsort(at, kind="stable")
    at, values = at[order], values[order]
    last = np.append(np.diff(at) > 0, True) if len(at) else np.zeros(0, bool)
    return at[last], values[last], is_held


def _axis(run: Run, table: str, axis: str) -> np.ndarray:
    return _axis_of(run, run.column(table, "step"), axis, run.column(table, "seconds"))


def _axis_of(run: Run, steps: np.ndarray, axis: str, seconds: np.ndarray) -> np.ndarray:
    if axis == "seconds":
        return seconds
    total = _number(run.state.get("steps")) or _number(run.trial.get("steps"))
    if axis == "step":
        return steps
    if axis == "share":
        last = total or (float(np.nanmax(steps)) if len(steps) else 1.0)
        return steps / max(last, 1.0)
    epochs = _number(run.state.get("epochs")) or _number(run.trial.get("epochs"))
    return steps * (epochs / total) if epochs and total else np.full(len(steps), np.nan)


def _number(value: Any) -> float:
    return float(value) if is_number(value) and value > 0 else 0.0


def packed(head: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return JSON and arrays as bytes.

    They are the length of the JSON as uint32, the JSON, blanks up to a multiple of four bytes, and
    float32 numbers of the arrays one after another; the JSON has the "shapes" by name.
    """
    shapes = {name: list(array.shape) for name, array in arrays.items()}
    text = json.dumps({**head, "shapes": shapes}, allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    parts = [np.ascontiguousarray(array, "<f4").tobytes() for array in arrays.values()]
    return b"".join([struct.pack("<I", len(text)), text, *parts])
