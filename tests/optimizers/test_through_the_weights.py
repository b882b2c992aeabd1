"""A schedule is proved by the weights it makes: two steps of every optimizer, computed by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from keras_sched.hyperparameters import attach
from tests.optimizers import reference

START = np.linspace(-1.0, 1.5, 6).reshape(2, 3)
CURVATURE = np.linspace(0.5, 2.0, 6).reshape(2, 3)
TARGET = 0.3

# Large changes from step to step: a value that is one step late is far off.
RATE = ks.Linear(0.2, end=0.05, steps=3)
DECAY = ks.Linear(0.3, end=0.1, steps=3)
MOMENTUM = ks.Linear(0.9, end=0.3, steps=3)
BETA_2 = ks.Linear(0.99, end=0.8, steps=3)

CASES = {
    "sgd": ("SGD", {}, reference.sgd, {"momentum": MOMENTUM}),
    "sgd_nesterov": ("SGD", {"nesterov": True}, reference.sgd_nesterov, {"momentum": MOMENTUM}),
    "rmsprop": ("RMSprop", {}, reference.rmsprop, {"momentum": MOMENTUM, "rho": BETA_2}),
    "adam": ("Adam", {}, reference.adam, {"beta_1": MOMENTUM, "beta_2": BETA_2}),
    "adamw": ("AdamW", {}, reference.adam, {"beta_1": MOMENTUM, "beta_2": BETA_2}),
    "adamax": ("Adamax", {}, reference.adamax, {"beta_1": MOMENTUM, "beta_2": BETA_2}),
    "nadam": ("Nadam", {}, reference.nadam, {"beta_1": MOMENTUM, "beta_2": BETA_2}),
    "adadelta": ("Adadelta", {}, reference.adadelta, {"rho": BETA_2}),
    "adagrad": ("Adagrad", {}, reference.adagrad, {}),
    "adafactor": ("Adafactor", {}, reference.adafactor, {"clip_threshold": BETA_2}),
    "ftrl": ("Ftrl", {}, reference.ftrl, {"l2_regularization_strength": DECAY, "beta": DECAY}),
    "lion": ("Lion", {}, reference.lion, {"beta_1": MOMENTUM, "beta_2": BETA_2}),
    "lamb": ("Lamb", {}, reference.lamb, {"beta_1": MOMENTUM, "beta_2": BETA_2}),
    "muon": ("Muon", {}, reference.muon, {"momentum": MOMENTUM}),
    "schedule_free": (
        "ScheduleFreeAdamW",
        {},
        reference.schedule_free,
        {"beta_1": MOMENTUM, "beta_2": BETA_2},
    ),
}
OURS = {
    "sgd_pytorch": ("SGD", {"form": "pytorch"}, reference.sgd_pytorch, {"momentum": MOMENTUM}),
    "sgd_pytorch_nesterov": (
        "SGD",
        {"form": "pytorch", "nesterov": True},
        reference.sgd_pytorch_nesterov,
        {"momentum": MOMENTUM},
    ),
    "adam_exact": (
        "Adam",
        {"exact_bias_correction": True},
        reference.adam_exact,
        {"beta_1": MOMENTUM, "beta_2": BETA_2},
    ),
    "demon_adam": (
        "DemonAdam",
        {},
        reference.demon_adam,
        {"beta_1": MOMENTUM, "beta_2": BETA_2},
    ),
}


def gradient(w):
    return CURVATURE * (w - TARGET)


def train(optimizer, steps, jit_compile=None):
    """Return the weights after every step; `jit_compile` None runs eagerly."""
    w = keras.Variable(START.astype("float32"))
    optimizer.build([w])

    def step():
        optimizer.apply([tf.constant(CURVATURE, "float32") * (w - TARGET)], [w])

    if jit_compile is not None:
        step = tf.function(step, jit_compile=jit_compile)
    trace = []
    for _ in range(steps):
        step()
        trace.append(w.numpy())
    return np.array(trace)


def stock(name, options, schedules):
    optimizer = getattr(keras.optimizers, name)(
        **options, **({"momentum": 0.9} if "momentum" in schedules else {})
    )
    attach(optimizer, schedules=schedules)
    return optimizer


def ours(name, options, schedules):
    return getattr(ks.optimizers, name)(**options, **schedules)


# Lion takes the sign of its mean, which its betas do not turn within two steps here; and in Keras
# 3.15 beta_1 cancels out of ScheduleFreeAdamW.
UNSEEN = {("Lion", "beta_1"), ("Lion", "beta_2"), ("ScheduleFreeAdamW", "beta_1")}

WAYS = [
    *[(make, case) for case in CASES for make in (stock, ours)],
    *[(ours, case) for case in OURS],
]


@pytest.mark.parametrize(("make", "case"), WAYS, ids=lambda x: getattr(x, "__name__", x))
@pytest.mark.parametrize("jit_compile", [None, False, True], ids=["eager", "graph", "xla"])
def test_two_steps_equal_the_hand_computed_ones(make, case, jit_compile):
    name, options, rule, schedules = {**CASES, **OURS}[case]
    schedules = {"learning_rate": RATE, "weight_decay": DECAY, **schedules}
    expected = reference.run(rule, schedules, START, gradient, steps=2)
    got = train(make(name, options, schedules), steps=2, jit_compile=jit_compile)
    np.testing.assert_allclose(got, expected, rtol=3e-6, atol=3e-6)


@pytest.mark.parametrize("case", CASES)
def test_without_the_schedule_the_weights_are_others(case):
    """The negative control: the numbers of step 0, kept, do not pass the test above."""
    name, options, rule, schedules = CASES[case]
    schedules = {"learning_rate": RATE, "weight_decay": DECAY, **schedules}
    expected = reference.run(rule, schedules, START, gradient, steps=2)
    for changed in schedules:
        frozen = {**schedules, changed: ks.Constant(float(schedules[changed](0)))}
        got = train(stock(name, options, frozen), steps=2)
        if (name, changed) not in UNSEEN:
            assert np.abs(got[1] - expected[1]).max() > 5e-5, changed


def test_t24_exact_bias_correction_leaves_a_constant_gradient_as_it_is():
    """The mean of a constant gradient is that gradient, whatever beta_1 did meanwhile."""
    beta_1 = ks.PiecewiseConstant([0.95, 0.85], boundaries=[5])

    def mean_at_6(exact):
        optimizer = ks.optimizers.Adam(
            1.0, beta_1=beta_1, beta_2=0.999, epsilon=1e-12, exact_bias_correction=exact
        )
        w = keras.Variable([0.0])
        optimizer.build([w])
        before = 0.0
        for _ in range(6):
            before = float(w.numpy()[0])
            optimizer.apply([tf.constant([1.0])], [w])
        return before - float(w.numpy()[0])

    assert mean_at_6(exact=True) == pytest.approx(1.0, abs=1e-5)
    assert mean_at_6(exact=False) == pytest.approx(0.55, abs=0.01)


def test_exact_bias_correction_is_that_of_keras_while_betas_are_constant():
    options = {"beta_1": ks.Constant(0.9), "beta_2": ks.Constant(0.999), "learning_rate": RATE}
    exact = train(ks.optimizers.Adam(**options, exact_bias_correction=True), steps=50)
    plain = train(ks.optimizers.Adam(**options), steps=50)
    np.testing.assert_allclose(exact, plain, rtol=1e-6, atol=1e-6)


def test_the_two_forms_of_momentum_agree_while_the_rate_is_constant():
    options = {"learning_rate": 0.1, "momentum": MOMENTUM}
    keras_form = train(ks.optimizers.SGD(**options), steps=20)
    torch_form = train(ks.optimizers.SGD(**options, form="pytorch"), steps=20)
    np.testing.assert_allclose(keras_form, torch_form, rtol=1e-5, atol=1e-6)


def test_demon_decays_the_future_weight_of_a_gradient_evenly():
    """beta / (1 - beta) falls linearly: the derivation of equation 1."""
    beta = ks.Demon(0.9, steps=100)(np.arange(100)).astype(np.float64)
    np.testing.assert_allclose(beta / (1 - beta), 9.0 * (1 - np.arange(100) / 100), rtol=1e-5)
