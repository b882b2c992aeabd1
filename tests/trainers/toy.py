"""The second setting of the loop: a regression with two losses, dropout, and no images.

It proves that the loop knows nothing of labels or pictures, and it is small enough to be killed
often. As a program: ``python -m tests.trainers.toy LOGDIR [--forget-seeds] [--nan-at=N]``.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

import keras_sched as ks
from trainers import experiment, state
from trainers.setting import Plan, Setting

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


def forward(network, batch, training):
    out = network(batch["x"], training=training)
    mean = tf.square(out["mean"] - batch["y"])[:, 0]
    sign = tf.nn.sigmoid_cross_entropy_with_logits(
        labels=tf.cast(batch["y"] > 0, tf.float32), logits=tf.cast(out["sign"], tf.float32)
    )[:, 0]
    right = tf.cast((out["sign"] > 0) == (batch["y"] > 0), tf.float32)[:, 0]
    return {"mean": tf.cast(mean, tf.float32), "sign": 0.5 * sign}, {"accuracy": right}


def setting(epochs, optimizer=None, nan_at=None, **changed):
    total = epochs * STEPS_PER_EPOCH
    make = optimizer or (
        lambda: ks.optimizers.SGD(
            ks.REX(0.05, steps=total).warmup(10), momentum=ks.Demon(0.9, steps=total)
        )
    )
    return Setting(
        model=changed.get("model", model),
        optimizer=make,
        train=lambda step: batches(step, nan_at),
        evaluation=lambda: batches(10_000).take(4),
        forward=forward,
        steps_per_epoch=STEPS_PER_EPOCH,
        batch_size=BATCH,
    )


def plan(logdir, epochs, **changed):
    options = {"steps_per_call": 5, "steps_per_checkpoint": 7, "l2": 1e-3, **changed}
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("logdir")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--forget-seeds", action="store_true")
    arguments = parser.parse_args()
    if arguments.forget_seeds:
        whole = state.inventory

        def without_seeds(*parts):
            found = whole(*parts)
            return {
                k: v
                for k, v in found.items()
                if "seed_generator" not in v.name + getattr(v, "path", "")
            }

        experiment.inventory = without_seeds
    run = experiment.Experiment(
        setting(arguments.epochs),
        plan(arguments.logdir, arguments.epochs),
        [Announce(lambda: run)],
    )
    record = run.run()
    sys.exit({"finished": 0}.get(record["status"], 3))


if __name__ == "__main__":
    main()
