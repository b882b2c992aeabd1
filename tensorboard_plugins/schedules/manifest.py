"""What the page is told at once: which runs and sweeps there are, and what they have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tensorboard_plugins.schedules import layout
from tensorboard_plugins.schedules.leaderboard import method_of, mode_of
from tensorboard_plugins.schedules.log_reader import Log
from tensorboard_plugins.schedules.runs import Run
from tensorboard_plugins.schedules.summary import STATISTICS

__all__ = ["about", "manifest"]

# Of a run, as it was described.
_SAID = (
    *("sweep", "phase", "setting", "budget", "full_epochs", "epochs", "steps", "seed"),
    *("learning_rate", "cell", "goal", "label", "schedule", "momentum", "precision"),
)
_NO_METRICS = {"step", "seconds", "epoch"}


def manifest(log: Log, loader: str) -> dict[str, Any]:
    """Return the manifest, for JSON.

    Args:
        log: The log.
        loader: Which data server reads it: "rust", "python" or "unknown".
    """
    differing = _differing(log.runs.values())
    sweeps = sorted({run.trial["sweep"] for run in log.runs.values()})
    metrics = {
        sweep: {name: mode_of(name, log, sweep) for name in _metrics(log, sweep)}
        for sweep in sweeps
    }
    return {
        "v": layout.VERSION,
        "revision": log.revision,
        "loader": loader,
        "sweeps": [
            {
                "name": sweep,
                "goal": _goal(log, sweep),
                "judged": log.sweeps.get(sweep, {}).get("judged", STATISTICS[0]),
                "source": log.sweeps.get(sweep, {}).get("source", ""),
                "glyphs": _glyphs(log, sweep),
                "metrics": [
                    {"name": name, "mode": mode, **_shown(log, name)}
                    for name, mode in metrics[sweep].items()
                ],
                "planned": sum(
                    len(cell["trials"]) for cell in log.sweeps.get(sweep, {}).get("cells", ())
                ),
            }
            for sweep in sweeps
        ],
        "statistics": STATISTICS,
        "runs": [
            _run(run, log, differing, metrics[run.trial["sweep"]]) for run in log.runs.values()
        ],
        "plain": [
            {"run": run, "rate": rate, "others": others}
            for run, (rate, others) in log.plain.items()
        ],
        "warnings": [
            {"run": each.run, "what": each.what, "said": each.said} for each in log.warnings
        ],
    }


def about(run: Run, log: Log) -> dict[str, Any]:
    """Return all that is known of one run, for JSON."""
    return {
        "run": run.name,
        "method": method_of(run, log),
        "trial": run.trial,
        "state": {**run.state, "status": run.status},
        "tables": {
            table: {name: run.column(table, name).tolist() for name in run.columns(table)}
            for table in ("steps", "evaluations")
        },
        "planned": {name: points.tolist() for name, points in run.planned.items()},
        "drift": {
            name: found for name in run.columns("steps") if (found := _drift(run, name)) is not None
        },
    }


def _run(run: Run, log: Log, differing: set[str], metrics: Mapping[str, str]) -> dict[str, Any]:
    trial, state = run.trial, run.state
    return {
        "run": run.name,
        **{name: trial.get(name) for name in _SAID},
        "method": method_of(run, log),
        "status": run.status,
        "reason": state.get("reason"),
        "step": state.get("step", 0),
        "seconds": state.get("seconds"),
        "cost": state.get("relative_cost"),
        "at": run.at,
        # In the order of the statistics.
        "values": {
            name: run.values(name, mode) for name, mode in metrics.items() if name in run.metrics
        },
        "columns": {table: run.columns(table) for table in ("steps", "evaluations")},
        "config": {name: value for name, value in trial["config"].items() if name in differing},
    }


def _drift(run: Run, name: str) -> dict[str, Any] | None:
    """Return how far what was applied is from what was planned; None where nothing was."""
    planned = f"planned {name}"
    if planned not in run.columns("steps"):
        return None
    own, other = run.column("steps", name), run.column("steps", planned)
    apart = np.abs(own - other)
    # Both are rounded to float32.
    steps = run.column("steps", "step")
    is_apart = apart > 1e-6 * np.maximum(np.abs(own), np.abs(other))
    differs = steps[is_apart & np.isfinite(steps)]
    return {
        "most": float(np.nanmax(apart)) if np.isfinite(apart).any() else 0.0,
        "first_step": int(differs[0]) if len(differs) else None,
    }


def _glyphs(log: Log, sweep: str) -> dict[str, list[float]]:
    """Return a small picture of the schedule of each method: of one of its runs."""
    found: dict[str, list[float]] = {}
    for run in log.runs.values():
        if run.trial["sweep"] != sweep:
            continue
        method = method_of(run, log)
        if not found.get(method):
            found[method] = run.glyph
    return found


def _differing(runs: Iterable[Run]) -> set[str]:
    """Return the names of options that are not the same in all runs."""
    seen: dict[str, str] = {}
    found = set()
    for run in runs:
        for name, value in run.trial["config"].items():
            text = repr(value)
            if seen.setdefault(name, text) != text:
                found.add(name)
    return found


def _metrics(log: Log, sweep: str) -> list[str]:
    """Return the names of what was measured, the goal first."""
    goal = _goal(log, sweep)
    names: dict[str, None] = dict.fromkeys([goal] if goal else [])
    for run in log.runs.values():
        if run.trial["sweep"] != sweep:
            continue
        applied = set(run.columns("steps")) - {"loss"}
        names |= dict.fromkeys(name for name in run.metrics if name not in applied | _NO_METRICS)
    return list(names)


def _goal(log: Log, sweep: str) -> str:
    """Return the name of the metric that a sweep, or most runs of none, are judged by."""
    if sweep in log.sweeps:
        return str(log.sweeps[sweep]["goal"])
    goals = [
        run.trial["goal"]
        for run in log.runs.values()
        if run.trial["sweep"] == sweep and run.trial["goal"]
    ]
    return max(dict.fromkeys(goals), key=goals.count, default=_held_out(log, sweep))


def _held_out(log: Log, sweep: str) -> str:
    """Return a metric of validation, better one that is better higher; empty if there is none."""
    runs = [run for run in log.runs.values() if run.trial["sweep"] == sweep]
    names = [name for run in runs for name in run.metrics if name.startswith("val_")]
    return max(names, key=lambda name: mode_of(name, log, sweep) == "max", default="")


def _shown(log: Log, metric: str) -> dict[str, Any]:
    """Return how a metric is shown."""
    for run in log.runs.values():
        if metric in run.trial["metrics"]:
            return {"is_share": bool(run.trial["metrics"][metric].get("is_share"))}
    return {"is_share": False}
