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
import tensorflow as tf

import keras_sched as ks
from trainers.loop.progress import clock, counted
from trainers.tasks.configured import ConfiguredTask
from trainers.tasks.measuring import measure

__all__ = ["show"]


def show(task: ConfiguredTask, console: rich.console.Console, missing: str = "") -> None:
    """Write what a task is, and what it takes here; nothing is kept.

    The time and the memory are measured, with data that are made up in the shape of its own, unless
    a step would take more memory than there is.

    Args:
        task: The task.
        console: Where to.
        missing: That its data are not there, and what to do; empty if they are.
    """
    options = rich.table.Table(title="configuration (*: not the default)", title_justify="left")
    options.add_column("option")
    options.add_column("value")
    defaults = type(task.config).defaults()
    for name, value in task.config.flat().items():
        is_default = name in defaults and _same(value, defaults[name])
        options.add_row(name, json.dumps(value) + " *" * (not is_default))
    console.print(options)
    model = task.model()
    _print(console, "what it is", _facts(task, model))
    if missing:
        console.print(missing, highlight=False, soft_wrap=True)
    needed, free = _activations(task, model) + task.host_bytes(), _free()
    if needed > free:
        batch = int(0.5 * task.config.training.batch_size * free / needed)
        smaller = f" Smaller batches take less, as --batch_size={batch}" if batch >= 1 else ""
        if task.host_bytes() > free:
            smaller = ""
        console.print(
            f"No step was measured: its data and activations alone take about {_size(needed)}, and "
            f"there is {_size(free)} here.{smaller}",
            highlight=False,
            soft_wrap=True,
        )
        return
    console.print("Some steps and evaluations are measured ...", highlight=False)
    _print(console, "what it takes here", _costs(task))
    console.print("Nothing was kept.", highlight=False)


def _print(console: rich.console.Console, title: str, rows: dict[str, str]) -> None:
    table = rich.table.Table(title=title, title_justify="left", show_header=False)
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)


def _facts(task: ConfiguredTask, model: keras.Model) -> dict[str, str]:
    """Return what is known without a step."""
    optimizer = task.optimizer(model)
    optimizer.build(model.trainable_variables)
    trained, all_of_it = _numbers(model.trainable_variables), _numbers(model.variables)
    kept = _bytes(model.variables) + _bytes(optimizer.variables)
    return {
        "parameters": f"{trained:,} trained, {all_of_it - trained:,} others",
        "MACs of an example, forward": _macs(task, model),
        "steps": f"{task.run.total:,}: {counted(task.config.training.trained_epochs, 'epoch')} of "
        f"{task.steps_per_epoch:,}",
        "weights and optimizer": _size(kept),
    }


def _costs(task: ConfiguredTask) -> dict[str, str]:
    """Return what was measured."""
    timing, workload = measure(task), task.workload
    evaluations = "; ".join(
        f"{workload.evaluations[name]} on {name!r}, {_time(each)} each"
        for name, each in timing.evaluations.items()
    )
    return {
        "tracing": _time(timing.trace),
        "a step": _time(timing.step),
        "evaluations": evaluations,
        "all of it": f"{clock(timing.trace + timing.of(workload))} (without reading the data)",
        "host memory": f"{_size(_peak())} at most, with data of this size in it",
    }


def _activations(task: ConfiguredTask, model: keras.Model) -> int:
    """Return about how many bytes a step keeps for its backward pass: the outputs of layers."""
    each = 0
    for layer in model._flatten_layers(include_self=False):
        for node in layer._inbound_nodes if not layer._layers else []:
            for output in node.outputs:
                shape = [side or 1 for side in output.shape[1:]]
                each += int(np.prod(shape)) * np.dtype(output.dtype).itemsize
    return each * int(task.config.training.batch_size)


def _free() -> int:
    """Return the bytes of host memory that are free, or would be on demand.

    A step on an accelerator needs that one's memory, and is always tried.
    """
    if tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("TPU"):
        return sys.maxsize
    try:
        with open("/proc/meminfo") as file:
            rows = dict(line.split(":") for line in file)
        return 1024 * int(rows["MemAvailable"].split()[0])
    except (OSError, KeyError):  # Only Linux says it.
        return sys.maxsize


def _time(seconds: float) -> str:
    """Return a short length of time for people."""
    if seconds < 1.0:
        return f"{1000.0 * seconds:.1f} ms"
    return f"{seconds:.1f} s" if seconds < 100.0 else clock(seconds)


def _same(value: Any, default: Any) -> bool:
    return bool(value == (list(default) if isinstance(default, tuple) else default))


def _macs(task: ConfiguredTask, model: keras.Model) -> str:
    try:
        found = ks.precision.macs(model, *task.example_shapes())
        return f"{sum(each.macs for each in found):,}"
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
