"""All results of a sweep as one table, a row for each trial: ``results.parquet``."""

from __future__ import annotations

import functools
import pathlib
from typing import Any

from trainers.loop.files import replace
from trainers.loop.records import finite
from trainers.sweeps.grid import EVALUATIONS, Grid, best_of
from trainers.sweeps.results import Result
from trainers.sweeps.store import Store

__all__ = ["COLUMNS", "row", "write"]

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
    "evaluated_loss": "float64",
    "epochs": "int64",
    "steps": "int64",
    "parameters": "int64",
    "relative_to_fp32": "float64",
    "train_seconds": "float64",
    "evaluation_seconds": "float64",
    "restarts": "int64",
    "attempts": "int64",
}


def row(grid: Grid, result: Result) -> dict[str, Any]:
    """Return a result as a row of the table; what it does not say is None."""
    record, phase = result.record, result.trial["phase"]
    final = record.final or {}
    attempts = result.timing.get("attempts")
    return {
        "sweep": grid.name,
        **{name: result.trial[name] for name in COLUMNS if name in result.trial},
        "learning_rate": result.learning_rate,
        "status": result.status,
        "goal": grid.goal,
        "goal_mode": grid.goal_mode,
        "value": result.value,
        "best": finite(best_of(record, grid.metric(phase), grid.goal_mode)),
        "loss": final.get("loss"),
        "evaluated_loss": final.get(f"{EVALUATIONS[phase]}_loss"),
        "epochs": len(record.epochs),
        "steps": record.steps,
        "parameters": record.parameters,
        "relative_to_fp32": result.relative_cost,
        "train_seconds": record.seconds.get("train"),
        "evaluation_seconds": record.seconds.get("evaluation"),
        "restarts": record.restarts,
        "attempts": attempts if isinstance(attempts, int) else None,
    }


def write(store: Store) -> pathlib.Path:
    """Write all results as a table, in the order of the grid, and return its path.

    Of several that write at a time the last one may have read first: each writes again until
    nothing was recorded since it read.
    """
    import pyarrow
    import pyarrow.parquet

    types = {"string": pyarrow.string(), "float64": pyarrow.float64(), "int64": pyarrow.int64()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    recorded = None
    while recorded != (recorded := store.recorded()):
        found, _, _ = store.sound(store.grid.trials)
        rows = [row(store.grid, each) for each in found.values()]
        made = pyarrow.Table.from_pylist(rows, schema)
        replace(store.table, functools.partial(pyarrow.parquet.write_table, made))
    return store.table
