"""ResNets for photographs (He et al., "Deep Residual Learning", arXiv 1512.03385, table 1).

As everybody trains them today: a block of three convolutions halves the image in the 3x3 one, not
in the first; shortcuts are 1x1 convolutions where channels or sizes change; the last scale of each
block begins at 0 (Goyal et al., arXiv 1706.02677, section 5.1).
"""

from __future__ import annotations

from typing import Any

import keras

from trainers.models.layers import BatchNorm, convolution

__all__ = ["DEPTHS", "large_resnet"]

# Blocks of the four stages, and whether they have three convolutions.
DEPTHS = {18: ((2, 2, 2, 2), False), 34: ((3, 4, 6, 3), False), 50: ((3, 4, 6, 3), True)}
_WIDER = 4


def large_resnet(depth: int, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Return a ResNet that gives logits.

    Args:
        depth: 18, 34 or 50.
        input_shape: Height, width and channels.
        classes: Number of logits.

    Raises:
        ValueError: If `depth` is another one.
    """
    if depth not in DEPTHS:
        known = ", ".join(map(str, DEPTHS))
        raise ValueError(f"`depth` must be one of {known}. Received: depth={depth}")
    blocks, is_deep = DEPTHS[depth]
    inputs = keras.layers.Input(input_shape)
    x = keras.layers.ReLU()(BatchNorm()(convolution(inputs, 64, kernel=7, strides=2)))
    x = keras.layers.MaxPooling2D(3, strides=2, padding="same")(x)
    for stage, count in enumerate(blocks):
        for block in range(count):
            x = _block(x, 64 * 2**stage, 2 if stage and not block else 1, is_deep)
    x = keras.layers.GlobalAveragePooling2D()(x)
    logits = keras.layers.Dense(classes, kernel_initializer="he_normal")(x)
    return keras.Model(inputs, logits, name=f"resnet{depth}")


def _block(x: Any, filters: int, strides: int, is_deep: bool) -> Any:
    wide = filters * (_WIDER if is_deep else 1)
    kept = x
    if strides != 1 or x.shape[-1] != wide:
        kept = BatchNorm()(convolution(x, wide, kernel=1, strides=strides))
    if is_deep:
        x = keras.layers.ReLU()(BatchNorm()(convolution(x, filters, kernel=1)))
        x = keras.layers.ReLU()(BatchNorm()(convolution(x, filters, strides=strides)))
        x = convolution(x, wide, kernel=1)
    else:
        x = keras.layers.ReLU()(BatchNorm()(convolution(x, filters, strides=strides)))
        x = convolution(x, filters)
    x = BatchNorm(gamma_initializer="zeros")(x)
    return keras.layers.ReLU()(keras.layers.Add()([x, kept]))
