"""The decoder of a Transformer that sees the words before each, with normalisation first."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

__all__ = ["Positions", "decoder"]


@keras.saving.register_keras_serializable(package="keras_sched")
class Positions(keras.layers.Layer):
    """Adds what tells places apart: sine and cosine of ten thousand wavelengths.

    Vaswani et al., "Attention Is All You Need" (arXiv 1706.03762), section 3.5; the sines come
    before the cosines here, which makes no difference.
    """

    def call(self, inputs: Any) -> Any:
        """Add to `inputs` of shape `(rows, words, numbers)`; the numbers must be even."""
        words, numbers = inputs.shape[1:]
        if numbers % 2:
            raise ValueError(f"There must be an even number of numbers. Received: {numbers}")
        rates = 10_000.0 ** (-2.0 * np.arange(numbers // 2) / numbers)
        angles = np.arange(words)[:, None] * rates
        table = np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)
        return inputs + keras.ops.cast(table.astype(np.float32), inputs.dtype)


def decoder(x: Any, layers: int, units: int, heads: int, feedforward: int, dropout: float) -> Any:
    """Return what the blocks of a decoder make of `x`, of shape `(rows, words, units)`.

    Each block adds causal self-attention and then two dense layers, of what is normalised, as in
    Baevski and Auli (arXiv 1809.10853), section 4.1.
    """
    x = keras.layers.Dropout(dropout)(Positions()(x))
    for _ in range(layers):
        y = keras.layers.LayerNormalization(epsilon=1e-5)(x)
        y = keras.layers.MultiHeadAttention(heads, units // heads, dropout=dropout)(
            y, y, use_causal_mask=True
        )
        x = keras.layers.Add()([x, keras.layers.Dropout(dropout)(y)])
        y = keras.layers.LayerNormalization(epsilon=1e-5)(x)
        y = keras.layers.Dense(feedforward, activation="relu")(y)
        y = keras.layers.Dense(units)(keras.layers.Dropout(dropout)(y))
        x = keras.layers.Add()([x, keras.layers.Dropout(dropout)(y)])
    return keras.layers.LayerNormalization(epsilon=1e-5)(x)
