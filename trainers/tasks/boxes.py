"""Boxes, and how they are read from the numbers of a detector.

Boxes are ``(top, left, bottom, right)`` as shares of height and width.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import tensorflow as tf

__all__ = ["Candidates", "Predictions", "overlaps", "surest"]

# So many boxes of an image are kept.
_KEPT = 100


class Candidates(NamedTuple):
    """Boxes that may be there.

    Attributes:
        boxes: float32 of shape `(batch, n, 4)`.
        scores: How likely each is one of each class, of shape `(batch, n, classes)`.
        least_score: No box that is less likely is kept.
        same: Of boxes of a class that overlap by more the surest is kept.
    """

    boxes: tf.Tensor
    scores: tf.Tensor
    least_score: float
    same: float


class Predictions(Protocol):
    """What the numbers of a detector mean, float32 of shape `(batch, predictions, numbers)`."""

    def losses(self, raw: tf.Tensor, boxes: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the losses of each image.

        Args:
            raw: The numbers.
            boxes: float32 of shape `(batch, k, 4)`.
            labels: int32 of shape `(batch, k)`, -1 where there is no box.
        """

    def candidates(self, raw: tf.Tensor) -> Candidates:
        """Return the boxes that the numbers mean."""


def overlaps(boxes: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """Return the intersection over union of each of `(..., n, 4)` and each of `(..., k, 4)`."""
    one, two = boxes[..., :, None, :], others[..., None, :, :]
    sides = tf.minimum(one[..., 2:], two[..., 2:]) - tf.maximum(one[..., :2], two[..., :2])
    both = tf.reduce_prod(tf.maximum(sides, 0.0), axis=-1)
    areas = [tf.reduce_prod(each[..., 2:] - each[..., :2], axis=-1) for each in (one, two)]
    return both / tf.maximum(areas[0] + areas[1] - both, 1e-9)


def surest(candidates: Candidates) -> dict[str, tf.Tensor]:
    """Return the surest boxes of each image that do not overlap, class by class.

    Returns:
        "boxes", "scores" and "classes", the surest first, and their "count"; the rest is zeros.
    """
    found = tf.image.combined_non_max_suppression(
        candidates.boxes[:, :, None],
        candidates.scores,
        max_output_size_per_class=_KEPT,
        max_total_size=_KEPT,
        iou_threshold=candidates.same,
        score_threshold=candidates.least_score,
    )
    return {
        "boxes": found.nmsed_boxes,
        "scores": found.nmsed_scores,
        "classes": found.nmsed_classes,
        "count": found.valid_detections,
    }
