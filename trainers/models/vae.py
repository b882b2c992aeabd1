"""A variational autoencoder of dense layers (Kingma and Welling, arXiv 1312.6114)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

__all__ = ["DECODER", "Code", "vae"]

DECODER = "decoder"


@keras.saving.register_keras_serializable(package="keras_sched")
class Code(keras.layers.Layer):
    """The code of an image: ``mean + exp(log_variance / 2) noise``."""

    def call(self, inputs: Sequence[Any]) -> Any:
        """Return the code of `(mean, log_variance, noise)`, each of shape `(batch, latent)`."""
        mean, log_variance, noise = inputs
        return mean + keras.ops.exp(0.5 * log_variance) * noise


def vae(input_shape: tuple[int, int, int], latent: int, hidden: Sequence[int]) -> keras.Model:
    """Return a variational autoencoder, whose noise is an input: it has no random state.

    Args:
        input_shape: Height, width and channels.
        latent: Dimensions of the code.
        hidden: Units of the hidden layers of the encoder; the decoder has them in the other order.

    Returns:
        A model of images in [0, 1] and of standard normal noise of shape `(batch, latent)`. It
        gives mean and logarithm of the variance of the code, and logits of the pixels, each of
        shape `(batch, numbers)`. Its layer `DECODER` gives the logits of a code. As mean and log
        variance are outputs, a policy by schedule holds them in float32 and says so in a warning,
        which is expected here: an exponential of the latter follows.
    """
    images = keras.layers.Input(input_shape, name="images")
    noise = keras.layers.Input((latent,), name="noise")
    x = keras.layers.Flatten()(images)
    for units in hidden:
        x = keras.layers.Dense(units, activation="relu")(x)
    mean = keras.layers.Dense(latent, name="mean")(x)
    log_variance = keras.layers.Dense(latent, name="log_variance")(x)
    code = Code(name="code")([mean, log_variance, noise])
    logits = _decoder(math.prod(input_shape), latent, hidden)(code)
    return keras.Model([images, noise], [mean, log_variance, logits], name="vae")


def _decoder(pixels: int, latent: int, hidden: Sequence[int]) -> keras.Model:
    code = x = keras.layers.Input((latent,))
    for units in reversed(hidden):
        x = keras.layers.Dense(units, activation="relu")(x)
    return keras.Model(code, keras.layers.Dense(pixels)(x), name=DECODER)
