"""Convolutional networks so small that one core trains them on images of 8x8 in seconds."""

from __future__ import annotations

import keras

from trainers.models.layers import BatchNorm, convolution

__all__ = ["cnn"]

# Filters and strides, by the number of convolutions.
_LAYERS = {2: ((16, 2), (32, 2)), 3: ((16, 1), (32, 2), (32, 1))}


def cnn(convolutions: int, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Return convolutions with batch normalisation and a dense layer, which give logits.

    Args:
        convolutions: How many: 2 or 3.
        input_shape: Height, width and channels.
        classes: Number of logits.
    """
    inputs = x = keras.layers.Input(input_shape)
    for filters, strides in _LAYERS[convolutions]:
        x = keras.layers.ReLU()(BatchNorm()(convolution(x, filters, strides=strides)))
    x = keras.layers.GlobalAveragePooling2D()(x)
    logits = keras.layers.Dense(classes, kernel_initializer="he_normal")(x)
    return keras.Model(inputs, logits, name=f"cnn{convolutions}")
