"""Norms of gradients beside those by hand, however the update is made."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from keras_sched.callbacks import StepLogger
from keras_sched.callbacks._norms import _dense
from tests.callbacks.test_step_logger import BATCH, STEPS, X, Y, fit, linear_model
from tests.tensorboard_plugins.reading import read_run


def by_hand(optimizer_step, steps, accumulation=1, batch=BATCH):
    """The norms of the gradients of the mean square error, float64, and what a step does."""
    weights, found, sums = np.ones([3, 1]), [], np.zeros([3, 1])
    last = (np.nan, np.nan)
    batches = len(X) // batch
    for step in range(steps):
        part = slice(step % batches * batch, (step % batches + 1) * batch)
        x, y = X[part].astype(float), Y[part].astype(float)
        sums += 2.0 * x.T @ (x @ weights - y) / len(x)
        if (step + 1) % accumulation == 0:
            gradient = sums / accumulation
            last = np.sqrt((gradient**2).sum()), np.abs(gradient).sum()
            weights = weights - optimizer_step(gradient)
            sums = np.zeros([3, 1])
        found.append(last)
    return np.array(found)


def check(log, expected):
    for place, name in enumerate(("grad_norm", "grad_l1")):
        np.testing.assert_allclose(log.history[name], expected[:, place], rtol=2e-5)


@pytest.mark.parametrize(
    "options", [{}, {"jit_compile": True}, {"steps_per_execution": 4}, {"run_eagerly": True}]
)
def test_they_are_those_by_hand(options):
    log = StepLogger(norms=True)
    fit(linear_model(keras.optimizers.SGD(0.05), **options), log)
    check(log, by_hand(lambda gradient: 0.05 * gradient, STEPS))


@pytest.mark.parametrize(
    "clip", [{"clipnorm": 0.1}, {"global_clipnorm": 0.1}, {"clipvalue": 0.01}], ids=str
)
def test_they_are_not_clipped(clip):
    log = StepLogger(norms=True)
    fit(linear_model(keras.optimizers.SGD(0.05, **clip)), log)

    def clipped(gradient):
        if "clipvalue" in clip:
            return 0.05 * np.clip(gradient, -0.01, 0.01)
        return 0.05 * gradient * min(1.0, 0.1 / np.sqrt((gradient**2).sum()))

    check(log, by_hand(clipped, STEPS))


def test_accumulated_ones_are_those_of_the_update():
    log = StepLogger(norms=True)
    fit(linear_model(keras.optimizers.SGD(0.05, gradient_accumulation_steps=2)), log)
    check(log, by_hand(lambda gradient: 0.05 * gradient, STEPS, accumulation=2))
    assert np.isnan(log.history["grad_norm"][0])


def test_scaled_ones_are_unscaled_and_skipped_updates_have_none_of_their_own():
    inner = keras.optimizers.SGD(0.05)
    log = StepLogger(norms=True)
    scaled = keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0**127)
    fit(linear_model(scaled), log)
    skipped = STEPS - int(inner._iterations)
    found = log.history["grad_norm"]
    assert skipped > 0 and np.isnan(found[:skipped]).all()
    assert np.isfinite(found[skipped:]).all() and (found[skipped:] < 100.0).all()


def test_rows_of_a_table_count_once():
    """The same row several times in a batch: its gradients are summed before they are squared."""
    table = keras.layers.Embedding(5, 2, embeddings_initializer="ones")
    model = keras.Sequential([keras.Input([3], dtype="int32"), table, keras.layers.Flatten()])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x, y = np.array([[1, 1, 2]], "int32"), np.zeros([1, 6], "float32")
    log = StepLogger(norms=True)
    model.fit(x, y, verbose=0, callbacks=[log])
    # Of the mean over six numbers: 2 / 6 for each, of row 1 twice.
    expected = np.sqrt(2 * (4 / 6) ** 2 + 2 * (2 / 6) ** 2)
    assert log.history["grad_norm"][0] == pytest.approx(expected, rel=1e-6)
    assert log.history["grad_l1"][0] == pytest.approx(2 * 4 / 6 + 2 * 2 / 6, rel=1e-6)


def test_a_table_is_never_made_whole():
    """One of a trillion rows, of which a batch has two: the whole would not fit."""
    rows = tf.IndexedSlices(tf.ones([3, 2]), tf.constant([7, 7, 10**11], tf.int64), [2**40, 2])
    assert sorted(_dense(rows).numpy().ravel().tolist()) == [1.0, 1.0, 2.0, 2.0]


class Adversarial(keras.Model):
    """Two networks, and an optimizer for each."""

    def __init__(self, optimizers):
        super().__init__()
        self.parts = [keras.layers.Dense(1, kernel_initializer="ones") for _ in optimizers]
        self.optimizers = optimizers

    def compile(self):
        super().compile()

    def train_step(self, data):
        x, y = data
        for scale, part, optimizer in zip((1.0, 3.0), self.parts, self.optimizers, strict=True):
            with tf.GradientTape() as tape:
                loss = scale * tf.reduce_mean(tf.abs(part(x) - y))
            variables = part.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return {"loss": loss}


def test_of_two_optimizers_each_logger_has_its_own():
    optimizers = [keras.optimizers.SGD(0.0) for _ in range(2)]
    model = Adversarial(optimizers)
    model.compile()
    for _ in range(2):  # A second training takes the step of the first.
        logs = [StepLogger(norms=True, optimizer=each) for each in optimizers]
        fit(model, *logs)
        one, other = (log.history["grad_norm"] for log in logs)
        assert (one > 0.0).all()
        np.testing.assert_allclose(other, 3.0 * one, rtol=1e-5)


@pytest.mark.parametrize(
    "optimizer", [ks.optimizers.SGD, ks.optimizers.AdamW, keras.optimizers.Adam]
)
def test_a_second_training_goes_on_and_nothing_is_left_behind(optimizer):
    model = linear_model(optimizer(0.01))
    log = StepLogger(norms=True)
    for _ in range(2):
        fit(model, log)
        assert np.isfinite(log.history["grad_norm"]).all()
    assert "_clip_gradients" not in vars(model.optimizer)
    plain = StepLogger()
    fit(model, plain)
    assert "grad_norm" not in plain.history


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_they_are_in_the_dashboard_and_refine_a_schedule(tmp_path):
    log = StepLogger(norms=True, tensorboard=tmp_path / "board", csv=tmp_path / "log.csv")
    fit(linear_model(keras.optimizers.SGD(0.05)), log)
    run = read_run(tmp_path)
    np.testing.assert_array_equal(run.column("steps", "grad_norm"), log.history["grad_norm"])
    assert "grad_l1" in (tmp_path / "log.csv").read_text().splitlines()[0]
    refined = ks.Refined.from_norms(0.1, log.history["grad_norm"])
    assert max(refined.profile) == 1.0 and refined.profile[-1] == 0.0


def test_what_cannot_be_known_is_refused():
    class Own(keras.optimizers.SGD):
        def apply(self, grads, trainable_variables=None):
            self.build(trainable_variables)
            self._iterations.assign_add(1)
            for gradient, variable in zip(grads, trainable_variables, strict=True):
                variable.assign_sub(0.01 * gradient)

    with pytest.raises(ValueError, match="`norms` must be False for an optimizer"):
        fit(linear_model(Own(0.1)), StepLogger(norms=True))
    with pytest.raises(TypeError, match="`norms` must be"):
        StepLogger(norms="l2")
    devices = tf.config.list_logical_devices("CPU")
    if len(devices) > 1:
        strategy = tf.distribute.MirroredStrategy(
            [device.name for device in devices[:2]],
            cross_device_ops=tf.distribute.ReductionToOneDevice(),
        )
        with strategy.scope():
            model = linear_model()
        with pytest.raises(ValueError, match="several replicas"):
            fit(model, StepLogger(norms=True), batch_size=2)
