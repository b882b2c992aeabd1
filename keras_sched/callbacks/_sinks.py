"""Where logged rows go: a CSV file and TensorBoard."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_sched._driver import LEARNING_RATE
from keras_sched._extras import load
from keras_sched._files import replace_file
from keras_sched.hyperparameters import driver_of, groups
from keras_sched.precision.attach import find
from keras_sched.schedules import Schedule, label

__all__ = ["Board", "Csv"]


# Directories of event files that are written.
_OPEN: set[Path] = set()


class Csv:
    """A CSV file that only grows, in blocks of whole lines."""

    def __init__(self, path: Path, resume: bool) -> None:
        self._path = path
        self._resume = resume
        self._first_step: int | None = None
        self._is_open = False
        self._check_absent()

    def begin(self, first_step: int) -> None:
        """Begin a training; its columns are known with its first rows."""
        if not self._is_open:
            self._first_step = first_step

    def write(self, rows: dict[str, np.ndarray]) -> None:
        """Append rows; nine digits bring back the same float32."""
        if not self._is_open:
            self._open(",".join(rows))
        columns = [
            [format(value, "d" if name == "step" else ".9g") for value in column.tolist()]
            for name, column in rows.items()
        ]
        text = "".join(",".join(row) + "\n" for row in zip(*columns, strict=True))
        # One write, unbuffered: a process that is killed later has left it in the file.
        with open(self._path, "ab", buffering=0) as file:
            file.write(text.encode())

    def _open(self, header: str) -> None:
        """Write the header, or continue the file of the same columns before the first step."""
        self._check_absent()
        lines = [header]
        if self._path.exists():
            text = self._path.read_text()
            whole = text[: text.rfind("\n") + 1].splitlines()  # a kill may have torn the last line
            if whole and whole[0] != header:
                raise ValueError(
                    f"`csv` must have the columns of this training to be continued: {header}. "
                    f"Received: {self._path} with {whole[0]}"
                )
            first = self._first_step or 0
            lines += [line for line in whole[1:] if int(line.partition(",")[0]) < first]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self._path, "\n".join(lines) + "\n")
        self._is_open = True

    def _check_absent(self) -> None:
        if not self._is_open and not self._resume and self._path.exists():
            raise FileExistsError(
                f"`csv` must not exist yet. Received: csv='{self._path}'. Name another file, or "
                f"continue this one with `resume=True`."
            )


class Board:
    """Event files of TensorBoard, for its own tabs and for the dashboard "Schedules"."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        load("tensorboard.compat.proto", what="`tensorboard=`", extra="tensorboard")
        from tensorboard_plugins.schedules import earlier, run_log

        self._kind, self._earlier = run_log.RunLog, earlier.earlier
        self._log: Any = None
        # A further training goes on with the curves, in a file of its own.
        self._state: Any = None
        self._is_lost = False
        # Epochs of the trainings before, where this one counts its own from 0.
        self._epochs_before = 0

    def begin(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        names: Sequence[str],
        first: int,
        epoch: int,
        fit: Mapping[str, Any],
    ) -> None:
        """Begin a file, with what is trained.

        Args:
            model: The model.
            optimizer: Its optimizer.
            names: What is scheduled.
            first: Number of the first step.
            epoch: Number of the first epoch, from 0.
            fit: What `fit` says of the training, as its "epochs" and "steps".
        """
        epochs, steps = fit.get("epochs"), fit.get("steps")
        total = first + (epochs - epoch) * steps if epochs and steps else None
        found = _schedules(model, optimizer)
        numbers = {
            name: value
            for name, value in vars(optimizer).items()
            if isinstance(value, bool | int | float | str) and not name.startswith("_")
        }
        numbers.pop("name", None)
        kind = type(optimizer).__name__
        trial = {
            "id": self._directory.name,
            "name": self._directory.name,
            # Keras numbers the models of a process.
            "setting": re.sub(r"_\d+$", "", model.name),
            "method": _method({name: each for name, (each, *_) in found.items()}, optimizer),
            "epochs": epochs,
            "steps": total,
            "config": {"model": model.name, "optimizer": kind, "epochs": epochs, **numbers},
            "created": time.time(),
        }
        place = self._directory.resolve()
        if place in _OPEN:
            raise ValueError(
                f"`tensorboard` must be a directory of its own for each logger: of two files that "
                f"grow in one, TensorBoard may read one only. Received: {self._directory}, to "
                f"which another logger writes"
            )
        if first and (self._state is None or first < self._state["done"]):
            # In another process, or back to where it was before.
            self._state = self._earlier(self._directory, first)
        planned = {name: _by_step(each, *at) for name, (each, *at) in found.items()}
        self._log = self._kind(
            self._directory,
            trial,
            total,
            names,
            planned,
            state=self._state if first else None,
            has_all_points=True,
        )
        _OPEN.add(place)
        done = int(self._log.epoch)
        self._epochs_before = done if epoch < done else 0
        self._log.epochs = self._epochs_before + epochs if epochs else None
        self._is_lost = False

    def write(self, rows: dict[str, np.ndarray], counts: np.ndarray) -> None:
        """Write every column over the steps.

        Args:
            rows: The columns.
            counts: The counts of the optimizer that schedules were read at.
        """
        columns = {name: column.tolist() for name, column in rows.items()}
        steps, losses = columns.pop("step"), columns.pop("loss", None)
        at = counts.tolist()
        for place, step in enumerate(steps):
            values = {name: column[place] for name, column in columns.items()}
            loss = None if losses is None else losses[place]
            self._log.step(step, values, loss, planned_at=at[place])

    def epoch(self, step: int, epoch: int, logs: Mapping[str, Any]) -> None:
        """Write what Keras has measured at the end of an epoch."""
        # A log may be anything, as an array of many numbers.
        numbers = {name: np.asarray(value) for name, value in logs.items()}
        found = {
            name: float(value)
            for name, value in numbers.items()
            if value.ndim == 0 and value.dtype.kind in "biuf"
        }
        self._is_lost = not np.isfinite(found.get("loss", 0.0))
        self._log.evaluation(step, self._epochs_before + epoch, found, prefix="epoch/")

    def end(self, status: str) -> None:
        """Write how it ended, and close the file; doing so twice is allowed."""
        if self._log is not None:
            log, self._log = self._log, None
            _OPEN.discard(self._directory.resolve())
            self._state = log.get_state()
            reason = None
            if self._is_lost:
                status, reason = "diverged", "The loss is not finite"
            log.write_tables(status, reason=reason)
            log.close()


def _method(schedules: Mapping[str, Schedule], optimizer: keras.optimizers.Optimizer) -> str:
    """Return what people compare trainings by: the schedules, without the lengths they took."""
    said = {name: re.sub(r"(, )?\bsteps=\d+", "", label(each)) for name, each in schedules.items()}
    rate = said.pop(LEARNING_RATE, None)
    others = [f"{name}={text}" for name, text in said.items()]
    if rate is None and not others:
        return f"{type(optimizer).__name__}, nothing scheduled"
    return ", ".join([*([rate] if rate else []), *others])


def _schedules(
    model: keras.Model, optimizer: keras.optimizers.Optimizer
) -> dict[str, tuple[Schedule, Any, int]]:
    """Return what is scheduled by name, each with its first step and the steps of an update."""
    found = {}
    for group, part in groups(optimizer).items():
        prefix = f"{group}/" if group else ""
        micro = getattr(part, "gradient_accumulation_steps", None) or 1
        rate = vars(part).get("_learning_rate")
        if isinstance(rate, Schedule):
            found[f"{prefix}{LEARNING_RATE}"] = rate, 0, 1  # Keras counts calls.
        driver = driver_of(part)
        sources = {name: driver.source(name) for name in driver.scheduled}
        if not group and (quantized := find(model)) is not None:
            sources |= {width.name: width.source for width in quantized.widths.given}
        for name, source in sources.items():
            if source is not None:
                each = 1 if source.per == "micro" else micro
                found[prefix + name] = source.schedule, source.first_step, each
    return found


def _by_step(schedule: Schedule, first: Any, each: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return what gives the values that are planned at numbers of steps.

    The count of the first step may be a variable, which is set when the training begins.
    """
    return lambda steps: schedule(np.maximum(steps // each - int(first), 0))
