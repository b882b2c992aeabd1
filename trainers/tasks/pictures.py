"""Pictures that tasks show: images side by side."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["gallery"]

_GAP = 2


def gallery(images: np.ndarray, columns: int) -> np.ndarray:
    """Return one picture of many.

    Args:
        images: In [0, 1], of shape `(n, height, width, channels)` with 1 or 3 channels, n at least
            1; numbers beyond are cut off.
        columns: How many stand in a row.

    Returns:
        uint8 of shape `(height, width, channels)`, white between the images.
    """
    count, height, width, channels = images.shape
    rows = math.ceil(count / columns)
    shape = (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, channels)
    picture = np.full(shape, 255, np.uint8)
    for index, image in enumerate(np.rint(255.0 * np.clip(images, 0.0, 1.0)).astype(np.uint8)):
        row, column = divmod(index, columns)
        top, left = row * (height + _GAP), column * (width + _GAP)
        picture[top : top + height, left : left + width] = image
    return picture
