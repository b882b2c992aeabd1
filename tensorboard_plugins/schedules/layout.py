"""What is logged of a run and of a sweep, and under which names.

A run has one directory and these tags, all tensors of this plugin, which the data servers of
TensorBoard list and never thin out to nothing::

    _keras_sched_/trial          a text, JSON: see `trial`; what is trained, and by which schedules
    _keras_sched_/planned/NAME   float32 (k, 2): a share of the run, and what a schedule is there
    _keras_sched_/steps          float32 (n, columns): what was applied, and the loss, by step
    _keras_sched_/evaluations    float32 (n, columns): what was measured at the ends of epochs
    _keras_sched_/state          a text, JSON: see `state`

The last three are written again as the run goes on, each time whole, and all by a further training
in the directory: of a series the data servers
keep its last event always, and few of the others. Numbers that are not finite are null in JSON.

`trial` has the "config" of the run, and what it is compared by: "id", "sweep", "phase", "cell",
"setting", "method" (or "schedule", "momentum" and "precision"), "budget", "epochs", "full_epochs",
"steps", "seed", "learning_rate", its "goal" with the "mode" of this, and what is known of its
"metrics" by name ("mode", "is_share", "is_count"). With "same_as" it is no run, but says that the
result of a trial is that of another one.

`state` has the "status" ("running", or how it ended, with the "reason"), the "step" of so many
"steps", the "epochs" of all trainings, "seconds", the "columns" of both tables, the additions that
make a row of the first ("each"), what is kept of each of the "metrics" (see `Summary`), and the
"relative_cost".

A sweep has a directory with one tag, written again when the sweep grows, with the number of its
grid as the step::

    _keras_sched_/sweep          a text, JSON: see `sweep`

`sweep` has its "name", "goal", "mode", what is "judged" of the goal, the "source" of the protocol,
and "cells": each has its "cell", "setting", "method", "budget" and the ids of its "trials".
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = [
    "EVALUATIONS",
    "MOST_ROWS",
    "PLANNED",
    "PLUGIN",
    "STATE",
    "STEPS",
    "SWEEP",
    "TRIAL",
    "VERSION",
    "dumped",
    "finite",
    "parsed",
    "written",
]

PLUGIN = "keras_sched"
VERSION = 2
_PREFIX = "_keras_sched_/"
TRIAL, STATE, SWEEP = f"{_PREFIX}trial", f"{_PREFIX}state", f"{_PREFIX}sweep"
STEPS, EVALUATIONS = f"{_PREFIX}steps", f"{_PREFIX}evaluations"
# The name of a hyperparameter follows.
PLANNED = f"{_PREFIX}planned/"
# Of a table; more are made fewer.
MOST_ROWS = 512
# JSON that is longer was not written here.
_MOST_BYTES = 2**20
_PLAIN = {str, int, bool, type(None)}


def dumped(found: Mapping[str, Any]) -> bytes:
    """Return JSON with the version of this form, short, and with null for what is not finite."""
    text = json.dumps(
        {"v": VERSION, **finite(found)}, separators=(",", ":"), allow_nan=False, default=str
    )
    return text.encode()


def parsed(data: bytes) -> dict[str, Any]:
    """Return what `dumped` made.

    Raises:
        ValueError: If it is no such JSON, or of another version.
    """
    if len(data) > _MOST_BYTES:
        raise ValueError(f"It is {len(data):,} bytes long, more than {_MOST_BYTES:,}")
    try:
        found = json.loads(data)
    except RecursionError as error:
        raise ValueError("It is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError(f"It is no object but {found!r:.50}")
    if found.get("v") != VERSION:
        raise ValueError(f"It is of version {found.get('v')!r:.50}, not {VERSION}")
    return found


def written(found: Any, **options: Any) -> str:
    """Return JSON, with null for what is not finite."""
    try:  # Most often all is finite, and a pass less is half of the time.
        return json.dumps(found, allow_nan=False, **options)
    except (TypeError, ValueError):
        return json.dumps(finite(found), allow_nan=False, **options)


def finite(value: Any) -> Any:
    """Return a value for JSON, with None for what is not finite: JSON knows no NaN."""
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind in _PLAIN:
        return value
    if isinstance(value, np.generic | float):
        return finite(value.item() if isinstance(value, np.generic) else float(value))
    if isinstance(value, Mapping):
        return {str(key): finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return value
