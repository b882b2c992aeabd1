"""What is recorded of a trial: written by a worker, read back by name, or refused.

A result says apart what a trial is, what came out and how it went: all that can differ between two
runs of one trial is under "timing". Without it the bytes of a result depend on neither the number
of workers nor on what was killed. Values that are not finite are null. Both parts have a checksum:
a file whose contents are not those that were written is no result.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any, Self

from tensorboard_plugins.schedules.layout import finite
from trainers.loop.files import digest
from trainers.loop.records import STATUSES, Record, relative_cost
from trainers.loop.typed import typed
from trainers.sweeps.choice import value_of
from trainers.sweeps.grid import EVALUATIONS, Grid, Trial

__all__ = ["ENDS", "SCHEMA", "VOLATILE", "Result"]

SCHEMA = 2
# A metric may be undefined, as a correlation of numbers that are all alike: that is no divergence.
UNDEFINED = "undefined"
ENDS = (*STATUSES, UNDEFINED)
# What a record says of the run rather than of the trial.
VOLATILE = ("hardware", "restarts", "seconds", "versions")


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of a trial.

    Attributes:
        trial: Its coordinates in the grid, and "id", "cell" and "phase".
        learning_rate: The learning rate that it had.
        status: One of `ENDS`: that of the record, or "undefined" where what is judged is no number.
        value: What it is judged by; None if it did not finish.
        record: The record of its training.
        timing: What the worker knows of the run: "attempts", "begun", "ended", "host", "pid" and
            "worker_seconds".
        schema: Number of this form.
    """

    trial: Mapping[str, Any]
    learning_rate: float
    status: str
    value: float | None
    record: Record
    timing: Mapping[str, Any]
    schema: int = SCHEMA

    @classmethod
    def made(
        cls, grid: Grid, trial: Trial, rate: float, record: Record, timing: Mapping[str, Any]
    ) -> Self:
        """Return the result of a trial; one that finished without a number is "undefined".

        Args:
            grid: The grid.
            trial: The trial.
            rate: The learning rate that it had.
            record: What the program returned.
            timing: What the worker knows of the run.

        Raises:
            ValueError: If the training finished without the goal.
        """
        metric = grid.metric(trial.phase)
        if record.status == "finished" and metric not in (record.final or {}):
            raise ValueError(
                f"A record must have what the trial is judged by at its end. "
                f"Received: final={record.final}. Expected {metric!r} in it"
            )
        value = value_of(record, grid, trial.phase)
        is_lost = record.status == "finished" and not math.isfinite(value)
        return cls(
            trial={**trial.coordinates, "id": trial.id, "cell": trial.cell, "phase": trial.phase},
            learning_rate=rate,
            status=UNDEFINED if is_lost else record.status,
            value=finite(value),
            record=record,
            timing=timing,
        )

    def to_json(self) -> str:
        """Return it as it is written."""
        found = finite(dataclasses.asdict(self))
        apart = {name: found["record"].pop(name) for name in VOLATILE}
        timing = _with_checksum({**found.pop("timing"), **apart})
        whole = {**_with_checksum(found), "timing": timing}
        return json.dumps(whole, indent=1, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def of(cls, found: Any) -> Self:
        """Return the result that was read from JSON.

        Raises:
            ValueError: If it is none, of another schema, or not what was written.
        """
        if not isinstance(found, dict) or not isinstance(found.get("timing"), dict):
            raise ValueError("it is no result")
        if found.get("schema") != SCHEMA:
            raise ValueError(f"its schema is {found.get('schema')!r}, not {SCHEMA}")
        found = {**found, "timing": dict(found["timing"])}
        timing = found.pop("timing")
        for part in (found, timing):
            checksum = part.pop("checksum", None)
            if checksum != digest(part):
                raise ValueError(f"its checksum is {checksum!r}, not that of its contents")
        record = found.get("record")
        apart = {name: timing.pop(name) for name in VOLATILE if name in timing}
        whole = {**record, **apart} if isinstance(record, dict) else record
        made = typed(cls, {**found, "record": Record.of(whole), "timing": timing}, "A result")
        made._check()
        return made

    @property
    def relative_cost(self) -> float | None:
        """Bit operations over those in float32: 1 if nothing is quantized, None if uncounted."""
        return relative_cost(self.record.cost)

    def _check(self) -> None:
        """Check what no type says.

        Raises:
            ValueError: If it is no result.
        """
        typed(_Place, self.trial, "The trial of a result")
        if self.trial["phase"] not in EVALUATIONS or self.status not in ENDS:
            raise ValueError(
                f"`phase` must be one of {', '.join(EVALUATIONS)}, and `status` one of "
                f"{', '.join(ENDS)}. Received: phase={self.trial['phase']!r}, "
                f"status={self.status!r}"
            )
        if (self.value is not None) != (self.status == "finished"):
            raise ValueError(
                f"`value` must be a number where the training finished, and only there. Received: "
                f"value={self.value!r}, status={self.status!r}"
            )
        for row in (*self.record.epochs, self.record.final or {}):
            for name, value in row.items():
                if not isinstance(value, int | float | None) or isinstance(value, bool):
                    raise ValueError(f"`{name}` of an epoch must be a number. Received: {value!r}")
        for name, shown in self.record.metrics.items():
            typed(_Shown, shown, f"The metric {name!r}")


@dataclasses.dataclass(frozen=True)
class _Place:
    """What `Result.trial` has."""

    id: str
    cell: str
    phase: str
    setting: str
    schedule: str
    momentum: str
    precision: str
    budget: float
    learning_rate: float | None
    seed: int
    rank: int = 0


@dataclasses.dataclass(frozen=True)
class _Shown:
    """What `Record.metrics` has of a metric; see `trainers.loop.task.Metric`."""

    better: str
    is_share: bool
    printed: str
    is_count: bool = False


def _with_checksum(part: Mapping[str, Any]) -> dict[str, Any]:
    return {**part, "checksum": digest(part)}
