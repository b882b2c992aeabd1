"""What all tasks share that are made from a configuration: how they are optimized and quantized.

A family derives from `ConfiguredTask` and gives its options, its network, its data and what it
makes of a batch. The rest is here, once: optimizer and schedules, weight decay, freezing, bits,
policy, what shares a trace, and how runs are named.
"""

from __future__ import annotations

import abc
import json
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self

import keras
import tensorflow as tf

import keras_sched as ks
from trainers.loop.compiled import Compiled
from trainers.loop.experiment import Experiment
from trainers.loop.files import digest
from trainers.loop.names import names_anew
from trainers.loop.records import Workload
from trainers.loop.task import Plan, Task
from trainers.methods import bits, networks, optimizers
from trainers.options.optimization import PLATEAU, Optimization
from trainers.options.paths import digests
from trainers.options.precision import NONE, Precision
from trainers.options.training import Training

__all__ = ["Configuration", "ConfiguredTask", "experiment", "plan"]


class Configuration(Protocol):
    """What every configuration has: see `trainers.options`."""

    @property
    def training(self) -> Training: ...

    @property
    def optimization(self) -> Optimization: ...

    @property
    def precision(self) -> Precision: ...

    def flat(self) -> dict[str, Any]: ...

    @classmethod
    def untraced(cls) -> frozenset[str]: ...


class ConfiguredTask(Task, abc.ABC):
    """A task that is made from a configuration.

    A family sets `metrics`, `evaluations` and `goal` before it calls this.

    Args:
        config: The configuration.
        data: The data of `load`; None while nothing is trained and only the length is needed.

    Attributes:
        options: The class of the configurations of the family.
        training_metrics: Those of `metrics` that training has too; the others are of evaluations
            alone.

    Raises:
        ValueError: If the configuration cannot be trained: nothing is read or made before.
    """

    options: ClassVar[Any]
    training_metrics: Collection[str] = ()

    def __init__(self, config: Any, data: Any = None) -> None:
        self.config = config
        self.data = data
        self.steps_per_epoch = self.count_steps()
        if self.steps_per_epoch < 1:
            raise ValueError(
                f"`batch_size` must be at most the examples of an epoch. "
                f"Received: batch_size={config.training.batch_size}, which makes no step"
            )
        self.run = ks.Run(
            steps=config.training.trained_epochs * self.steps_per_epoch,
            steps_per_epoch=self.steps_per_epoch,
            batch_size=config.training.batch_size,
        )
        networks.check(config.training.initial_weights)
        optimizers.check(config.optimization, self.run, self.followed())
        bits.check(config.precision, self.run)
        self._rate, self._momentum = optimizers.schedules(config.optimization, self.run)
        self.traced = self._traced()

    # --- what a family gives ----------------------------------------------------------------------

    @classmethod
    @abc.abstractmethod
    def load(cls, config: Any, data_dir: str | None = None) -> Any:
        """Return the data of a configuration; those of another seed or schedule are the same.

        Raises:
            FileNotFoundError: If they are not there.
        """

    @classmethod
    def check_data(cls, config: Any, data_dir: str | None = None) -> None:
        """Check that the data are there, before anything else is done; nothing is read.

        Raises:
            FileNotFoundError: If they are not, with what to do.
        """

    @classmethod
    @abc.abstractmethod
    def stand_in(cls, config: Any) -> Any:
        """Return data of the same shapes and number, made up: to measure what a step takes."""

    @classmethod
    def data_key(cls, config: Any) -> tuple[Any, ...]:
        """Return what the data depend on: trainings that are equal in it can share them."""
        return (json.dumps(config.flat(), sort_keys=True),)

    @abc.abstractmethod
    def count_steps(self) -> int:
        """Return the data steps of an epoch, known without the data."""

    @abc.abstractmethod
    def network(self) -> keras.Model:
        """Return a new model, built, in full precision."""

    def example_shapes(self) -> Sequence[tuple[int, ...]]:
        """Return the shapes of the inputs of one example, where the network leaves some open."""
        return ()

    def host_bytes(self) -> int:
        """Return what its data take, and what an evaluation at once takes beyond a step's batch."""
        return 0

    def followed(self) -> Mapping[str, str]:
        """Return what a learning rate may follow, metrics of training and of validation.

        Returns:
            "max" where higher is better, "min" where lower is, by the name.
        """
        words = {"higher": "max", "lower": "min"}
        modes = {"loss": "min"} | {n: words[metric.better] for n, metric in self.metrics.items()}
        trained = {name: modes[name] for name in ("loss", *self.training_metrics)}
        held = {f"val_{name}": mode for name, mode in modes.items() if "val" in self.evaluations}
        return trained | held

    # --- what all have ----------------------------------------------------------------------------

    @classmethod
    def of(cls, values: dict[str, Any], data: Any = None) -> Self:
        """Return the task of a flat configuration."""
        return cls(cls.options.of(values), data)

    def model(self) -> keras.Model:
        """Return a new model: with the initial weights, frozen layers and quantizers asked for."""
        config = self.config
        with names_anew():
            model = self.network()
        networks.load(model, config.training.initial_weights)
        networks.freeze(model, config.optimization)
        return bits.quantized(model, config.precision, self.run, config.training.seed)

    def check_network(self) -> None:
        """Check what only a network can tell: patterns of paths, and the initial weights.

        Raises:
            ValueError: If they are not those of this network.
        """
        options = self.config.optimization
        if options.frozen or options.rate_factors or self.config.training.initial_weights:
            self.optimizer(self.model())

    def check_flags(self, given: Collection[str]) -> None:
        """Check that each of some flags is used, whatever its value.

        Raises:
            ValueError: If one is not.
        """
        options = self.config.precision
        if names := bits.unread(options, given):
            raise ValueError(
                f"--{names[0]} is not used by precision_schedule={options.precision_schedule!r}. "
                f"Expected a schedule that reads it, as --precision_schedule=cr, or no such flag"
            )

    def optimizer(self, model: keras.Model) -> keras.optimizers.Optimizer:
        """Return a new optimizer that follows the schedules."""
        options = self.config.optimization
        made = optimizers.optimizer(options, self._rate, self._momentum, model)
        return bits.scaled(made, self.config.precision)

    def penalty(self, model: keras.Model) -> tf.Tensor | None:
        """Return the coupled weight decay."""
        return optimizers.penalty(self.config.optimization, model)

    def callbacks(self) -> tuple[keras.callbacks.Callback, ...]:
        """Return the callbacks that the configuration asks for."""
        plateau = optimizers.callbacks(self.config.optimization, self.followed())
        return (*plateau, *bits.callbacks(self.config.precision))

    @property
    def workload(self) -> Workload:
        """How much there is to do; no data are needed."""
        epochs = self.config.training.trained_epochs
        return Workload(
            group=self.traced,
            steps=self.run.total,
            evaluations={
                name: epochs // each.every + bool(epochs % each.every)
                for name, each in self.evaluations.items()
            },
            epochs=epochs,
        )

    def _traced(self) -> str:
        untraced = self.config.untraced()
        parts = {name: v for name, v in self.config.flat().items() if name not in untraced}
        # A factor on the learning rate is an operation of the step.
        parts["plateau"] = self.config.optimization.schedule == PLATEAU
        # The means of each evaluation are variables.
        parts["evaluations"] = sorted(self.evaluations)
        return json.dumps(parts, sort_keys=True)


def plan(
    config: Configuration, logdir: str | pathlib.Path, place: Mapping[str, Any] | None = None
) -> Plan:
    """Return how the training of a configuration is run.

    Args:
        config: The configuration.
        logdir: Where the directories of settings are made.
        place: What a sweep compares the run by; None for what the configuration says.

    Raises:
        OSError: If a file of weights cannot be read.
    """
    training = config.training
    # Other weights in the same place begin another run.
    values = config.flat() | digests(config)
    return Plan(
        name=training.name,
        config=values,
        label=_label(config),
        epochs=training.trained_epochs,
        logdir=pathlib.Path(logdir),
        seed=training.seed,
        steps_per_call=training.steps_per_call,
        steps_per_checkpoint=training.steps_per_checkpoint or None,
        seconds_per_checkpoint=training.seconds_per_checkpoint,
        keep_weights=training.keep_weights,
        place=_place(config) if place is None else place,
    )


def experiment(
    task: ConfiguredTask,
    logdir: str | pathlib.Path,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    compiled: Compiled | None = None,
) -> Experiment:
    """Return the experiment of a task, with the callbacks that its configuration asks for."""
    return Experiment(
        task, plan(task.config, logdir), (*task.callbacks(), *callbacks), compiled=compiled
    )


def _place(config: Configuration) -> dict[str, Any]:
    """Return what runs that are part of no sweep are compared by."""
    training, optimization = config.training, config.optimization
    others = {name: x for name, x in config.flat().items() if name != "seed"}
    return {
        "sweep": "",
        "phase": "",
        "cell": digest(others),
        "setting": training.name,
        "schedule": optimization.schedule,
        "momentum": optimization.momentum_schedule,
        "precision": config.precision.precision_schedule,
        "budget": training.budget,
        "full_epochs": training.epochs,
        "learning_rate": optimization.learning_rate,
    }


def _label(config: Configuration) -> str:
    """Say what people tell the runs of a setting apart by, as "rex-demon-b0.25-s1"."""
    parts = [config.optimization.schedule]
    if config.optimization.momentum_schedule != "constant":
        parts.append(config.optimization.momentum_schedule)
    if config.precision.precision_schedule != NONE:
        parts.append(config.precision.precision_schedule)
    parts += [f"b{config.training.budget:g}", f"s{config.training.seed}"]
    return "-".join(parts)
