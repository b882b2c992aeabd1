"""Mean average precision of boxes, as Pascal VOC and as COCO measure it.

COCO's is that of pycocotools. VOC's is here: the libraries match as COCO does, where a detection
goes to the best box that is left, while in VOC it goes to the box that it overlaps most, and is
wrong if another one had that already; and none has the 11 points of VOC 2007.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["Found", "coco", "voc"]

_POINTS = 11
_LEAST_OVERLAP = 0.5
_UNCOUNTED = 1e12


@dataclasses.dataclass(frozen=True)
class Found:
    """What is on an image, and what was found there. Boxes are (top, left, bottom, right).

    Attributes:
        boxes: Of what was found, of shape `(n, 4)`.
        scores: How sure each is, of shape `(n,)`.
        classes: Their classes, integers of shape `(n,)`.
        true_boxes: Of what is there, of shape `(k, 4)`.
        true_classes: Their classes, of shape `(k,)`.
        difficult: Whether to have found it or not does not count, of shape `(k,)`.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    true_boxes: np.ndarray
    true_classes: np.ndarray
    difficult: np.ndarray


def voc(images: Sequence[Found], classes: int, points: bool = False) -> float:
    """Return the mean average precision at an overlap of one half, over classes that are there.

    Args:
        images: All images.
        classes: Number of classes.
        points: Whether to average the precision at 11 points of recall, as until 2009; else the
            area under it.

    Returns:
        From 0 to 1; NaN if nothing is there. Precision at a recall is the highest at that recall or
        a higher one.

    References:
        Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", International Journal
        of Computer Vision 88 (2010), section 4.2, and the development kits of 2007 and 2012.
    """
    each = [_of_class(images, number, points) for number in range(classes)]
    known = [value for value in each if value is not None]
    return float(np.mean(known)) if known else float("nan")


def _of_class(images: Sequence[Found], number: int, points: bool) -> float | None:
    scores, right, count = [], [], 0
    for image in images:
        own = image.true_classes == number
        truth, difficult = image.true_boxes[own], image.difficult[own]
        count += int(np.sum(~difficult))
        chosen = np.flatnonzero(image.classes == number)
        chosen = chosen[np.argsort(-image.scores[chosen], kind="stable")]
        overlap = _overlaps(image.boxes[chosen], truth)
        taken = np.zeros(len(truth), bool)
        for place, row in zip(chosen, overlap, strict=True):
            best = int(row.argmax()) if len(row) else -1
            is_on = best >= 0 and row[best] >= _LEAST_OVERLAP
            if is_on and difficult[best]:
                continue
            scores.append(image.scores[place])
            right.append(is_on and not taken[best])
            if is_on:
                taken[best] = True
    if not count:
        return None
    order = np.argsort(-np.array(scores), kind="stable")
    hits = np.cumsum(np.array(right, bool)[order])
    recall = hits / count
    precision = hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if points:
        at = np.searchsorted(recall, np.linspace(0.0, 1.0, _POINTS) - 1e-12)
        return float(np.append(envelope, 0.0)[at].mean())
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    one, two = boxes[:, None], others[None]
    sides = np.minimum(one[..., 2:], two[..., 2:]) - np.maximum(one[..., :2], two[..., :2])
    both = np.prod(np.maximum(sides, 0.0), axis=-1)
    areas = [np.prod(each[..., 2:] - each[..., :2], axis=-1) for each in (one, two)]
    found: np.ndarray = both / np.maximum(areas[0] + areas[1] - both, 1e-12)
    return found


def coco(images: Sequence[Found], classes: int, size: tuple[int, int]) -> dict[str, float]:
    """Return COCO's mean average precision, by pycocotools.

    Args:
        images: All images, boxes as shares of height and width.
        classes: Number of classes.
        size: Height and width of images in pixels.

    Returns:
        "coco_map", the mean over overlaps from 0.5 to 0.95, and "coco_map50", that at 0.5; NaN if
        nothing is there that counts. Difficult boxes, which COCO does not have, count neither as
        found nor as missed.

    References:
        Lin et al., "Microsoft COCO" (arXiv 1405.0312), and its evaluation code.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth: list[dict[str, Any]] = []
    found: list[list[float]] = []
    for number, image in enumerate(images):
        for box, label, difficult in zip(
            image.true_boxes, image.true_classes, image.difficult, strict=True
        ):
            x, y, width, height = _in_pixels(box, size)
            truth.append(
                {
                    "id": len(truth) + 1,
                    "image_id": number,
                    "category_id": int(label),
                    "bbox": [x, y, width, height],
                    # Beyond every range of areas it counts neither as found nor as missed.
                    "area": _UNCOUNTED if difficult else width * height,
                    "iscrowd": 0,
                }
            )
        for box, label, score in zip(image.boxes, image.classes, image.scores, strict=True):
            found.append([number, *_in_pixels(box, size), float(score), int(label)])
    if all(each["area"] == _UNCOUNTED for each in truth):
        return {"coco_map": float("nan"), "coco_map50": float("nan")}
    if not found:
        return {"coco_map": 0.0, "coco_map50": 0.0}
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {
            "images": [{"id": number} for number in range(len(images))],
            "categories": [{"id": number} for number in range(classes)],
            "annotations": truth,
        }
        known.createIndex()
        evaluation = COCOeval(known, known.loadRes(np.array(found)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {"coco_map": float(evaluation.stats[0]), "coco_map50": float(evaluation.stats[1])}


def _in_pixels(box: np.ndarray, size: tuple[int, int]) -> list[float]:
    """Return left, top, width and height."""
    top, left, bottom, right = (float(v) * size[k % 2] for k, v in enumerate(box))
    return [left, top, right - left, bottom - top]
