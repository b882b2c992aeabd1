"""What a compiled step does only once there is a batch.

Where the number of batches is not known, Keras' last call of an epoch finds none and fails, but
what does not need the batch may run all the same: counts would move, and weights decay.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
from keras import tree

__all__ = ["waiting_for"]


@contextlib.contextmanager
def waiting_for(given: Any) -> Iterator[None]:
    """Let nothing within happen in a graph before all tensors of a structure are there."""
    if tf.executing_eagerly():
        yield
        return

    def create(make: Callable[..., Any], **options: Any) -> Any:
        # What an optimizer makes in its first update must not wait for it: XLA allows none inside.
        with tf.control_dependencies(None):
            return make(**options)

    parts = [
        part
        for each in tree.flatten(given)
        for part in ((each.values, each.indices) if isinstance(each, tf.IndexedSlices) else (each,))
    ]
    tensors = [part for part in parts if isinstance(part, tf.Tensor)]
    # Of one operation that waits for all: each operation within would wait for each tensor, and a
    # graph of N weights would have N^2 edges, which take minutes to optimize.
    with tf.variable_creator_scope(create), tf.control_dependencies([tf.group(*tensors)]):
        yield
