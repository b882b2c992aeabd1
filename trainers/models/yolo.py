"""Detectors that predict boxes in the cells of grids.

YOLOv3 (Redmon and Farhadi, arXiv 1804.02767) on Darknet-53, and a small network with one grid. Each
gives numbers for each anchor of each cell of its grids: of the box, of whether there is one, and of
each class.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import keras

from trainers.models.layers import BatchNorm, convolution

__all__ = ["STRIDES", "detector", "names"]

_SLOPE = 0.1
# Of the stages of Darknet-53.
_BLOCKS = (1, 2, 8, 8, 4)
# What an anchor begins with: its box is the anchor, and there is none (our choice for the latter).
_EMPTY = -4.0
# Pixels from one cell to the next, of each grid.
STRIDES = {"grid": (8,), "yolov3": (32, 16, 8)}


def names() -> list[str]:
    """Return the names of the detectors, sorted."""
    return sorted(STRIDES)


def detector(
    name: str, size: tuple[int, int], classes: int, anchors: Sequence[int], channels: int = 16
) -> keras.Model:
    """Return a new detector.

    Args:
        name: One of `names()`.
        size: Height and width of the images, multiples of the largest stride.
        classes: Number of classes.
        anchors: How many each of its grids has.
        channels: Of the first convolution of "grid"; YOLOv3 has its own.

    Returns:
        A model of images with pixels in [0, 1]. It gives an array of shape
        `(batch, predictions, 5 + classes)`: grid after grid, row after row, cell after cell and
        anchor after anchor.

    Raises:
        ValueError: If the name is unknown, or the images do not have whole cells.
    """
    if name not in STRIDES:
        raise ValueError(f"`model` must be one of {', '.join(names())}. Received: model={name!r}")
    most = max(STRIDES[name])
    if any(side % most or side < most for side in size):
        raise ValueError(f"`size` must be multiples of {most} for {name!r}. Received: size={size}")
    images = keras.layers.Input((*size, 3))
    grids = _grid(images, channels) if name == "grid" else _yolov3(images)
    each = 5 + classes
    made = []
    for grid, count in zip(grids, anchors, strict=True):
        x = keras.layers.Conv2D(
            count * each,
            1,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            bias_initializer=_Beginning(each),
        )(grid)
        height, width = x.shape[1:3]
        made.append(keras.layers.Reshape((height * width * count, each))(x))
    # Scores and sizes of boxes are float32 in any policy.
    outputs = made[0] if len(made) == 1 else keras.layers.Concatenate(axis=1)(made)
    return keras.Model(images, outputs, name=name)


@keras.saving.register_keras_serializable(package="keras_sched")
@dataclasses.dataclass(frozen=True)
class _Beginning(keras.initializers.Initializer):
    """Biases with which there is nothing anywhere."""

    each: int

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        place = keras.ops.arange(math.prod(shape)) % self.each
        return keras.ops.cast(keras.ops.where(place == 4, _EMPTY, 0.0), dtype or "float32")

    def get_config(self) -> dict[str, Any]:
        return {"each": self.each}


def _grid(x: Any, channels: int) -> list[Any]:
    """Return one grid: every eighth pixel, with the surroundings of dilated convolutions."""
    for stage in range(3):
        filters = channels * 2**stage
        x = _relu(BatchNorm()(convolution(x, filters, strides=2)))
        if stage:
            x = _plain_block(x, filters, 1)
    for dilation in (2, 4, 8):
        x = _plain_block(x, x.shape[-1], dilation)
    return [x]


def _plain_block(x: Any, filters: int, dilation: int) -> Any:
    out = _relu(BatchNorm()(convolution(x, filters, dilation=dilation)))
    out = BatchNorm()(convolution(out, filters))
    return _relu(keras.layers.Add()([x, out]))


def _relu(x: Any) -> Any:
    return keras.layers.ReLU()(x)


def _yolov3(x: Any) -> list[Any]:
    """Return the grids of three strides, the coarsest first (section 2.3)."""
    stages = []
    x = _unit(x, 32, 3)
    for stage, blocks in enumerate(_BLOCKS):
        filters = 64 * 2**stage
        x = _unit(x, filters, 3, strides=2)
        for _ in range(blocks):
            x = keras.layers.Add()([x, _unit(_unit(x, filters // 2, 1), filters, 3)])
        stages.append(x)
    grids = []
    for number, filters in enumerate((512, 256, 128)):
        if number:
            x = keras.layers.UpSampling2D()(_unit(x, filters, 1))
            x = keras.layers.Concatenate()([x, stages[-1 - number]])
        for kernel in (1, 3, 1, 3, 1):
            x = _unit(x, filters * (2 if kernel == 3 else 1), kernel)
        grids.append(_unit(x, 2 * filters, 3))
    return grids


def _unit(x: Any, filters: int, kernel: int, strides: int = 1) -> Any:
    x = BatchNorm()(convolution(x, filters, kernel, strides))
    return keras.layers.LeakyReLU(_SLOPE)(x)
