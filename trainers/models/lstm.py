"""A language model of LSTM layers that carry their state from batch to batch."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

__all__ = ["CarriedLSTM"]


@keras.saving.register_keras_serializable(package="keras_sched")
class CarriedLSTM(keras.layers.Layer):
    """An LSTM whose state stays for the next batch, in variables of the model::

        i, f, g, o = split(U x_t + V h_(t-1) + b)
        c_t = sigmoid(f) c_(t-1) + sigmoid(i) tanh(g)
        h_t = sigmoid(o) tanh(c_t)

    Gradients do not go back beyond a batch. `keras.layers.LSTM(stateful=True)` is reset by the
    host, so that a training that goes on from a checkpoint, or takes several steps a call, cannot
    tell when; here the data say so.

    All words of a row are multiplied with U at once, and V is called word by word, written out:
    both are dense layers, which `ks.precision.quantize` rounds as any other, h too.

    Args:
        units: Numbers that it gives for a word.
        streams: Rows of a batch, at most: each has a state.
        initial_range: Weights are drawn from up to this, and minus it; None for 1 / sqrt(units).

    References:
        Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9 (1997), with the
        forget gates of Gers et al., Neural Computation 12 (2000).
    """

    def __init__(
        self, units: int, streams: int, initial_range: float | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.units, self.streams, self.initial_range = units, streams, initial_range
        limit = initial_range or 1.0 / math.sqrt(units)
        draw = keras.initializers.RandomUniform
        self.of_inputs = keras.layers.Dense(
            4 * units,
            kernel_initializer=draw(-limit, limit),
            bias_initializer=draw(-limit, limit),
            dtype=self.dtype_policy,
            name="of_inputs",
        )
        self.of_state = keras.layers.Dense(
            4 * units,
            use_bias=False,
            kernel_initializer=draw(-limit, limit),
            dtype=self.dtype_policy,
            name="of_state",
        )

    def build(self, inputs_shape: Any, begins_shape: Any) -> None:
        """Make the weights, and the state."""
        self.of_inputs.build(inputs_shape)
        self.of_state.build((inputs_shape[0], self.units))
        self.carried = [
            self.add_weight(
                (self.streams, self.units),
                initializer="zeros",
                trainable=False,
                autocast=False,
                name=name,
            )
            for name in ("hidden", "cell")
        ]

    def call(self, inputs: Any, begins: Any) -> Any:
        """Return what is made of `inputs`, of shape `(rows, words, numbers)`.

        Rows that begin, as `begins` of shape `(rows,)` says, have no past.
        """
        rows, words = inputs.shape[:2]
        hidden, cell = (
            tf.where(begins[:, None], tf.zeros([], state.dtype), state)
            for state in (self._before(each, rows) for each in self.carried)
        )
        # By words first: what is read at each of them lies together.
        gates = tf.unstack(self.of_inputs(tf.transpose(inputs, [1, 0, 2])), words)
        outputs = []
        for gate in gates:
            i, f, g, o = tf.split(gate + self.of_state(hidden), 4, axis=-1)
            cell = tf.sigmoid(f) * cell + tf.sigmoid(i) * tf.tanh(g)
            hidden = tf.sigmoid(o) * tf.tanh(cell)
            outputs.append(hidden)
        for variable, state in zip(self.carried, (hidden, cell), strict=True):
            self._keep(variable, tf.stop_gradient(tf.cast(state, variable.dtype)))
        return tf.transpose(tf.stack(outputs), [1, 0, 2])

    def _before(self, variable: keras.Variable, rows: int) -> tf.Tensor:
        return tf.cast(tf.convert_to_tensor(variable.value)[:rows], self.compute_dtype)

    def _keep(self, variable: keras.Variable, state: tf.Tensor) -> None:
        rows = state.shape[0]
        if rows < self.streams:
            others = tf.convert_to_tensor(variable.value)[rows:]
            state = tf.concat([state, others], axis=0)
        variable.assign(state)

    def compute_output_spec(self, inputs: Any, begins: Any) -> keras.KerasTensor:
        """Return the shape of the output; the loop over words is not traced for it."""
        return keras.KerasTensor((*inputs.shape[:2], self.units), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            **super().get_config(),
            "units": self.units,
            "streams": self.streams,
            "initial_range": self.initial_range,
        }
