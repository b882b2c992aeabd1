"""The cells of YOLOv3: where predictions are, which is made for a box, and what they mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Self

import numpy as np
import tensorflow as tf

from trainers.tasks.boxes import Candidates, overlaps

__all__ = ["Cells"]

_LEAST_SCORE, _SAME = 0.01, 0.45


@dataclasses.dataclass(frozen=True)
class Cells:
    """Predictions of a detector: grid after grid, row, column and anchor.

    Of each box one prediction is responsible: that of the anchor most like it, in the cell that has
    its middle. The losses of an image are sums over predictions::

        box = (2 - h w) [BCE(shares of the cell) + |log sizes - logarithms|^2 / 2]
        objectness = BCE(whether there is a box)
        classes = BCE(each class)

    the first and the last over those that are responsible, where a small box weighs up to twice as
    much. Objectness is over all but those that overlap a box by more than `ignored_overlap` and are
    not responsible for one.

    Attributes:
        corners: Top and left of the cell of each prediction, of shape `(n, 2)`; all lengths are
            shares of the height and the width of the image.
        sides: Height and width of its cell.
        anchors: Height and width of its anchor.
        grids: Of each grid its first prediction, rows, columns and anchors, int32 of shape
            `(grids, 4)`.
        shapes: Height and width of all anchors, grid after grid, of shape `(anchors, 2)`.
        places: The grid of each of these, and its number there, int32 of shape `(anchors, 2)`.
        ignored_overlap: See above.

    References:
        Redmon and Farhadi, "YOLOv3" (arXiv 1804.02767), section 2.1. Cross entropy for the shares,
        where the paper has squared errors, and the weights of small boxes are those of its released
        code. That objectness begins at a low probability is our choice.
    """

    corners: np.ndarray
    sides: np.ndarray
    anchors: np.ndarray
    grids: np.ndarray
    shapes: np.ndarray
    places: np.ndarray
    ignored_overlap: float

    @classmethod
    def of(
        cls,
        size: tuple[int, int],
        strides: Sequence[int],
        anchors: Sequence[np.ndarray],
        ignored_overlap: float,
    ) -> Self:
        """Return those of grids.

        Args:
            size: Height and width of images in pixels.
            strides: Pixels from a cell to the next, of each grid.
            anchors: Heights and widths in pixels, of each grid, of shape `(k, 2)`.
            ignored_overlap: See above.
        """
        corners, sides, wide, grids, places, first = [], [], [], [], [], 0
        for grid, (stride, own) in enumerate(zip(strides, anchors, strict=True)):
            rows, columns = size[0] // stride, size[1] // stride
            at = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), -1)
            side = np.array([1 / rows, 1 / columns])
            corners.append(np.repeat(at.reshape(-1, 2) * side, len(own), axis=0))
            sides.append(np.broadcast_to(side, corners[-1].shape))
            wide.append(np.tile(own / np.array(size), (rows * columns, 1)))
            grids.append([first, rows, columns, len(own)])
            places += [[grid, number] for number in range(len(own))]
            first += rows * columns * len(own)
        return cls(
            corners=np.concatenate(corners).astype(np.float32),
            sides=np.concatenate(sides).astype(np.float32),
            anchors=np.concatenate(wide).astype(np.float32),
            grids=np.array(grids, np.int32),
            shapes=(np.concatenate(anchors) / np.array(size)).astype(np.float32),
            places=np.array(places, np.int32),
            ignored_overlap=ignored_overlap,
        )

    def losses(self, raw: tf.Tensor, boxes: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the losses of each image."""
        is_there = labels >= 0
        there = tf.cast(is_there, tf.float32)
        index = self.assigned(boxes)
        # What is no box is of no prediction.
        index = tf.where(is_there, index, 0)
        own = tf.gather(raw, index, batch_dims=1)
        shares, logarithms = self.numbers(boxes, index)
        weight = there * (2.0 - tf.reduce_prod(boxes[..., 2:] - boxes[..., :2], axis=-1))
        cross = tf.nn.sigmoid_cross_entropy_with_logits
        box = tf.reduce_sum(cross(labels=shares, logits=own[..., :2]), axis=-1)
        box += 0.5 * tf.reduce_sum(tf.square(own[..., 2:4] - logarithms), axis=-1)
        classes = tf.one_hot(labels, raw.shape[-1] - 5)
        named = tf.reduce_sum(cross(labels=classes, logits=own[..., 5:]), axis=-1)
        responsible = tf.reduce_max(there[..., None] * tf.one_hot(index, raw.shape[1]), axis=1)
        found = tf.stop_gradient(self.boxes(raw[..., :4]))
        overlap = tf.reduce_max(there[:, None] * overlaps(found, boxes), axis=-1)
        ignored = tf.cast(overlap > self.ignored_overlap, tf.float32)
        counts = tf.maximum(responsible, 1.0 - ignored)
        objectness = counts * cross(labels=responsible, logits=raw[..., 4])
        return {
            "box": tf.reduce_sum(weight * box, axis=-1),
            "objectness": tf.reduce_sum(objectness, axis=-1),
            "classes": tf.reduce_sum(there * named, axis=-1),
        }

    def candidates(self, raw: tf.Tensor) -> Candidates:
        """Return the boxes of all predictions."""
        scores = tf.sigmoid(raw[..., 4:5]) * tf.sigmoid(raw[..., 5:])
        return Candidates(self.boxes(raw[..., :4]), scores, _LEAST_SCORE, _SAME)

    def boxes(self, raw: tf.Tensor) -> tf.Tensor:
        """Return the boxes of numbers (y, x, h, w) of shape `(batch, n, 4)`.

        The middle is ``corner + side * sigmoid(y, x)``, height and width ``anchor * exp(h, w)``
        (YOLOv3, section 2.1).
        """
        middle = self.corners + self.sides * tf.sigmoid(raw[..., :2])
        half = 0.5 * self.anchors * tf.exp(raw[..., 2:])
        return tf.concat([middle - half, middle + half], axis=-1)

    def assigned(self, boxes: tf.Tensor) -> tf.Tensor:
        """Return which prediction is made for each box, int32 of shape `(batch, k)`.

        That of the anchor whose shape is most like the box, in the cell that has its middle.
        """
        shape = boxes[..., 2:] - boxes[..., :2]
        both = tf.reduce_prod(tf.minimum(shape[..., None, :], self.shapes), axis=-1)
        either = tf.reduce_prod(shape, axis=-1)[..., None] + tf.reduce_prod(self.shapes, axis=-1)
        best = tf.argmax(both / (either - both), axis=-1)
        place = tf.gather(self.places, best)
        grid = tf.gather(self.grids, place[..., 0])
        middle = 0.5 * (boxes[..., :2] + boxes[..., 2:])
        cell = tf.cast(middle * tf.cast(grid[..., 1:3], tf.float32), tf.int32)
        cell = tf.minimum(cell, grid[..., 1:3] - 1)  # A middle on the lower edge is inside.
        number = cell[..., 0] * grid[..., 2] + cell[..., 1]
        return grid[..., 0] + number * grid[..., 3] + place[..., 1]

    def numbers(self, boxes: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return what predictions should say of boxes: shares of the cell, and logarithms."""
        middle = 0.5 * (boxes[..., :2] + boxes[..., 2:])
        shape = tf.maximum(boxes[..., 2:] - boxes[..., :2], 1e-6)
        shares = (middle - tf.gather(self.corners, index)) / tf.gather(self.sides, index)
        return shares, tf.math.log(shape / tf.gather(self.anchors, index))
