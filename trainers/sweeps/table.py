"""All results of a sweep as one table, a row for each trial: ``results.parquet``.

What its columns mean says `trainers.sweeps.columns`.
"""

from __future__ import annotations

import functools
import pathlib
from typing import Any

from tensorboard_plugins.schedules.layout import finite
from trainers.loop.files import replace
from trainers.sweeps.choice import best_of
from trainers.sweeps.columns import TRIALS
from trainers.sweeps.grid import EVALUATIONS, Grid
from trainers.sweeps.results import Result
from trainers.sweeps.store import Store

__all__ = ["row", "write"]


def row(grid: Grid, result: Result) -> dict[str, Any]:
    """Return a result as a row of the table; what it does not say is None."""
    record, phase = result.record, result.trial["phase"]
    final, goal = record.final or {}, grid.metric(phase)
    count = record.counted.get(goal)
    attempts = result.timing.get("attempts")
    found = {
        "sweep": grid.name,
        **{name: result.trial[name] for name in TRIALS if name in result.trial},
        "momentum": momentum_of(result),
        "program": grid.program,
        "optimizer": record.config.get("optimizer"),
        "workload": grid.workloads.get(result.trial["setting"], result.trial["setting"]),
        "learning_rate": result.learning_rate,
        "status": result.status,
        "goal": goal,
        "goal_mode": grid.goal_mode,
        "value": result.value,
        "right": None if count is None or result.value is None else round(result.value * count),
        "count": count,
        "best": finite(best_of(record, goal, grid.goal_mode)),
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
    return {name: found[name] for name in TRIALS}


def momentum_of(result: Result) -> str:
    """Return the momentum schedule of a trial: of a row that changes it, what it changes it to."""
    name = str(result.trial["momentum"])
    own = result.record.config.get("momentum_schedule", name)
    return str(own) if name == "constant" else name


def write(store: Store) -> pathlib.Path:
    """Write all results as a table, in the order of the grid, and return its path.

    Of several that write at a time the last one may have read first: each writes again until
    nothing was recorded since it read. The grid is that of now: the sweep may have grown.
    """
    import pyarrow
    import pyarrow.parquet

    types = {"string": pyarrow.string(), "float64": pyarrow.float64(), "int64": pyarrow.int64()}
    schema = pyarrow.schema([(name, types[column.kind]) for name, column in TRIALS.items()])
    recorded = None
    while recorded != (recorded := (store := Store.open(store.directory)).recorded()):
        found, _, _ = store.sound(store.grid.trials)
        rows = [row(store.grid, each) for each in found.values()]
        made = pyarrow.Table.from_pylist(rows, schema)
        replace(store.table, functools.partial(pyarrow.parquet.write_table, made))
    return store.table
