"""What is trained, and how: the two things that a program gives to the loop."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from trainers import records

__all__ = ["Plan", "Setting"]


@dataclasses.dataclass(frozen=True)
class Setting:
    """What an experiment trains on.

    Args:
        model: Makes the model, built and not compiled.
        optimizer: Makes the optimizer.
        train: Gives the endless batches from a data step on; a function of that step alone.
        evaluation: Gives the batches of one evaluation.
        forward: Takes (model, batch, training) and returns named losses and named measures, each
            one number an example, of shape `(batch,)`. The sum of the losses' means is minimised.
        steps_per_epoch: Data steps of an epoch.
        batch_size: Examples of a batch, over all replicas.
        goal: The measure or loss whose best value is kept, as "val_accuracy".
        goal_mode: "max" or "min".
    """

    model: Callable[[], keras.Model]
    optimizer: Callable[[], keras.optimizers.Optimizer]
    train: Callable[[int], tf.data.Dataset]
    evaluation: Callable[[], tf.data.Dataset]
    forward: Callable[
        [keras.Model, Any, bool], tuple[Mapping[str, tf.Tensor], Mapping[str, tf.Tensor]]
    ]
    steps_per_epoch: int
    batch_size: int
    goal: str = "val_loss"
    goal_mode: str = "min"


@dataclasses.dataclass(frozen=True)
class Plan:
    """How an experiment is run.

    Args:
        name: Name of the run directory, before the hash of `config`.
        config: What makes the run what it is, JSON-able; a run goes on only under the same.
        epochs: Epochs of the run; at least 1.
        logdir: Where run directories are made.
        seed: Of the weights and of everything random.
        l2: Coupled weight decay: ``l2 * w`` is added to the gradient of every trainable variable,
            as PyTorch does; at least 0. It is not part of the loss that is logged.
        steps_per_call: Data steps of one call of the compiled function; at least 1.
        steps_per_checkpoint: Data steps between checkpoints within an epoch, or None for none.
        seconds_per_checkpoint: Least time between checkpoints at the ends of epochs, for epochs
            that are shorter than a checkpoint is worth; at least 0.
        keep: Checkpoints kept.
    """

    name: str
    config: Mapping[str, Any]
    epochs: int
    logdir: pathlib.Path
    seed: int = 0
    l2: float = 0.0
    steps_per_call: int = 10
    steps_per_checkpoint: int | None = None
    seconds_per_checkpoint: float = 0.0
    keep: int = 3

    def __post_init__(self) -> None:
        for name in ("epochs", "steps_per_call", "steps_per_checkpoint", "keep"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"`{name}` must be a whole number above 0. Received: {value!r}")
        for name in ("l2", "seconds_per_checkpoint"):
            if not getattr(self, name) >= 0.0:
                raise ValueError(
                    f"`{name}` must be at least 0. Received: {name}={getattr(self, name)!r}"
                )

    @property
    def directory(self) -> pathlib.Path:
        """The run directory: the same configuration has the same one."""
        return self.logdir / f"{self.name}-{records.config_hash(self.config)}"
