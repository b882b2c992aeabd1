"""Programs that leave the training step to Keras, and differ in data, optimizer or model."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

import keras_sched as ks
from tests.optimizers import reference
from tests.programs.probe import Part, Probe, Program, probe_of

rng = np.random.default_rng(1)
X = rng.normal(size=(24, 6)).astype("float32")
Y = X[:, :1] * 0.5
SGD = {"learning_rate": 0.01, "momentum": 0.9}
ADAM = {"learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999}


def _regression(optimizer, jit, **compiled):
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(4, "relu"), layers.Dense(1), Probe(name="probe")]
    )
    model.compile(optimizer, "mse", jit_compile=jit, **compiled)
    return model


def _generator_data():
    for i in range(0, 20, 4):
        yield X[i : i + 4], Y[i : i + 4]


def generator(jit):
    """A Python generator, whose end nobody knows before."""
    model = _regression(keras.optimizers.SGD(0.01, momentum=0.9), jit)
    schedules = {
        "learning_rate": ks.REX(0.05, steps=8).warmup(2),
        "momentum": ks.Demon(0.9, steps=10),
    }
    part = Part(model.optimizer, probe_of(model), reference.sgd, schedules, SGD)
    signature = (tf.TensorSpec((None, 6)), tf.TensorSpec((None, 1)))
    data = tf.data.Dataset.from_generator(_generator_data, output_signature=signature)
    return Program(model, {"x": data}, 5, [part])


def _is_kept(x, keep):
    return keep > 0


def _labelled(x, keep):
    return x, x[:1]


def filtered(jit):
    """Samples that a filter has left, and validation data too."""
    model = _regression(keras.optimizers.SGD(0.01, momentum=0.9), jit)
    schedules = {
        "learning_rate": ks.PiecewiseConstant([0.05, 0.02, 0.01], boundaries=[3, 7]),
        "momentum": ks.Constant(0.5),
    }
    part = Part(model.optimizer, probe_of(model), reference.sgd, schedules, SGD)
    data = tf.data.Dataset.from_tensor_slices((np.repeat(X[:20], 2, axis=0), np.tile([1, 0], 20)))
    data = data.filter(_is_kept).map(_labelled).batch(4)
    return Program(model, {"x": data, "validation_data": (X, Y)}, 5, [part])


def accumulated(jit, per="update"):
    """Gradients of two batches are one update; the schedules count updates."""
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9, gradient_accumulation_steps=2)
    model = _regression(optimizer, jit)
    schedules = {"learning_rate": ks.Linear(0.05).warmup("1ep"), "momentum": ks.Demon(0.9)}
    options = {"per": per}
    part = Part(optimizer, probe_of(model), reference.sgd, schedules, SGD, options=options)
    return Program(model, {"x": X, "y": Y, "batch_size": 4}, 6, [part])


def accumulated_by_call(jit):
    """The same; the schedules count batches, as Keras' own do."""
    return accumulated(jit, per="micro")


def groups(jit):
    """Encoder and head have optimizers of their own."""
    encoder = keras.Sequential(
        [keras.Input((6,)), layers.Dense(4), Probe(name="probe")], name="encoder"
    )
    head = keras.Sequential([keras.Input((4,)), layers.Dense(1), Probe(name="probe")], name="head")
    model = keras.Sequential([encoder, head])
    slow = keras.optimizers.SGD(0.01, momentum=0.9, name="encoder")
    fast = keras.optimizers.Adam(1e-3, name="head")
    by_name = keras.optimizers.OptimizerMap(fast, {".*encoder/.*": slow})
    whole = keras.optimizers.MultiOptimizer(by_name)
    model.compile(whole, "mse", jit_compile=jit)
    parts = [
        Part(
            slow,
            probe_of(encoder),
            reference.sgd,
            {"learning_rate": ks.REX(0.05), "momentum": ks.Demon(0.9)},
            SGD,
            owner=whole,
        ),
        Part(
            fast,
            probe_of(head),
            reference.adam,
            {"learning_rate": ks.Cosine(0.01).warmup("1ep")},
            ADAM,
            owner=whole,
        ),
    ]

    def schedulers():
        return [ks.Scheduler(groups={part.optimizer.name: part.schedules for part in parts})]

    return Program(model, {"x": X, "y": Y, "batch_size": 4}, 6, parts, schedulers)


def text(jit):
    """Words, masked and recurrent, with sparse gradients and clipped ones."""
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            layers.Embedding(9, 3, mask_zero=True),
            Probe(name="probe"),
            layers.SimpleRNN(4),
            layers.Dense(1, "sigmoid"),
        ]
    )
    optimizer = keras.optimizers.RMSprop(1e-3, rho=0.9, momentum=0.5, clipnorm=1.0)
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"], jit_compile=jit)
    schedules = {
        "learning_rate": ks.InverseSqrt(0.02, timescale=4),
        "momentum": ks.Demon(0.5),
        "rho": ks.Linear(0.9, end=0.99),
    }
    found = {"learning_rate": 1e-3, "rho": 0.9, "momentum": 0.5}
    part = Part(optimizer, probe_of(model), reference.rmsprop, schedules, found)
    x = rng.integers(0, 9, size=(20, 5))
    return Program(model, {"x": x, "y": x[:, :1] % 2, "batch_size": 4}, 5, [part])


class Measured(keras.Model):
    """Metrics of its own, through `compute_metrics`; layers whose losses are added."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(1, activity_regularizer="l2")
        self.probe = Probe(name="probe")
        self.largest = keras.metrics.Mean("largest")

    def build(self, shape):
        self.dense.build(shape)
        self.probe.build((None, 1))

    def call(self, x):
        return self.probe(self.dense(x))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        self.largest.update_state(ops.max(ops.abs(y_pred)))
        return {
            **super().compute_metrics(x, y, y_pred, sample_weight),
            "largest": self.largest.result(),
        }


def measured(jit):
    model = Measured()
    model.build((None, 6))
    optimizer = keras.optimizers.Nadam(1e-3)
    model.compile(optimizer, "mse", metrics=["mae"], jit_compile=jit)
    schedules = {"learning_rate": ks.Exponential(0.01), "beta_1": ks.CosineMomentum(0.8, end=0.95)}
    part = Part(optimizer, probe_of(model), reference.nadam, schedules, ADAM)
    weights = np.linspace(0.5, 1.5, 24)
    fit = {"x": X, "y": Y, "sample_weight": weights, "batch_size": 4}
    return Program(model, fit, 6, [part])


def averaged(jit):
    """The optimizer keeps a moving average of the weights, which takes their place at the end."""
    optimizer = keras.optimizers.SGD(
        0.01, momentum=0.9, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=None
    )
    model = _regression(optimizer, jit)
    schedules = {"learning_rate": ks.Polynomial(0.05, power=2.0), "ema_momentum": ks.Linear(0.9)}
    found = {**SGD, "ema_momentum": 0.5}
    part = Part(optimizer, probe_of(model), reference.sgd, schedules, found)
    return Program(model, {"x": X, "y": Y, "batch_size": 4}, 6, [part])
