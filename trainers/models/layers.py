"""Layers that Keras has, in the form that trains fastest here."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

__all__ = ["BatchNorm", "PaddedShortcut", "convolution"]


@keras.saving.register_keras_serializable(package="keras_sched")
class BatchNorm(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` over the channels, by TensorFlow's fused kernel.

    Keras normalises by a chain of small operations; the fused kernel is what PyTorch uses too.
    Momentum is 0.9 and epsilon 1e-5, as in PyTorch: with Keras' 0.99 the moving statistics of a
    short run are still those of its first steps.
    """

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-5, **options: Any) -> None:
        super().__init__(momentum=momentum, epsilon=epsilon, **options)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise `inputs` of shape `(batch, height, width, channels)`."""
        if not isinstance(inputs, tf.Tensor) or len(inputs.shape) != 4:
            return super().call(inputs, training=training, mask=mask)
        scale = tf.cast(self.gamma, tf.float32)
        offset = tf.cast(self.beta, tf.float32)
        if not (training and self.trainable):  # As in Keras: what is frozen learns no statistics.
            outputs, *_ = tf.compat.v1.nn.fused_batch_norm(
                inputs,
                scale,
                offset,
                mean=tf.cast(self.moving_mean, tf.float32),
                variance=tf.cast(self.moving_variance, tf.float32),
                epsilon=self.epsilon,
                is_training=False,
            )
            return outputs
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, scale, offset, epsilon=self.epsilon, is_training=True
        )
        keep = self.momentum
        self.moving_mean.assign(self.moving_mean * keep + mean * (1.0 - keep))
        self.moving_variance.assign(self.moving_variance * keep + variance * (1.0 - keep))
        return outputs


@keras.saving.register_keras_serializable(package="keras_sched")
class PaddedShortcut(keras.layers.Layer):
    """A ResNet's shortcut without parameters: every second pixel, and zeros for new channels.

    He et al., "Deep Residual Learning" (arXiv 1512.03385), section 3.3, option A. Half of the
    new channels come before the old ones and half after.

    Args:
        filters: Channels of the output.
        strides: Every which pixel is kept.
    """

    def __init__(self, filters: int, strides: int, **options: Any) -> None:
        super().__init__(**options)
        self.filters = filters
        self.strides = strides

    def call(self, inputs: Any) -> Any:
        """Shorten `inputs` of shape `(batch, height, width, channels)`."""
        kept = inputs[:, :: self.strides, :: self.strides, :]
        added = self.filters - inputs.shape[-1]
        return keras.ops.pad(kept, ((0, 0), (0, 0), (0, 0), (added // 2, added - added // 2)))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "filters": self.filters, "strides": self.strides}


def convolution(x: Any, filters: int, kernel: int = 3, strides: int = 1, dilation: int = 1) -> Any:
    """Convolve without bias, weights drawn as by He et al. (arXiv 1502.01852)."""
    return keras.layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        dilation_rate=dilation,
        padding="same",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
    )(x)
