"""Noise-conditional score networks (Song and Ermon, arXiv 1907.05600, appendix A).

A RefineNet (Lin et al., arXiv 1611.06612) of four cascades with ELU, dilated convolutions instead
of strided ones from the third stage on, mean pooling, and instance normalisation whose scales
depend on the level of the noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

__all__ = ["ConditionalNorm", "ncsn"]

_EPSILON = 1e-5


@keras.saving.register_keras_serializable(package="keras_sched")
class ConditionalNorm(keras.layers.Layer):
    """Conditional instance normalisation++ (section A.1)::

        gamma_k (x - mu) / s + beta_k + gamma_k alpha_k (mu - m) / v

    with mean mu and standard deviation s of each channel of an image, mean m and standard deviation
    v of mu over the channels, and gamma, beta and alpha of each channel and level k.

    Args:
        levels: Levels of noise.
    """

    def __init__(self, levels: int, **options: Any) -> None:
        super().__init__(**options)
        self.levels = levels

    def build(self, input_shape: Sequence[Any]) -> None:
        """Make the table of gamma, alpha and beta; it is looked up, no matrix, and so is flat."""
        channels = input_shape[0][-1]
        near_one = keras.initializers.RandomNormal(1.0, 0.02)

        def initial(shape: Sequence[int], dtype: Any = None) -> Any:
            scales = near_one((self.levels, 2 * channels), dtype)
            biases = keras.ops.zeros((self.levels, channels), dtype)
            return keras.ops.reshape(keras.ops.concatenate([scales, biases], axis=1), shape)

        self.table = self.add_weight(
            shape=(self.levels * 3 * channels,), initializer=initial, name="table"
        )

    def call(self, inputs: Sequence[Any]) -> Any:
        """Normalise `(images, levels)`, of shape `(batch, height, width, channels)`, `(batch,)`."""
        ops = keras.ops
        x, level = inputs
        mean, variance = ops.moments(x, axes=(1, 2), keepdims=True)
        center, spread = ops.moments(mean, axes=-1, keepdims=True)
        scaled = (x - mean) * ops.rsqrt(variance + _EPSILON)
        between = (mean - center) * ops.rsqrt(spread + _EPSILON)
        rows = ops.take(ops.reshape(self.table, (self.levels, -1)), level, axis=0)
        gamma, alpha, beta = ops.split(rows[:, None, None, :], 3, axis=-1)
        return gamma * (scaled + alpha * between) + beta

    def compute_output_shape(self, input_shape: Sequence[Any]) -> Any:
        """Return the shape of the images."""
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "levels": self.levels}


def ncsn(
    input_shape: tuple[int, int, int], levels: int, channels: int = 128, cascades: int = 4
) -> keras.Model:
    """Return a network that estimates the score of noisy images.

    Args:
        input_shape: Height, width and channels; height and width are even.
        levels: Levels of noise.
        channels: Of the first stage; of the others twice as many.
        cascades: Stages, at least 1; the paper has four.

    Returns:
        A model of images, with pixels from 0 to 1 and noise added, and of the number of the level
        of that noise, of shape `(batch,)`. It gives the score, in the shape of the images.

    Raises:
        ValueError: If a side of the images is odd, or there are too few cascades.
    """
    if input_shape[0] % 2 or input_shape[1] % 2:
        raise ValueError(f"`input_shape` must have even sides. Received: input_shape={input_shape}")
    images = keras.layers.Input(input_shape, name="images")
    level = keras.layers.Input((), dtype="int32", name="level")
    if cascades < 1:
        raise ValueError(f"`cascades` must be at least 1. Received: cascades={cascades}")
    made = _Blocks(levels, level)
    wide = 2 * channels
    x = made.convolved(keras.layers.Rescaling(2.0, -1.0)(images), channels)
    stages = [made.residual(made.residual(x, channels), channels)]
    for number in range(1, cascades):
        dilation = 2 ** (number - 1)  # The second stage halves the image, later ones dilate.
        x = made.residual(stages[-1], wide, dilation, is_halved=number == 1, begins=True)
        stages.append(made.residual(x, wide, dilation))
    *others, last = stages
    x = made.refined([last], wide)
    for number, stage in reversed(list(enumerate(others))):
        x = made.refined([stage, x], wide if number > 1 else channels, units=1 if number else 3)
    score = made.convolved(made.activated(x), input_shape[-1])
    return keras.Model([images, level], score, name="ncsn")


class _Blocks:
    """The blocks of a network, for levels of noise."""

    def __init__(self, levels: int, level: Any) -> None:
        self._levels = levels
        self._level = level

    def normalised(self, x: Any) -> Any:
        return ConditionalNorm(self._levels)([x, self._level])

    def activated(self, x: Any) -> Any:
        return keras.layers.ELU()(self.normalised(x))

    def convolved(
        self, x: Any, filters: int, kernel: int = 3, dilation: int = 1, bias: bool = True
    ) -> Any:
        """Convolve, with weights drawn as PyTorch does, which the paper's authors used."""
        return keras.layers.Conv2D(
            filters,
            kernel,
            padding="same",
            dilation_rate=dilation,
            use_bias=bias,
            kernel_initializer=keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform"),
        )(x)

    def residual(
        self,
        x: Any,
        filters: int,
        dilation: int = 1,
        is_halved: bool = False,
        begins: bool = False,
    ) -> Any:
        """Return a residual block, with activation before convolution.

        The first block of a later stage has a convolution in its shortcut too.
        """
        kept = x
        out = self.convolved(self.activated(x), x.shape[-1], dilation=dilation)
        out = self.convolved(self.activated(out), filters, dilation=dilation)
        if begins:
            kept = self.convolved(x, filters, 1 if is_halved else 3, dilation)
        if is_halved:
            out, kept = (keras.layers.AveragePooling2D(2)(each) for each in (out, kept))
        return keras.layers.Add()([kept, out])

    def refined(self, xs: Sequence[Any], filters: int, units: int = 1) -> Any:
        """Return a block of RefineNet: the inputs adapted, fused, pooled and convolved."""
        adapted = [self._unit(self._unit(x)) for x in xs]
        x = self._fused(adapted, filters) if len(adapted) > 1 else adapted[0]
        x = self._pooled(x)
        for _ in range(units):
            x = self._unit(x)
        return x

    def _unit(self, x: Any) -> Any:
        out = x
        for _ in range(2):
            out = self.convolved(self.activated(out), x.shape[-1], bias=False)
        return keras.layers.Add()([out, x])

    def _fused(self, xs: Sequence[Any], filters: int) -> Any:
        size = xs[0].shape[1:3]
        made = []
        for x in xs:
            x = self.convolved(self.normalised(x), filters)
            if x.shape[1:3] != size:
                x = keras.layers.Resizing(*size, interpolation="bilinear")(x)
            made.append(x)
        return keras.layers.Add()(made)

    def _pooled(self, x: Any) -> Any:
        x = path = keras.layers.ELU()(x)
        for _ in range(2):
            path = keras.layers.AveragePooling2D(5, strides=1, padding="same")(
                self.normalised(path)
            )
            path = self.convolved(path, x.shape[-1], bias=False)
            x = keras.layers.Add()([x, path])
        return x
