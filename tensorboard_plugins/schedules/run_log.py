"""The log of one run: everything that the dashboard shows of it, in one event file."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tensorboard_plugins.schedules import events, layout
from tensorboard_plugins.schedules.planned import Schedule, points
from tensorboard_plugins.schedules.rows import Rows
from tensorboard_plugins.schedules.summary import Summary

__all__ = ["RunLog"]

# Tables are written after so many steps were logged, twice as many, and so on.
_FIRST = 16
# They are also written after so many seconds, or this share of the time that the run has taken: the
# file of a long run grows with the logarithm of its time.
_APART, _SHARE = 10.0, 0.02
# Points of a number by step, for the tabs of scalars: they show a thousand.
_POINTS = 800
_AT_ONCE = 64
# Steps that float32 tells apart.
_EXACT = 2**24
_LEADING = ("step", "seconds")
_LOSS = "loss"


class RunLog:
    """Logs a run: what it is, what its schedules do, and what comes out.

    Args:
        directory: The directory of the run.
        trial: What the run is; see `layout`.
        steps: Steps of the whole run; None if that is not known.
        values: Names of the hyperparameters whose values are logged by step.
        schedules: What is planned for some of them, by name: gives the values at steps.
        state: That of a log that this one goes on from.
        has_all_points: Whether every step is shown by the tabs of scalars, and not some hundreds.

    Attributes:
        epochs: Epochs of the whole run, of all its trainings; None if that is not known.

    Raises:
        OSError: If the disk does not take it.
        ValueError: If the state is of another run.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        trial: Mapping[str, Any],
        steps: int | None,
        values: Sequence[str],
        schedules: Mapping[str, Schedule],
        state: Mapping[str, Any] | None = None,
        has_all_points: bool = False,
    ) -> None:
        self._steps = steps
        self.epochs: float | None = trial.get("epochs")
        self._schedules = dict(schedules)
        planned = [f"planned {name}" for name in self._schedules]
        self._by_step = Rows([*_LEADING, *values, _LOSS, *planned], averaged={_LOSS})
        # What waits for its planned values: many at once are read in no more time than one.
        self._waiting: list[tuple[int, dict[str, float], int]] = []
        self._by_epoch: Rows | None = None
        self._metrics: dict[str, Summary] = {}
        self._logged, self._next_write, self._written_at = 0, _FIRST, -math.inf
        self._began = time.monotonic()
        self._seconds = 0.0
        self._each = 1 if has_all_points or not steps else math.ceil(steps / _POINTS)
        self._next_point = 0
        self._last_step, self._done = 0, 0
        self._last_values: dict[str, float] = {}
        if state is not None:
            self._go_on(state)
        self._file = events.EventFile(directory)
        self._file.add([events.words(layout.TRIAL, layout.dumped(trial))], 0)
        group = str(trial.get("cell") or trial["id"])
        self._file.add([events.hyperparameters(trial["config"], group)], 0)
        self._has_plan = False
        if state is not None:  # Until more is known it is what it was, and under way.
            self.write_tables("running")
        self._file.flush()

    @property
    def epoch(self) -> float:
        """Epochs that were logged; 0 before the first."""
        return 0.0 if self._by_epoch is None else self._by_epoch.last("epoch")

    # --- what is logged --------------------------------------------------------------------------

    def step(
        self,
        step: int,
        values: Mapping[str, float],
        loss: float | None,
        count: int = 1,
        planned_at: int | None = None,
    ) -> None:
        """Log what was applied at a step, and the loss from there on.

        Args:
            step: Number of the step.
            values: By name.
            loss: Mean loss of the steps; None if it is not known.
            count: Steps that it is of.
            planned_at: The step that schedules were read at, where it is another one: loss scaling
                skips updates, which are not counted.
        """
        self._last_step = step
        self._last_values = {**values} if loss is None else {**values, _LOSS: loss}
        row = {"step": step, "seconds": self._passed(), **self._last_values}
        self._waiting.append((step if planned_at is None else planned_at, row, count))
        self._done = step + count
        self._logged += 1
        if step >= self._next_point:
            self._next_point = (step // self._each + 1) * self._each
            self._add_point()
        if len(self._waiting) >= _AT_ONCE:
            self._take()
        if self._logged >= self._next_write or self._is_late():
            self.write_tables("running")

    def evaluation(
        self, step: int, epoch: int, values: Mapping[str, float], prefix: str = ""
    ) -> None:
        """Log what was measured at the end of an epoch, and hand all to the disk.

        Args:
            step: Steps done.
            epoch: Epochs done.
            values: By name.
            prefix: What comes before the names in the tabs of scalars.
        """
        columns = [*_LEADING, "epoch", *values]
        if self._by_epoch is None:
            self._by_epoch = Rows(columns)
        elif missing := [name for name in columns if name not in self._by_epoch.columns]:
            self._by_epoch = self._by_epoch.with_columns(missing)
        given = {"step": step, "seconds": self._passed(), "epoch": epoch, **values}
        self._by_epoch.add([given.get(name, math.nan) for name in self._by_epoch.columns])
        for name, value in values.items():
            self._metrics.setdefault(name, Summary()).add(value)
        self._file.add([events.scalar(f"{prefix}{name}", x) for name, x in values.items()], step)
        self._done = max(self._done, step)
        if self._is_late():
            self.write_tables("running")
        self._file.flush()

    def show(self, values: Sequence[events.Value], step: int) -> None:
        """Log images and texts."""
        self._file.add(values, step)

    def write_tables(self, status: str, **about: Any) -> None:
        """Write the tables, and how the run stands.

        Args:
            status: "running", or how it ended.
            **about: What else is known, as its "reason" and its "relative_cost".
        """
        if status == "finished" and self._steps is None:
            self._steps = self._done
        self._take()
        kind = np.float32 if self._last_step < _EXACT else np.float64
        by_epoch = self._by_epoch or Rows([*_LEADING, "epoch"])
        state = {
            "status": status,
            "step": self._done,
            "steps": self._steps,
            "epochs": self.epochs,
            "seconds": self._passed(),
            "metrics": {name: each.to_json() for name, each in self._metrics.items()},
            "each": self._by_step.each,
            "columns": {
                "steps": list(self._by_step.columns),
                "evaluations": list(by_epoch.columns),
            },
            **about,
        }
        # One event: whoever reads one of them reads the others too.
        self._file.add(
            [
                events.table(layout.STEPS, self._by_step.table().astype(kind)),
                events.table(layout.EVALUATIONS, by_epoch.table().astype(kind)),
                events.words(layout.STATE, layout.dumped(state)),
            ],
            self._done,
        )
        self._written_at = time.monotonic()
        self._next_write = max(self._next_write, 2 * self._logged)
        self._file.flush()

    def close(self) -> None:
        """Write the last point and close the file."""
        if self._last_values and self._last_step >= self._next_point - self._each + 1:
            self._add_point()
        self._file.close()

    # --- to go on --------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """Return what it takes to go on, for JSON."""
        self._take()
        return {
            "seconds": self._passed(),
            "done": self._done,
            "by_step": self._by_step.get_state(),
            "by_epoch": None if self._by_epoch is None else self._by_epoch.get_state(),
            "metrics": layout.finite({k: each.to_json() for k, each in self._metrics.items()}),
        }

    def _go_on(self, state: Mapping[str, Any]) -> None:
        self._seconds, self._done = float(state["seconds"]), int(state["done"])
        mine, known = self._by_step.columns, tuple(state["by_step"]["columns"])
        self._by_step = Rows(known, averaged={_LOSS})
        self._by_step.set_state(state["by_step"])
        if missing := [name for name in mine if name not in known]:
            self._by_step = self._by_step.with_columns(missing)
        if (by_epoch := state["by_epoch"]) is not None:
            self._by_epoch = Rows(by_epoch["columns"])
            self._by_epoch.set_state(by_epoch)
        self._metrics = {name: Summary.from_json(x) for name, x in state["metrics"].items()}
        self._logged = len(self._by_step) * self._by_step.each

    def _write_plan(self, steps: int) -> None:
        """Write what the schedules are over the run; a training that has begun knows its first."""
        self._has_plan = True
        for name, schedule in self._schedules.items():
            found = points(schedule, steps)
            self._file.add([events.table(f"{layout.PLANNED}{name}", found)], 0)

    def _take(self) -> None:
        """Add what waits to the table, with what was planned."""
        if self._done and self._steps and not self._has_plan:
            self._write_plan(self._steps)
        steps = np.array([step for step, *_ in self._waiting], np.int64)
        planned = {
            f"planned {name}": np.asarray(schedule(steps)).tolist() if len(steps) else []
            for name, schedule in self._schedules.items()
        }
        for place, (_, row, count) in enumerate(self._waiting):
            row |= {name: values[place] for name, values in planned.items()}
            self._by_step.add([row.get(name, math.nan) for name in self._by_step.columns], count)
        self._waiting = []

    def _is_late(self) -> bool:
        """Return whether so much time has passed that the tables are written again."""
        apart = max(_APART, _SHARE * self._passed())
        return time.monotonic() - self._written_at >= apart

    def _passed(self) -> float:
        """Return the seconds that the run has taken, of all starts."""
        return self._seconds + time.monotonic() - self._began

    def _add_point(self) -> None:
        found = [events.scalar(f"step/{name}", x) for name, x in self._last_values.items()]
        self._file.add(found, self._last_step)
