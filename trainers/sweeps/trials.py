"""What the workers of a sweep run: trials of one task, which share what can be shared.

Trials that are traced alike, as those that differ only in schedules, learning rate, budget and
seed, compute by the same trace: the process keeps one `Compiled` and the data, and each trial
begins where a process of its own would have begun, to the bit.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from trainers.loop.compiled import LOSS, Compiled
from trainers.loop.experiment import Experiment
from trainers.loop.names import names_anew
from trainers.loop.records import Record, Timing, Workload
from trainers.tasks.configured import ConfiguredTask, plan
from trainers.tasks.measuring import measure

__all__ = ["Trials"]

# A trial is shorter than that, or worth a checkpoint.
_SECONDS_PER_CHECKPOINT = 30.0


class Trials:
    """Trials of a task: the `trainers.sweeps.programs.Program` of all tasks.

    Args:
        task: The task.
        data_dir: Where TensorFlow Datasets finds its data.
        threads: Threads of a process: with fixed ones a trial has the same bits beside any number
            of others; 0 for what TensorFlow takes. It must be set before TensorFlow computes.

    Raises:
        ValueError: If it is no task.
    """

    def __init__(
        self, task: type[ConfiguredTask], data_dir: str | None = None, threads: int = 0
    ) -> None:
        if not (isinstance(task, type) and issubclass(task, ConfiguredTask)):
            raise ValueError(f"A task must derive from `ConfiguredTask`. Received: {task!r}")
        if threads:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        self._task = task
        self._data_dir = data_dir
        self._data: dict[tuple[Any, ...], Any] = {}
        self._compiled: tuple[str, Compiled] | None = None
        self._checked: set[tuple[str, str]] = set()
        self._there: set[tuple[Any, ...]] = set()

    def goals(self, config: Mapping[str, Any]) -> Mapping[str, str]:
        """Return "max" or "min" by the names of the metrics that a trial can be judged by."""
        metrics = self._made(config).metrics
        better = {name: metric.better for name, metric in metrics.items()}
        return {LOSS: "min"} | {n: "max" if b == "higher" else "min" for n, b in better.items()}

    def verify(self, config: Mapping[str, Any]) -> None:
        """Raise a ValueError if a configuration cannot be trained; no data are read."""
        task = self._made(config)
        task.check()
        # A network takes long to make: once for all that have the same one.
        key = task.traced, task.config.training.initial_weights
        if key not in self._checked:
            task.check_network()
            self._checked.add(key)

    def check_data(self, config: Mapping[str, Any]) -> None:
        """Raise a FileNotFoundError if the data of a trial are not there; nothing is read."""
        task = self._made(config)
        key = task.data_key(task.config)
        if key not in self._there:
            task.check_data(task.config, self._data_dir)
            self._there.add(key)

    def plan(self, config: Mapping[str, Any]) -> Workload:
        """Return how much there is to do; no data are read."""
        return self._made(config).workload

    def measure(self, config: Mapping[str, Any]) -> Timing:
        """Return what a trial takes here, with data that are made up in the shape of its own."""
        return measure(self._made(config))

    def run(
        self, config: Mapping[str, Any], logdir: pathlib.Path, place: Mapping[str, Any]
    ) -> Record:
        """Train a trial, or go on with it, and return its record.

        Raises:
            Preempted: If the process was asked to end; everything is saved.
        """
        task = self._made(config)
        key = task.data_key(task.config)
        if key not in self._data:
            self._data = {}  # One at a time: they can be large.
            self._data[key] = task.load(task.config, self._data_dir)
        task.data = self._data[key]
        group = task.workload.group
        if self._compiled is None or self._compiled[0] != group:
            self._compiled = None
            keras.backend.clear_session()
            self._compiled = group, Compiled(reusable=True)
        how = plan(task.config, logdir, place)
        seconds = max(how.seconds_per_checkpoint, _SECONDS_PER_CHECKPOINT)
        how = dataclasses.replace(how, seconds_per_checkpoint=seconds)
        return Experiment(task, how, task.callbacks(), compiled=self._compiled[1]).run()

    def _made(self, config: Mapping[str, Any]) -> ConfiguredTask:
        with names_anew():  # To check a configuration an optimizer is made.
            return self._task.of(dict(config))
