"""Metrics of the whole evaluation, which no mean of examples gives: Matthews and Spearman."""

from __future__ import annotations

import keras
import numpy as np
import scipy.stats
import sklearn.metrics
import tensorflow as tf

from tests.trainers.unlike.options import Computed
from trainers.loop.task import Evaluation, Forward, Metric


def pairs(seed, count=40):
    x = tf.random.stateless_normal([count, 6], [7, seed])
    return x, tf.reduce_sum(x[:, :3], axis=-1)


class Ranked(Computed):
    def __init__(self, config, data=None):
        names = config.training.evaluations
        self.goal = f"{names[0]}_matthews"
        self.metrics = {
            "matthews": Metric("higher", printed="MCC"),
            "spearman": Metric("higher"),
        }
        held = tf.data.Dataset.from_tensor_slices(pairs(10**6, 100)).batch(32)
        self.evaluations = {name: Evaluation(lambda: held) for name in names}
        super().__init__(config, data)

    def network(self):
        inputs = x = keras.layers.Input((6,))
        x = keras.layers.Dense(16, activation="relu")(x)
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
        return keras.Model(inputs, keras.layers.Dense(1, dtype="float32")(x))

    def train(self, step):
        seed, size = self.config.training.seed, self.config.training.batch_size
        return tf.data.Dataset.counter(step).map(lambda t: pairs(100 * seed + t, size))

    def forward(self, model, batch, evaluation):
        x, score = batch
        found = model(x, training=evaluation is None)[:, 0]
        return Forward(
            {"squares": tf.square(found - score)}, outputs={"found": found, "score": score}
        )

    def judge(self, evaluation, means, outputs):
        found, score = (np.concatenate(outputs[name]) for name in ("found", "score"))
        return {
            "matthews": sklearn.metrics.matthews_corrcoef(score > 0, found > 0),
            "spearman": scipy.stats.spearmanr(found, score).statistic,
        }
