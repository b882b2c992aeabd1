"""What a configuration of a detector says: its data, its network and its anchors."""

from __future__ import annotations

import dataclasses

from trainers.options.fields import Options, option, shown
from trainers.options.optimization import Optimization
from trainers.options.paths import check_dataset, check_weights
from trainers.options.precision import Precision
from trainers.options.training import Training

__all__ = ["Detector"]


@dataclasses.dataclass(frozen=True)
class Detector(Options):
    """A setting of detection; see `configs/yolov3_voc.py` for the paper's."""

    training: Training
    dataset: str = option("scattered_digits", "Data set.", check=check_dataset, flag=True)
    height: int = option(64, "Height of images in pixels.", low=8, high=4096, flag=True)
    width: int = option(64, "Width of images in pixels.", low=8, high=4096, flag=True)
    model: str = option("grid", "Detector.", flag=True)
    channels: int = option(
        16,
        "Channels of the first convolution of 'grid'; others have their own.",
        low=1,
        high=1024,
        flag=True,
    )
    anchors: tuple[int, ...] = option(
        (16, 16),
        "Heights and widths of anchors in pixels, one after another; grid after grid has as many, "
        "the coarsest first. RetinaNet has its own.",
        low=1,
        high=4096,
    )
    ignored_overlap: float = option(
        0.5,
        "A prediction that overlaps a box by more, but is not responsible for it, is left out of "
        "the loss of objectness; of 'grid' and YOLOv3.",
        above=0.0,
        high=1.0,
    )
    backbone_weights: str = option(
        "",
        "A file of weights, .weights.h5, that the ResNet of RetinaNet begins with, from `python -m "
        "trainers.fetch resnet_18_imagenet`; its batch normalisation then keeps its statistics and "
        "is not trained. Empty for new ones.",
        check=check_weights,
        flag=True,
    )
    optimization: Optimization = dataclasses.field(default_factory=Optimization)
    precision: Precision = dataclasses.field(default_factory=Precision)

    def check(self) -> None:
        if not self.anchors or len(self.anchors) % 2:
            raise ValueError(
                f"`anchors` must be pairs of a height and a width. "
                f"Received: anchors={shown(self.anchors)}"
            )
        if self.backbone_weights and self.training.initial_weights:
            raise ValueError(
                f"Only one of `backbone_weights` and `initial_weights` can be given, as the latter "
                f"are those of the whole network. Received: "
                f"backbone_weights={shown(self.backbone_weights)}, "
                f"initial_weights={shown(self.training.initial_weights)}"
            )
