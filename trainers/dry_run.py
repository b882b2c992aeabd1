"""What `--dry_run` of a training program shows: the whole configuration, and what it will cost."""

from __future__ import annotations

import json
import resource
import sys
from typing import Any

import keras
import numpy as np
import rich.console
import rich.table

import keras_sched as ks
from trainers.loop.progress import clock, counted
from trainers.tasks.configured import ConfiguredTask
from trainers.tasks.measuring import measure

__all__ = ["show"]


def show(task: ConfiguredTask, console: rich.console.Console) -> None:
    """Write what a task is, and what it takes here; nothing is kept.

    The time and the memory are measured, with data that are made up in the shape of its own.
    """
    options = rich.table.Table(title="configuration (*: not the default)", title_justify="left")
    options.add_column("option")
    options.add_column("value")
    defaults = type(task.config).defaults()
    for name, value in task.config.flat().items():
        is_default = name in defaults and _same(value, defaults[name])
        options.add_row(name, json.dumps(value) + " *" * (not is_default))
    console.print(options)
    costs = rich.table.Table(title="what it takes here", title_justify="left", show_header=False)
    for name, value in _costs(task).items():
        costs.add_row(name, value)
    console.print(costs)
    console.print("Nothing was kept.", highlight=False)


def _costs(task: ConfiguredTask) -> dict[str, str]:
    model = task.model()
    optimizer = task.optimizer(model)
    optimizer.build(model.trainable_variables)
    trained, all_of_it = _numbers(model.trainable_variables), _numbers(model.variables)
    found = {
        "parameters": f"{trained:,} trained, {all_of_it - trained:,} others",
        "MACs of an example, forward": _macs(model),
        "steps": f"{task.run.total:,}: {counted(task.config.training.trained_epochs, 'epoch')} of "
        f"{task.steps_per_epoch:,}",
    }
    kept = _bytes(model.variables) + _bytes(optimizer.variables)
    timing, workload = measure(task), task.workload
    evaluations = "; ".join(
        f"{workload.evaluations[name]} on {name!r}, {each:.3g} s each"
        for name, each in timing.evaluations.items()
    )
    return found | {
        "tracing": f"{timing.trace:.1f} s",
        "a step": f"{1000.0 * timing.step:.1f} ms",
        "evaluations": evaluations,
        "all of it": f"{clock(timing.trace + timing.of(workload))} (without reading the data)",
        "weights and optimizer": _size(kept),
        "host memory": f"{_size(_peak())} at most, with data of this size in it",
    }


def _same(value: Any, default: Any) -> bool:
    return bool(value == (list(default) if isinstance(default, tuple) else default))


def _macs(model: keras.Model) -> str:
    try:
        return f"{sum(each.macs for each in ks.precision.macs(model)):,}"
    except ValueError as error:
        return f"not counted: {error}"


def _numbers(variables: Any) -> int:
    return sum(int(np.prod(each.shape)) for each in variables)


def _bytes(variables: Any) -> int:
    return sum(int(np.prod(v.shape)) * np.dtype(v.dtype).itemsize for v in variables)


def _size(count: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000.0
    return f"{count:.3g} GB"


def _peak() -> int:
    """Return the most memory that this process has had, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
