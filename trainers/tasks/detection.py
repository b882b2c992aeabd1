"""Detection of objects by boxes: what `trainers.detection` trains."""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainers.datasets import scene_sources
from trainers.datasets.scenes import Scenes
from trainers.loop.task import Evaluation, Forward, Metric
from trainers.options.detection import Detector
from trainers.tasks.average_precision import Found, coco, voc
from trainers.tasks.boxes import surest
from trainers.tasks.configured import ConfiguredTask
from trainers.tasks.detectors import kind
from trainers.tasks.pictures import boxed, captioned

__all__ = ["Detection"]

_SHOWN, _COLUMNS = 6, 3
# People look at about so many epochs.
_LOOKS = 10


class Detection(ConfiguredTask):
    """Finds objects and their boxes; see `trainers.options.detection`.

    Losses are those of YOLOv3 (`trainers.tasks.cells`) or RetinaNet (`trainers.tasks.anchors`).
    Boxes that are marked as difficult are not trained on.

    Metrics are mean average precisions: "voc_map" is the area under precision at an overlap of one
    half, "voc07_map" the mean at 11 points, "coco_map" and "coco_map50" are COCO's.
    """

    options = Detector
    config: Detector
    data: Scenes

    def __init__(self, config: Detector, data: Scenes | None = None) -> None:
        self._kind = kind(config)
        self._predictions = self._kind.predictions
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
        super().__init__(config, data)

    @classmethod
    def load(cls, config: Detector, data_dir: str | None = None) -> Scenes:
        """Return the images that it trains on and is evaluated with."""
        size = (config.height, config.width)
        found = scene_sources.get(config.dataset, size, data_dir).split(config.training.split)
        kind(config).check_boxes(found)
        return found

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
        # Whether they are checked depends on the kind of detector.
        checked = type(kind(config)).__name__
        return config.dataset, config.height, config.width, config.training.split, checked

    def count_steps(self) -> int:
        """Return the full batches of an epoch."""
        training = self.config.training
        return self.facts.steps_per_epoch(training.split, training.batch_size)

    def network(self) -> keras.Model:
        """Return the detector for the classes of the data set."""
        return self._kind.network(len(self.facts.class_names))

    def check_network(self) -> None:
        """Check what only a network can tell, also of one that is made of others' parts."""
        if self.config.backbone_weights:
            self.optimizer(self.model())
        else:
            super().check_network()

    def check_flags(self, given: Collection[str]) -> None:
        """Check that each of some flags is used, whatever its value."""
        for name in self._kind.unread:
            if name in given:
                raise ValueError(
                    f"--{name} is not used by the model {self.config.model!r}. Expected another "
                    f"model, or no such flag"
                )
        super().check_flags(given)

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
        losses = self._predictions.losses(raw, boxes, tf.where(difficult, -1, labels))
        if evaluation is None:
            return Forward(losses)
        return Forward(
            losses,
            outputs={
                **surest(self._predictions.candidates(raw)),
                "true_boxes": boxes,
                "true_classes": labels,
                "difficult": difficult,
            },
        )

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
            **coco(images, classes, self._kind.size),
        }

    def artefacts(self, model: keras.Model, epoch: int) -> Mapping[str, np.ndarray]:
        """Return images with what is there in green, and what was found in red, with its class.

        Boxes that are less likely than `Kind.shown_score` are not shown.
        """
        if not self._seen:
            return {}
        names, drawn, lines = self.facts.class_names, [], []
        batches = self._evaluated(next(iter(self.evaluations))).unbatch().take(len(self._seen))
        pixels = [np.rint(255.0 * image.numpy()).astype(np.uint8) for image, *_ in batches]
        for image, found in zip(pixels, self._seen, strict=True):
            sure = found.scores >= self._kind.shown_score
            words = [
                f"{names[label]}: {100 * score:.0f} %"
                for label, score in zip(found.classes[sure], found.scores[sure], strict=True)
            ]
            drawn.append(boxed(image, found.true_boxes, found.boxes[sure], words))
            lines.append([f"{len(found.true_boxes)} there (green)", f"{sum(sure)} found (red)"])
        return {"boxes": captioned(np.stack(drawn) / 255.0, lines, _COLUMNS)}


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
