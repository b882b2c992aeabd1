"""What a configuration of a capsule network says: its data and its network."""

from __future__ import annotations

import dataclasses

from trainers.options.fields import Options, option
from trainers.options.images import ImageData
from trainers.options.optimization import Optimization
from trainers.options.precision import Precision
from trainers.options.training import Training

__all__ = ["Capsules"]


@dataclasses.dataclass(frozen=True)
class Capsules(Options):
    """A setting of a capsule network; see `configs/caps_fmnist.py` for the paper's."""

    training: Training
    images: ImageData = dataclasses.field(default_factory=ImageData)
    channels: int = option(256, "Channels of the first convolution.", low=1, high=4096, flag=True)
    primary: int = option(
        32,
        "Groups of eight channels of the second convolution: each of its pixels has as many "
        "capsules.",
        low=1,
        high=512,
        flag=True,
    )
    routing: int = option(
        3, "Repetitions of the routing between capsules.", low=1, high=20, flag=True
    )
    reconstruction: float = option(
        0.0005,
        "Weight of the squared error of the reconstructed pixels, summed over an image; 0 for no "
        "such loss.",
        low=0.0,
        high=1000.0,
    )
    optimization: Optimization = dataclasses.field(default_factory=Optimization)
    precision: Precision = dataclasses.field(default_factory=Precision)
