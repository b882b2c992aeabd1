"""Labelled images that are read while they are trained on, for data that memory does not hold.

As with those in memory, nothing has a state: the batch of data step t is computed from t. An image
is read by its number, so that training goes on from any step without reading what it has read.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np
import tensorflow as tf

from trainers.datasets.encoded import Encoded
from trainers.datasets.images import evenly, full_batches
from trainers.datasets.parts import Part, Parted

__all__ = ["Stream", "numbered", "permutation", "unreadable"]

# Of ImageNet's training images, in [0, 1], as everybody uses them.
_MEAN = (0.485, 0.456, 0.406)
_SPREAD = (0.229, 0.224, 0.225)
# Evaluated is the middle of an image whose shorter side is this times the middle's.
_MARGIN = 256 / 224
_PREFETCHED = 2
# Where data cannot be read, so many batches ahead are searched for the file.
_SEARCHED = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stream(Parted[Part]):
    """Labelled images of one data set, that are read while they are trained on.

    Args:
        input_shape: Height, width and channels.
        classes: Number of classes.
        flip: Whether a mirrored image is an image of the same class.
        shift: Pixels by which a training image is shifted at most, in each direction.
        is_cropped: Whether they are photographs of any size: one trains on a random part of each,
            of 8 to 100 % of its area and with sides of 3:4 to 4:3, and evaluates the middle. Else
            they are made as large as `input_shape`, where they are not.
        is_normalised: Whether pixels are normalised by channel; else they are in [0, 1].
        class_names: What classes are called; numbers where it is empty.
        interleaved: From so many shards at a time images are drawn in random order.
    """

    input_shape: tuple[int, int, int]
    classes: int
    flip: bool
    shift: int = 0
    is_cropped: bool = False
    is_normalised: bool = True
    class_names: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    interleaved: int = 16

    def plain(self) -> Self:
        """Return it with whole images, neither shifted nor mirrored, pixels in [0, 1]."""
        return dataclasses.replace(self, flip=False, shift=0, is_cropped=False, is_normalised=False)

    def thinned(self, share: float) -> Self:
        """Return it with a share of the training images, evenly spaced, rounded down."""
        if share == 1.0:
            return self
        return dataclasses.replace(
            self,
            description=f"{self.description}, {100 * share:g} % of them to train",
            train_part=self.train_part.of(evenly(self.num_train, share)),
        )

    def order(self, seed: int, epoch: int) -> np.ndarray:
        """Return the numbers of the training images in the order of an epoch.

        Shards come in random order, and so many at a time as are interleaved are shuffled as one:
        what is read within a short time lies in few files.
        """
        numbers, shards = self.train_part.numbers, self.train_part.source.shards
        draw = _generator(seed, epoch)
        ends = np.searchsorted(numbers, shards)
        shuffled = draw.permutation(len(shards) - 1)
        blocks = []
        for first in range(0, len(shuffled), self.interleaved):
            chosen = shuffled[first : first + self.interleaved]
            block = np.concatenate([numbers[ends[each] : ends[each + 1]] for each in chosen])
            draw.shuffle(block)
            blocks.append(block)
        return np.concatenate(blocks)

    def train(self, batch_size: int, seed: int, start_step: int = 0) -> tf.data.Dataset:
        """Return the endless batches from data step `start_step` on, shuffled and augmented.

        Returns:
            Pairs of float32 images and int32 labels.
        """
        steps = full_batches(self.num_train, batch_size)
        read = self._reader(self.train_part.source)

        def example(number: tf.Tensor, counter: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            encoded, label = read(number)
            seeds = tf.stack([tf.constant(seed, tf.int64), counter])
            return self._augmented(encoded, seeds), label

        ordered = numbered(lambda epoch: self.order(seed, epoch), steps, batch_size, start_step)
        return self._batched(ordered, example, batch_size, drop_remainder=True)

    def evaluate(self, batch_size: int, evaluation: str = "test") -> tf.data.Dataset:
        """Return the images of "test" or "val" once, in order; the last batch may be smaller.

        Raises:
            ValueError: If there are none.
        """
        part = self.evaluated(evaluation)
        read = self._reader(part.source)

        def example(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            encoded, label = read(number)
            return self._as_it_is(encoded), label

        numbers = tf.data.Dataset.from_tensor_slices(part.numbers)
        return self._batched(numbers, example, batch_size, drop_remainder=False)

    def pixels(self, images: np.ndarray) -> np.ndarray:
        """Return images of a batch with pixels in [0, 1], as they can be looked at."""
        return images * np.array(_SPREAD) + np.array(_MEAN) if self.is_normalised else images

    def normalised(self, images: np.ndarray) -> np.ndarray:
        """Return images with pixels in [0, 1] as a classifier is trained on them."""
        return (images - np.array(_MEAN)) / np.array(_SPREAD)

    def damage(
        self, batch_size: int, seed: int, step: int, evaluation: str | None = None
    ) -> str | None:
        """Return which image cannot be read, and why; None if all can.

        Args:
            batch_size: Images of a batch.
            seed: Of the order.
            step: The data step from which images are looked at, of training.
            evaluation: Whose images are looked at; None for those of training.
        """
        if evaluation is None:
            part, numbers = self.train_part, self._from(batch_size, seed, step)
        else:
            part = self.evaluated(evaluation)
            numbers = iter(part.numbers)
        for number in numbers:
            try:
                encoded, _ = part.source.read(int(number))
                tf.io.decode_image(encoded, 3, expand_animations=False)
            except (OSError, ValueError, tf.errors.OpError) as error:
                return unreadable(part.source.name(int(number)), error)
        return None

    def _from(self, batch_size: int, seed: int, step: int) -> Iterator[int]:
        steps = full_batches(self.num_train, batch_size)
        for each in range(step, step + _SEARCHED):
            epoch, position = divmod(each, steps)
            if each == step or position == 0:
                order = self.order(seed, epoch)
            yield from order[position * batch_size :][:batch_size]

    def _reader(self, source: Encoded) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        def found(number: np.ndarray) -> tuple[bytes, np.int32]:
            encoded, label = source.read(int(number))
            return encoded, np.int32(label)

        def read(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            encoded, label = tf.numpy_function(found, [number], (tf.string, tf.int32))
            return tf.ensure_shape(encoded, []), tf.ensure_shape(label, [])

        return read

    def _batched(
        self,
        data: tf.data.Dataset,
        example: Callable[..., Any],
        batch_size: int,
        drop_remainder: bool,
    ) -> tf.data.Dataset:
        return (
            data.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
            .batch(batch_size, drop_remainder=drop_remainder)
            .map(lambda images, labels: (self._normalised(images), labels))
            .prefetch(_PREFETCHED)
        )

    def _normalised(self, images: tf.Tensor) -> tf.Tensor:
        mean, spread = (_MEAN, _SPREAD) if self.is_normalised else (0.0, 1.0)
        return (images / 255.0 - mean) / spread

    def _augmented(self, encoded: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        keys = tf.random.split(seed, 2)
        image = (
            self._part_of(encoded, keys[0]) if self.is_cropped else self._shifted(encoded, keys[0])
        )
        return tf.image.stateless_random_flip_left_right(image, keys[1]) if self.flip else image

    def _shifted(self, encoded: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        height, width, channels = self.input_shape
        image = self._whole(encoded)
        padded = tf.image.pad_to_bounding_box(
            image, self.shift, self.shift, height + 2 * self.shift, width + 2 * self.shift
        )
        return tf.image.stateless_random_crop(padded, (height, width, channels), seed)

    def _part_of(self, encoded: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Return a random part of a photograph (Szegedy et al., arXiv 1409.4842, section 6)."""
        is_jpeg = tf.io.is_jpeg(encoded)
        shape = tf.cond(
            is_jpeg,
            lambda: tf.io.extract_jpeg_shape(encoded),
            lambda: tf.shape(_decoded(encoded)),
        )
        begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
            shape,
            tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
            seed,
            min_object_covered=0.0,
            aspect_ratio_range=(3 / 4, 4 / 3),
            area_range=(0.08, 1.0),
            max_attempts=10,
            use_image_if_no_bounding_boxes=True,
        )
        window = tf.concat([begin[:2], size[:2]], axis=0)
        cut = tf.cond(  # A JPEG is decoded where it is needed only.
            is_jpeg,
            lambda: tf.io.decode_and_crop_jpeg(encoded, window, channels=3),
            lambda: tf.image.crop_to_bounding_box(_decoded(encoded), *tf.unstack(window)),
        )
        # In training without: it takes longer, and what is trained on is distorted anyway.
        return self._resized(cut, antialias=False)

    def _as_it_is(self, encoded: tf.Tensor) -> tf.Tensor:
        """Return an image as it is evaluated."""
        if not self.is_cropped:
            return self._whole(encoded)
        image = _decoded(encoded)
        sides = tf.cast(tf.shape(image)[:2], tf.float32)
        height, width, _ = self.input_shape
        # Cut before it is resized: nothing is enlarged to be cut off.
        scale = tf.reduce_min(sides / (_MARGIN * np.array([height, width], np.float32)))
        cut = tf.cast(tf.round(scale * np.array([height, width], np.float32)), tf.int32)
        cut = tf.clip_by_value(cut, 1, tf.shape(image)[:2])
        begin = (tf.shape(image)[:2] - cut) // 2
        return self._resized(
            tf.image.crop_to_bounding_box(image, *tf.unstack(begin), *tf.unstack(cut))
        )

    def _whole(self, encoded: tf.Tensor) -> tf.Tensor:
        image = _decoded(encoded)
        height, width, channels = self.input_shape
        fits = tf.reduce_all(tf.shape(image)[:2] == (height, width))
        image = tf.cond(fits, lambda: tf.cast(image, tf.float32), lambda: self._resized(image))
        return tf.ensure_shape(image, (height, width, channels))

    def _resized(self, image: tf.Tensor, antialias: bool = True) -> tf.Tensor:
        resized = tf.image.resize(image, self.input_shape[:2], antialias=antialias)
        return tf.ensure_shape(resized, self.input_shape)


def _decoded(encoded: tf.Tensor) -> tf.Tensor:
    """Return uint8 pixels with three channels."""
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    return tf.ensure_shape(image, (None, None, 3))


def numbered(
    order: Callable[[int], np.ndarray], steps: int, batch_size: int, start_step: int
) -> tf.data.Dataset:
    """Return the numbers of examples from a data step on, each with how many come before it.

    Args:
        order: Returns the order of an epoch.
        steps: Data steps of an epoch.
        batch_size: Examples of a step.
        start_step: The data step.
    """
    first, begin = divmod(start_step, steps)

    def of(epoch: tf.Tensor) -> tf.data.Dataset:
        found = tf.numpy_function(
            lambda epoch: order(int(epoch))[: steps * batch_size], [epoch], tf.int64
        )
        skipped = tf.where(epoch == first, begin * batch_size, 0)
        found = tf.ensure_shape(found, [steps * batch_size])
        return tf.data.Dataset.from_tensor_slices(found[skipped:])

    ordered = tf.data.Dataset.range(first, tf.int64.max).flat_map(of)
    counters = tf.data.Dataset.range(start_step * batch_size, tf.int64.max)
    return tf.data.Dataset.zip((ordered, counters))


def permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return the numbers below `count` in the random order of an epoch."""
    return _generator(seed, epoch).permutation(count)


def unreadable(name: str, error: Exception) -> str:
    """Say that an image cannot be read, why, and what to do."""
    said = re.sub(r"\{\{.*?\}\}", "", str(error).splitlines()[0]).strip()
    return f"An image cannot be read: {name} ({said}). When it is mended the same command goes on"


def _generator(seed: int, epoch: int) -> np.random.RandomState:
    # NumPy keeps the numbers of this generator the same for ever.
    return np.random.RandomState([seed % 2**32, seed // 2**32 % 2**32, epoch])
