"""The anchors of RetinaNet: which of them stand for a box, and what their numbers mean."""

from __future__ import annotations

import dataclasses
from typing import Self

import numpy as np
import tensorflow as tf

from trainers.models.retinanet import LEVELS
from trainers.tasks.boxes import Candidates, overlaps

__all__ = ["Anchors"]

# An anchor has four cells to a side, in three sizes an octave and three shapes (section 4).
_CELLS = 4.0
_SCALES = tuple(2.0 ** (octave / 3.0) for octave in range(3))
_TALLER = (0.5, 1.0, 2.0)
# It stands for a box that it overlaps by so much at least; by less than the other it is nothing.
_BOX, _NOTHING = 0.5, 0.4
_ALPHA = 0.25
# As in Fast R-CNN's code: numbers of a middle are ten times a share of the anchor, of a size five.
_UNITS = (0.1, 0.1, 0.2, 0.2)
_STEEP = 9.0
_LEAST_SCORE, _SAME = 0.05, 0.5
# Anchors of an image that are looked at: those that are surest of some class.
_MOST = 5000
# Greater logarithms of sizes are no boxes but overflow.
_LARGEST = np.log(1000.0 / 16.0)


@dataclasses.dataclass(frozen=True)
class Anchors:
    """Anchors of all levels: level after level, row, column, and nine of each cell.

    The losses of an image with P anchors that stand for boxes, p the probability of a class and y
    whether it is that of the box (none where the anchor is nothing)::

        classes = sum a (1 - q)^2 (- log q) / max(1, P),   q = p, a = 1/4 if y, else 1 - p and 3/4
        box = mean S(numbers - targets),   S(x) = 9 x^2 / 2 if |x| < 1/9, else |x| - 1/18

    the first over the classes of all anchors but those that overlap a box by 0.4 to 0.5, the second
    over the four numbers of the P anchors.

    Attributes:
        boxes: float32 of shape `(n, 4)`, as shares of height and width; some lie partly outside.

    References:
        Lin et al. (arXiv 1708.02002), sections 3.2, 4 and 4.1. The sharper bend at 1/9, the mean in
        the loss of boxes and that each image is divided by its own P are those of the PyTorch code
        that the precision paper builds on.
    """

    boxes: np.ndarray

    @classmethod
    def of(cls, size: tuple[int, int]) -> Self:
        """Return those of images of a height and width."""
        found = []
        for level in LEVELS:
            side = 2.0**level
            rows, columns = (-(-each // 2**level) for each in size)
            places = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
            middles = (np.stack(places, -1).reshape(-1, 1, 2) + 0.5) * side
            shapes = [
                [scale * taller**0.5, scale / taller**0.5]
                for taller in _TALLER
                for scale in _SCALES
            ]
            half = 0.5 * _CELLS * side * np.array(shapes)
            found.append(np.concatenate([middles - half, middles + half], -1).reshape(-1, 4))
        return cls((np.concatenate(found) / np.array([*size, *size])).astype(np.float32))

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.boxes)

    def stands(self, boxes: np.ndarray) -> np.ndarray:
        """Return of each box of shape `(k, 4)` whether an anchor stands for it."""
        each = overlaps(tf.constant(self.boxes), tf.constant(boxes, tf.float32))
        found: np.ndarray = tf.reduce_max(each, axis=0).numpy() >= _BOX
        return found

    def losses(self, raw: tf.Tensor, boxes: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the losses of each image."""
        there = tf.cast(labels >= 0, tf.float32)
        overlap = there[:, None] * overlaps(tf.constant(self.boxes), boxes)
        most, best = tf.reduce_max(overlap, axis=-1), tf.argmax(overlap, axis=-1)
        is_box = most >= _BOX
        box = tf.cast(is_box, tf.float32)
        number = tf.reduce_sum(box, axis=-1)
        label = tf.where(is_box, tf.gather(labels, best, batch_dims=1), -1)
        counted = tf.cast(is_box | (most < _NOTHING), tf.float32)
        focal = _focal(tf.one_hot(label, raw.shape[-1] - 4), raw[..., 4:])
        # Elsewhere the targets are those of the anchor itself, so that nothing is infinite.
        own = tf.where(is_box[..., None], tf.gather(boxes, best, batch_dims=1), self.boxes)
        apart = tf.reduce_mean(_smooth(raw[..., :4] - self.numbers(own)), axis=-1)
        share = 1.0 / tf.maximum(number, 1.0)
        return {
            "box": share * tf.reduce_sum(box * apart, axis=-1),
            "classes": share * tf.reduce_sum(counted * tf.reduce_sum(focal, axis=-1), axis=-1),
        }

    def numbers(self, boxes: tf.Tensor) -> tf.Tensor:
        """Return what anchors should say of boxes, one each: of the middle, and of the size."""
        shape, own = boxes[..., 2:] - boxes[..., :2], self.boxes[:, 2:] - self.boxes[:, :2]
        middle = 0.5 * (boxes[..., :2] + boxes[..., 2:] - self.boxes[:, :2] - self.boxes[:, 2:])
        size = tf.math.log(tf.maximum(shape, 1e-6) / own)
        return tf.concat([middle / own, size], axis=-1) / _UNITS

    def decoded(self, numbers: tf.Tensor) -> tf.Tensor:
        """Return the boxes that numbers say, cut at the edges of the image."""
        own = self.boxes[:, 2:] - self.boxes[:, :2]
        shifts, logarithms = tf.split(numbers * _UNITS, 2, axis=-1)
        middle = 0.5 * (self.boxes[:, :2] + self.boxes[:, 2:]) + own * shifts
        half = 0.5 * own * tf.exp(tf.minimum(logarithms, _LARGEST))
        return tf.clip_by_value(tf.concat([middle - half, middle + half], axis=-1), 0.0, 1.0)

    def candidates(self, raw: tf.Tensor) -> Candidates:
        """Return the boxes of the surest anchors."""
        scores = tf.sigmoid(raw[..., 4:])
        _, chosen = tf.math.top_k(tf.reduce_max(scores, axis=-1), min(_MOST, self.count))
        boxes = tf.gather(self.decoded(raw[..., :4]), chosen, batch_dims=1)
        return Candidates(boxes, tf.gather(scores, chosen, batch_dims=1), _LEAST_SCORE, _SAME)


def _focal(truth: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return the focal loss of each class (equation 5)."""
    probability = tf.sigmoid(logits)
    wrong = truth + (1.0 - 2.0 * truth) * probability
    weight = truth * _ALPHA + (1.0 - truth) * (1.0 - _ALPHA)
    cross = tf.nn.sigmoid_cross_entropy_with_logits(labels=truth, logits=logits)
    return weight * tf.square(wrong) * cross


def _smooth(apart: tf.Tensor) -> tf.Tensor:
    """Return a parabola that goes on in a straight line where it is as steep as that."""
    far = tf.abs(apart)
    return tf.where(far < 1.0 / _STEEP, 0.5 * _STEEP * far**2, far - 0.5 / _STEEP)
