"""The smallest task of the loop: a regression with two losses, dropout, and no images.

It proves that the loop knows nothing of labels or pictures, and it is small enough to be killed
often. As a program: ``python -m tests.trainers.toy LOGDIR [--forget-seeds] [--quantized]``.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

import keras_sched as ks
from trainers.loop import compiled, experiment, state
from trainers.loop.task import Evaluation, Forward, Metric, Plan, Task

STEPS_PER_EPOCH = 50
BATCH = 8


def model():
    inputs = keras.layers.Input((4,))
    x = keras.layers.Dense(16, activation="tanh")(inputs)
    x = keras.layers.Dropout(0.3)(x)
    x = keras.layers.BatchNormalization(momentum=0.9)(x)
    return keras.Model(inputs, {"mean": keras.layers.Dense(1)(x), "sign": keras.layers.Dense(1)(x)})


def batches(start_step, nan_at=None):
    """Batches that are a function of the data step alone."""

    def batch(step):
        x = tf.random.stateless_normal((BATCH, 4), tf.stack([step % STEPS_PER_EPOCH, 7]))
        if nan_at is not None:
            x = tf.where(step == nan_at, np.float32("nan"), x)
        y = tf.reduce_sum(x, axis=1, keepdims=True)
        return {"x": x, "y": y}

    return tf.data.Dataset.counter(start_step).map(batch)


class Toy(Task):
    """A regression with two losses.

    Args:
        epochs: Epochs, for the schedules of the optimizer.
        optimizer: Makes another optimizer.
        nan_at: The data step of training whose inputs are NaN.
        model: Makes another model.
        evaluation: Gives other batches of the evaluation "val".
    """

    goal = "val_loss"
    traced = "toy"
    steps_per_epoch = STEPS_PER_EPOCH

    def __init__(self, epochs, optimizer=None, nan_at=None, model=model, evaluation=None):
        total = epochs * STEPS_PER_EPOCH
        self.make_optimizer = optimizer or (
            lambda: ks.optimizers.SGD(
                ks.REX(0.05, steps=total).warmup(10), momentum=ks.Demon(0.9, steps=total)
            )
        )
        self.nan_at = nan_at
        self.make_model = model
        self.metrics = {"accuracy": Metric("higher", is_share=True)}
        self.evaluations = {"val": Evaluation(evaluation or (lambda: batches(10_000).take(4)))}

    def model(self):
        return self.make_model()

    def optimizer(self, model):
        return self.make_optimizer()

    def train(self, step):
        return batches(step, self.nan_at)

    def penalty(self, model):
        return 1e-3 * tf.add_n([tf.nn.l2_loss(v.value) for v in model.trainable_variables])

    def forward(self, model, batch, evaluation):
        out = model(batch["x"], training=evaluation is None)
        mean = tf.square(out["mean"] - batch["y"])[:, 0]
        sign = tf.nn.sigmoid_cross_entropy_with_logits(
            labels=tf.cast(batch["y"] > 0, tf.float32), logits=tf.cast(out["sign"], tf.float32)
        )[:, 0]
        right = tf.cast((out["sign"] > 0) == (batch["y"] > 0), tf.float32)[:, 0]
        return Forward({"mean": mean, "sign": 0.5 * sign}, {"accuracy": right})


class Weighted(Toy):
    """The toy with examples that weigh unlike, some of them nothing, in either loss."""

    def forward(self, model, batch, evaluation):
        made = super().forward(model, batch, evaluation)
        weights = tf.nn.relu(batch["x"][:, 0])
        return dataclasses.replace(
            made,
            losses={
                "mean": (made.losses["mean"], weights),
                "sign": (made.losses["sign"], 1.0 + weights),
            },
            means={"accuracy": (made.means["accuracy"], weights)},
        )


def quantized(epochs):
    """Make the model with bits that follow a schedule, and quantize whatever can be."""

    def make():
        bits = ks.precision.cr(3, bits_max=8, cycles=8, steps=epochs * STEPS_PER_EPOCH)
        network = model()
        ks.precision.quantize(
            network, weights=bits, activations=bits, gradients=8, layers="all", evaluation="current"
        )
        return network

    return make


def plan(logdir, epochs, **changed):
    options = {"steps_per_call": 5, "steps_per_checkpoint": 7, **changed}
    config = {"epochs": epochs, "seed": options.get("seed", 0)}
    return Plan(name="toy", config=config, epochs=epochs, logdir=pathlib.Path(logdir), **options)


class Announce(keras.callbacks.Callback):
    """Says where a process began, once its first call is over."""

    def __init__(self, run):
        super().__init__()
        self.run = run
        self.began = None

    def on_train_begin(self, logs=None):
        self.began = self.run().step

    def on_train_batch_end(self, batch, logs=None):
        if self.began is not None:
            sys.stdout.write(f"START {self.began}\n")
            sys.stdout.flush()
            self.began = None


class ForgetPrecision(keras.callbacks.Callback):
    """If told to, begins with the quantizers of a new model, whatever the checkpoint says."""

    def __init__(self, make, is_told):
        super().__init__()
        self.make = make
        self.is_told = is_told

    def on_train_begin(self, logs=None):
        if not self.is_told:
            return
        new = ks.precision.find(self.make()).variables
        for variable, value in zip(ks.precision.find(self.model).variables, new, strict=True):
            variable.assign(value)


def precision_callbacks(logdir):
    """Log the bits of every step, and leave no row unread when a process is killed."""
    logger = ks.StepLogger(csv=pathlib.Path(logdir) / "steps.csv", resume=True)
    flush = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: logger.flush())
    return [ks.CostLogger(), logger, flush]


def main(words=None):
    """Train as the words of the command line say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("logdir")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--forget-seeds", action="store_true")
    parser.add_argument("--quantized", action="store_true")
    parser.add_argument("--forget-precision", action="store_true")
    arguments = parser.parse_args(words)
    if arguments.forget_seeds:
        whole = state.inventory

        def without_seeds(*parts):
            found = whole(*parts)
            return {
                k: v
                for k, v in found.items()
                if "seed_generator" not in v.name + getattr(v, "path", "")
            }

        compiled.inventory = without_seeds
    changed, callbacks = {}, [Announce(lambda: run)]
    if arguments.quantized:
        changed["model"] = quantized(arguments.epochs)
        callbacks += precision_callbacks(arguments.logdir)
        callbacks.append(ForgetPrecision(changed["model"], arguments.forget_precision))
    run = experiment.Experiment(
        Toy(arguments.epochs, **changed), plan(arguments.logdir, arguments.epochs), callbacks
    )
    record = run.run()
    sys.exit({"finished": 0}.get(record.status, 3))


if __name__ == "__main__":
    main()
