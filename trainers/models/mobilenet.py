"""MobileNetV2 for images of 32x32 (Sandler et al., "MobileNetV2", arXiv 1801.04381, table 2).

Adapted to small images in the way most used for CIFAR: the stem and the second stage keep the size
of the image, so that it is halved three times, not five; activations are ReLU; and where a block
keeps the size but not the channels its shortcut is a 1x1 convolution. Every convolution has batch
normalisation.
"""

from __future__ import annotations

from typing import Any

import keras

from trainers.models.layers import BatchNorm, convolution

__all__ = ["mobilenet_v2"]

# Expansion, channels, blocks and the first block's strides of each stage.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2(input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Return a MobileNetV2 that gives logits."""
    inputs = keras.layers.Input(input_shape)
    x = _activated(convolution(inputs, 32))
    for expansion, filters, blocks, strides in _STAGES:
        for block in range(blocks):
            x = _block(x, expansion, filters, 1 if block else strides)
    x = _activated(convolution(x, 1280, kernel=1))
    x = keras.layers.GlobalAveragePooling2D()(x)
    logits = keras.layers.Dense(classes, kernel_initializer="he_normal")(x)
    return keras.Model(inputs, logits, name="mobilenet_v2")


def _block(inputs: Any, expansion: int, filters: int, strides: int) -> Any:
    """Expand, filter each channel by itself, and narrow: an inverted residual."""
    channels = inputs.shape[-1]
    x = _activated(convolution(inputs, expansion * channels, kernel=1))
    x = keras.layers.DepthwiseConv2D(
        3,
        strides=strides,
        padding="same",
        use_bias=False,
        depthwise_initializer=keras.initializers.VarianceScaling(
            2.0, "fan_out", "untruncated_normal"
        ),
    )(x)
    x = BatchNorm()(convolution(_activated(x), filters, kernel=1))
    if strides != 1:
        return x
    kept = inputs
    if channels != filters:
        kept = BatchNorm()(convolution(inputs, filters, kernel=1))
    return keras.layers.Add()([x, kept])


def _activated(x: Any) -> Any:
    return keras.layers.ReLU()(BatchNorm()(x))
