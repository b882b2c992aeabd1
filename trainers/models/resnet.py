"""ResNets for images of 32x32 (He et al., "Deep Residual Learning", arXiv 1512.03385, section 4.2).

Depth 6 n + 2: three stages of n blocks with 16, 32 and 64 channels. Where a stage halves the image,
a "padded" shortcut (option A) takes every second pixel, and zeros for the new channels, without any
parameter; a "projected" one (option B) is a 1x1 convolution with batch normalisation, as in the
released code of the papers on cyclic precision (arXiv 2101.09868, 2403.02243).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from trainers.models.layers import BatchNorm, PaddedShortcut, convolution

__all__ = ["resnet"]


def resnet(
    depth: int, input_shape: tuple[int, int, int], classes: int, shortcut: str = "padded"
) -> keras.Model:
    """Return a ResNet that gives logits.

    Args:
        depth: 6 n + 2, as 8, 20, 38 or 56.
        input_shape: Height, width and channels.
        classes: Number of logits.
        shortcut: "padded" or "projected".

    Raises:
        ValueError: If `depth` is not 6 n + 2, or `shortcut` is unknown.
    """
    if shortcut not in _SHORTCUTS:
        raise ValueError(
            f"`shortcut` must be one of {', '.join(_SHORTCUTS)}. Received: shortcut={shortcut!r}"
        )
    blocks, rest = divmod(depth - 2, 6)
    if rest or blocks < 1:
        raise ValueError(f"`depth` must be 6 n + 2, as 20. Received: depth={depth}")
    inputs = keras.layers.Input(input_shape)
    x = _normalised(convolution(inputs, 16))
    for stage, filters in enumerate((16, 32, 64)):
        for block in range(blocks):
            x = _block(x, filters, 2 if stage and not block else 1, shortcut)
    x = keras.layers.GlobalAveragePooling2D()(x)
    logits = keras.layers.Dense(classes, kernel_initializer="he_normal")(x)
    return keras.Model(inputs, logits, name=f"resnet{depth}")


def _block(x: Any, filters: int, strides: int, shortcut: str) -> Any:
    kept = x
    if strides != 1:
        kept = _SHORTCUTS[shortcut](x, filters, strides)
    x = _normalised(convolution(x, filters, strides=strides))
    x = BatchNorm()(convolution(x, filters))
    return keras.layers.ReLU()(keras.layers.Add()([x, kept]))


def _projected(x: Any, filters: int, strides: int) -> Any:
    return BatchNorm()(convolution(x, filters, kernel=1, strides=strides))


_SHORTCUTS: dict[str, Callable[[Any, int, int], Any]] = {
    "padded": lambda x, filters, strides: PaddedShortcut(filters, strides)(x),
    "projected": _projected,
}


def _normalised(x: Any) -> Any:
    return keras.layers.ReLU()(BatchNorm()(x))
