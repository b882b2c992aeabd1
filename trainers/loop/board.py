"""What people look at while a run goes on: TensorBoard, and the images and texts of a task.

All that is logged of a run is in one event file for each of its starts; see
`tensorboard_plugins.schedules.layout`. Images and texts are files in the directory of the run too.
"""

from __future__ import annotations

import functools
import json
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import tensorflow as tf

import keras_sched as ks
from tensorboard_plugins.schedules import events
from tensorboard_plugins.schedules.run_log import RunLog
from trainers.loop.files import replace
from trainers.loop.records import environment
from trainers.loop.task import Plan, Task

__all__ = ["Board"]


class Board:
    """Writes what people look at.

    Args:
        plan: How the run is made.
        task: What is trained.
        steps: Data steps of the run.
        values: Names of the hyperparameters that are logged by step.
        schedules: Those that follow a schedule.
        state: That of a board that this one goes on from; None for a new one.

    Raises:
        OSError: If the disk does not take it.
    """

    def __init__(
        self,
        plan: Plan,
        task: Task,
        steps: int,
        values: Sequence[str],
        schedules: Mapping[str, ks.schedules.Schedule],
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self._directory = plan.directory
        self._log = RunLog(
            plan.directory, _trial(plan, task, steps), steps, values, schedules, state
        )
        text = json.dumps(plan.config, indent=1)
        self._log.show([events.text("configuration", f"```json\n{text}\n```")], 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        self._log.close()

    def called(
        self, step: int, count: int, values: Mapping[str, float], loss: float, update: int
    ) -> None:
        """Log a call of some steps: the values at its first and its update, and the mean loss."""
        self._log.step(step, values, loss, count, planned_at=update)

    def epoch(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Log the end of an epoch, and hand all to the disk."""
        self._log.evaluation(step, epoch, values)

    def end(self, status: str, **about: Any) -> None:
        """Log how the run stands when it is left."""
        self._log.write_tables(status, **about)

    def get_state(self) -> dict[str, Any]:
        """Return what it takes to go on, for JSON."""
        return self._log.get_state()

    def show(self, found: Mapping[str, np.ndarray | str], epoch: int, step: int) -> None:
        """Log what a task shows at the end of an epoch.

        Args:
            found: Images, uint8 of shape `(height, width, channels)`, and texts, by name.
            epoch: The epoch, from 0: its directory is made if there are any.
            step: The data step.

        Raises:
            ValueError: If a value is neither an image nor a text, or a name is no part of a path.
            OSError: If the disk does not take it.
        """
        directory = self._directory / "artefacts" / f"epoch_{epoch + 1:05d}"
        for name, value in found.items():
            if not name.replace("-", "_").isidentifier():
                raise ValueError(f"An artefact must have a plain name. Received: {name!r}")
            directory.mkdir(parents=True, exist_ok=True)
            if isinstance(value, str):
                logged = events.text(name, value)
                replace(directory / f"{name}.txt", functools.partial(_write, data=value.encode()))
            elif value.dtype == np.uint8 and value.ndim == 3 and value.shape[-1] in (1, 3):
                png = tf.io.encode_png(value).numpy()
                logged = events.image(name, png, value.shape[1], value.shape[0])
                replace(directory / f"{name}.png", functools.partial(_write, data=png))
            else:
                raise ValueError(
                    f"An artefact must be a text, or uint8 of shape (height, width, 1 or 3). "
                    f"Received: {name!r}, {value.dtype} of shape {value.shape}"
                )
            self._log.show([logged], step)


def _trial(plan: Plan, task: Task, steps: int) -> dict[str, Any]:
    """Return what the dashboard says of a run."""
    metric = task.metric(task.goal)
    return {
        "id": plan.directory.name,
        "name": plan.name,
        "label": plan.label,
        **plan.place,
        "seed": plan.seed,
        "epochs": plan.epochs,
        "steps": steps,
        "goal": task.goal,
        "mode": "max" if metric is not None and metric.better == "higher" else "min",
        "metrics": {
            f"{evaluation}_{name}": {
                "mode": "max" if each.better == "higher" else "min",
                "is_share": each.is_share,
                "is_count": each.is_count,
                "printed": each.printed,
            }
            for evaluation in task.evaluations
            for name, each in task.metrics.items()
        },
        "config": plan.config,
        "versions": environment()["versions"],
        "created": time.time(),
    }


def _write(path: pathlib.Path, data: bytes) -> None:
    path.write_bytes(data)
