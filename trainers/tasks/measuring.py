"""What a training takes here, measured before it begins, with data that are made up."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence

import keras

from trainers.loop.compiled import Compiled
from trainers.loop.experiment import Experiment
from trainers.loop.records import Record, Timing, Workload
from trainers.tasks.configured import ConfiguredTask, plan

__all__ = ["measure"]

# Of epochs that take longer nothing else counts; of others a run of so many seconds is timed, and
# several of one epoch.
_LONG_EPOCH = 1.0
_TIMED_SECONDS = 2.0
_REPEATS = 3


def measure(task: ConfiguredTask) -> Timing:
    """Return what the training of a task takes here; its data are made up, and nothing is kept."""
    task.data = task.stand_in(task.config)
    compiled = Compiled(reusable=True)

    def run(callbacks: Sequence[keras.callbacks.Callback] = ()) -> Experiment:
        # A directory of its own: there a second run would find the first one over.
        how = plan(task.config, tempfile.mkdtemp(dir=logdir))
        return Experiment(task, how, (*task.callbacks(), *callbacks), compiled=compiled)

    with tempfile.TemporaryDirectory() as logdir, contextlib.redirect_stdout(io.StringIO()):
        timing = run().timed()
        return _as_in_runs(timing, task, lambda epochs: _timed(run([_Ends(epochs)])))


class _Ends(keras.callbacks.Callback):
    """Ends a training after so many epochs."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self._epochs = epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if epoch + 1 >= self._epochs:
            self.model.stop_training = True


def _as_in_runs(
    timing: Timing, task: ConfiguredTask, run: Callable[[int], tuple[Record, float]]
) -> Timing:
    """Return a timing as whole runs have it, with what epochs and runs take besides.

    Args:
        timing: What steps and evaluations take, timed alone.
        task: What is timed.
        run: Trains so many epochs, and returns the record and the seconds of all of it.
    """
    per_epoch = task.steps_per_epoch

    def count(name: str, epochs: int) -> int:  # At the end all are due.
        every = task.evaluations[name].every
        return epochs // every + bool(epochs % every)

    def foretold(timing: Timing, epochs: int) -> float:
        work = {name: count(name, epochs) for name in task.evaluations}
        return timing.of(Workload("", epochs * per_epoch, work, epochs=epochs, runs=0))

    if (alone := foretold(timing, 1)) > _LONG_EPOCH:
        return timing  # What is besides takes no part that counts.
    most = min(1 + math.ceil(_TIMED_SECONDS / alone), task.config.training.trained_epochs)
    first = statistics.median(run(1)[1] for _ in range(_REPEATS))
    if most > 1:
        record, seconds = run(most)
        most = len(record.epochs)  # A training on random images may diverge.
    if most > 1:
        evaluated = sum(timing.evaluations[name] * count(name, most) for name in task.evaluations)
        factor = record.seconds["evaluation"] / evaluated if evaluated else 1.0
        timing = dataclasses.replace(
            timing,
            step=record.seconds["train"] / record.steps,
            evaluations={name: factor * each for name, each in timing.evaluations.items()},
        )
        rest = (seconds - first - foretold(timing, most) + foretold(timing, 1)) / (most - 1)
        timing = dataclasses.replace(timing, epoch=max(0.0, rest))
    return dataclasses.replace(timing, run=max(0.0, first - foretold(timing, 1)))


def _timed(run: Experiment) -> tuple[Record, float]:
    began = time.monotonic()
    record = run.run()
    return record, time.monotonic() - began
