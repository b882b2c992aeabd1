"""What a configuration says of images that are held in memory."""

from __future__ import annotations

import dataclasses

from trainers.options.fields import Options, option

__all__ = ["ImageData"]


@dataclasses.dataclass(frozen=True)
class ImageData(Options):
    """Which images are trained on."""

    dataset: str = option("digits", "Data set.", flag=True)
    train_share: float = option(
        1.0,
        "Share of the training images that is trained on, evenly spaced: for a quick look at "
        "large data. What is evaluated stays whole.",
        above=0.0,
        high=1.0,
        flag=True,
    )
