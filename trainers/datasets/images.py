"""Labelled images in memory, in an order that is a function of seed, epoch and index.

Nothing here has a state: the batch of data step t is computed from t. So training goes on from any
step with the same batches and the same augmentation, whatever was prefetched when it was killed.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Self

import numpy as np
import tensorflow as tf

__all__ = ["HELD_OUT", "SPLITS", "Images", "check_split", "evenly", "full_batches"]

SPLITS = ("test", "validation", "both")
HELD_OUT = 10
# So many are normalised at once; more are when they are needed, as they take four times the space.
_FEW_PIXELS = 2**22


@dataclasses.dataclass(frozen=True)
class Images:
    """Images of one data set: those to train on, and those to be evaluated with.

    Args:
        description: What it is, for people.
        train_images: uint8 of shape `(n, height, width, channels)`.
        train_labels: Integers of shape `(n,)` from 0.
        test_images: uint8 of shape `(m, height, width, channels)`.
        test_labels: Integers of shape `(m,)`.
        classes: Number of classes.
        flip: Whether a mirrored image is an image of the same class.
        shift: Pixels by which a training image is shifted at most, in each direction.
        is_normalised: Whether pixels are normalised by channel; else they are in [0, 1].
        val_images: As `test_images`; None where none are held out.
        val_labels: As `test_labels`.
        class_names: What classes are called; numbers where it is empty.
    """

    description: str
    train_images: np.ndarray = dataclasses.field(repr=False)
    train_labels: np.ndarray = dataclasses.field(repr=False)
    test_images: np.ndarray = dataclasses.field(repr=False)
    test_labels: np.ndarray = dataclasses.field(repr=False)
    classes: int
    flip: bool
    shift: int = 4
    is_normalised: bool = True
    val_images: np.ndarray | None = dataclasses.field(default=None, repr=False)
    val_labels: np.ndarray | None = dataclasses.field(default=None, repr=False)
    class_names: tuple[str, ...] = dataclasses.field(default=(), repr=False)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        height, width, channels = self.train_images.shape[1:]
        return int(height), int(width), int(channels)

    @property
    def num_train(self) -> int:
        """Number of training images."""
        return len(self.train_images)

    def split(self, name: str) -> Self:
        """Return what to train on and what to be evaluated with.

        Args:
            name: "test" for all training images and the test images. "validation" for every tenth
                training image to be evaluated with, and the rest to train on: no test image is
                there, nor a held-out one in the statistics that normalise. "both" for the same, and
                the test images.

        Raises:
            ValueError: If the name is unknown.
        """
        check_split(name)
        if name == "test":
            return self
        held = np.arange(self.num_train) % HELD_OUT == 0
        kept = slice(None) if name == "both" else slice(0)
        return dataclasses.replace(
            self,
            description=f"{self.description}, every tenth of the former held out",
            train_images=self.train_images[~held],
            train_labels=self.train_labels[~held],
            test_images=self.test_images[kept],
            test_labels=self.test_labels[kept],
            val_images=self.train_images[held],
            val_labels=self.train_labels[held],
        )

    def plain(self) -> Self:
        """Return it with images as they are: neither shifted nor mirrored, pixels in [0, 1]."""
        return dataclasses.replace(self, flip=False, shift=0, is_normalised=False)

    def thinned(self, share: float) -> Self:
        """Return it with a share of the training images, evenly spaced, rounded down."""
        if share == 1.0:
            return self
        kept = evenly(self.num_train, share)
        return dataclasses.replace(
            self,
            description=f"{self.description}, {100 * share:g} % of them to train",
            train_images=self.train_images[kept],
            train_labels=self.train_labels[kept],
        )

    def steps_per_epoch(self, batch_size: int) -> int:
        """Return the full batches of an epoch; the images that are left over differ each epoch.

        Raises:
            ValueError: If `batch_size` is not between 1 and the number of images.
        """
        return full_batches(self.num_train, batch_size)

    def train(self, batch_size: int, seed: int, start_step: int = 0) -> tf.data.Dataset:
        """Return the endless batches from data step `start_step` on, shuffled and augmented.

        Returns:
            Pairs of float32 images and int32 labels.
        """
        batch = self._batch_function(batch_size)
        return (
            # No function is traced for it, as for `counter`.
            tf.data.Dataset.range(start_step, tf.int64.max)
            .map(
                lambda step: batch(tf.constant(seed, tf.int64), step),
                num_parallel_calls=tf.data.AUTOTUNE,
                deterministic=True,
            )
            .prefetch(4)
            .with_options(_plain())
        )

    def evaluate(self, batch_size: int, evaluation: str = "test") -> tf.data.Dataset:
        """Return the images of "test" or "val" once, in order; the last batch may be smaller.

        Raises:
            ValueError: If there are none.
        """
        images, labels = {
            "test": (self.test_images, self.test_labels),
            "val": (self.val_images, self.val_labels),
        }.get(evaluation, (None, None))
        if images is None or labels is None or not len(images):
            raise ValueError(
                f"`evaluation` must be one that has images. Received: evaluation={evaluation!r} of "
                f"{self.description}"
            )
        normalise = self._normaliser()
        labels = labels.astype(np.int32)
        if images.size <= _FEW_PIXELS:
            whole = tf.data.Dataset.from_tensor_slices((normalise(images), labels))
            return whole.batch(batch_size).with_options(_plain())
        return (
            tf.data.Dataset.from_tensor_slices((images, labels))
            .batch(batch_size)
            .map(lambda images, labels: (normalise(images), labels))
            .prefetch(2)
            .with_options(_plain())
        )

    def pixels(self, images: np.ndarray) -> np.ndarray:
        """Return images of a batch with pixels in [0, 1], as they can be looked at."""
        mean, spread = self._statistics if self.is_normalised else (0.0, 1.0)
        return images * spread + mean

    def normalised(self, images: np.ndarray) -> np.ndarray:
        """Return images with pixels in [0, 1] as a classifier is trained on them."""
        mean, spread = self._statistics
        return (images - mean) / spread

    def _batch_function(self, batch_size: int) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
        """Return what makes the batch of a seed and a data step; traced once for all trainings."""
        steps = self.steps_per_epoch(batch_size)
        if batch_size in self._batch_functions:
            return self._batch_functions[batch_size]
        images, labels = self._train_tensors
        normalise = self._normaliser()
        last = tf.constant(self.num_train - 1, tf.int64)
        number = tf.TensorSpec([], tf.int64)

        @tf.function(input_signature=[number, number], autograph=False)
        def batch(seed: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            epoch, position = step // steps, step % steps
            index = position * batch_size + tf.range(batch_size, dtype=tf.int64)
            order = tf.random.experimental.index_shuffle(index, tf.stack([seed, epoch]), last)
            chosen = self._augmented(tf.gather(images, order), seed, step)
            return normalise(chosen), tf.gather(labels, order)

        self._batch_functions[batch_size] = batch
        return batch

    @functools.cached_property
    def _batch_functions(self) -> dict[int, Callable[..., tuple[tf.Tensor, tf.Tensor]]]:
        return {}

    @functools.cached_property
    def _train_tensors(self) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.constant(self.train_images), tf.constant(self.train_labels, tf.int32)

    def _normaliser(self) -> Callable[[tf.Tensor], tf.Tensor]:
        def scale(images: tf.Tensor) -> tf.Tensor:
            return tf.cast(images, tf.float32) / 255.0

        if not self.is_normalised:
            return scale
        mean, spread = self._statistics
        return lambda images: (scale(images) - mean) / spread

    @functools.cached_property
    def _statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each channel of the training images."""
        pixels = self.train_images.reshape(-1, self.train_images.shape[-1])
        sample = pixels[:: max(1, len(pixels) // 1_000_000)] / 255.0
        return sample.mean(axis=0).astype(np.float32), sample.std(axis=0).astype(np.float32)

    def _augmented(self, images: tf.Tensor, seed: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Shift each image by up to `shift` pixels; where it makes sense, mirror every second."""
        if not (self.shift or self.flip):
            return images
        height, width, _ = self.input_shape
        count = images.shape[0]
        keys = tf.random.split([seed, step], 2)
        shift = tf.random.stateless_uniform(
            (2, count, 1), keys[0], 0, 2 * self.shift + 1, dtype=tf.int32
        )
        edge = (self.shift, self.shift)
        padded = tf.pad(images, ((0, 0), edge, edge, (0, 0)))
        columns = tf.tile(tf.range(width)[None], (count, 1))
        if self.flip:
            mirrored = tf.random.stateless_uniform((count, 1), keys[1]) < 0.5
            columns = tf.where(mirrored, columns[:, ::-1], columns)
        rows = tf.gather(padded, tf.range(height)[None] + shift[0], axis=1, batch_dims=1)
        return tf.gather(rows, columns + shift[1], axis=2, batch_dims=1)


def check_split(name: str) -> None:
    """Check the name of a split.

    Raises:
        ValueError: If it is unknown.
    """
    if name not in SPLITS:
        raise ValueError(f"`split` must be one of {', '.join(SPLITS)}. Received: split={name!r}")


def evenly(count: int, share: float) -> np.ndarray:
    """Return which of some images are kept to keep a share of them, evenly spaced."""
    ends = np.floor(np.arange(count + 1) * share)
    kept: np.ndarray = ends[1:] > ends[:-1]
    return kept


def full_batches(images: int, batch_size: int) -> int:
    """Return how many full batches there are of some images.

    Raises:
        ValueError: If `batch_size` is not between 1 and the number of images.
    """
    if not 1 <= batch_size <= images:
        raise ValueError(
            f"`batch_size` must be in [1, {images}]. Received: batch_size={batch_size}"
        )
    return images // batch_size


def _plain() -> tf.data.Options:
    """Switch off what tf.data does to make a pipeline faster: it takes longer than small ones do.

    On 8x8 images a batch took 3.1 ms of a core with it and 0.6 without, and the beginning of an
    evaluation 70 ms and 1.
    """
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    return options
