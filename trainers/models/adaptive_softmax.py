"""The adaptive softmax of Grave et al. (arXiv 1609.04309), for vocabularies of many words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

__all__ = ["AdaptiveSoftmax"]

# How many fewer numbers a rarer group of words has.
_FACTOR = 4


@keras.saving.register_keras_serializable(package="keras_sched")
class AdaptiveSoftmax(keras.layers.Layer):
    """The cross entropy of words, of which rare ones cost less.

    The vocabulary is cut into groups, the most frequent words first. Words of the first group, and
    the other groups as wholes, share a softmax; a word of another group has the probability of its
    group times that within it, from a quarter as many numbers as the group before has::

        -log p(w) = -log softmax(A h)[w]                                    in the first group
        -log p(w) = -log softmax(A h)[group] - log softmax(B_g C_g h)[w]    in group g

    What is within a group is computed only where one of its words is to be foretold.

    Args:
        vocabulary: Number of words, more frequent ones first.
        cutoffs: Rising numbers below it, at which a group ends.
        initial_range: Weights are drawn from up to this, and minus it.
    """

    def __init__(
        self, vocabulary: int, cutoffs: Sequence[int], initial_range: float, **options: Any
    ) -> None:
        super().__init__(**options)
        self.vocabulary, self.cutoffs = vocabulary, tuple(cutoffs)
        self.initial_range = initial_range
        self._ends = (*self.cutoffs, vocabulary)
        draw = keras.initializers.RandomUniform(-initial_range, initial_range)

        def dense(count: int, name: str) -> keras.layers.Dense:
            return keras.layers.Dense(
                count, use_bias=False, kernel_initializer=draw, dtype=self.dtype_policy, name=name
            )

        self.head = dense(self.cutoffs[0] + len(self.cutoffs), "head")
        # How many numbers a group has is known when the layer is built.
        self._dense = dense
        self.downs: list[keras.layers.Dense] = []
        self.outs: list[keras.layers.Dense] = []

    def build(self, hidden_shape: Any, following_shape: Any = None) -> None:
        """Make the weights."""
        units = hidden_shape[-1]
        self.head.build((None, units))
        for group in range(1, len(self._ends)):
            fewer = max(1, units // _FACTOR**group)
            size = self._ends[group] - self._ends[group - 1]
            down, out = self._dense(fewer, f"down_{group}"), self._dense(size, f"out_{group}")
            down.build((None, units))
            out.build((None, fewer))
            self.downs.append(down)
            self.outs.append(out)

    def call(self, hidden: Any, following: Any) -> Any:
        """Return the cross entropy, in nats, of each word of `following`, of the same shape."""
        shape = tf.shape(following)
        hidden = tf.reshape(hidden, [-1, hidden.shape[-1]])
        words = tf.reshape(following, [-1])
        first = self.cutoffs[0]
        group = tf.reduce_sum(tf.cast(words[:, None] >= tf.constant(self.cutoffs), tf.int32), -1)
        target = tf.where(group == 0, words, first + group - 1)
        found = _entropy(self.head(hidden), target)
        for number, (down, out) in enumerate(zip(self.downs, self.outs, strict=True), start=1):
            places = tf.where(group == number)
            within = tf.gather_nd(words, places) - self._ends[number - 1]
            logits = out(down(tf.gather_nd(hidden, places)))
            found = tf.tensor_scatter_nd_add(found, places, _entropy(logits, within))
        return tf.reshape(found, shape)

    def log_probabilities(self, hidden: Any) -> Any:
        """Return the logarithms of the probabilities of all words, shape `(..., vocabulary)`."""
        first = self.cutoffs[0]
        head = tf.nn.log_softmax(tf.cast(self.head(hidden), tf.float32))
        groups = [
            head[..., first + number, None]
            + tf.nn.log_softmax(tf.cast(out(down(hidden)), tf.float32))
            for number, (down, out) in enumerate(zip(self.downs, self.outs, strict=True))
        ]
        return tf.concat([head[..., :first], *groups], axis=-1)

    def compute_output_spec(self, hidden: Any, following: Any) -> keras.KerasTensor:
        """Return the shape of the output."""
        return keras.KerasTensor(following.shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            **super().get_config(),
            "vocabulary": self.vocabulary,
            "cutoffs": list(self.cutoffs),
            "initial_range": self.initial_range,
        }


def _entropy(logits: tf.Tensor, words: tf.Tensor) -> tf.Tensor:
    return tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=words, logits=tf.cast(logits, tf.float32)
    )
