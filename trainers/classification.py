"""The setting of image classification, from a configuration: what `trainers.cifar` trains.

A configuration is checked here, whole, before any directory is made.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

import keras_sched as ks
from trainers import datasets, models, optimization, precision
from trainers.budget import trained_epochs
from trainers.compiled import Compiled
from trainers.experiment import Experiment
from trainers.setting import Plan, Setting

__all__ = ["Config", "experiment", "length", "load", "verify_run"]


@dataclasses.dataclass(frozen=True)
class Config:
    """A setting, its schedules and its budget; see `configs/digits.py` for values.

    Args:
        name: Name of the run directory.
        dataset: Name of the data set.
        model: Name of the model.
        batch_size: Images of a batch.
        epochs: Epochs of the full budget.
        budget: Share of these epochs that are trained, above 0; the schedules stretch to it.
        learning_rate: Peak of the learning rate.
        schedule: Name of its schedule; "plateau" for a constant one that falls when a measure of
            training stops improving.
        schedule_options: Options of that schedule, or those of `ks.Plateau`.
        sampling: When the schedule is read: "" for at each step, "every:0.1dur", or
            "at:0.5dur,0.75dur".
        schedule_delay: How long its first value is held before it begins, as "10ep".
        warmup: Length of a warmup before it, as "1ep".
        optimizer: "sgd", "nesterov", "adam", "adamw", "amsgrad" or "demon_adam".
        momentum: Start of the momentum, in [0, 1); beta_1 of Adam and its kin.
        momentum_schedule: Name of its schedule.
        momentum_options: Options of that schedule.
        precision_schedule: Name of the schedule of bits, as "cr"; "none" for full precision.
        precision_options: Further options of that schedule.
        bits_min: Fewest bits of weights and activations, in [2, 16].
        bits_max: Most bits; those of the schedule "static".
        gradient_bits: Bits of gradients; 0 for full precision.
        cycles: Cycles of the schedule of bits.
        quantized_layers: "all", "cpt_cifar" or "cpt_imagenet"; see `ks.precision.quantize`.
        evaluation_bits: Bits of evaluation: "max", "current" or a number.
        policy: Dtype policies with their shares of the run, as "mixed_bfloat16:0.9,float32:0.1";
            empty for float32.
        form: Form of momentum of SGD, "keras" or "pytorch".
        l2: Coupled weight decay, which is a part of the gradient; at least 0.
        weight_decay: Decoupled weight decay, as of AdamW: times the learning rate it is taken off
            a weight; at least 0.
        steps_per_call: Data steps of a call of the compiled function.
        steps_per_checkpoint: Data steps between checkpoints within an epoch; 0 for none.
        split: "test", or "validation": every tenth training image is held out of training and
            evaluated on, and no test image is used.
        seed: Of weights, order and augmentation.
    """

    name: str
    dataset: str
    model: str
    batch_size: int
    epochs: int
    budget: float
    learning_rate: float
    schedule: str
    schedule_options: Mapping[str, Any]
    sampling: str
    schedule_delay: str
    warmup: str
    optimizer: str
    momentum: float
    momentum_schedule: str
    momentum_options: Mapping[str, Any]
    precision_schedule: str
    precision_options: Mapping[str, Any]
    bits_min: int
    bits_max: int
    gradient_bits: int
    cycles: int
    quantized_layers: str
    evaluation_bits: str
    policy: str
    form: str
    l2: float
    weight_decay: float
    steps_per_call: int
    steps_per_checkpoint: int
    split: str
    seed: int

    def __post_init__(self) -> None:
        if self.model not in models.names():
            raise ValueError(
                f"`model` must be one of {', '.join(models.names())}. Received: {self.model!r}"
            )
        if self.dataset not in datasets.names():
            raise ValueError(
                f"`dataset` must be one of {', '.join(datasets.names())}. "
                f"Received: {self.dataset!r}"
            )
        if self.split not in datasets.SPLITS:
            raise ValueError(
                f"`split` must be one of {', '.join(datasets.SPLITS)}. Received: {self.split!r}"
            )
        for name in ("batch_size", "epochs", "steps_per_call"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1. Received: {getattr(self, name)}")
        if not 0.0 < self.budget < float("inf"):
            raise ValueError(f"`budget` must be a number above 0. Received: {self.budget}")
        if self.seed < 0 or self.steps_per_checkpoint < 0 or not self.l2 >= 0.0:
            raise ValueError(
                f"`seed`, `steps_per_checkpoint` and `l2` must be at least 0. Received: "
                f"seed={self.seed}, steps_per_checkpoint={self.steps_per_checkpoint}, l2={self.l2}"
            )
        optimization.verify(self)
        precision.verify(self)

    @property
    def trained_epochs(self) -> int:
        """Epochs that are trained: at least one."""
        return trained_epochs(self.epochs, self.budget)


def length(config: Config, steps_per_epoch: int | None = None) -> ks.Run:
    """Return how long a training is; without data, as its data set is known to be."""
    if steps_per_epoch is None:
        facts = datasets.facts(config.dataset)
        steps_per_epoch = facts.steps_per_epoch(config.split, config.batch_size)
    return ks.Run(
        steps=config.trained_epochs * steps_per_epoch,
        steps_per_epoch=steps_per_epoch,
        batch_size=config.batch_size,
    )


def verify_run(config: Config, run: ks.Run) -> None:
    """Refuse schedules that do not fit into a run, or leave their range in it.

    Raises:
        ValueError: With what does not fit.
    """
    optimization.optimizer(config, *optimization.schedules(config, run))
    precision.verify_run(config, run)


def experiment(
    config: Config,
    logdir: str | pathlib.Path,
    data_dir: str | None = None,
    callbacks: tuple[Any, ...] = (),
    *,
    data: datasets.Images | None = None,
    compiled: Compiled | None = None,
    seconds_per_checkpoint: float = 0.0,
) -> Experiment:
    """Return the experiment of a configuration.

    Args:
        config: The configuration.
        logdir: Where run directories are made.
        data_dir: Where TensorFlow Datasets finds its data.
        callbacks: Keras callbacks.
        data: The images of the configuration, if they are loaded already.
        compiled: What an experiment has traced that shares its trace; see `trainers.trials`.
        seconds_per_checkpoint: Least time between checkpoints at the ends of epochs.

    Raises:
        FileNotFoundError: If the data are not there and cannot be downloaded.
        ValueError: If the schedules do not fit the run.
    """
    data = data or load(config, data_dir)
    run = length(config, data.steps_per_epoch(config.batch_size))
    rate, momentum = optimization.schedules(config, run)
    verify_run(config, run)  # Before a directory is made.

    def optimizer() -> keras.optimizers.Optimizer:
        return precision.scaled(optimization.optimizer(config, rate, momentum), config)

    def model() -> keras.Model:
        plain = models.get(config.model, data.input_shape, data.classes)
        return precision.quantized(plain, config, run)

    setting = Setting(
        model=model,
        optimizer=optimizer,
        train=lambda step: data.train(config.batch_size, config.seed, step),
        evaluation=functools.cache(lambda: data.evaluate(4 * config.batch_size)),
        forward=_forward,
        steps_per_epoch=data.steps_per_epoch(config.batch_size),
        batch_size=config.batch_size,
        goal="val_accuracy",
        goal_mode="max",
    )
    plan = Plan(
        name=config.name,
        config=dataclasses.asdict(config),
        epochs=config.trained_epochs,
        logdir=pathlib.Path(logdir),
        seed=config.seed,
        l2=config.l2,
        steps_per_call=config.steps_per_call,
        steps_per_checkpoint=config.steps_per_checkpoint or None,
        seconds_per_checkpoint=seconds_per_checkpoint,
    )
    own = (*optimization.callbacks(config), *precision.callbacks(config))
    return Experiment(setting, plan, (*own, *callbacks), compiled=compiled)


def load(config: Config, data_dir: str | None = None) -> datasets.Images:
    """Return the images that a configuration trains on and is evaluated with.

    Raises:
        FileNotFoundError: If they are not there and cannot be downloaded.
    """
    return datasets.get(config.dataset, data_dir).split(config.split)


def _forward(
    model: keras.Model, batch: tuple[tf.Tensor, tf.Tensor], training: bool
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    images, labels = batch
    logits = tf.cast(model(images, training=training), tf.float32)
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    right = tf.cast(tf.argmax(logits, axis=-1, output_type=labels.dtype) == labels, tf.float32)
    return {"cross_entropy": loss}, {"accuracy": right}
