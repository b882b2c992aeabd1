"""What is recorded of a trial, and the table of all of it.

A result says apart what a trial is, what came out and how it went: all that can differ between two
runs of one trial is under "timing". Without it the bytes of a result depend on neither the number
of workers nor on what was killed. Values that are not finite are null.
"""

from __future__ import annotations

import json
import math
import os
import pathlib
import socket
from collections.abc import Iterable, Mapping
from typing import Any

from trainers.sweeps.grid import Grid, Trial, value_of
from trainers.sweeps.store import Store, is_result

__all__ = ["COLUMNS", "VOLATILE", "foreign", "result", "row", "sound", "write_table"]

STATUSES = ("finished", "diverged", "stalled")
# What a program's record says of the run rather than of the trial.
VOLATILE = ("hardware", "restarts", "seconds", "versions")

COLUMNS = {
    "sweep": "string",
    "id": "string",
    "cell": "string",
    "phase": "string",
    "setting": "string",
    "schedule": "string",
    "momentum": "string",
    "precision": "string",
    "budget": "float64",
    "learning_rate": "float64",
    "seed": "int64",
    "status": "string",
    "goal": "string",
    "goal_mode": "string",
    "value": "float64",
    "best": "float64",
    "loss": "float64",
    "val_loss": "float64",
    "epochs": "int64",
    "steps": "int64",
    "parameters": "int64",
    "relative_to_fp32": "float64",
    "train_seconds": "float64",
    "evaluation_seconds": "float64",
    "restarts": "int64",
    "attempts": "int64",
}


def result(
    grid: Grid, trial: Trial, rate: float, record: Mapping[str, Any], timing: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what is recorded of a trial; one whose goal is not finite has diverged.

    Args:
        grid: The grid.
        trial: The trial.
        rate: The learning rate that it had.
        record: What the program returned.
        timing: What the worker knows of the run.

    Raises:
        ValueError: If the record has no status, or one that no trial ends with, or lacks the goal.
    """
    if record.get("status") not in STATUSES:
        raise ValueError(
            f"A record must have a status: {', '.join(STATUSES)}. "
            f"Received: status={record.get('status')!r}"
        )
    if not {"final", "best"} <= record.keys():
        raise ValueError("A record must have the metrics 'final' and 'best'.")
    if record["status"] == "finished" and grid.goal not in (record["final"] or {}):
        raise ValueError(
            f"A record must have the goal of the sweep at its end. Received: goal={grid.goal!r}, "
            f"final={record['final']}"
        )
    value = value_of(record, grid.goal)
    is_lost = record["status"] == "finished" and not math.isfinite(value)
    return {
        "trial": {**trial.coordinates, "id": trial.id, "cell": trial.cell, "phase": trial.phase},
        "learning_rate": rate,
        "status": "diverged" if is_lost else record["status"],
        "value": _finite(value),
        "record": _finite({key: record[key] for key in record if key not in VOLATILE}),
        "timing": _finite({**timing, **{key: record[key] for key in VOLATILE if key in record}}),
    }


def sound(store: Store, trials: Iterable[Trial]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the results of trials by their ids, and what is wrong with files that are none."""
    found: dict[str, dict[str, Any]] = {}
    torn: list[str] = []
    for trial in trials:
        try:
            read = store.result(trial.id)
        except (OSError, ValueError) as error:
            torn.append(str(error))
            continue
        if read is not None:
            found[trial.id] = read
    return found, torn


def foreign(store: Store) -> list[str]:
    """Say of each file in ``results/`` that belongs to no trial what it is; not of hidden ones."""
    ids = {trial.id for trial in store.grid.trials}
    said = []
    for path in sorted(store.results.glob("[!.]*")):
        if path.name.removesuffix(".json") in ids and path.name.endswith(".json"):
            continue
        name, _, number = path.name.partition(".json.torn-")
        if name in ids and number.isdecimal():
            said.append(f"{path.name} was torn and is set aside")
            continue
        try:
            read = json.loads(path.read_bytes())
            of = read["trial"]["id"] if is_result(read) else None
        except (OSError, ValueError):
            of = None
        what = f"is a copy of the result of {of}" if of in ids else "belongs to no trial"
        said.append(f"{path.name} {what}")
    return said


def row(grid: Grid, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result as a row of the table; what it does not say is None."""
    record, timing = found["record"], found["timing"]
    final = record.get("final") or {}
    cost = (record.get("cost") or {}).get("quantized_layers") or {}
    seconds = timing.get("seconds") or {}
    history = record.get("epochs")
    return {
        "sweep": grid.name,
        **found["trial"],
        "learning_rate": found["learning_rate"],
        "status": found["status"],
        "goal": grid.goal,
        "goal_mode": grid.goal_mode,
        "value": found["value"],
        "best": _best(history, grid),
        "loss": final.get("loss"),
        "val_loss": final.get("val_loss"),
        "epochs": len(history) if isinstance(history, list) else None,
        "steps": record.get("steps"),
        "parameters": record.get("parameters"),
        "relative_to_fp32": cost.get("relative_to_fp32"),
        "train_seconds": seconds.get("train"),
        "evaluation_seconds": seconds.get("evaluation"),
        "restarts": timing.get("restarts"),
        "attempts": timing.get("attempts"),
    }


def _best(history: Any, grid: Grid) -> float | None:
    """Return the best value of the goal at the end of an epoch."""
    rows = history if isinstance(history, list) else []
    values = [row[grid.goal] for row in rows if row.get(grid.goal) is not None]
    return (max if grid.goal_mode == "max" else min)(values, default=None)


def write_table(store: Store) -> pathlib.Path:
    """Write all results as ``results.parquet``, in the order of the grid, and return its path.

    Of several that write at a time the last one may have read first: each writes again until
    nothing was recorded since it read.
    """
    import pyarrow
    import pyarrow.parquet

    types = {"string": pyarrow.string(), "float64": pyarrow.float64(), "int64": pyarrow.int64()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    temporary = store.directory / f".writing_results_{socket.gethostname()}_{os.getpid()}.parquet"
    recorded = None
    while recorded != (recorded := store.recorded()):
        found, _ = sound(store, store.grid.trials)
        rows = [row(store.grid, each) for each in found.values()]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema), temporary)
        os.replace(temporary, store.table)
    return store.table


def _finite(value: Any) -> Any:
    """Return a JSON-able value with null for what is not finite: NaN is not JSON."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
