"""What the workers of a sweep run: trials of one kind, which share what can be shared.

Trials that differ only in the schedules of learning rate and momentum, learning rate, budget, seed
and split compute by the same trace: the process keeps one `Compiled` and the data set, and each
trial begins where a process of its own would have begun, to the bit.
"""

from __future__ import annotations

import json
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from trainers import datasets
from trainers.loop.compiled import Compiled
from trainers.options.optimization import PLATEAU
from trainers.tasks.classification import Config, experiment, length, load, verify_run

__all__ = ["Classification"]

# What a trial brings along as data: values of variables, files, images. All else is in the trace.
_DATA = frozenset(
    {
        "budget",
        "epochs",
        "learning_rate",
        "momentum",
        "momentum_options",
        "momentum_schedule",
        "name",
        "sampling",
        "schedule",
        "schedule_delay",
        "schedule_options",
        "seed",
        "split",
        "steps_per_call",
        "steps_per_checkpoint",
        "warmup",
    }
)
# A trial is shorter than that, or worth a checkpoint.
_SECONDS_PER_CHECKPOINT = 30.0
_MEASURED_CALLS = 3


class Classification:
    """Trials of image classification.

    Args:
        data_dir: Where TensorFlow Datasets finds its data.
        threads: Threads of a process: with fixed ones a trial has the same bits beside any number
            of others; 0 for what TensorFlow takes. It must be set before TensorFlow computes.
    """

    def __init__(self, data_dir: str | None = None, threads: int = 0) -> None:
        if threads:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        self._data_dir = data_dir
        self._images: dict[tuple[str, str], datasets.Images] = {}
        self._compiled: tuple[str, Compiled] | None = None

    GOALS = frozenset({"val_loss", "val_accuracy"})

    @staticmethod
    def verify(config: Mapping[str, Any]) -> None:
        """Refuse a configuration that cannot be trained; no data are read.

        Raises:
            TypeError: If a key is missing or unknown, or has a wrong type.
            ValueError: If a value is wrong.
        """
        made = Config(**config)
        verify_run(made, length(made))

    @staticmethod
    def plan(config: Mapping[str, Any]) -> dict[str, Any]:
        """Return what there is to do; no data are read.

        Returns:
            "group", a text that all trials have that share a trace; "steps" and "evaluations" of
            the whole trial.
        """
        made = Config(**config)
        run = length(made)
        return {
            "group": traced(config),
            "steps": run.steps,
            "evaluations": made.trained_epochs,
        }

    def run(self, config: Mapping[str, Any], logdir: pathlib.Path) -> dict[str, Any]:
        """Train one trial, or go on with it, and return its record.

        Raises:
            Preempted: If the process was asked to end; everything is saved.
        """
        made = Config(**config)
        key = (made.dataset, made.split)
        if key not in self._images:
            self._images = {key: load(made, self._data_dir)}  # One at a time: they can be large.
        shared = traced(config)
        if self._compiled is None or self._compiled[0] != shared:
            tf.keras.backend.clear_session()
            self._compiled = shared, Compiled(made.l2, reusable=True)
        run = experiment(
            made,
            logdir,
            data=self._images[key],
            compiled=self._compiled[1],
            seconds_per_checkpoint=_SECONDS_PER_CHECKPOINT,
        )
        return run.run()

    def measure(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the seconds of "trace", "step" and "evaluation" of a trial here.

        They are measured on random images in the shape of its data set.
        """
        made = Config(**config)
        data = datasets.random(made.dataset).split(made.split)
        with tempfile.TemporaryDirectory() as logdir:
            run = experiment(made, logdir, data=data)
            return run.timed(_MEASURED_CALLS)


def traced(config: Mapping[str, Any]) -> str:
    """Return what trials must have in common to share a trace."""
    parts = {key: value for key, value in config.items() if key not in _DATA}
    # A factor on the learning rate is an operation of the step.
    return json.dumps({**parts, "factor": config["schedule"] == PLATEAU}, sort_keys=True)
