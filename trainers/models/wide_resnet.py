"""Wide ResNets (Zagoruyko and Komodakis, "Wide Residual Networks", arXiv 1605.07146, section 2).

Depth 6 n + 4: three stages of n blocks with 16, 32 and 64 times `width` channels. Normalisation and
ReLU come before each convolution; where the channels change, both ways of a block share them, and
the shortcut is a 1x1 convolution.
"""

from __future__ import annotations

from typing import Any

import keras

from trainers.models.layers import BatchNorm, convolution

__all__ = ["wide_resnet"]


def wide_resnet(
    depth: int, width: int, input_shape: tuple[int, int, int], classes: int
) -> keras.Model:
    """Return a wide ResNet that gives logits.

    Args:
        depth: 6 n + 4, as 16 or 28.
        width: What channels are multiplied by; at least 1.
        input_shape: Height, width and channels.
        classes: Number of logits.

    Raises:
        ValueError: If `depth` is not 6 n + 4, or `width` is below 1.
    """
    blocks, rest = divmod(depth - 4, 6)
    if rest or blocks < 1:
        raise ValueError(f"`depth` must be 6 n + 4, as 16. Received: depth={depth}")
    if width < 1:
        raise ValueError(f"`width` must be at least 1. Received: width={width}")
    inputs = keras.layers.Input(input_shape)
    x = convolution(inputs, 16)
    for stage, channels in enumerate((16, 32, 64)):
        for block in range(blocks):
            x = _block(x, channels * width, 2 if stage and not block else 1)
    x = keras.layers.GlobalAveragePooling2D()(_activated(x))
    logits = keras.layers.Dense(classes, kernel_initializer="he_normal")(x)
    return keras.Model(inputs, logits, name=f"wide_resnet{depth}_{width}")


def _block(x: Any, filters: int, strides: int) -> Any:
    kept, active = x, _activated(x)
    if x.shape[-1] != filters or strides != 1:
        kept = convolution(active, filters, kernel=1, strides=strides)
    x = convolution(active, filters, strides=strides)
    x = convolution(_activated(x), filters)
    return keras.layers.Add()([x, kept])


def _activated(x: Any) -> Any:
    return keras.layers.ReLU()(BatchNorm()(x))
