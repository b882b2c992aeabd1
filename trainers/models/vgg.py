"""VGG-16 for images of 32x32 (Simonyan and Zisserman, arXiv 1409.1556, configuration D).

The papers call theirs "adjusted" and do not say how. This is the usual adjustment for CIFAR: batch
normalisation after every convolution, and one dense layer where there were three.
"""

from __future__ import annotations

import keras

from trainers.models.layers import BatchNorm, convolution

__all__ = ["vgg16"]

_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def vgg16(input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Return a VGG-16 that gives logits."""
    inputs = x = keras.layers.Input(input_shape)
    for filters, convolutions in _STAGES:
        for _ in range(convolutions):
            x = keras.layers.ReLU()(BatchNorm()(convolution(x, filters)))
        x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Flatten()(x)
    logits = keras.layers.Dense(classes, kernel_initializer="he_normal")(x)
    return keras.Model(inputs, logits, name="vgg16")
