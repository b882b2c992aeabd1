"""What a directory has logged of a run, for a training that goes on in another process."""

from __future__ import annotations

import math
import os
import pathlib
from typing import Any

import numpy as np
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto import event_pb2
from tensorboard.util import tensor_util

from tensorboard_plugins.schedules import layout
from tensorboard_plugins.schedules.summary import Summary

__all__ = ["earlier"]


def earlier(directory: str | os.PathLike[str], step: int) -> dict[str, Any] | None:
    """Return the state of a `RunLog` up to a step, as its event files have it.

    Args:
        directory: The directory of the run.
        step: Number of the step at which the run goes on: what was logged after it is done again.

    Returns:
        What `RunLog` takes as its state; None if nothing that can be read was logged before.
    """
    for path in sorted(pathlib.Path(directory).glob("events.out.tfevents.*"), reverse=True):
        # Only one event of many is needed, and to read them all takes minutes.
        mark, last = layout.STATE.encode(), None
        for data in RawEventFileLoader(str(path)).Load():
            last = data if mark in data else last
        if last is not None:
            try:
                return _state(last, step)
            except (AttributeError, IndexError, KeyError, TypeError, ValueError):
                return None  # Of another version, or not of this program.
    return None


def _state(event: bytes, step: int) -> dict[str, Any] | None:
    summary = event_pb2.Event.FromString(event).summary
    found = {each.tag: tensor_util.make_ndarray(each.tensor) for each in summary.value}
    said = layout.parsed(found[layout.STATE].item())
    columns = said["columns"]
    by_step = _rows(found[layout.STEPS], columns["steps"], step - 1)
    by_epoch = _rows(found[layout.EVALUATIONS], columns["evaluations"], step)
    if not by_step["whole"]:
        return None
    metrics = {name: Summary.from_json(each) for name, each in said["metrics"].items()}
    if len(by_epoch["whole"]) < len(found[layout.EVALUATIONS]):
        rows = by_epoch["whole"]
        metrics = {
            name: Summary(x for row in rows if (x := row[place]) is not None)
            for place, name in enumerate(columns["evaluations"])
            if name in metrics
        }
    seconds = by_step["whole"][-1][columns["steps"].index("seconds")]
    return {
        "seconds": said["seconds"] if said["step"] <= step else seconds,
        "done": min(int(said["step"]), step),
        "by_step": {**by_step, "each": int(said["each"])},
        "by_epoch": by_epoch if by_epoch["whole"] else None,
        "metrics": layout.finite({name: each.to_json() for name, each in metrics.items()}),
    }


def _rows(table: np.ndarray, columns: list[str], last: int) -> dict[str, Any]:
    """Return the state of `Rows`, without those after a step."""
    steps = table[:, columns.index("step")]
    kept = table[steps <= last].astype(np.float64)
    # A row stands for the steps up to the next one.
    weights = np.diff(kept[:, columns.index("step")], append=last + 1.0)
    rows = np.column_stack([kept, np.maximum(weights, 1.0)])
    whole = [[x if math.isfinite(x) else None for x in row] for row in rows.tolist()]
    return {
        "columns": columns,
        "each": 1,
        "whole": whole,
        "open": [],
        "last": whole[-1][:-1] if whole else None,
    }
