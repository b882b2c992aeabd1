"""A language model of LSTM layers that carry their state from batch to batch."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

__all__ = ["CarriedLSTM"]


@keras.saving.register_keras_serializable(package="keras_sched")
class StepDense(keras.layers.Dense):
    """A dense layer that is called step after step: the gradient of its kernel is one product.

    Of calls written out, each would have a product of a few rows, and a matrix to be added to the
    others. Here the rows of all steps are multiplied together, once. It has no bias.
    """

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(units, **{**options, "use_bias": False})
        if self.activation is not keras.activations.linear:
            raise ValueError(
                f"`activation` must be None: the steps are products alone. Received: "
                f"activation={options['activation']!r}"
            )
        self._product: Callable[[Any], Any] | None = None
        self._is_stepping = False

    @contextlib.contextmanager
    def steps(self) -> Iterator[None]:
        """Take the calls within as steps: the kernel must be the same in all of them."""
        self._is_stepping = True
        try:
            yield
        finally:
            self._is_stepping, self._product = False, None

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Multiply `inputs` of shape `(rows, numbers)`."""
        if not self._is_stepping:
            return super().call(inputs, training=training)
        if self._product is None:
            self._product = _stepwise(tf.convert_to_tensor(self.kernel))
        return self._product(inputs)


def _stepwise(kernel: tf.Tensor) -> Callable[[Any], Any]:
    """Return what multiplies with a kernel, and leaves its gradient to one product at the end.

    In the backward pass the first step comes last, and after it the kernel itself, as its gradient
    needs that of every step.
    """
    later: list[tuple[tf.Tensor, tf.Tensor]] = []
    calls = 0

    @tf.custom_gradient
    def shared(kernel: tf.Tensor) -> tuple[tf.Tensor, Any]:
        def gradient(first: tf.Tensor) -> tf.Tensor:
            if not later:
                return first
            rows, gradients = (tf.concat(each, axis=0) for each in zip(*later, strict=True))
            later.clear()
            return first + tf.matmul(rows, gradients, transpose_a=True)

        return tf.identity(kernel), gradient

    own = shared(kernel)

    def product(inputs: tf.Tensor) -> tf.Tensor:
        nonlocal calls
        is_first, calls = calls == 0, calls + 1

        @tf.custom_gradient
        def multiplied(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Any]:
            def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
                of_x = tf.matmul(upstream, kernel, transpose_b=True)
                if is_first:
                    return of_x, tf.matmul(x, upstream, transpose_a=True)
                later.append((x, upstream))
                return of_x, None

            return tf.matmul(x, kernel), gradient

        return multiplied(inputs, own)

    return product


@keras.saving.register_keras_serializable(package="keras_sched")
class CarriedLSTM(keras.layers.Layer):
    """An LSTM whose state stays for the next batch, in variables of the model::

        i, f, o, g = split(U x_t + V h_(t-1) + b)
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
        self.of_state = StepDense(
            4 * units,
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
        if rows > self.streams:
            raise ValueError(
                f"There must be at most {self.streams} rows, which is how many states there are. "
                f"Received: {rows}"
            )
        hidden, cell = (
            tf.where(begins[:, None], tf.zeros([], state.dtype), state)
            for state in (self._before(each, rows) for each in self.carried)
        )
        # By words first: what is read at each of them lies together.
        gates = tf.unstack(self.of_inputs(tf.transpose(inputs, [1, 0, 2])), words)
        outputs = []
        with self.of_state.steps():
            for gate in gates:
                ifo, g = tf.split(gate + self.of_state(hidden), [3 * self.units, self.units], -1)
                i, f, o = tf.split(tf.sigmoid(ifo), 3, axis=-1)
                cell = f * cell + i * tf.tanh(g)
                hidden = o * tf.tanh(cell)
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

    def save_own_variables(self, store: Any) -> None:
        """Save nothing: what is carried is of a batch, and no weight of a file."""

    def load_own_variables(self, store: Any) -> None:
        """Leave what is carried as it is."""

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
