"""Detection of objects by boxes: what `trainers.detection` trains."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainers.datasets import scene_sources
from trainers.datasets.scenes import Scenes
from trainers.loop.task import Evaluation, Forward, Metric
from trainers.models import yolo
from trainers.options.detection import Detector
from trainers.options.fields import check_known
from trainers.tasks.average_precision import Found, coco, voc
from trainers.tasks.cells import Cells, overlaps
from trainers.tasks.configured import ConfiguredTask
from trainers.tasks.pictures import boxed, gallery

__all__ = ["Detection"]

# Of boxes that overlap by more the surest is kept; so many of an image, and none less sure.
_SAME, _MOST, _LEAST_SCORE = 0.45, 100, 0.01
_SHOWN, _COLUMNS, _SHOWN_SCORE = 6, 3, 0.5
# People look at about so many epochs.
_LOOKS = 10


class Detection(ConfiguredTask):
    """Finds objects and their boxes; see `trainers.options.detection`.

    Of each box one prediction is responsible: that of the anchor most like it, in the cell that has
    its middle. The losses of an image are sums over predictions::

        box = (2 - h w) [BCE(shares of the cell) + |log sizes - logarithms|^2 / 2]
        objectness = BCE(whether there is a box)
        classes = BCE(each class)

    the first and the last over those that are responsible, where a small box weighs up to twice as
    much. Objectness is over all but those that overlap a box by more than `ignored_overlap` and are
    not responsible for one. Boxes without a middle in any cell, and difficult ones, are none.

    Metrics are mean average precisions: "voc_map" is the area under precision at an overlap of one
    half, "voc07_map" the mean at 11 points, "coco_map" and "coco_map50" are COCO's.

    References:
        Redmon and Farhadi, "YOLOv3" (arXiv 1804.02767), section 2.1. Cross entropy for the shares,
        where the paper has squared errors, and the weights of small boxes are those of its released
        code. That objectness begins at a low probability is our choice.
    """

    options = Detector
    config: Detector
    data: Scenes

    def __init__(self, config: Detector, data: Scenes | None = None) -> None:
        check_known("model", config.model, yolo.names(), "a detector")
        if config.model != "grid" and config.channels != Detector.defaults()["channels"]:
            raise ValueError(
                f"`channels` must be left as they are for another model than 'grid'. "
                f"Received: channels={config.channels}, model={config.model!r}"
            )
        self.facts = scene_sources.facts(config.dataset)
        training = config.training
        self.goal = f"{training.evaluations[0]}_voc_map"
        names = ("voc_map", "voc07_map", "coco_map", "coco_map50")
        self.metrics = {name: Metric("higher", is_share=True) for name in names}
        # At the ends of epochs that are evaluated: what is shown was found there.
        looks = training.evaluate_every * _LOOKS
        self.artefacts_every = training.evaluate_every * math.ceil(training.trained_epochs / looks)
        self.evaluations = {
            name: Evaluation(functools.partial(self._evaluated, name), training.evaluate_every)
            for name in training.evaluations
        }
        self._seen: list[Found] = []
        self._held: dict[str, tf.data.Dataset] = {}
        self.size = (config.height, config.width)
        strides = yolo.STRIDES[config.model]
        shapes = np.array(config.anchors, np.float64).reshape(-1, 2)
        if len(shapes) % len(strides):
            raise ValueError(
                f"`anchors` must be as many for each of the {len(strides)} grids of "
                f"{config.model!r}. Received: {len(shapes)} anchors"
            )
        most = max(strides)
        if config.height % most or config.width % most:
            raise ValueError(
                f"`height` and `width` must be multiples of {most} for {config.model!r}. "
                f"Received: height={config.height}, width={config.width}"
            )
        self._cells = Cells.of(self.size, strides, np.split(shapes, len(strides)))
        super().__init__(config, data)

    @classmethod
    def load(cls, config: Detector, data_dir: str | None = None) -> Scenes:
        """Return the images that it trains on and is evaluated with."""
        size = (config.height, config.width)
        found = scene_sources.get(config.dataset, size, data_dir)
        return found.split(config.training.split)

    @classmethod
    def check_data(cls, config: Detector, data_dir: str | None = None) -> None:
        """Check that the data set is there."""
        scene_sources.check(config.dataset, data_dir)

    @classmethod
    def stand_in(cls, config: Detector) -> Scenes:
        """Return a random image in the number of the data set."""
        size = (config.height, config.width)
        return scene_sources.random(config.dataset, size).split(config.training.split)

    @classmethod
    def data_key(cls, config: Detector) -> tuple[Any, ...]:
        """Return what the images depend on."""
        return config.dataset, config.height, config.width, config.training.split

    def count_steps(self) -> int:
        """Return the full batches of an epoch."""
        training = self.config.training
        return self.facts.steps_per_epoch(training.split, training.batch_size)

    def network(self) -> keras.Model:
        """Return the detector for the classes of the data set."""
        config = self.config
        classes, counts = len(self.facts.class_names), self._cells.grids[:, 3].tolist()
        return yolo.detector(config.model, self.size, classes, counts, config.channels)

    def train(self, step: int) -> tf.data.Dataset:
        """Return batches of images and boxes, shuffled, from a data step on."""
        training = self.config.training
        return self.data.train(training.batch_size, training.seed, step)

    def _evaluated(self, name: str) -> tf.data.Dataset:
        if name not in self._held:
            self._held[name] = self.data.evaluate(self.config.training.batch_size, name)
        return self._held[name]

    def damage(self, step: int, evaluation: str | None) -> str | None:
        """Return which image cannot be read, and why."""
        training = self.config.training
        return self.data.damage(training.batch_size, training.seed, step, evaluation)

    def forward(
        self, model: keras.Model, batch: tuple[tf.Tensor, ...], evaluation: str | None
    ) -> Forward:
        """Return the losses of each image, and where it is evaluated what was found."""
        images, boxes, labels, difficult = batch
        raw = tf.cast(model(images, training=evaluation is None), tf.float32)
        losses = self._losses(raw, boxes, tf.where(difficult, -1, labels))
        if evaluation is None:
            return Forward(losses)
        return Forward(
            losses,
            outputs={
                **self._found(raw),
                "true_boxes": boxes,
                "true_classes": labels,
                "difficult": difficult,
            },
        )

    def _losses(self, raw: tf.Tensor, boxes: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        is_there = labels >= 0
        there = tf.cast(is_there, tf.float32)
        index = self._cells.assigned(boxes)
        # What is no box is of no prediction.
        index = tf.where(is_there, index, 0)
        own = tf.gather(raw, index, batch_dims=1)
        shares, logarithms = self._cells.numbers(boxes, index)
        weight = there * (2.0 - tf.reduce_prod(boxes[..., 2:] - boxes[..., :2], axis=-1))
        cross = tf.nn.sigmoid_cross_entropy_with_logits
        box = tf.reduce_sum(cross(labels=shares, logits=own[..., :2]), axis=-1)
        box += 0.5 * tf.reduce_sum(tf.square(own[..., 2:4] - logarithms), axis=-1)
        classes = tf.one_hot(labels, raw.shape[-1] - 5)
        named = tf.reduce_sum(cross(labels=classes, logits=own[..., 5:]), axis=-1)
        responsible = tf.reduce_max(there[..., None] * tf.one_hot(index, raw.shape[1]), axis=1)
        overlap = tf.reduce_max(
            there[:, None] * overlaps(tf.stop_gradient(self._cells.boxes(raw[..., :4])), boxes),
            axis=-1,
        )
        ignored = tf.cast(overlap > self.config.ignored_overlap, tf.float32)
        counts = tf.maximum(responsible, 1.0 - ignored)
        objectness = counts * cross(labels=responsible, logits=raw[..., 4])
        return {
            "box": tf.reduce_sum(weight * box, axis=-1),
            "objectness": tf.reduce_sum(objectness, axis=-1),
            "classes": tf.reduce_sum(there * named, axis=-1),
        }

    def _found(self, raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the surest boxes of each image that do not overlap, class by class."""
        scores = tf.sigmoid(raw[..., 4:5]) * tf.sigmoid(raw[..., 5:])
        found = tf.image.combined_non_max_suppression(
            self._cells.boxes(raw[..., :4])[:, :, None],
            scores,
            max_output_size_per_class=_MOST,
            max_total_size=_MOST,
            iou_threshold=_SAME,
            score_threshold=_LEAST_SCORE,
        )
        return {
            "boxes": found.nmsed_boxes,
            "scores": found.nmsed_scores,
            "classes": found.nmsed_classes,
            "count": found.valid_detections,
        }

    def judge(
        self, evaluation: str, means: Mapping[str, float], outputs: Mapping[str, Sequence[Any]]
    ) -> Mapping[str, float]:
        """Return the mean average precisions, and keep what was found in some images."""
        images = [
            found
            for batch in zip(*(outputs[name] for name in _OUTPUTS), strict=True)
            for found in map(_of_image, *batch)
        ]
        if evaluation == next(iter(self.evaluations)):
            self._seen = images[:_SHOWN]
        classes = len(self.facts.class_names)
        return {
            "voc_map": voc(images, classes),
            "voc07_map": voc(images, classes, points=True),
            **coco(images, classes, self.size),
        }

    def artefacts(self, model: keras.Model, epoch: int) -> Mapping[str, np.ndarray]:
        """Return images with what is there in green, and what was found in red, with its class."""
        if not self._seen:
            return {}
        names, drawn = self.facts.class_names, []
        batches = self._evaluated(next(iter(self.evaluations))).unbatch().take(len(self._seen))
        pixels = [np.rint(255.0 * image.numpy()).astype(np.uint8) for image, *_ in batches]
        for image, found in zip(pixels, self._seen, strict=True):
            sure = found.scores >= _SHOWN_SCORE
            words = [
                f"{names[label]} {100 * score:.0f} %"
                for label, score in zip(found.classes[sure], found.scores[sure], strict=True)
            ]
            drawn.append(boxed(image, found.true_boxes, found.boxes[sure], words))
        return {"boxes": gallery(np.stack(drawn) / 255.0, _COLUMNS)}


_OUTPUTS = ("boxes", "scores", "classes", "count", "true_boxes", "true_classes", "difficult")


def _of_image(
    boxes: np.ndarray,
    scores: np.ndarray,
    classes: np.ndarray,
    count: np.ndarray,
    true_boxes: np.ndarray,
    true_classes: np.ndarray,
    difficult: np.ndarray,
) -> Found:
    there = true_classes >= 0
    return Found(
        boxes=boxes[:count].astype(np.float64),
        scores=scores[:count].astype(np.float64),
        classes=classes[:count].astype(np.int64),
        true_boxes=true_boxes[there].astype(np.float64),
        true_classes=true_classes[there],
        difficult=difficult[there],
    )
