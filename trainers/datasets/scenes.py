"""Images with boxes around what is on them, in an order that is a function of seed and epoch.

As with labelled images, nothing has a state: the batch of data step t is computed from t. Boxes are
``(top, left, bottom, right)`` as shares of height and width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self

import numpy as np
import tensorflow as tf

from trainers.datasets.images import full_batches
from trainers.datasets.parts import Part, Parted
from trainers.datasets.streams import numbered, permutation, unreadable

__all__ = ["Boxes", "Pictures", "ScenePart", "Scenes"]

_PREFETCHED = 2
# Random sections: what they leave of height and width, and of a box that is kept.
_LEAST_SIDE, _LEAST_KEPT = 0.7, 0.3
_BRIGHTER, _CONTRAST = 0.1, 0.2
_GREY = 0.5


class Pictures(Protocol):
    """Pixels of images, by number."""

    def pixels(self, number: int) -> np.ndarray:
        """Return an image, uint8 of shape `(height, width, 3)`.

        Raises:
            OSError: If it cannot be read.
            ValueError: If what is there is none.
        """

    def name(self, number: int) -> str:
        """Return where an image is, for people."""


@dataclasses.dataclass(frozen=True)
class Boxes:
    """What is on one image.

    Attributes:
        boxes: float32 of shape `(n, 4)`.
        labels: int32 of shape `(n,)`.
        difficult: Whether a box counts neither as found nor as missed, of shape `(n,)`.
    """

    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray

    @classmethod
    def of(
        cls,
        boxes: Any,
        labels: Any,
        difficult: Any = None,
        *,
        classes: int,
        name: str = "an image",
    ) -> Self:
        """Return boxes that are checked; those without area are left out.

        Raises:
            ValueError: If a box is none or its class is unknown; the error has the name.
        """
        found = np.asarray(boxes, np.float32).reshape(-1, 4)
        numbers = np.asarray(labels, np.int32).reshape(-1)
        marks = np.zeros(len(found), bool) if difficult is None else np.asarray(difficult, bool)
        sound = np.isfinite(found).all(axis=1) & (found >= -1e-3).all(1) & (found <= 1.001).all(1)
        sound &= (found[:, :2] <= found[:, 2:]).all(axis=1)
        if not sound.all():
            raise ValueError(
                f"Boxes must be (top, left, bottom, right) from 0 to 1. Received: "
                f"{found[~sound][0].tolist()} of {name}"
            )
        if len(numbers) != len(found) or ((numbers < 0) | (numbers >= classes)).any():
            raise ValueError(
                f"Labels must be one from 0 to {classes - 1} for each box. Received: "
                f"{numbers.tolist()} for {len(found)} boxes of {name}"
            )
        kept = (found[:, :2] < found[:, 2:]).all(axis=1)
        return cls(np.clip(found[kept], 0.0, 1.0), numbers[kept], marks[kept])


@dataclasses.dataclass(frozen=True)
class ScenePart(Part):
    """Images of a source, and what is on them.

    Attributes:
        truth: What is on each image of the source.
    """

    source: Pictures
    truth: Sequence[Boxes]

    @classmethod
    def whole(cls, source: Pictures, truth: Sequence[Boxes]) -> Self:
        """Return all images of a source."""
        return cls(source, np.arange(len(truth), dtype=np.int64), truth)

    @property
    def most(self) -> int:
        """The most boxes of an image, at least 1."""
        return max([1, *(len(each.labels) for each in self.truth)])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scenes(Parted[ScenePart]):
    """Images of one data set: those to train on, and those to be evaluated with.

    Args:
        size: Height and width that images have.
        class_names: What classes are called.
        flips: Axes along which an image may be mirrored: 1 is the height, 2 the width.
        is_augmented: Whether training images are mirrored, cut and of changed brightness.
    """

    size: tuple[int, int]
    class_names: tuple[str, ...]
    flips: tuple[int, ...] = (2,)
    is_augmented: bool = True

    def train(self, batch_size: int, seed: int, start_step: int = 0) -> tf.data.Dataset:
        """Return the endless batches from data step `start_step` on, shuffled and augmented.

        Returns:
            float32 images in [0, 1], of shape `(batch, height, width, 3)`; boxes of shape
            `(batch, n, 4)`; int32 labels of shape `(batch, n)`, -1 where there is no box; and
            whether boxes are difficult, of the same shape. n is the most boxes of an image.
        """
        numbers = self.train_part.numbers
        steps = full_batches(self.num_train, batch_size)
        read = self._reader(self.train_part)

        def example(number: tf.Tensor, counter: tf.Tensor) -> tuple[tf.Tensor, ...]:
            image, boxes, labels, difficult = read(number)
            if not self.is_augmented:
                return image, boxes, labels, difficult
            seeds = tf.stack([tf.constant(seed, tf.int64), counter])
            return self._augmented(image, boxes, labels, difficult, seeds)

        order = numbered(
            lambda epoch: numbers[permutation(len(numbers), seed, epoch)],
            steps,
            batch_size,
            start_step,
        )
        return _batched(order, example, batch_size, drop_remainder=True)

    def evaluate(self, batch_size: int, evaluation: str = "test") -> tf.data.Dataset:
        """Return the images of "test" or "val" once, in order; the last batch may be smaller.

        Raises:
            ValueError: If there are none.
        """
        part = self.evaluated(evaluation)
        numbers = tf.data.Dataset.from_tensor_slices(part.numbers)
        return _batched(numbers, self._reader(part), batch_size, drop_remainder=False)

    def damage(
        self, batch_size: int, seed: int, step: int, evaluation: str | None = None
    ) -> str | None:
        """Return which image cannot be read, and why; None if all can.

        All images of training or of an evaluation are looked at, whatever the step.
        """
        part = self.train_part if evaluation is None else self.evaluated(evaluation)
        for number in part.numbers:
            try:
                part.source.pixels(int(number))
            except (OSError, ValueError, tf.errors.OpError) as error:
                return unreadable(part.source.name(int(number)), error)
        return None

    def _reader(self, part: ScenePart) -> Callable[[tf.Tensor], tuple[tf.Tensor, ...]]:
        most = part.most
        boxes = np.zeros([len(part.truth), most, 4], np.float32)
        labels = np.full([len(part.truth), most], -1, np.int32)
        difficult = np.zeros([len(part.truth), most], bool)
        for number, each in enumerate(part.truth):
            count = len(each.labels)
            boxes[number, :count], labels[number, :count] = each.boxes, each.labels
            difficult[number, :count] = each.difficult
        held = [tf.constant(array) for array in (boxes, labels, difficult)]

        def read(number: tf.Tensor) -> tuple[tf.Tensor, ...]:
            pixels = tf.numpy_function(
                lambda number: part.source.pixels(int(number)), [number], tf.uint8
            )
            pixels = tf.ensure_shape(pixels, (*self.size, 3))
            image = tf.cast(pixels, tf.float32) / 255.0
            return (image, *(tf.gather(array, number) for array in held))

        return read

    def _augmented(
        self,
        image: tf.Tensor,
        boxes: tf.Tensor,
        labels: tf.Tensor,
        difficult: tf.Tensor,
        seed: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        """Return a random section, enlarged, mirrored, and of another brightness and contrast.

        A box of which less than three tenths are left is not there.
        """
        keys = tf.random.split(seed, 2)
        draws = tf.random.stateless_uniform([6], keys[0])
        sides = _LEAST_SIDE + (1.0 - _LEAST_SIDE) * draws[:2]
        begin = draws[2:4] * (1.0 - sides)
        window = tf.concat([begin, begin + sides], axis=0)
        image = tf.image.crop_and_resize(image[None], window[None], [0], self.size)[0]
        moved = (boxes - tf.tile(begin, [2])) / tf.tile(sides, [2])
        cut = tf.clip_by_value(moved, 0.0, 1.0)
        kept = _areas(cut) >= _LEAST_KEPT * _areas(moved)
        labels = tf.where(kept, labels, -1)
        mirrored = tf.random.stateless_uniform([2], keys[1]) < 0.5
        top, left, bottom, right = tf.unstack(cut, axis=-1)
        for axis in self.flips:
            turned = (
                [1.0 - bottom, left, 1.0 - top, right]
                if axis == 1
                else [top, 1.0 - right, bottom, 1.0 - left]
            )
            is_turned = mirrored[axis - 1]
            image = tf.where(is_turned, tf.reverse(image, [axis - 1]), image)
            top, left, bottom, right = (
                tf.where(is_turned, new, old)
                for new, old in zip(turned, (top, left, bottom, right), strict=True)
            )
        boxes = tf.where(labels[:, None] >= 0, tf.stack([top, left, bottom, right], axis=-1), 0.0)
        contrast = 1.0 + _CONTRAST * (2.0 * draws[4] - 1.0)
        brighter = _BRIGHTER * (2.0 * draws[5] - 1.0)
        image = tf.clip_by_value((image - _GREY) * contrast + _GREY + brighter, 0.0, 1.0)
        return tf.ensure_shape(image, (*self.size, 3)), boxes, labels, difficult


def _areas(boxes: tf.Tensor) -> tf.Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _batched(
    data: tf.data.Dataset, example: Callable[..., Any], batch_size: int, drop_remainder: bool
) -> tf.data.Dataset:
    return (
        data.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size, drop_remainder=drop_remainder)
        .prefetch(_PREFETCHED)
    )
