"""A task of two linear layers: its weights after a run can be computed by hand."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from trainers.loop.task import Evaluation, Forward
from trainers.options.fields import Options
from trainers.options.optimization import Optimization
from trainers.options.precision import Precision
from trainers.options.training import Training
from trainers.tasks.configured import ConfiguredTask

STEPS, PER_EPOCH = 8, 4

SHAPES = {
    "dense/kernel": (3, 4),
    "dense/bias": (4,),
    "dense_1/kernel": (4, 2),
    "dense_1/bias": (2,),
}
DRAW = np.random.default_rng(3)
# Sixteenths: float16 holds them.
START = {name: DRAW.integers(-16, 17, shape) / 16 for name, shape in SHAPES.items()}
X = DRAW.integers(-16, 17, (STEPS, 6, 3)) / 16
Y = DRAW.integers(-16, 17, (STEPS, 6, 2)) / 16


@dataclasses.dataclass(frozen=True)
class Small(Options):
    training: Training
    optimization: Optimization = dataclasses.field(default_factory=Optimization)
    precision: Precision = dataclasses.field(default_factory=Precision)


class Linear(ConfiguredTask):
    """Two linear layers, whose gradients are known."""

    options = Small
    goal = "val_loss"

    def __init__(self, config, data=None):
        self.metrics = {}
        self.evaluations = {"val": Evaluation(lambda: self.train(0).take(1))}
        super().__init__(config, data)

    @classmethod
    def load(cls, config, data_dir=None):
        return None

    stand_in = load

    def count_steps(self):
        return PER_EPOCH

    def network(self):
        inputs = keras.layers.Input((3,))
        hidden = keras.layers.Dense(4)(inputs)
        model = keras.Model(inputs, keras.layers.Dense(2, dtype="float32")(hidden))
        for weight in model.weights:
            weight.assign(START[weight.path])
        return model

    def train(self, step):
        batches = tf.data.Dataset.from_tensor_slices((np.float32(X), np.float32(Y)))
        return batches.repeat().skip(step)

    def forward(self, model, batch, evaluation):
        x, y = batch
        return Forward(
            {"square": tf.reduce_sum((model(x, training=evaluation is None) - y) ** 2, 1)}
        )


def task(**changes):
    return Linear.of(
        {"name": "small", "epochs": STEPS // PER_EPOCH, "schedule": "linear", "l2": 0.0} | changes
    )
