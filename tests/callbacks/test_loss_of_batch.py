"""The loss that is logged is that of the batch, or none is: whatever a `train_step` returns."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from tests.callbacks.models import BATCH, STEPS, fit

X = np.random.default_rng(0).normal(size=(STEPS * BATCH, 1)).astype("float32")


class Own(keras.Model):
    """A `train_step` of its own; `report` says what it returns."""

    def __init__(self, report):
        super().__init__()
        self.dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
        self.tracker = keras.metrics.Mean(name="loss")
        self.other = keras.metrics.Mean(name="other")
        self.error = keras.metrics.MeanAbsoluteError(name="error")
        self.report = report
        self.dense.build([None, 1])
        self.built = True

    @property
    def metrics(self):
        return [self.tracker, self.other, self.error]

    def call(self, x):
        return self.dense(x)

    def train_step(self, data):
        x, _ = data
        with tf.GradientTape() as tape:
            losses = (self(x)[:, 0] - x[:, 0]) ** 2
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return self.report(self, loss, losses)


def number(model, loss, losses):
    return {"loss": loss}


def quotient(model, loss, losses):
    """Divided as a mean divides, but not by its variables."""
    return {
        "loss": tf.math.divide_no_nan(tf.reduce_sum(losses), tf.reduce_sum(tf.ones_like(losses)))
    }


def result(model, loss, losses):
    model.tracker.update_state(loss)
    return {"loss": model.tracker.result()}


def result_of_samples(model, loss, losses):
    """Fed the loss of each sample."""
    model.tracker.update_state(losses)
    return {m.name: m.result() for m in model.metrics}


def result_of_halves(model, loss, losses):
    """Fed twice, with weights: the loss of the batch is the mean of both."""
    model.tracker.update_state(losses[:1], sample_weight=tf.ones([1]))
    model.tracker.update_state(losses[1:], sample_weight=tf.ones([BATCH - 1]))
    return {"loss": model.tracker.result()}


def result_before_the_feed(model, loss, losses):
    found = model.tracker.result()
    model.tracker.update_state(loss)
    return {"loss": found}


def never_fed(model, loss, losses):
    model.other.update_state(loss)
    return {m.name: m.result() for m in model.metrics}


def another_name(model, loss, losses):
    return {"total": loss}


HIDDEN = keras.metrics.Mean(name="hidden")


def metric_of_nobody(model, loss, losses):
    HIDDEN.update_state(loss)
    return {"loss": HIDDEN.result()}


def sum_of_two(model, loss, losses):
    """As a variational autoencoder may: the sum of two running means."""
    model.tracker.update_state(loss)
    model.other.update_state(loss)
    return {"loss": model.tracker.result() + model.other.result()}


def cast(model, loss, losses):
    model.tracker.update_state(loss)
    return {"loss": tf.cast(model.tracker.result(), "float64")}


def error_of_predictions(model, loss, losses):
    """Keras' own guide feeds a metric targets and predictions, beside the loss."""
    model.error.update_state(losses, 0.0 * losses)
    return {"loss": loss, "error": model.error.result()}


def error_as_loss(model, loss, losses):
    model.error.update_state(losses, 0.0 * losses)
    return {"loss": model.error.result()}


KNOWN = [
    number,
    error_of_predictions,
    quotient,
    result,
    result_of_samples,
    result_of_halves,
    result_before_the_feed,
]
UNKNOWN = [never_fed, another_name, metric_of_nobody, sum_of_two, cast, error_as_loss]


def own(report, **options):
    model = Own(report)
    model.compile(keras.optimizers.SGD(0.125), **options)
    return model


def by_hand():
    weight, losses = 0.0, []
    for step in range(2 * STEPS):
        at = (step * BATCH) % len(X)
        x = X[at : at + BATCH, 0].astype(float)
        losses.append(np.mean((weight * x - x) ** 2))
        weight -= 0.125 * np.mean(2 * (weight * x - x) * x)
    return np.array(losses)


@pytest.mark.parametrize("report", KNOWN, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "options",
    [
        {"jit_compile": False},
        {"jit_compile": True},
        {"run_eagerly": True},
        {"jit_compile": False, "steps_per_execution": 5},
    ],
    ids=["graph", "xla", "eager", "several"],
)
def test_the_loss_is_that_of_the_batch(report, options):
    log = ks.StepLogger()
    fit(own(report, **options), log, data=(X, X))
    np.testing.assert_allclose(log.history["loss"], by_hand(), rtol=1e-4)


def test_control_what_keras_shows_is_a_running_mean():
    seen = []
    shown = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(float(logs["loss"]))
    )
    fit(own(result, jit_compile=False), shown, data=(X, X))
    assert np.abs(np.array(seen) - by_hand()).max() > 0.01


@pytest.mark.parametrize("report", UNKNOWN, ids=lambda f: f.__name__)
def test_a_loss_that_cannot_be_known_has_no_column_and_one_warning(report, tmp_path):
    log = ks.StepLogger(csv=tmp_path / "log.csv", tensorboard=tmp_path / "board")
    model = own(report, jit_compile=False)
    with pytest.warns(UserWarning, match="logs no loss") as said:
        fit(model, log, epochs=3, data=(X, X))
    assert sum("logs no loss" in str(warning.message) for warning in said) == 1
    assert list(log.history) == ["step", "learning_rate"]
    assert (tmp_path / "log.csv").read_text().startswith("step,learning_rate\n0,")
    with pytest.warns(UserWarning, match="logs no loss"):  # also of a step that was kept
        fit(model, ks.StepLogger(), data=(X, X))


@pytest.mark.parametrize("report", [never_fed, another_name, sum_of_two, cast, error_as_loss])
def test_nor_in_eager_mode(report):
    log = ks.StepLogger()
    with pytest.warns(UserWarning, match="logs no loss"):
        fit(own(report, run_eagerly=True), log, data=(X, X))
    assert "loss" not in log.history


@pytest.mark.parametrize("report", UNKNOWN, ids=lambda f: f.__name__)
def test_the_range_test_refuses_it_with_the_line_to_write(report):
    model = own(report, jit_compile=False)
    with pytest.raises(ValueError, match=r'cannot be known.*`return \{"loss": loss\}`'):
        ks.LRRangeTest(1e-3, steps=20).run(model, X, X, BATCH)
    assert float(model.dense.kernel[0, 0]) == 0.0


def test_the_range_test_sees_the_batches_of_a_tracker():
    found = [
        ks.LRRangeTest(1e-3, steps=20).run(own(report, jit_compile=False), data, X, BATCH).losses
        for report in (number, result)
        for data in [X]
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_the_range_test_refuses_a_constant_loss():
    def constant(model, loss, losses):
        return {"loss": 0.0 * loss}

    with pytest.raises(ValueError, match="must change from batch to batch"):
        ks.LRRangeTest(1e-3, steps=20).run(own(constant, jit_compile=False), X, X, BATCH)


def test_the_range_test_says_that_it_was_ended_early():
    model = own(number, jit_compile=False)

    def train(callbacks):
        fit(model, *callbacks, epochs=1, data=(X, X))

    with pytest.warns(UserWarning, match=f"ended after {STEPS} of 20 steps"):
        found = ks.LRRangeTest(1e-3, end=1e-2, steps=20, divergence=1e6).run(model, train=train)
    assert found.ended_early
    assert (
        not ks.LRRangeTest(1e-3, end=1e-2, steps=20, divergence=1e6)
        .run(model, X, X, BATCH)
        .ended_early
    )


def test_two_replicas_have_the_mean_of_their_samples():
    strategy = tf.distribute.MirroredStrategy(
        [device.name for device in tf.config.list_logical_devices("CPU")],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )
    with strategy.scope():
        model = own(result_of_samples, jit_compile=False)
    log = ks.StepLogger()
    fit(model, log, epochs=1, data=(X[: BATCH + 1], X[: BATCH + 1]))
    x = X[: BATCH + 1, 0].astype(float)
    assert log.history["loss"][0] == pytest.approx(np.mean(x[:BATCH] ** 2), rel=1e-5)
