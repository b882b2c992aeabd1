"""The anchors of RetinaNet: which of them predict a box, and what their numbers mean."""

from __future__ import annotations

import dataclasses
from typing import Self

import numpy as np
import tensorflow as tf

from trainers.models.retinanet import LEVELS, SHAPES
from trainers.tasks.boxes import Candidates, overlaps

__all__ = ["Anchors"]

# An anchor is positive from this overlap with a box on, negative below the other one.
_POSITIVE, _NEGATIVE = 0.5, 0.4
_ALPHA = 0.25
# The regression targets are offsets and logarithms in these units, as in Fast R-CNN's code.
_UNITS = (0.1, 0.1, 0.2, 0.2)
# The smooth L1 loss is a parabola up to one over this.
_STEEPNESS = 9.0
_LEAST_SCORE, _SAME = 0.05, 0.5
# So many anchors of an image are decoded: those with the highest scores.
_DECODED = 5000
# Logarithms of sizes are cut off here, so that they do not overflow.
_LARGEST_LOGARITHM = np.log(1000.0 / 16.0)


@dataclasses.dataclass(frozen=True)
class Anchors:
    """Anchors of all levels: level after level, row, column, and nine of each cell.

    An anchor is positive if it overlaps a box by 0.5 or more, negative if it overlaps none by 0.4,
    and ignored in between. A positive one predicts the box that it overlaps most. The losses of an
    image with P positive anchors::

        classes = sum FL / max(1, P)
        FL = - a (1 - p)^2 log p            for the class of the box, with a = 1/4
        FL = - (1 - a) p^2 log (1 - p)      for any other class, and all of a negative anchor

        box = mean S(numbers - targets)
        S(x) = 9 x^2 / 2 if |x| < 1/9, else |x| - 1/18

    where the sum is over the classes of all positive and negative anchors, p is the probability of
    a class, and the mean is over the four numbers of the positive anchors.

    Attributes:
        boxes: float32 of shape `(n, 4)`, as shares of height and width; some lie partly outside.

    References:
        Lin et al. (arXiv 1708.02002), sections 3.2, 4 and 4.1. The bend at 1/9 and the mean over
        the four numbers are those of the PyTorch code that the precision paper builds on.
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
            half = 0.5 * side * np.array(SHAPES)
            found.append(np.concatenate([middles - half, middles + half], -1).reshape(-1, 4))
        return cls((np.concatenate(found) / np.array([*size, *size])).astype(np.float32))

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.boxes)

    def matches(self, boxes: np.ndarray) -> np.ndarray:
        """Return of each box of shape `(k, 4)` whether an anchor is positive for it."""
        each = overlaps(tf.constant(self.boxes), tf.constant(boxes, tf.float32))
        found: np.ndarray = tf.reduce_max(each, axis=0).numpy() >= _POSITIVE
        return found

    def losses(self, raw: tf.Tensor, boxes: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the losses of each image."""
        there = tf.cast(labels >= 0, tf.float32)
        overlap = there[:, None] * overlaps(tf.constant(self.boxes), boxes)
        most, best = tf.reduce_max(overlap, axis=-1), tf.argmax(overlap, axis=-1)
        is_positive = most >= _POSITIVE
        label = tf.where(is_positive, tf.gather(labels, best, batch_dims=1), -1)
        counts = tf.cast(is_positive | (most < _NEGATIVE), tf.float32)
        focal = _focal(tf.one_hot(label, raw.shape[-1] - 4), raw[..., 4:])
        # The target of an anchor without a box is the anchor, so that nothing is infinite.
        target = tf.where(is_positive[..., None], tf.gather(boxes, best, batch_dims=1), self.boxes)
        apart = tf.reduce_mean(_smooth(raw[..., :4] - self.numbers(target)), axis=-1)
        positive = tf.cast(is_positive, tf.float32)
        number = tf.maximum(tf.reduce_sum(positive, axis=-1), 1.0)
        return {
            "box": tf.reduce_sum(positive * apart, axis=-1) / number,
            "classes": tf.reduce_sum(counts * tf.reduce_sum(focal, axis=-1), axis=-1) / number,
        }

    def numbers(self, boxes: tf.Tensor) -> tf.Tensor:
        """Return the targets of anchors whose boxes are these: offsets, and logarithms of sizes."""
        shape, own = boxes[..., 2:] - boxes[..., :2], self.boxes[:, 2:] - self.boxes[:, :2]
        middle = 0.5 * (boxes[..., :2] + boxes[..., 2:] - self.boxes[:, :2] - self.boxes[:, 2:])
        size = tf.math.log(tf.maximum(shape, 1e-6) / own)
        return tf.concat([middle / own, size], axis=-1) / _UNITS

    def decoded(self, numbers: tf.Tensor) -> tf.Tensor:
        """Return the boxes that numbers mean, cut at the edges of the image."""
        own = self.boxes[:, 2:] - self.boxes[:, :2]
        shifts, logarithms = tf.split(numbers * _UNITS, 2, axis=-1)
        middle = 0.5 * (self.boxes[:, :2] + self.boxes[:, 2:]) + own * shifts
        half = 0.5 * own * tf.exp(tf.minimum(logarithms, _LARGEST_LOGARITHM))
        return tf.clip_by_value(tf.concat([middle - half, middle + half], axis=-1), 0.0, 1.0)

    def candidates(self, raw: tf.Tensor) -> Candidates:
        """Return the boxes of the anchors with the highest scores."""
        scores = tf.sigmoid(raw[..., 4:])
        _, chosen = tf.math.top_k(tf.reduce_max(scores, axis=-1), min(_DECODED, self.count))
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
    """Return the smooth L1 loss of differences."""
    far = tf.abs(apart)
    return tf.where(far < 1.0 / _STEEPNESS, 0.5 * _STEEPNESS * far**2, far - 0.5 / _STEEPNESS)
