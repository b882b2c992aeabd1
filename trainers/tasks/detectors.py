"""The detectors of `trainers.detection`: the network of each, and what its numbers mean."""

from __future__ import annotations

import abc
import math
from typing import ClassVar

import keras
import numpy as np

from trainers.datasets.scenes import Scenes
from trainers.methods import networks
from trainers.models import hub, retinanet, yolo
from trainers.options.detection import Detector
from trainers.options.fields import check_known, shown
from trainers.tasks.anchors import Anchors
from trainers.tasks.boxes import Predictions
from trainers.tasks.cells import Cells

__all__ = ["Kind", "kind"]

_NAMES = (*yolo.names(), *retinanet.names())
# So many training images are looked at: are there anchors of the size of their boxes?
_LOOKED_AT, _LEAST_SHARE = 100, 0.5
# Sizes that an error suggests are multiples of this.
_STEP = 64


class Kind(abc.ABC):
    """A kind of detectors.

    Args:
        config: A configuration whose `model` is of this kind.
        unread: Options that the model does not read.

    Attributes:
        predictions: What its numbers mean.
        shown_score: Boxes that are less likely are not shown to people.

    Raises:
        ValueError: If the configuration cannot be that of a detector.
    """

    predictions: Predictions
    shown_score: ClassVar[float] = 0.5

    def __init__(self, config: Detector, unread: tuple[str, ...]) -> None:
        self.config = config
        self.unread = unread
        self.size = (config.height, config.width)
        defaults = config.defaults()
        for name in unread:
            if (value := getattr(config, name)) != defaults[name]:
                raise ValueError(
                    f"`{name}` is not used by the model {config.model!r}. "
                    f"Received: {name}={shown(value)}. Expected its default, {defaults[name]!r}"
                )

    def _check_stride(self, stride: int) -> None:
        if self.size[0] % stride or self.size[1] % stride:
            raise ValueError(
                f"`height` and `width` must be multiples of {stride} for {self.config.model!r}. "
                f"Received: height={self.size[0]}, width={self.size[1]}"
            )

    @abc.abstractmethod
    def network(self, classes: int) -> keras.Model:
        """Return a new network."""

    @abc.abstractmethod
    def check_boxes(self, data: Scenes) -> None:
        """Check that the boxes of images can be learnt.

        Raises:
            ValueError: If too few of them can.
        """


class Gridded(Kind):
    """Boxes in the cells of grids: YOLOv3, and a small network with one grid."""

    def __init__(self, config: Detector) -> None:
        channels = () if config.model == "grid" else ("channels",)
        super().__init__(config, ("backbone_weights", *channels))
        strides = yolo.STRIDES[config.model]
        self._check_stride(max(strides))
        shapes = np.array(config.anchors, np.float64).reshape(-1, 2)
        if len(shapes) % len(strides):
            raise ValueError(
                f"`anchors` must be as many for each of the {len(strides)} grids of "
                f"{config.model!r}. Received: {len(shapes)} anchors"
            )
        self._counts = [len(shapes) // len(strides)] * len(strides)
        each = np.split(shapes, len(strides))
        self.predictions = Cells.of(self.size, strides, each, config.ignored_overlap)

    def network(self, classes: int) -> keras.Model:
        """Return a new network."""
        config = self.config
        return yolo.detector(config.model, self.size, classes, self._counts, config.channels)

    def check_boxes(self, data: Scenes) -> None:
        """Check nothing: a cell learns boxes of any size."""


class Anchored(Kind):
    """Boxes at anchors of all sizes: RetinaNet."""

    predictions: Anchors
    # The focal loss leaves scores low.
    shown_score = 0.3

    def __init__(self, config: Detector) -> None:
        super().__init__(config, ("channels", "anchors", "ignored_overlap"))
        hub.check()
        networks.check(config.backbone_weights, "backbone_weights")
        self._check_stride(retinanet.STRIDE)
        self.predictions = Anchors.of(self.size)

    def network(self, classes: int) -> keras.Model:
        """Return a new network; its ResNet has the weights of the file that is given."""
        encoder = retinanet.backbone(self.config.model, self.size)
        if self.config.backbone_weights:
            networks.load(encoder, self.config.backbone_weights, "backbone_weights")
            retinanet.freeze_normalization(encoder)
        return retinanet.detector(encoder, self.size, classes)

    def check_boxes(self, data: Scenes) -> None:
        """Check that there are anchors of the size of most boxes.

        Raises:
            ValueError: If there are not.
        """
        truth = [data.train_part.truth[number] for number in data.train_part.numbers[:_LOOKED_AT]]
        boxes = [each.boxes for each in truth if len(each.boxes)]
        if not boxes:
            return
        matched = np.concatenate([self.predictions.matches(each) for each in boxes])
        if matched.mean() < _LEAST_SHARE:
            sides = np.concatenate([each[:, 2:] - each[:, :2] for each in boxes]) * self.size
            times = 32.0 / max(1.0, np.median(sides))
            height, width = (math.ceil(times * side / _STEP) * _STEP for side in self.size)
            raise ValueError(
                f"`height` and `width` must be so large that anchors, of 32 pixels and more, "
                f"overlap most boxes by half. Received: height={self.size[0]}, "
                f"width={self.size[1]}, where boxes have {np.median(sides[:, 0]):.0f}x"
                f"{np.median(sides[:, 1]):.0f} pixels, and {matched.sum()} of {len(matched)} such "
                f"an anchor. Expected larger ones, as height={height}, width={width}"
            )


def kind(config: Detector) -> Kind:
    """Return the detector of a configuration.

    Raises:
        ValueError: If there is no such detector, or it cannot be made.
    """
    check_known("model", config.model, _NAMES, "a detector")
    return Anchored(config) if config.model in retinanet.names() else Gridded(config)
