"""Which method is ahead at which budget: the numbers of the leaderboard.

They are computed by the code of `trainers.report`: see `columns`.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tensorboard_plugins.schedules.columns import (
    LEFT_ALONE,
    Column,
    Seeds,
    average_ranks,
    is_low,
    resolution,
    top_rates,
)
from tensorboard_plugins.schedules.log_reader import Log
from tensorboard_plugins.schedules.runs import Run

__all__ = ["leaderboard", "method_of", "mode_of"]

_ENDED_BADLY = ("diverged", "stalled")
# A metric with one of these words in its name is better higher, if it has none of the others.
_HIGHER = {
    *("acc", "accuracy", "auc", "bleu", "f1", "iou", "map", "matthews", "pearson", "precision"),
    *("psnr", "r2", "recall", "score", "spearman"),
}
_LOWER = {"error", "loss", "mae", "mape", "mse", "perplexity", "rmse"}


def method_of(run: Run, log: Log) -> str:
    """Return what a run's schedules are called, as its sweep says."""
    trial = run.trial
    known = log.methods.get((trial["sweep"], str(trial["cell"])))
    if known is not None:
        return known
    if trial["method"]:
        return str(trial["method"])
    said = [trial["schedule"] or ""]
    said += [
        trial[axis]
        for axis, left_alone in LEFT_ALONE.items()
        if (trial[axis] or "").casefold() not in ("", *left_alone)
    ]
    return " + ".join(filter(None, said)) or run.name


def mode_of(metric: str, log: Log, sweep: str) -> str:
    """Return "max" where a metric is better higher, else "min"."""
    plan = log.sweeps.get(sweep)
    if plan is not None and plan["goal"] == metric:
        return str(plan["mode"])
    for run in log.runs.values():
        if metric in run.trial["metrics"]:
            return "max" if run.trial["metrics"][metric].get("mode") == "max" else "min"
    words = set(re.split(r"[^a-z0-9]+", metric.casefold()))
    return "max" if words & _HIGHER and not words & _LOWER else "min"


@dataclasses.dataclass(frozen=True)
class _Cell:
    """Runs that differ in their seeds alone."""

    setting: str
    method: str
    budget: float | None
    seeds: Seeds
    running: int
    runs: tuple[str, ...]

    @property
    def column(self) -> tuple[str, float | None]:
        return self.setting, self.budget


def leaderboard(
    log: Log, sweep: str, metric: str, statistic: str = "final", runs: Sequence[str] | None = None
) -> dict[str, Any]:
    """Return the table of a sweep, or of the runs of no sweep, for JSON.

    Args:
        log: The log.
        sweep: Name of the sweep; empty for the runs of none.
        metric: What is judged.
        statistic: One of `STATISTICS`; see `Summary.value`.
        runs: Those that count; all if None.
    """
    mode = mode_of(metric, log, sweep)
    chosen = None if runs is None else set(runs)
    cells = _made(log, sweep, metric, statistic, mode, chosen)
    methods = list(dict.fromkeys(cell.method for cell in cells))
    columns = _columns(cells, metric, mode, log)
    complete = [c for c in columns.values() if c is not None]
    full = [c for c in complete if len(c.scores) == len(methods)] or complete
    ranks = average_ranks(full)
    groups = {"all": complete}
    low = [c for c in complete if is_low(c.budget)]
    if low and len(low) < len(complete):
        groups = {"low": low, "high": [c for c in complete if not is_low(c.budget)], **groups}
    rates = {
        name: {top: top_rates(members, methods, top) for top in (1, 3)}
        for name, members in groups.items()
    }
    order = sorted(methods, key=lambda each: (ranks.get(each, math.inf), methods.index(each)))
    return {
        "sweep": sweep,
        "metric": metric,
        "mode": mode,
        "statistic": statistic,
        "columns": [
            {"setting": setting, "budget": budget, "is_complete": column is not None}
            for (setting, budget), column in columns.items()
        ],
        "groups": list(groups),
        "rows": [
            {
                "method": method,
                "rank": ranks.get(method),
                "rates": {
                    name: {
                        f"top{top}": {"times": r[method].times, "of": r[method].columns}
                        for top, r in found.items()
                    }
                    for name, found in rates.items()
                },
                "cells": [_shown(cells, method, where, columns) for where in columns],
            }
            for method in order
        ],
    }


def _made(
    log: Log, sweep: str, metric: str, statistic: str, mode: str, chosen: set[str] | None
) -> list[_Cell]:
    """Return the cells of a table, in the order of the plan and then of the runs."""
    members: dict[tuple[str, str, float | None], list[Run]] = {}
    planned: dict[tuple[str, str, float | None], Sequence[str]] = {}
    plan = log.sweeps.get(sweep, {})
    cell_of: dict[str, tuple[str, str, float | None]] = {}
    for cell in plan.get("cells", ()):
        where = (cell["setting"], cell["method"], cell["budget"])
        cell_of |= dict.fromkeys(cell["trials"], where)
        planned[where] = cell["trials"]
        members[where] = []
    for run in log.runs.values():
        trial = run.trial
        is_left_out = chosen is not None and run.name not in chosen
        if trial["sweep"] != sweep or trial["phase"] == "tuning" or is_left_out:
            continue
        if plan and trial["id"] not in cell_of:
            continue  # Of a sweep that has grown: another one took its place.
        if run.status not in _ENDED_BADLY and not _has(run, metric):
            continue
        where = cell_of.get(trial["id"]) or (
            trial["setting"] or "",
            method_of(run, log),
            trial["budget"],
        )
        members.setdefault(where, []).append(run)
    cells = []
    for (setting, method, budget), found in members.items():
        if chosen is not None and not found:
            continue  # Left out.
        values, failed, others, running = {}, {}, [], 0
        for run in found:
            key = run.trial["id"] if plan else run.name
            value = run.value(metric, statistic, mode)
            if run.status in _ENDED_BADLY:
                failed[key] = run.status
            elif run.status == "finished":
                if math.isfinite(value):
                    values[key] = value
                else:
                    failed[key] = "undefined"
            else:
                others.append(key)
                running += run.status == "running"
        ids = planned.get((setting, method, budget)) if chosen is None else None
        seeds = Seeds(tuple(ids or [*values, *failed, *others]), values, failed)
        names = tuple(run.name for run in found)
        cells.append(_Cell(setting, method, budget, seeds, running, names))
    return cells


def _has(run: Run, metric: str) -> bool:
    """Return whether a run knows a metric; one without any yet may."""
    return not run.metrics or metric in run.metrics


def _columns(
    cells: Sequence[_Cell], metric: str, mode: str, log: Log
) -> dict[tuple[str, float | None], Column | None]:
    """Return the columns by setting and budget: None for one that is not complete."""
    said = (run.trial["metrics"].get(metric, {}) for run in log.runs.values())
    is_count = any(each.get("is_count") for each in said)
    settings = list(dict.fromkeys(cell.setting for cell in cells))
    places = sorted(
        {cell.column for cell in cells},
        key=lambda each: (settings.index(each[0]), -1.0 if each[1] is None else each[1]),
    )
    found: dict[tuple[str, float | None], Column | None] = {}
    for place in places:
        mine = [cell for cell in cells if cell.column == place]
        scores = {cell.method: cell.seeds.score for cell in mine}
        known = [abs(score) for score in scores.values() if math.isfinite(score)]
        near = resolution(is_count) * max(known, default=0.0)
        is_complete = not any(cell.seeds.missing for cell in mine)
        budget = 1.0 if place[1] is None else place[1]
        found[place] = Column(place[0], budget, mode, scores, near) if is_complete else None
    return found


def _shown(
    cells: Sequence[_Cell],
    method: str,
    where: tuple[str, float | None],
    columns: Mapping[tuple[str, float | None], Column | None],
) -> dict[str, Any] | None:
    """Return a cell for JSON; None where the method was not run."""
    for cell in cells:
        if cell.method == method and cell.column == where:
            seeds, column = cell.seeds, columns[where]
            return {
                "n": seeds.n,
                "planned": len(seeds.seeds),
                "missing": seeds.missing,
                "running": cell.running,
                "failed": list(seeds.failed.values()),
                "mean": seeds.mean,
                "std": seeds.std,
                "values": list(seeds.values.values()),
                "place": None if column is None else column.places().get(method),
                "rank": None if column is None else column.ranks()[method],
                "runs": list(cell.runs),
            }
    return None
