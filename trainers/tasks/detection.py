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
from trainers.methods import networks
from trainers.models import retinanet, yolo
from trainers.options.detection import Detector
from trainers.options.fields import check_known, shown
from trainers.tasks.anchors import Anchors
from trainers.tasks.average_precision import Found, coco, voc
from trainers.tasks.boxes import Predictions, surest
from trainers.tasks.cells import Cells
from trainers.tasks.configured import ConfiguredTask
from trainers.tasks.pictures import boxed, gallery

__all__ = ["Detection"]

# Images whose boxes are compared with the anchors before anything is trained.
_LOOKED_AT = 100
_SHOWN, _COLUMNS, _SHOWN_SCORE = 6, 3, 0.5
# People look at about so many epochs.
_LOOKS = 10


class Detection(ConfiguredTask):
    """Finds objects and their boxes; see `trainers.options.detection`.

    Losses are those of YOLOv3 (`trainers.tasks.cells`) or RetinaNet (`trainers.tasks.anchors`).
    Difficult boxes are none, as are those that no prediction stands for.

    Metrics are mean average precisions: "voc_map" is the area under precision at an overlap of one
    half, "voc07_map" the mean at 11 points, "coco_map" and "coco_map50" are COCO's.
    """

    options = Detector
    config: Detector
    data: Scenes

    def __init__(self, config: Detector, data: Scenes | None = None) -> None:
        check_known("model", config.model, [*yolo.names(), *retinanet.names()], "a detector")
        _check_read(config)
        if config.model in retinanet.names():
            retinanet.check()
        networks.check(config.backbone_weights, "backbone_weights")
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
        self._predictions = _predictions(config)
        super().__init__(config, data)

    @classmethod
    def load(cls, config: Detector, data_dir: str | None = None) -> Scenes:
        """Return the images that it trains on and is evaluated with."""
        size = (config.height, config.width)
        found = scene_sources.get(config.dataset, size, data_dir).split(config.training.split)
        if config.model in retinanet.names():
            _check_sizes(Anchors.of(size), found)
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
        return config.dataset, config.height, config.width, config.training.split

    def count_steps(self) -> int:
        """Return the full batches of an epoch."""
        training = self.config.training
        return self.facts.steps_per_epoch(training.split, training.batch_size)

    def network(self) -> keras.Model:
        """Return the detector for the classes of the data set."""
        config, classes = self.config, len(self.facts.class_names)
        if config.model not in retinanet.names():
            strides = yolo.STRIDES[config.model]
            counts = [len(config.anchors) // (2 * len(strides))] * len(strides)
            return yolo.detector(config.model, self.size, classes, counts, config.channels)
        encoder = retinanet.backbone(config.model, self.size)
        if config.backbone_weights:
            networks.load(encoder, config.backbone_weights, "backbone_weights")
            retinanet.hold_statistics(encoder)
        return retinanet.detector(encoder, self.size, classes)

    def check_network(self) -> None:
        """Check what only a network can tell: also the weights that its ResNet begins with."""
        super().check_network()
        if self.config.backbone_weights:
            self.network()

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


def _check_read(config: Detector) -> None:
    """Check that nothing is given that the model does not read.

    Raises:
        ValueError: If there is something.
    """
    is_retinanet = config.model in retinanet.names()
    unread = {
        "channels": config.model != "grid",
        "anchors": is_retinanet,
        "ignored_overlap": is_retinanet,
        "backbone_weights": not is_retinanet,
    }
    defaults = Detector.defaults()
    for name in (name for name, is_unread in unread.items() if is_unread):
        if (value := getattr(config, name)) != defaults[name]:
            raise ValueError(
                f"`{name}` says nothing to the model {config.model!r}, and must be left as it is. "
                f"Received: {name}={shown(value)}"
            )


def _check_sizes(anchors: Anchors, data: Scenes) -> None:
    """Check that some anchor stands for some box.

    Raises:
        ValueError: If none does, in the first images.
    """
    truth = [data.train_part.truth[number] for number in data.train_part.numbers[:_LOOKED_AT]]
    found = np.concatenate([each.boxes for each in truth])
    if len(found) and not anchors.stands(found).any():
        sides = (found[:, 2:] - found[:, :2]) * np.array(data.size)
        raise ValueError(
            f"`height` and `width` must be so great that anchors of 32 pixels and more overlap "
            f"boxes by half. Received: height={data.size[0]}, width={data.size[1]}, where boxes "
            f"have {np.median(sides[:, 0]):.0f}x{np.median(sides[:, 1]):.0f} pixels"
        )


def _predictions(config: Detector) -> Predictions:
    """Return what the numbers of a detector mean.

    Raises:
        ValueError: If the images do not have whole cells, or the anchors are not as many for each
            grid.
    """
    is_retinanet = config.model in retinanet.names()
    strides = () if is_retinanet else yolo.STRIDES[config.model]
    most = retinanet.STRIDE if is_retinanet else max(strides)
    if config.height % most or config.width % most:
        raise ValueError(
            f"`height` and `width` must be multiples of {most} for {config.model!r}. "
            f"Received: height={config.height}, width={config.width}"
        )
    size = (config.height, config.width)
    if is_retinanet:
        return Anchors.of(size)
    shapes = np.array(config.anchors, np.float64).reshape(-1, 2)
    if len(shapes) % len(strides):
        raise ValueError(
            f"`anchors` must be as many for each of the {len(strides)} grids of "
            f"{config.model!r}. Received: {len(shapes)} anchors"
        )
    each = np.split(shapes, len(strides))
    return Cells.of(size, strides, each, config.ignored_overlap)


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
