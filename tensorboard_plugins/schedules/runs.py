"""One run, or the plan of one sweep, from its tensors in a log: anything may be there."""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tensorboard_plugins.schedules import layout
from tensorboard_plugins.schedules.summary import STATISTICS, Summary

__all__ = ["Found", "Run", "Warned", "is_number", "read"]

# What is said of a run that has not logged for so many seconds, and says that it is running.
_QUIET = 600.0
_RUNNING = "running"
_LARGE = 2.0**63
_RATE = "learning_rate"
# Points of the small picture of a schedule.
_GLYPH = 32
# What the parts of a description are.
_KINDS: dict[str, type] = {
    **dict.fromkeys(("budget", "full_epochs", "epochs", "steps", "seed", "learning_rate"), float),
    **dict.fromkeys(("config", "metrics"), dict),
    **dict.fromkeys(("id", "name", "label", "sweep", "phase", "cell", "setting", "method"), str),
    **dict.fromkeys(("schedule", "momentum", "precision", "goal", "mode", "same_as"), str),
}
_logger = logging.getLogger("tensorboard")


@dataclasses.dataclass(frozen=True)
class Warned:
    """What is wrong with a run.

    Attributes:
        run: Its name.
        what: "trial", "state", "tables", "sweep", "twice" or "fault".
        said: For people.
    """

    run: str
    what: str
    said: str


@dataclasses.dataclass(frozen=True)
class Run:
    """A run.

    Attributes:
        name: As TensorBoard calls it: the path of its directory below that of the logs.
        trial: What it is; see `layout`.
        state: How it stands.
        steps: float64 (n, columns), what was applied and the loss.
        evaluations: float64 (n, columns), what was measured at the ends of epochs.
        planned: Points of the schedules, float64 (k, 2), by hyperparameter.
        metrics: What is kept of each metric.
        at: When it last logged, in seconds since 1970.
    """

    name: str
    trial: Mapping[str, Any]
    state: Mapping[str, Any]
    steps: np.ndarray
    evaluations: np.ndarray
    planned: Mapping[str, np.ndarray]
    metrics: Mapping[str, Summary]
    at: float

    @property
    def status(self) -> str:
        """How it stands: "running", "silent" for one that has long not logged, or its end."""
        if self.has_ended:
            return str(self.state["status"])
        return "silent" if time.time() - self.at > _QUIET else _RUNNING

    @property
    def has_ended(self) -> bool:
        """Whether it says how it ended."""
        return str(self.state.get("status", _RUNNING)) != _RUNNING

    @property
    def final(self) -> dict[str, float]:
        """The last value of each metric."""
        return {name: each.value("final", "min") for name, each in self.metrics.items()}

    def value(self, metric: str, statistic: str, mode: str) -> float:
        """Return a metric; NaN where there is none. See `Summary.value`."""
        found = self.metrics.get(metric)
        return math.nan if found is None else found.value(statistic, mode)

    def values(self, metric: str, mode: str) -> list[float]:
        """Return all statistics of a metric, in the order of `STATISTICS`."""
        return [self.value(metric, statistic, mode) for statistic in STATISTICS]

    def column(self, table: str, name: str) -> np.ndarray:
        """Return a column of "steps" or "evaluations"; NaN where it has none."""
        rows = self.steps if table == "steps" else self.evaluations
        columns = self.columns(table)
        if name not in columns:
            return np.full(len(rows), np.nan)
        return rows[:, columns.index(name)]

    def columns(self, table: str) -> list[str]:
        """Return the names of the columns of a table."""
        return self._columns[table]

    @property
    def glyph(self) -> list[float]:
        """A small picture of what is planned, the learning rate first, or else of what was applied.

        It is empty where nothing is known.
        """
        if self.planned:
            points = self.planned.get(_RATE, next(iter(self.planned.values())))
            at, values = points[:, 0], points[:, 1]
        elif _RATE in self.columns("steps") and len(self.steps):
            at, values = self.column("steps", "step"), self.column("steps", _RATE)
            at = at / max(at[-1], 1.0)
        else:
            return []
        found = np.interp(np.linspace(0.0, 1.0, _GLYPH), at, values)
        return [float(f"{value:.4g}") for value in found]

    @functools.cached_property
    def _columns(self) -> dict[str, list[str]]:
        return _columns(self.state)


@dataclasses.dataclass(frozen=True)
class Found:
    """What a directory has.

    Attributes:
        run: The run; None if it has none.
        plan: The plan of a sweep; empty if it has none.
        number: Which grid of the sweep the plan is of: a sweep may grow.
        warnings: What is wrong.
    """

    run: Run | None = None
    plan: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    number: int = 0
    warnings: tuple[Warned, ...] = ()


def read(name: str, listed: Mapping[str, Any], found: Mapping[str, Sequence[Any]]) -> Found:
    """Return what a directory has; whatever is in it, nothing is raised.

    Args:
        name: Name of the run.
        listed: What the data provider says of its series, by tag.
        found: Their data.
    """
    try:
        return _read(name, listed, found)
    except Exception as error:  # One run must not hide the others.
        _logger.exception("Schedules: %r cannot be read", name)
        return Found(warnings=(Warned(name, "fault", f"It cannot be read: {error!r}"),))


def is_number(value: Any) -> bool:
    """Return whether a part of JSON is a number that can be computed with."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGE


def _read(name: str, listed: Mapping[str, Any], found: Mapping[str, Sequence[Any]]) -> Found:
    last = {tag: data[-1] for tag, data in found.items() if data}
    warnings: list[Warned] = []

    def json_of(what: str, data: Any) -> dict[str, Any]:
        try:
            return layout.parsed(_bytes(data))
        except ValueError as error:
            warnings.append(Warned(name, what, str(error)))
            return {}

    plan: dict[str, Any] = {}
    number = 0
    if layout.SWEEP in last:
        number = last[layout.SWEEP].step
        said = json_of("sweep", last[layout.SWEEP].numpy)
        plan = _sound_plan(said) if isinstance(said.get("name"), str) else {}
        if said and not plan:
            warnings.append(Warned(name, "sweep", "The plan has no name"))
    trial = json_of("trial", last[layout.TRIAL].numpy) if layout.TRIAL in last else {}
    if not trial:
        return Found(None, plan, number, tuple(warnings))
    state = json_of("state", last[layout.STATE].numpy) if layout.STATE in last else {}
    columns = _columns(state)

    def table_of(tag: str, key: str) -> np.ndarray:
        width = len(columns[key])
        table = np.asarray(last[tag].numpy) if tag in last else np.zeros((0, width))
        if table.dtype.kind != "f" or table.ndim != 2 or table.shape[1] != width:
            warnings.append(Warned(name, "tables", f"The table {key!r} is not of its columns"))
            table = np.zeros((0, width))
        return table.astype(np.float64)

    steps = table_of(layout.STEPS, "steps")
    evaluations = table_of(layout.EVALUATIONS, "evaluations")
    planned = {
        tag.removeprefix(layout.PLANNED): points.astype(np.float64)
        for tag, datum in last.items()
        if tag.startswith(layout.PLANNED) and _are_points(points := np.asarray(datum.numpy))
    }
    if columns["steps"]:  # Those of a training before, in the same directory, are of no use.
        planned = {k: x for k, x in planned.items() if f"planned {k}" in columns["steps"]}
    metrics = {}
    kept = state.get("metrics")
    for key, each in kept.items() if isinstance(kept, dict) else ():
        try:
            metrics[key] = Summary.from_json(each)
        except (AttributeError, ValueError):
            warnings.append(Warned(name, "state", f"The metric {key!r:.50} has no numbers"))
    at = max(series.max_wall_time for series in listed.values())
    trial = _sound({"id": name, "sweep": "", "phase": ""}, trial)
    run = Run(name, trial, state, steps, evaluations, planned, metrics, at)
    return Found(run, plan, number, tuple(warnings))


def _bytes(found: Any) -> bytes:
    """Return the text of a tensor that has one.

    Raises:
        ValueError: If it has none, or more than one.
    """
    array = np.asarray(found)
    value = array.item() if array.size == 1 else None
    if not isinstance(value, bytes):
        raise ValueError(f"It is no text but {array.dtype} of shape {array.shape}")
    return value


def _are_points(found: np.ndarray) -> bool:
    return found.dtype.kind == "f" and found.ndim == 2 and found.shape[1] == 2 and len(found) > 0


def _columns(state: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the names of the columns of each table."""
    said = state.get("columns")
    found = said if isinstance(said, dict) else {}
    return {
        table: [str(each) for each in names] if isinstance(names := found.get(table), list) else []
        for table in ("steps", "evaluations")
    }


def _sound(defaults: Mapping[str, str], trial: Mapping[str, Any]) -> dict[str, Any]:
    """Return a description whose parts are what they should be: what is not is left out."""
    found = {name: value for name, value in trial.items() if name not in _KINDS}
    for name, kind in _KINDS.items():
        value = trial.get(name)
        if kind is float:
            found[name] = value if is_number(value) else None
        elif kind is dict:
            found[name] = value if isinstance(value, dict) else {}
        else:
            found[name] = defaults.get(name) if value is None else str(value)
    found["metrics"] = {k: v for k, v in found["metrics"].items() if isinstance(v, dict)}
    return found


def _sound_plan(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plan whose parts are what they should be: cells that are not are left out."""
    said = plan.get("cells")
    cells = [
        {
            "cell": str(each.get("cell")),
            "setting": str(each.get("setting", "")),
            "method": str(each.get("method", "")),
            "budget": each["budget"] if is_number(each.get("budget")) else None,
            "trials": [str(trial) for trial in each["trials"]],
        }
        for each in (said if isinstance(said, list) else ())
        if isinstance(each, dict) and isinstance(each.get("trials"), list)
    ]
    judged = plan.get("judged")
    return {
        "name": str(plan["name"]),
        "goal": str(plan.get("goal", "")),
        "mode": "max" if plan.get("mode") == "max" else "min",
        "judged": judged if judged in STATISTICS else STATISTICS[0],
        "source": str(plan.get("source", "")),
        "cells": cells,
    }
