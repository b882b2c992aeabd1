"""What a configuration of image classification says: its data and its model."""

from __future__ import annotations

import dataclasses

from trainers.options.fields import Options, option
from trainers.options.images import ImageData
from trainers.options.optimization import Optimization
from trainers.options.precision import Precision
from trainers.options.training import Training

__all__ = ["Classification"]


@dataclasses.dataclass(frozen=True)
class Classification(Options):
    """A setting of image classification; see `configs/` for those of the papers."""

    training: Training
    images: ImageData = dataclasses.field(default_factory=ImageData)
    model: str = option("resnet8", "Model.", flag=True)
    optimization: Optimization = dataclasses.field(default_factory=Optimization)
    precision: Precision = dataclasses.field(default_factory=Precision)
