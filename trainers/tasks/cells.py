"""Where a detector's predictions are, which of them is made for a box, and what they mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Self

import numpy as np
import tensorflow as tf

__all__ = ["Cells", "overlaps"]


@dataclasses.dataclass(frozen=True)
class Cells:
    """Predictions of a detector: grid after grid, row, column and anchor.

    Attributes:
        corners: Top and left of the cell of each prediction, of shape `(n, 2)`; all lengths are
            shares of the height and the width of the image.
        sides: Height and width of its cell.
        anchors: Height and width of its anchor.
        grids: Of each grid its first prediction, rows, columns and anchors, int32 of shape
            `(grids, 4)`.
        shapes: Height and width of all anchors, grid after grid, of shape `(anchors, 2)`.
        places: The grid of each of these, and its number there, int32 of shape `(anchors, 2)`.
    """

    corners: np.ndarray
    sides: np.ndarray
    anchors: np.ndarray
    grids: np.ndarray
    shapes: np.ndarray
    places: np.ndarray

    @classmethod
    def of(
        cls, size: tuple[int, int], strides: Sequence[int], anchors: Sequence[np.ndarray]
    ) -> Self:
        """Return those of grids.

        Args:
            size: Height and width of images in pixels.
            strides: Pixels from a cell to the next, of each grid.
            anchors: Heights and widths in pixels, of each grid, of shape `(k, 2)`.
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
        )

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


def overlaps(boxes: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """Return the intersection over union of each of `(batch, n, 4)` and each of `(batch, k, 4)`."""
    one, two = boxes[:, :, None], others[:, None]
    sides = tf.minimum(one[..., 2:], two[..., 2:]) - tf.maximum(one[..., :2], two[..., :2])
    both = tf.reduce_prod(tf.maximum(sides, 0.0), axis=-1)
    areas = [tf.reduce_prod(each[..., 2:] - each[..., :2], axis=-1) for each in (one, two)]
    return both / tf.maximum(areas[0] + areas[1] - both, 1e-9)
