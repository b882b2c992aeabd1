"""What is trained, and how it is run: the two things that the loop is given."""

from __future__ import annotations

import abc
import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from trainers.loop.files import digest

__all__ = ["Evaluation", "Forward", "Metric", "Plan", "Task", "Weighted"]

# Values, or values and their weights; each of at least one dimension.
Weighted: TypeAlias = "tf.Tensor | tuple[tf.Tensor, tf.Tensor]"


@dataclasses.dataclass(frozen=True)
class Metric:
    """How a metric is judged and shown.

    Args:
        better: "higher" or "lower".
        is_share: Whether it is a share, which is shown in per cent.
        printed: The name under which papers print it, as "error"; its own where it is empty. Of a
            share that is better higher an "error" is what it lacks.
        is_count: Whether it is how many are right of how many: a mean of values that are 0 or 1,
            with weights that are 0 or 1. Then two that are equal are equal to the bit, and records
            say of how many.
    """

    better: str = "lower"
    is_share: bool = False
    printed: str = ""
    is_count: bool = False

    def __post_init__(self) -> None:
        if self.better not in ("higher", "lower"):
            raise ValueError(
                f"`better` must be 'higher' or 'lower'. Received: better={self.better!r}"
            )

    @property
    def sign(self) -> float:
        """1 where higher is better, -1 where lower is."""
        return 1.0 if self.better == "higher" else -1.0


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Data that a model is evaluated on.

    Args:
        data: Gives the batches, from the first on; they may have another structure than those of
            training, and any number.
        every: Epochs from one evaluation to the next, at least 1. The last epoch has one always.
        batches: How many there are, where the data do not say it themselves; needed to foretell
            what a training costs.
    """

    data: Callable[[], tf.data.Dataset]
    every: int = 1
    batches: int | None = None

    def __post_init__(self) -> None:
        _check_epochs("every", self.every)

    def count(self) -> int | None:
        """Return how many batches it has; None if that is not known."""
        count = self.batches if self.batches is not None else int(self.data().cardinality())
        return count if count >= 1 else None


@dataclasses.dataclass(frozen=True)
class Forward:
    """What a model makes of a batch.

    Args:
        losses: Named losses; an evaluation that has outputs needs none. What is minimised is the
            sum over them of ``sum(w v) / sum(w)``, v being the values and w their weights, over the
            batches of all replicas together.
            Values without weights weigh 1 each. Masks of tokens and boxes are weights of 0 and 1; a
            value that weighs 0 must be finite all the same.
        means: Named metrics that are means of the same kind: those of an epoch are over all of its
            values.
        outputs: What `Task.judge` needs of an evaluation, by name; it is read on the host. In
            training it is not used.
    """

    losses: Mapping[str, Weighted]
    means: Mapping[str, Weighted] = dataclasses.field(default_factory=dict)
    outputs: Mapping[str, tf.Tensor] = dataclasses.field(default_factory=dict)


class Task(abc.ABC):
    """What an experiment trains: a family overrides what is abstract, and what else it has.

    Attributes:
        steps_per_epoch: Data steps of an epoch.
        metrics: How each metric is shown, by its name; each of `Forward.means` must be among them,
            and each that `judge` returns. Losses are known: lower is better.
        evaluations: What it is evaluated on, by name: "val" and "test". Their metrics have the name
            in front, as "val_accuracy".
        goal: The metric of an evaluation whose best value is kept, or its loss: "val_accuracy",
            "val_loss". A part of the loss can be it where there are no metrics.
        artefacts_every: Epochs from one call of `artefacts` to the next, at least 1. The last epoch
            has one always.
        traced: What the compiled step depends on, besides variables and data: of two tasks that
            are equal in it, and of one class, the second can be trained in the trace of the first.
    """

    steps_per_epoch: int
    metrics: Mapping[str, Metric]
    evaluations: Mapping[str, Evaluation]
    goal: str
    artefacts_every: int = 1
    traced: str = ""

    @abc.abstractmethod
    def model(self) -> keras.Model:
        """Return a new model, built and not compiled."""

    @abc.abstractmethod
    def optimizer(self, model: keras.Model) -> keras.optimizers.Optimizer:
        """Return a new optimizer of a model."""

    @abc.abstractmethod
    def train(self, step: int) -> tf.data.Dataset:
        """Return the endless batches from a data step on: a function of that step alone."""

    @abc.abstractmethod
    def forward(self, model: keras.Model, batch: Any, evaluation: str | None) -> Forward:
        """Return losses, means and outputs of a batch.

        Args:
            model: The model.
            batch: A batch of `train`, or of the evaluation.
            evaluation: The name of the evaluation; None in training.
        """

    def judge(
        self, evaluation: str, means: Mapping[str, float], outputs: Mapping[str, Sequence[Any]]
    ) -> Mapping[str, float]:
        """Return metrics of a whole evaluation, which are no means of its examples.

        Args:
            evaluation: Its name.
            means: Its losses and means, without its name in front.
            outputs: `Forward.outputs` by name: an array for each batch.
        """
        return {}

    def penalty(self, model: keras.Model) -> tf.Tensor | None:
        """Return what is added to the objective of a step, and to no loss that is logged."""
        return None

    def artefacts(self, model: keras.Model, epoch: int) -> Mapping[str, np.ndarray | str]:
        """Return what people look at when an epoch is over: images and texts, by name.

        `artefacts_every` says at the ends of which epochs.

        Images are uint8 of shape `(height, width, channels)` with 1 or 3 channels. They go to
        TensorBoard and to the directory of the run. It must not change the model.
        """
        return {}

    def damage(self, step: int, evaluation: str | None) -> str | None:
        """Return which of the data cannot be read, and why, when an operation on them has failed.

        Args:
            step: The data step that training had come to.
            evaluation: The evaluation that failed; None in training.
        """
        return None

    def check(self) -> None:
        """Check what the loop relies on.

        Raises:
            ValueError: If the goal is none of an evaluation's, or a name would clash.
        """
        if not self.steps_per_epoch >= 1:
            raise ValueError(
                f"`steps_per_epoch` must be at least 1. Received: {self.steps_per_epoch}"
            )
        _check_epochs("artefacts_every", self.artefacts_every)
        names = {"loss", *self.metrics}
        goals = [f"{evaluation}_{name}" for evaluation in self.evaluations for name in names]
        # The parts of a loss are known only when it is traced.
        is_part = any(self.goal.startswith(f"{each}_") for each in self.evaluations)
        if self.goal not in goals and not (is_part and not self.metrics):
            raise ValueError(
                f"`goal` must be a metric of an evaluation. Received: goal={self.goal!r}. "
                f"Expected one of {', '.join(sorted(goals))}"
            )
        if "loss" in self.metrics:
            raise ValueError(
                f"'loss' is the sum of the losses: a metric must have another name. "
                f"Received: {', '.join(self.metrics)}"
            )
        for name in (*self.evaluations, *self.metrics):
            if not name.isidentifier():
                raise ValueError(f"A name must be an identifier. Received: {name!r}")
        if clash := sorted(set(goals) & names):
            raise ValueError(
                f"A metric must not have the name of one of an evaluation. Received: {clash[0]!r}"
            )

    def metric(self, name: str) -> Metric | None:
        """Return how a metric of training or of an evaluation is shown; None for a loss."""
        for evaluation in self.evaluations:
            name = name.removeprefix(f"{evaluation}_")
        return self.metrics.get(name)


def _check_epochs(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(
            f"`{name}` must be a whole number of epochs, at least 1. Received: {name}={value!r}"
        )


@dataclasses.dataclass(frozen=True)
class Plan:
    """How an experiment is run.

    Args:
        name: Of the setting: the directory of its runs.
        config: What makes the run what it is, JSON-able; a run goes on only under the same.
        epochs: Epochs of the run; at least 1.
        logdir: Where the directories of settings are made.
        label: What people tell the runs of a setting apart by, as "rex-b0.25-s1".
        seed: Of the weights and of everything random.
        steps_per_call: Data steps of one call of the compiled function; at least 1.
        steps_per_checkpoint: Data steps between checkpoints within an epoch, or None for none.
        seconds_per_checkpoint: Least time between checkpoints at the ends of epochs, for epochs
            that are shorter than a checkpoint is worth; at least 0.
        keep: Checkpoints kept; at least 1.
        keep_weights: "none", "final" or "best": which weights are written to a file.
        place: What people compare the run by, for TensorBoard; it makes no other run of it.
    """

    name: str
    config: Mapping[str, Any]
    epochs: int
    logdir: pathlib.Path
    label: str = ""
    seed: int = 0
    steps_per_call: int = 10
    steps_per_checkpoint: int | None = None
    seconds_per_checkpoint: float = 0.0
    keep: int = 3
    keep_weights: str = "none"
    place: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("epochs", "steps_per_call", "steps_per_checkpoint", "keep"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(
                    f"`{name}` must be a whole number, at least 1. Received: {name}={value!r}"
                )
        if not 0.0 <= self.seconds_per_checkpoint < float("inf"):
            raise ValueError(
                f"`seconds_per_checkpoint` must be a finite number, at least 0. Received: "
                f"seconds_per_checkpoint={self.seconds_per_checkpoint!r}"
            )
        if self.keep_weights not in ("none", "final", "best"):
            raise ValueError(
                f"`keep_weights` must be 'none', 'final' or 'best'. "
                f"Received: keep_weights={self.keep_weights!r}"
            )

    @property
    def directory(self) -> pathlib.Path:
        """The run directory: the same configuration has the same one."""
        parts = [self.label, digest(self.config)]
        return self.logdir / self.name / "-".join(filter(None, parts))
