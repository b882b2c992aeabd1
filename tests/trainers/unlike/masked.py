"""Two losses with weights: series of unlike lengths, and classes of unlike importance.

Batches of the evaluation are another structure than those of training, from a generator, and the
last one is smaller.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tests.trainers.unlike.options import Computed
from trainers.loop.task import Evaluation, Forward, Metric

LENGTH, WIDTH = 6, 5


def series(count, key):
    """Return series, how many of their places count, and what is asked of each."""
    x = tf.random.stateless_normal([count, LENGTH, WIDTH], key)
    lengths = tf.random.stateless_uniform([count], key, 1, LENGTH + 1, tf.int32)
    return {"x": x, "lengths": lengths, "kind": tf.cast(x[:, 0, 0] > 0.5, tf.int32)}


class Masked(Computed):
    def __init__(self, config, data=None):
        names = config.training.evaluations
        self.goal = f"{names[0]}_kind_accuracy"
        self.metrics = {"kind_accuracy": Metric("higher", is_share=True)}
        self.evaluations = {name: Evaluation(self._evaluation, batches=2) for name in names}
        super().__init__(config, data)

    def network(self):
        inputs = x = keras.layers.Input((LENGTH, WIDTH))
        x = keras.layers.Dropout(0.1)(keras.layers.Dense(16, activation="relu")(x))
        level = keras.layers.Dense(1, dtype="float32", name="level")(x)
        kind = keras.layers.Dense(2, dtype="float32", name="kind")(x[:, 0])
        return keras.Model(inputs, {"level": level, "kind": kind})

    def train(self, step):
        seed, size = self.config.training.seed, self.config.training.batch_size
        return tf.data.Dataset.counter(step).map(lambda t: series(size, tf.stack([seed, t])))

    def _evaluation(self):
        def batches():
            for size in (16, 7):
                found = series(size, (99, size))
                yield found["x"], found["lengths"], found["kind"]

        shapes = ((None, LENGTH, WIDTH), (None,), (None,))
        kinds = (tf.float32, tf.int32, tf.int32)
        specs = tuple(tf.TensorSpec(s, k) for s, k in zip(shapes, kinds, strict=True))
        return tf.data.Dataset.from_generator(batches, output_signature=specs)

    def forward(self, model, batch, evaluation):
        x, lengths, kind = batch if evaluation else (batch["x"], batch["lengths"], batch["kind"])
        out = model(x, training=evaluation is None)
        level = tf.square(out["level"][..., 0] - tf.reduce_sum(x, axis=-1))  # (batch, length)
        kinds = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=kind, logits=out["kind"])
        right = tf.cast(tf.argmax(out["kind"], -1, tf.int32) == kind, tf.float32)
        importance = tf.where(kind == 1, 3.0, 1.0)
        return Forward(
            {
                "level": (level, tf.sequence_mask(lengths, LENGTH, tf.float32)),
                "kind": (kinds, importance),
            },
            {"kind_accuracy": right},
        )


def weighted_means(model, batches):
    """Return the two losses over batches of the evaluation, in float64."""
    sums = np.zeros([2, 2])
    for x, lengths, kind in batches:
        out = {name: np.float64(value) for name, value in model(x, training=False).items()}
        x, lengths, kind = np.float64(x), np.asarray(lengths), np.asarray(kind)
        level = (out["level"][..., 0] - x.sum(-1)) ** 2
        mask = np.arange(LENGTH)[None] < lengths[:, None]
        logits = out["kind"] - out["kind"].max(-1, keepdims=True)
        entropy = np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(kind)), kind]
        weight = np.where(kind == 1, 3.0, 1.0)
        sums += [
            [level[mask].sum(), (weight * entropy).sum()],
            [mask.sum(), weight.sum()],
        ]
    return sums[0] / sums[1]
