"""What is not finite reaches the loss, as it does in the plain model, in whatever way it is run."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from keras_sched.precision import quantizers

BAD = [np.nan, np.inf, -np.inf]
MODES = {
    "eager": {"run_eagerly": True},
    "graph": {"jit_compile": False},
    "xla": {"jit_compile": True},
}
X = np.random.default_rng(0).normal(size=[8, 3]).astype("float32")
Y = X.sum(axis=1, keepdims=True)


def compiled(mode, f):
    return f if mode == "eager" else tf.function(f, jit_compile=mode == "xla")


@pytest.mark.parametrize("symmetric", [False, True], ids=["asymmetric", "symmetric"])
@pytest.mark.parametrize("axes", [None, [0]], ids=["one range", "one a channel"])
@pytest.mark.parametrize("mode", MODES)
def test_quantizers_show_it(mode, axes, symmetric):
    bits = tf.constant(4.0)

    def forward(x):
        return quantizers.fake_quantize(x, bits, axes=axes, symmetric=symmetric)

    def backward(dy):
        x, key = tf.zeros_like(dy), tf.constant(3, tf.uint32)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = quantizers.quantize_gradient(x, bits, key, symmetric=symmetric)
        return tape.gradient(y, x, output_gradients=dy)

    forward, backward = compiled(mode, forward), compiled(mode, backward)
    assert np.isfinite(forward(X)).all() and np.isfinite(backward(X)).all()
    for bad in BAD:
        for row in range(len(X)):  # also where it is the only number of its kind
            x = X.copy()
            x[row, 0] = bad
            got = np.asarray(forward(x))
            assert np.isnan(got[:, 0]).all()
            assert np.isfinite(got[:, 1:]).all() == (axes is not None)
            assert np.isnan(backward(x)).all()


@keras.saving.register_keras_serializable("test_non_finite")
class Spoiled(keras.layers.Layer):
    """Passes its input on, and multiplies the first gradient by a number."""

    def build(self, shape):
        self.factor = self.add_weight(initializer="ones", trainable=False, name="factor")

    def call(self, x):
        factor = tf.convert_to_tensor(self.factor.value)

        @tf.custom_gradient
        def same(x):
            only_one = tf.one_hot(0, x.shape[-1], on_value=factor, off_value=1.0)
            return tf.identity(x), lambda dy: dy * only_one

        return same(x)


def network():
    keras.utils.set_random_seed(0)
    # No ReLU: under XLA on a CPU that passes over NaN in the plain model, too.
    return keras.Sequential(
        [
            keras.Input([3]),
            keras.layers.Dense(4, activation="softplus", name="first"),
            Spoiled(name="spoiled"),
            keras.layers.Dense(1, name="last"),
        ]
    )


class Trial:
    """A model that is spoiled in one place, run, and put back."""

    def __init__(self, mode, symmetric):
        self.model = network()
        self.model.compile(keras.optimizers.SGD(0.01), "mse", **MODES[mode])
        self.handle = None
        if symmetric is not None:
            self.handle = ks.precision.quantize(
                self.model, weights=8, activations=8, gradients=8, layers="all", symmetric=symmetric
            )
        self.found = [np.array(v) for v in self.model.variables]

    def evaluate(self, place, bad):
        return self._run(place, bad, lambda x: self.model.test_on_batch(x, Y))

    def train(self, place, bad):
        """Return the loss of the second step, which has the gradients of the first in it."""

        def steps(x):
            self.model.train_on_batch(x, Y)
            self.model.reset_metrics()
            return self.model.train_on_batch(X, Y)

        return self._run(place, bad, steps)

    def _run(self, place, bad, run):
        x = X.copy()
        if place == "input":
            x[2, 1] = bad
        elif place == "weight":
            kernel = self.model.get_layer("first").kernel
            kernel.assign(np.where(np.arange(12).reshape(3, 4) == 5, bad, kernel))
        elif place == "gradient":
            self.model.get_layer("spoiled").factor.assign(bad)
        self.model.reset_metrics()
        loss = run(x)
        for variable, value in zip(self.model.variables, self.found, strict=True):
            variable.assign(value)
        return float(loss)


@pytest.mark.parametrize("symmetric", [None, False, True], ids=["plain", "asymmetric", "symmetric"])
@pytest.mark.parametrize("mode", MODES)
def test_the_loss_shows_it(mode, symmetric):
    trial = Trial(mode, symmetric)
    # Twice: before the first training step activations have no running range, and after it one.
    for _ in range(2):
        for place in ("input", "weight"):
            assert not any(np.isfinite(trial.evaluate(place, bad)) for bad in BAD)
            assert np.isfinite(trial.evaluate("nowhere", None))
        for place in ("input", "weight", "gradient"):
            assert not any(np.isfinite(trial.train(place, bad)) for bad in BAD)
            assert np.isfinite(trial.train("nowhere", None))
    assert trial.handle is None or np.isfinite(trial.handle._bounds).all()
