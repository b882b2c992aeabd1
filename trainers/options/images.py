"""What a configuration says of the images that are trained on."""

from __future__ import annotations

import dataclasses

from trainers.options.fields import Options, option
from trainers.options.paths import check_dataset

__all__ = ["ImageData"]


@dataclasses.dataclass(frozen=True)
class ImageData(Options):
    """Which images are trained on."""

    dataset: str = option(
        "digits",
        "Data set: a name, or the path of a folder with train/ and val/, each with a folder of "
        "images for each class.",
        check=check_dataset,
        flag=True,
    )
    image_size: int = option(
        0,
        "Height and width that streamed images are cut to; 0 for the data set's own, which is 224 "
        "of a folder.",
        low=0,
        high=4096,
        flag=True,
    )
    train_share: float = option(
        1.0,
        "Share of the training images that is trained on, evenly spaced: for a quick look at "
        "large data. What is evaluated stays whole.",
        above=0.0,
        high=1.0,
        flag=True,
    )
