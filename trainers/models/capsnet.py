"""Capsule networks (Sabour et al., "Dynamic Routing Between Capsules", arXiv 1710.09829).

A capsule is a vector: its length says how sure the network is that something is there, its
direction what it looks like.
"""

from __future__ import annotations

import math
from typing import Any

import keras

__all__ = ["DECODER", "LEAST_SIDE", "ClassCapsules", "Squash", "capsnet", "lengths"]

DECODER = "decoder"
_KERNEL = 9
# For two convolutions of that.
LEAST_SIDE = 2 * _KERNEL - 1
_HIDDEN = (512, 1024)
_EPSILON = 1e-7


def _squash(x: Any) -> Any:
    """Return vectors of the same direction, and of length ``n^2 / (1 + n^2)`` for n before."""
    square = keras.ops.sum(keras.ops.square(x), axis=-1, keepdims=True)
    # At 0 the root has no gradient.
    return x * (keras.ops.sqrt(square + _EPSILON) / (1.0 + square))


def lengths(capsules: Any) -> Any:
    """Return the length of each capsule; at 0 its gradient is 0."""
    return keras.ops.sqrt(keras.ops.sum(keras.ops.square(capsules), axis=-1) + _EPSILON)


@keras.saving.register_keras_serializable(package="keras_sched")
class Squash(keras.layers.Layer):
    """Squashes vectors: to a length n^2 / (1 + n^2), which is below 1 (equation 1)."""

    def call(self, inputs: Any) -> Any:
        """Squash `inputs`, whose last axis are the numbers of a capsule."""
        return _squash(inputs)


@keras.saving.register_keras_serializable(package="keras_sched")
class ClassCapsules(keras.layers.Layer):
    """A capsule for each class, by routing between capsules (procedure 1 of the paper)::

        u_j|i = W_ij u_i
        repeat:  c_i = softmax over j of b_ij,  v_j = squash(sum_i c_ij u_j|i),
                 b_ij += u_j|i . v_j

    with b = 0 at first. Gradients go through all repetitions.

    Args:
        classes: Number of capsules.
        dimensions: Numbers of each.
        routing: Repetitions, at least 1; with 1 each capsule goes to all classes alike.
    """

    def __init__(self, classes: int, dimensions: int, routing: int, **options: Any) -> None:
        super().__init__(**options)
        self.classes = classes
        self.dimensions = dimensions
        self.routing = routing

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the matrices, one for each pair of capsules."""
        *_, capsules, numbers = input_shape
        self.kernel = self.add_weight(
            shape=(capsules, numbers, self.classes * self.dimensions),
            # Of one pair of capsules, not of all of them together.
            initializer=keras.initializers.RandomNormal(stddev=0.1),
            name="kernel",
        )

    def call(self, inputs: Any) -> Any:
        """Return capsules of shape `(batch, classes, dimensions)` of `(batch, n, numbers)`."""
        ops = keras.ops
        count = inputs.shape[1]
        votes = ops.matmul(ops.transpose(inputs, (1, 0, 2)), self.kernel)
        votes = ops.reshape(votes, (count, -1, self.classes, self.dimensions))
        shares = 1.0 / self.classes
        outputs = _squash(shares * ops.sum(votes, axis=0))
        logits: Any = 0.0
        for _ in range(self.routing - 1):
            logits = logits + ops.sum(votes * outputs, axis=-1, keepdims=True)
            shares = ops.softmax(logits, axis=2)
            outputs = _squash(ops.sum(shares * votes, axis=0))
        return outputs

    def macs(self, inputs: Any, outputs: Any) -> int:
        """Return the MACs of one example: of the matrices, and of the sums of the routing."""
        votes = inputs.shape[1] * self.classes * self.dimensions
        return int(votes * (inputs.shape[2] + 2 * self.routing - 1))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            **super().get_config(),
            "classes": self.classes,
            "dimensions": self.dimensions,
            "routing": self.routing,
        }


def capsnet(
    input_shape: tuple[int, int, int],
    classes: int,
    channels: int = 256,
    primary: int = 32,
    routing: int = 3,
) -> keras.Model:
    """Return a capsule network with the decoder that reconstructs images (figures 1 and 2).

    Args:
        input_shape: Height, width and channels; sides of at least 17.
        classes: Number of classes.
        channels: Of the first convolution.
        primary: Groups of eight channels of the second one, which are the capsules below.
        routing: Repetitions of the routing.

    Returns:
        A model of images in [0, 1] and of a mask of shape `(batch, classes)`, which is 1 for the
        class to reconstruct and else 0. It gives capsules of shape `(batch, classes, 16)` and
        logits of pixels, of shape `(batch, pixels)`. Its layer `DECODER` gives those of masked
        capsules.

    Raises:
        ValueError: If the images are too small.
    """
    if min(input_shape[:2]) < LEAST_SIDE:
        raise ValueError(
            f"`input_shape` must have sides of at least {LEAST_SIDE}. "
            f"Received: input_shape={input_shape}"
        )
    images = keras.layers.Input(input_shape, name="images")
    mask = keras.layers.Input((classes,), name="mask")
    x = keras.layers.Conv2D(channels, _KERNEL, activation="relu")(images)
    x = keras.layers.Conv2D(8 * primary, _KERNEL, strides=2)(x)
    x = Squash()(keras.layers.Reshape((-1, 8))(x))
    capsules = ClassCapsules(classes, 16, routing, name="capsules")(x)
    kept = keras.layers.Multiply()([capsules, keras.layers.Reshape((classes, 1))(mask)])
    logits = _decoder(math.prod(input_shape), classes)(keras.layers.Flatten()(kept))
    return keras.Model([images, mask], [capsules, logits], name="capsnet")


def _decoder(pixels: int, classes: int) -> keras.Model:
    kept = x = keras.layers.Input((16 * classes,))
    for units in _HIDDEN:
        x = keras.layers.Dense(units, activation="relu")(x)
    return keras.Model(kept, keras.layers.Dense(pixels)(x), name=DECODER)
