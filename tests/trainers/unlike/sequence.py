"""A sequence that goes on from batch to batch: the state is the model's, and the data reset it.

The perplexity is no mean of examples, and the learning rate may follow "val" while "test" is
measured at the end only.
"""

from __future__ import annotations

import math

import keras
import numpy as np
import tensorflow as tf

from tests.trainers.unlike.options import Computed
from trainers.loop.task import Evaluation, Forward, Metric

WORDS, LENGTH, STREAMS, UNITS = 11, 5, 8, 12
# Every so many batches the streams begin anew.
PASSAGE = 4


class Recurrent(keras.Model):
    """An Elman network whose state stays for the next batch, one for training and one beside."""

    def __init__(self):
        super().__init__()
        self.embed = keras.layers.Embedding(WORDS, UNITS)
        self.cell = keras.layers.Dense(UNITS, activation="tanh")
        self.head = keras.layers.Dense(WORDS, dtype="float32")
        self.states = [
            self.add_weight((STREAMS, UNITS), initializer="zeros", trainable=False, name=name)
            for name in ("training_state", "evaluation_state")
        ]

    def call(self, inputs, training=False):
        words, begins = inputs
        kept = self.states[0 if training else 1]
        before = tf.cast(kept.value, self.compute_dtype)
        state = tf.where(begins[:, None], tf.zeros_like(before), before)
        x, outputs = self.embed(words), []
        for t in range(LENGTH):
            state = self.cell(tf.concat([tf.cast(x[:, t], state.dtype), state], axis=-1))
            outputs.append(self.head(state))
        kept.assign(tf.cast(state, tf.float32))
        return tf.stack(outputs, axis=1)


def passage(seed, step):
    """Return the words of a batch, which go on from those of the batch before."""
    # A line of multiples with a stride of its own for each stream: to be foretold with a state.
    stride = 1 + (tf.range(STREAMS, dtype=tf.int64) + seed + step // PASSAGE) % 3
    place = step % PASSAGE * LENGTH + tf.range(LENGTH + 1, dtype=tf.int64)
    words = stride[:, None] * place[None] % WORDS
    begins = tf.fill([STREAMS], step % PASSAGE == 0)
    return {"words": words[:, :-1], "next": words[:, 1:], "begins": begins}


def batches(seed, start):
    seed = tf.constant(seed, tf.int64)
    return tf.data.Dataset.counter(start).map(lambda step: passage(seed, step))


class Sequence(Computed):
    goal = "val_perplexity"
    artefacts_every = 4

    def __init__(self, config, data=None):
        self.metrics = {"perplexity": Metric("lower")}
        self.evaluations = {
            "val": Evaluation(lambda: batches(100, 0).take(2 * PASSAGE)),
            "test": Evaluation(lambda: batches(200, 0).take(2 * PASSAGE), every=10**6),
        }
        super().__init__(config, data)

    def network(self):
        model = Recurrent()
        first = next(iter(batches(0, 0)))
        model((first["words"], first["begins"]))
        return model

    def train(self, step):
        return batches(self.config.training.seed, step)

    def forward(self, model, batch, evaluation):
        logits = model((batch["words"], batch["begins"]), training=evaluation is None)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=batch["next"], logits=logits)
        return Forward({"cross_entropy": loss})  # (streams, length): a mean over words

    def judge(self, evaluation, means, outputs):
        return {"perplexity": math.exp(means["loss"])}

    def artefacts(self, model, epoch):
        states = model.states[0].numpy()
        image = np.uint8(127.5 * (1.0 + np.clip(states, -1.0, 1.0)))[..., None]
        return {"state": image, "words": f"after epoch {epoch}"}
