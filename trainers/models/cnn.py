"""A convolutional network so small that one core trains it on images of 8x8 in seconds."""

from __future__ import annotations

import keras

from trainers.models.layers import BatchNorm, convolution

__all__ = ["cnn"]

_LAYERS = ((16, 1), (32, 2), (32, 1))


def cnn(input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Return three convolutions with batch normalisation and a dense layer, which give logits."""
    inputs = x = keras.layers.Input(input_shape)
    for filters, strides in _LAYERS:
        x = keras.layers.ReLU()(BatchNorm()(convolution(x, filters, strides=strides)))
    x = keras.layers.GlobalAveragePooling2D()(x)
    logits = keras.layers.Dense(classes, kernel_initializer="he_normal")(x)
    return keras.Model(inputs, logits, name="cnn")
