"""What scheduling and logging cost: the time of a training step, side by side in one process.

    python -m benchmarks.overhead [--blocks=400] [--steps=2]

Four copies of one small ResNet-like network train on the same batch:
  constant    a stock SGD with constant learning rate, momentum and weight decay
  scheduled   all three scheduled in the graph, and every value and loss logged by StepLogger to
              History, CSV and TensorBoard
  norms       the same, and the norms of the gradient of each update
  host        all three set and the loss logged by a per-batch callback of the kind people write,
              with variables in the place of momentum and weight decay so that it takes effect
They run in turn, in short blocks, so that a slower moment of the machine meets all; reported is the
median over the blocks of the ratio of times. The order within a round alternates. The logger writes
its files once in a thousand steps, which a median does not see: that time is measured apart and its
share of a step is added.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_sched as ks
from keras_sched.callbacks import StepLogger

RATE, MOMENTUM, DECAY = 0.01, 0.9, 1e-4
HORIZON = 100_000


def network() -> keras.Model:
    """Return a residual network of depth 8 for 32x32 pictures."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = keras.Input([32, 32, 3])
    x = layers.Conv2D(16, 3, padding="same")(inputs)
    for width, stride in ((16, 1), (32, 2), (64, 2)):
        short = layers.Conv2D(width, 1, strides=stride)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Conv2D(width, 3, strides=stride, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = layers.Add()([x, short])
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    return keras.Model(inputs, layers.Dense(10)(x))


class Side:
    """One of the contestants: a model in the middle of a `fit`, advanced block by block.

    It calls what `fit` calls for each batch, in the same order, so that callbacks pay what they
    would pay there; `fit` itself cannot be halted for the others' turns.
    """

    def __init__(self, optimizer: Any, callbacks: list[Any], data: tf.data.Dataset) -> None:
        self.model = network()
        self.model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        self.iterator = iter(data)
        self.callbacks = keras.callbacks.CallbackList(
            callbacks, model=self.model, epochs=1, steps=HORIZON
        )
        self.model.make_train_function()
        self.callbacks.on_train_begin()
        self.callbacks.on_epoch_begin(0)
        self.batch = 0

    def block(self, steps: int) -> float:
        """Return the seconds that `steps` steps take."""
        begin = time.perf_counter()
        for _ in range(steps):
            self.callbacks.on_train_batch_begin(self.batch)
            logs = self.model.train_function(self.iterator)
            self.callbacks.on_train_batch_end(self.batch, logs)
            self.batch += 1
        float(logs["loss"])  # the runtime may still be at work
        return time.perf_counter() - begin


class _Number(keras.Variable):
    """A variable that Keras may compare while it traces: what a host callback needs to be heard."""

    def __bool__(self) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return True

    __hash__ = keras.Variable.__hash__


class HostCallback(keras.callbacks.Callback):
    """Sets the hyperparameters and logs them and the loss at every batch, from Python."""

    def __init__(self, schedules: dict[str, ks.Schedule]) -> None:
        super().__init__()
        self.schedules = schedules
        self.rows: list[dict[str, float]] = []

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self.places = {"learning_rate": model.optimizer.learning_rate}
        for name in ("momentum", "weight_decay"):
            self.places[name] = _Number(getattr(model.optimizer, name), trainable=False, name=name)
            object.__setattr__(model.optimizer, name, self.places[name])

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        for name, place in self.places.items():
            place.assign(self.schedules[name](batch))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        row = {name: float(place.numpy()) for name, place in self.places.items()}
        self.rows.append(row | {"loss": float(logs["loss"])})


class TimedLogger(StepLogger):
    """Knows how long its reading and writing took."""

    seconds = 0.0

    def flush(self) -> None:
        begin = time.perf_counter()
        super().flush()
        self.seconds += time.perf_counter() - begin


def schedules() -> dict[str, ks.Schedule]:
    """Return the three schedules, over a run longer than the benchmark."""
    return {
        "learning_rate": ks.REX(RATE, steps=HORIZON).warmup(100),
        "momentum": ks.Demon(MOMENTUM, steps=HORIZON),
        "weight_decay": ks.Cosine(DECAY, steps=HORIZON),
    }


def sides(batch_size: int, loggers: dict[str, StepLogger]) -> dict[str, Side]:
    """Return the contestants by name: those with a logger, and the two others."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=[batch_size, 32, 32, 3]).astype("float32")
    y = rng.integers(0, 10, size=[batch_size])
    data = tf.data.Dataset.from_tensors((x, y)).repeat()

    def stock() -> Any:
        return keras.optimizers.SGD(RATE, momentum=MOMENTUM, weight_decay=DECAY)

    return {
        "constant": Side(stock(), [], data),
        **{
            name: Side(stock(), [ks.Scheduler(**schedules()), logger], data)
            for name, logger in loggers.items()
        },
        "host": Side(stock(), [HostCallback(schedules())], data),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--blocks", type=int, default=400, help="rounds of the four sides")
    parser.add_argument("--steps", type=int, default=2, help="steps in a block")
    parser.add_argument("--batch_size", type=int, default=64)
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp())
    loggers = {
        name: TimedLogger(
            csv=directory / name / "log.csv",
            tensorboard=directory / name / "board",
            norms=name == "norms",
        )
        for name in ("scheduled", "norms")
    }
    contestants = sides(options.batch_size, loggers)
    for side in contestants.values():
        side.block(20)  # tracing, and the first touch of memory
    for logger in loggers.values():
        logger.flush()
        logger.seconds = 0.0
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for block in range(options.blocks):
        order = list(contestants)
        for name in order if block % 2 else reversed(order):
            times[name].append(contestants[name].block(options.steps) / options.steps)
    whole = {name: np.array(seconds) for name, seconds in times.items()}
    for name, logger in loggers.items():
        logger.flush()
        share = logger.seconds / (options.blocks * options.steps)
        print(f"{name}, writing the log: {1e6 * share:.1f} us a step")
        whole[name] += share
    for name, seconds in times.items():
        print(f"{name}: median {1e3 * np.median(seconds):.2f} ms a step")
    results = []
    for one, other in (("scheduled", "constant"), ("scheduled", "host"), ("norms", "scheduled")):
        ratios = whole[one] / whole[other]
        # The standard error of a median, from the spread of the middle half.
        low, high = np.quantile(ratios, [0.25, 0.75])
        error = 1.2533 * (high - low) / 1.349 / np.sqrt(len(ratios))
        label = "host_callbacks" if other == "host" else other
        print(f"{one} over {label}: n={len(ratios)}, standard error {error:.4f}")
        results.append(f"{one}_over_{label}: {np.median(ratios):.3f}")
    print("\n".join(results))


if __name__ == "__main__":
    main()
