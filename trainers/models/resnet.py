"""ResNets for images of 32x32 (He et al., "Deep Residual Learning", arXiv 1512.03385, section 4.2).

Depth 6 n + 2: three stages of n blocks with 16, 32 and 64 channels. Shortcuts are option A: where a
stage halves the image, every second pixel, and zeros for the new channels. They add no parameter.
"""

from __future__ import annotations

from typing import Any

import keras

from trainers.models.layers import BatchNorm, PaddedShortcut, convolution

__all__ = ["resnet"]


def resnet(depth: int, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Return a ResNet that gives logits.

    Args:
        depth: 6 n + 2, as 8, 20, 38 or 56.
        input_shape: Height, width and channels.
        classes: Number of logits.

    Raises:
        ValueError: If `depth` is not 6 n + 2.
    """
    blocks, rest = divmod(depth - 2, 6)
    if rest or blocks < 1:
        raise ValueError(f"`depth` must be 6 n + 2, as 20. Received: depth={depth}")
    inputs = keras.layers.Input(input_shape)
    x = _normalised(convolution(inputs, 16))
    for stage, filters in enumerate((16, 32, 64)):
        for block in range(blocks):
            x = _block(x, filters, strides=2 if stage and not block else 1)
    x = keras.layers.GlobalAveragePooling2D()(x)
    logits = keras.layers.Dense(classes, kernel_initializer="he_normal")(x)
    return keras.Model(inputs, logits, name=f"resnet{depth}")


def _block(x: Any, filters: int, strides: int) -> Any:
    shortcut = x
    if strides != 1:
        shortcut = PaddedShortcut(filters, strides)(x)
    x = _normalised(convolution(x, filters, strides=strides))
    x = BatchNorm()(convolution(x, filters))
    return keras.layers.ReLU()(keras.layers.Add()([x, shortcut]))


def _normalised(x: Any) -> Any:
    return keras.layers.ReLU()(BatchNorm()(x))
