"""Norms of the gradients that an optimizer is given: of whole updates, before they are clipped."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from keras_sched._patch import wrap

__all__ = ["L1", "L2", "Norms"]

L2, L1 = "grad_norm", "grad_l1"


class Norms:
    """The norms of the last update of an optimizer, as variables that its step writes.

    They are of what an update is made of: unscaled where the loss is scaled, averaged where
    gradients are accumulated, and not clipped. A step without an update leaves them as they were.

    Args:
        parts: The optimizers that make the updates, each of its variables.

    Attributes:
        is_seen: Whether any of them has been traced with it.
    """

    def __init__(self, parts: Sequence[Any]) -> None:
        self.is_seen = False
        self._parts = list(parts)
        # Sums of squares and of sizes, by part; no number before the first update.
        self._sums = [tf.Variable(tf.fill([2], float("nan")), trainable=False) for _ in parts]

    def attach(self) -> list[Callable[[], None]]:
        """Watch the optimizers; return what takes it off again."""
        return [
            wrap(part, "_clip_gradients", functools.partial(self._clip, sums))
            for part, sums in zip(self._parts, self._sums, strict=True)
        ]

    def values(self) -> dict[str, Callable[[], tf.Tensor]]:
        """Return what gives each norm, when it is called after the step."""
        return {
            L2: lambda: tf.sqrt(tf.add_n([sums[0] for sums in self._sums])),
            L1: lambda: tf.add_n([sums[1] for sums in self._sums]),
        }

    def _clip(self, sums: tf.Variable, inner: Callable[[Any], Any], gradients: Any) -> Any:
        """Stand in the place of what clips the gradients of an update."""
        self.is_seen = True
        parts = [_dense(each) for each in gradients if each is not None]
        squares = [tf.reduce_sum(tf.square(each)) for each in parts]
        sizes = [tf.reduce_sum(tf.abs(each)) for each in parts]
        sums.assign(tf.stack([tf.add_n(squares), tf.add_n(sizes)]))
        return inner(gradients)


def _dense(gradient: Any) -> tf.Tensor:
    """Return the numbers of a gradient, float32; of a table its rows, each once."""
    if isinstance(gradient, tf.IndexedSlices):
        rows, place = tf.unique(tf.reshape(gradient.indices, [-1]))
        gradient = tf.math.unsorted_segment_sum(gradient.values, place, tf.size(rows))
    return tf.cast(tf.convert_to_tensor(gradient), tf.float32)
