"""Labelled images in memory, in an order that is a function of seed, epoch and index.

Nothing here has a state: the batch of data step t is computed from t. So training goes on from any
step with the same batches and the same augmentation, whatever was prefetched when it was killed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

__all__ = ["Images"]

_PADDING = 4


@dataclasses.dataclass(frozen=True)
class Images:
    """Training and test images of one data set.

    Args:
        description: What it is, for people.
        train_images: uint8 of shape `(n, height, width, channels)`.
        train_labels: Integers of shape `(n,)` from 0.
        test_images: uint8 of shape `(m, height, width, channels)`.
        test_labels: Integers of shape `(m,)`.
        classes: Number of classes.
        flip: Whether a mirrored image is an image of the same class.
    """

    description: str
    train_images: np.ndarray = dataclasses.field(repr=False)
    train_labels: np.ndarray = dataclasses.field(repr=False)
    test_images: np.ndarray = dataclasses.field(repr=False)
    test_labels: np.ndarray = dataclasses.field(repr=False)
    classes: int
    flip: bool

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        height, width, channels = self.train_images.shape[1:]
        return int(height), int(width), int(channels)

    @property
    def num_train(self) -> int:
        """Number of training images."""
        return len(self.train_images)

    def steps_per_epoch(self, batch_size: int) -> int:
        """Return the full batches of an epoch; the images that are left over differ each epoch.

        Raises:
            ValueError: If `batch_size` is not between 1 and the number of images.
        """
        if not 1 <= batch_size <= self.num_train:
            raise ValueError(
                f"`batch_size` must be in [1, {self.num_train}]. Received: batch_size={batch_size}"
            )
        return self.num_train // batch_size

    def train(self, batch_size: int, seed: int, start_step: int = 0) -> tf.data.Dataset:
        """Return the endless batches from data step `start_step` on, shuffled and augmented.

        Returns:
            Pairs of float32 images, normalised by channel, and int32 labels.
        """
        steps = self.steps_per_epoch(batch_size)
        images, labels = tf.constant(self.train_images), tf.constant(self.train_labels, tf.int32)
        normalise = self._normaliser()
        last = self.num_train - 1

        def batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            epoch, position = step // steps, step % steps
            index = position * batch_size + tf.range(batch_size, dtype=tf.int64)
            key = tf.stack([tf.constant(seed, tf.int64), epoch])
            order = tf.random.experimental.index_shuffle(index, key, tf.constant(last, tf.int64))
            chosen = self._augmented(tf.gather(images, order), seed, step)
            return normalise(chosen), tf.gather(labels, order)

        return (
            tf.data.Dataset.counter(start_step)
            .map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
            .prefetch(4)
        )

    def evaluate(self, batch_size: int) -> tf.data.Dataset:
        """Return the test images once, in order; the last batch may be smaller."""
        normalise = self._normaliser()
        pairs = (self.test_images, self.test_labels.astype(np.int32))
        return (
            tf.data.Dataset.from_tensor_slices(pairs)
            .batch(batch_size)
            .map(lambda images, labels: (normalise(images), labels))
            .prefetch(2)
        )

    def _normaliser(self) -> Callable[[tf.Tensor], tf.Tensor]:
        pixels = self.train_images.reshape(-1, self.train_images.shape[-1])
        sample = pixels[:: max(1, len(pixels) // 1_000_000)] / 255.0
        mean = sample.mean(axis=0).astype(np.float32)
        spread = sample.std(axis=0).astype(np.float32)

        def normalise(images: tf.Tensor) -> tf.Tensor:
            return (tf.cast(images, tf.float32) / 255.0 - mean) / spread

        return normalise

    def _augmented(self, images: tf.Tensor, seed: int, step: tf.Tensor) -> tf.Tensor:
        """Shift each image by up to four pixels and, where it makes sense, mirror every second."""
        height, width, _ = self.input_shape
        count = images.shape[0]
        keys = tf.random.split([seed, step], 2)
        shift = tf.random.stateless_uniform(
            (2, count, 1), keys[0], 0, 2 * _PADDING + 1, dtype=tf.int32
        )
        edge = (_PADDING, _PADDING)
        padded = tf.pad(images, ((0, 0), edge, edge, (0, 0)))
        columns = tf.tile(tf.range(width)[None], (count, 1))
        if self.flip:
            mirrored = tf.random.stateless_uniform((count, 1), keys[1]) < 0.5
            columns = tf.where(mirrored, columns[:, ::-1], columns)
        rows = tf.gather(padded, tf.range(height)[None] + shift[0], axis=1, batch_dims=1)
        return tf.gather(rows, columns + shift[1], axis=2, batch_dims=1)
