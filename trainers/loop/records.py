"""The result of a run, typed from the loop to the report: written once, and never overwritten."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from absl import logging

from tensorboard_plugins.schedules.layout import finite
from trainers.loop.files import digest, sync, write_once
from trainers.loop.typed import typed

__all__ = [
    "SCHEMA",
    "STATUSES",
    "Record",
    "RecordError",
    "Timing",
    "Workload",
    "environment",
    "note_start",
    "read",
    "relative_cost",
    "seconds_of",
    "write",
]

SCHEMA = 2
STATUSES = ("finished", "diverged", "stalled")
_PACKAGES = ("keras_sched", "keras", "tensorflow", "numpy")


class RecordError(ValueError):
    """A file is there in the place of a record, and is none."""


@dataclasses.dataclass(frozen=True)
class Record:
    """What came out of a run, and what made it. Numbers that are not finite are None.

    Attributes:
        name: Name of the setting.
        config: The configuration, flat.
        seed: Seed of the run.
        status: "finished", "diverged" or "stalled".
        steps: Data steps done.
        updates: Updates of the weights.
        skipped_updates: Updates that loss scaling skipped.
        epochs: What was logged at the end of each epoch, with "epoch" and "step".
        final: The last of these; None if there is none.
        best: The one with the best goal; None if there is none.
        goal: The metric that is judged, as "val_accuracy".
        metrics: How each metric in `final` is shown: see `trainers.loop.task.Metric`.
        counted: Of how many each metric of an evaluation is that is a count, as
            ``{"test_accuracy": 360}``: with 0.975 of them 351 were right.
        parameters: Numbers in the weights of the model.
        cost: Bit operations of what is quantized; see `keras_sched.precision.Cost.summary`.
        reason: Why it did not finish; None if it did.
        label: What tells the runs of a setting apart, for people.
        restarts: How often it was started again.
        seconds: "train", "evaluation" and "checkpoint".
        versions: Of Python and the packages.
        hardware: What it ran on.
        schema: Number of this form.
    """

    name: str
    config: Mapping[str, Any]
    seed: int
    status: str
    steps: int
    updates: int
    skipped_updates: int
    epochs: Sequence[Mapping[str, Any]]
    final: Mapping[str, Any] | None
    best: Mapping[str, Any] | None
    goal: str
    metrics: Mapping[str, Mapping[str, Any]]
    parameters: int
    counted: Mapping[str, int] = dataclasses.field(default_factory=dict)
    cost: Mapping[str, Any] | None = None
    reason: str | None = None
    label: str = ""
    restarts: int = 0
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    hardware: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    schema: int = SCHEMA

    def to_json(self) -> str:
        """Return it as JSON, whatever its numbers are."""
        return json.dumps(
            finite(dataclasses.asdict(self)), indent=1, sort_keys=True, allow_nan=False
        )

    @classmethod
    def of(cls, found: Any) -> Self:
        """Return the record that was read from JSON.

        Raises:
            RecordError: If it is none, or of another schema.
        """
        if isinstance(found, dict) and found.get("schema") != SCHEMA:
            raise RecordError(
                f"A record must have the schema {SCHEMA}. Received: schema={found.get('schema')!r}"
            )
        try:
            record = typed(cls, found, "A record")
        except ValueError as error:
            raise RecordError(str(error)) from error
        if record.status not in STATUSES:
            raise RecordError(
                f"A record must have a status: {', '.join(STATUSES)}. "
                f"Received: status={record.status!r}"
            )
        return record

    def value(self, metric: str, epoch: str = "final") -> float:
        """Return a metric at the end, or of the best epoch; NaN if the run did not finish."""
        row = self.final if epoch == "final" else self.best
        value = None if row is None or self.status != "finished" else row.get(metric)
        return math.nan if value is None else float(value)


@dataclasses.dataclass(frozen=True)
class Workload:
    """How much there is to do in a run.

    Attributes:
        group: A text that all runs have that share a trace.
        steps: Data steps.
        evaluations: How many evaluations there are, by their names.
        epochs: Epochs.
        runs: How many runs it is of.
    """

    group: str
    steps: int
    evaluations: Mapping[str, int]
    epochs: int = 0
    runs: int = 1


@dataclasses.dataclass(frozen=True)
class Timing:
    """What a run takes on a machine, in seconds.

    Attributes:
        trace: Until the first step and the first batch of each evaluation have run.
        step: A data step.
        evaluations: One evaluation, by its name.
        epoch: What an epoch takes besides its steps and evaluations.
        run: What a run takes besides its epochs: to begin, and to keep what came out.
    """

    trace: float
    step: float
    evaluations: Mapping[str, float]
    epoch: float = 0.0
    run: float = 0.0

    def of(self, workload: Workload) -> float:
        """Return the seconds of a workload, without tracing."""
        evaluations = sum(
            count * self.evaluations[name] for name, count in workload.evaluations.items()
        )
        rest = workload.epochs * self.epoch + workload.runs * self.run
        return workload.steps * self.step + evaluations + rest


def seconds_of(work: Callable[[], object]) -> float:
    """Return the seconds that something takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def relative_cost(cost: Mapping[str, Any] | None) -> float | None:
    """Return bit operations over those in float32, of `Record.cost`.

    Returns:
        1 if nothing is quantized, None if it could not be counted.
    """
    if cost is None:
        return 1.0
    found: Any = cost
    for key in ("quantized_layers", "relative_to_fp32"):
        found = found.get(key) if isinstance(found, Mapping) else None
    is_number = isinstance(found, int | float) and math.isfinite(found)
    return float(found) if is_number else None


def environment() -> dict[str, Any]:
    """Return the versions and the hardware that a result was made with."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = _imported_version(name)
    import tensorflow as tf

    return {
        "versions": versions,
        "hardware": {
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
            "devices": [device.device_type for device in tf.config.list_logical_devices()],
        },
    }


def _imported_version(name: str) -> str:
    """Return the version of a package that runs from its source, or is named otherwise."""
    return str(getattr(__import__(name), "__version__", "unknown"))


def read(path: pathlib.Path) -> Record | None:
    """Return the record at `path`, or None if there is none.

    Raises:
        RecordError: If what is there is no record, or is damaged.
        OSError: If the disk does not give it.
    """
    try:
        found = json.loads(path.read_bytes())
        if not isinstance(found, dict) or found.pop("checksum", None) != digest(found):
            raise RecordError("it is not what was written")
        return Record.of(found)
    except FileNotFoundError as error:
        if os.path.lexists(path):
            raise RecordError(f"{path} must be a file. Received: a link to nothing") from error
        return None
    except IsADirectoryError as error:
        raise RecordError(f"{path} must be a file. Received: a directory") from error
    except (ValueError, RecursionError) as error:  # Of the text, of JSON, or of the record.
        raise RecordError(f"{path} is not the record of a run, or is damaged: {error}") from error


def write(path: pathlib.Path, record: Record) -> None:
    """Write a record with a checksum: all of it or nothing, and only where none is.

    Raises:
        FileExistsError: If `path` exists.
    """
    made = json.loads(record.to_json())
    write_once(path, json.dumps({"checksum": digest(made), **made}, indent=1, sort_keys=True))


def note_start(path: pathlib.Path, start: Mapping[str, Any]) -> int:
    """Add a start to the list of a run, and return how many it had before.

    It counts those too that were killed before they saved. What is in the list does not matter, nor
    whether it can be written: a count never stops a run.
    """
    before = 0
    try:
        with open(path, "ab+") as file:
            file.seek(0)
            held = file.read()
            before = held.count(b"\n") + (not held.endswith(b"\n") if held else 0)
            torn = held and not held.endswith(b"\n")
            file.write((b"\n" if torn else b"") + json.dumps(start).encode() + b"\n")
            sync(file)
    except OSError as error:
        logging.warning("The starts of this run are not counted: %s", error)
    return before
