"""Callbacks act on the optimizer that trains, or say that they do not."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_sched as ks
from tests.callbacks.models import ONES, STEPS, fit, line, pair

RATE = ks.Linear(0.125)


def range_test(model, optimizer):
    return ks.LRRangeTest(1e-3, end=1.0, steps=20).run(model, ONES, ONES, 4, optimizer=optimizer)


def train(make):
    return lambda model, optimizer: fit(model, make(optimizer))


ACTING = {
    "scheduler": train(lambda optimizer: ks.Scheduler(RATE, optimizer=optimizer)),
    "plateau": train(lambda optimizer: ks.Plateau("loss", optimizer=optimizer)),
    "step_logger": train(lambda optimizer: ks.StepLogger(optimizer=optimizer)),
    "range_test": range_test,
}


CALLS = {
    "scheduler": "Scheduler",
    "plateau": "Plateau",
    "step_logger": "StepLogger",
    "range_test": r"LRRangeTest\(\)\.run",
}


@pytest.mark.parametrize("acting", ACTING)
@pytest.mark.parametrize("eager", [False, True], ids=["graph", "eager"])
def test_an_optimizer_that_nobody_uses_is_an_error_that_names_it(acting, eager):
    """A GAN's `compile` leaves Keras its default, RMSprop, in `model.optimizer`."""
    model = pair(run_eagerly=eager)
    assert type(model.optimizer) is keras.optimizers.RMSprop
    rate, kind = vars(model.optimizer)["_learning_rate"], type(model.optimizer)
    with pytest.raises(
        ValueError,
        match=rf"'rm_?sprop\w*' \(RMSprop\).*`{CALLS[acting]}\(\.\.\., optimizer=optimizer\)`",
    ):
        ACTING[acting](model, None)
    assert vars(model.optimizer)["_learning_rate"] is rate
    assert type(model.optimizer) is kind
    assert "train_step" not in vars(model)


@pytest.mark.parametrize("acting", ACTING)
def test_the_optimizer_that_is_given_is_acted_on(acting):
    model = pair()
    result = ACTING[acting](model, model.g_optimizer)
    if acting == "range_test":
        assert len(result.losses) == 20
        assert float(model.generator.kernel[0, 0]) == 0.0
        assert float(model.critic.kernel[0, 0]) == 0.0
        assert int(model.d_optimizer.iterations) == 0
    assert float(model.g_optimizer.learning_rate) == 0.5


def test_two_optimizers_have_a_scheduler_and_a_log_each():
    model = pair()
    logs = [ks.StepLogger(optimizer=model.g_optimizer), ks.StepLogger(optimizer=model.d_optimizer)]
    fit(
        model,
        ks.Scheduler(RATE, momentum=ks.Demon(0.9), optimizer=model.g_optimizer),
        ks.Scheduler(ks.Cosine(0.25), optimizer=model.d_optimizer),
        *logs,
    )
    rates = ks.simulate(RATE, n=2 * STEPS)
    np.testing.assert_array_equal(logs[0].history["learning_rate"], rates)
    np.testing.assert_array_equal(
        logs[0].history["momentum"], ks.simulate(ks.Demon(0.9), n=2 * STEPS)
    )
    critic = ks.simulate(ks.Cosine(0.25), n=2 * STEPS)
    np.testing.assert_array_equal(logs[1].history["learning_rate"], critic)
    # Each has a gradient of 1.
    np.testing.assert_allclose(float(model.critic.kernel[0, 0]), -critic.sum(), rtol=1e-6)
    velocity = weight = 0.0
    for rate, momentum in zip(rates, ks.simulate(ks.Demon(0.9), n=2 * STEPS), strict=True):
        velocity = momentum * velocity - rate
        weight += velocity
    np.testing.assert_allclose(float(model.generator.kernel[0, 0]), weight, rtol=1e-5)
    assert model.g_optimizer.momentum == 0.5


def test_several_updates_in_a_batch_are_counted_or_refused():
    model = pair(critic_steps=3)
    with pytest.raises(ValueError, match="updates_per_batch=3"):
        fit(model, ks.Scheduler(RATE, optimizer=model.d_optimizer))
    model = pair(critic_steps=3)
    fit(model, ks.Scheduler(RATE, optimizer=model.d_optimizer, updates_per_batch=3))
    rates = ks.simulate(RATE, n=3 * 2 * STEPS)
    np.testing.assert_allclose(float(model.critic.kernel[0, 0]), -rates.sum(), rtol=1e-6)


class Lookahead(keras.optimizers.Optimizer):
    """Wraps another optimizer, as wrappers do: its own learning rate is never read."""

    def __init__(self, inner):
        super().__init__(learning_rate=0.5, name="lookahead")
        self.inner = inner

    def build(self, variables):
        super().build(variables)
        self.inner.build(variables)

    def apply(self, grads, trainable_variables=None):
        self.inner.apply(grads, trainable_variables)
        self._iterations.assign_add(1)


@pytest.mark.parametrize("acting", ["scheduler", "plateau"])
@pytest.mark.parametrize("eager", [False, True], ids=["graph", "eager"])
def test_a_wrapper_that_does_not_read_what_is_driven_is_an_error(acting, eager):
    inner = keras.optimizers.SGD(0.5)
    model = line(Lookahead(inner), run_eagerly=eager)
    with pytest.raises(ValueError, match=r"'lookahead' \(Lookahead\) never reads.*learning_rate"):
        ACTING[acting](model, None)
    inner = keras.optimizers.SGD(0.5)
    model = line(Lookahead(inner), run_eagerly=eager)
    ACTING[acting](model, inner)


@pytest.mark.parametrize("eager", [False, True], ids=["graph", "eager"])
def test_accumulated_and_scaled_updates_are_used(eager):
    """Nothing is said where an update waits or is skipped."""
    accumulated = keras.optimizers.SGD(0.5, momentum=0.9, gradient_accumulation_steps=4)
    scaled = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.5, momentum=0.9), initial_scale=2.0**127
    )
    for optimizer in (accumulated, scaled):
        model = line(optimizer, run_eagerly=eager)
        fit(model, ks.Scheduler(RATE, momentum=ks.Demon(0.9)), ks.Plateau("loss"), ks.StepLogger())


@pytest.mark.parametrize("make", [ks.Plateau, ks.StepLogger, lambda **o: ks.Scheduler(RATE, **o)])
def test_what_is_no_optimizer_is_refused_at_once(make):
    with pytest.raises(TypeError, match="`optimizer` must be a Keras optimizer"):
        make(optimizer="sgd")


def test_an_optimizer_that_trained_once_and_does_no_longer_is_an_error():
    model = line(old := keras.optimizers.SGD(0.5))
    fit(model, ks.StepLogger())
    model.compile(keras.optimizers.SGD(0.5), model.loss, jit_compile=False)
    with pytest.raises(ValueError, match="has made no update"):
        fit(model, ks.StepLogger(optimizer=old))


@pytest.mark.parametrize(
    ("updates", "batches", "total"),
    [(0.3, 10, 3), (0.7, 10, 7), (0.6, 5, 3), (1 / 3, 300, 100), (1 / 3, 3, 1), (5, 7, 35)],
)
def test_updates_are_counted_as_they_are_written(updates, batches, total):
    """A binary fraction next to 0.3 would lose an update."""
    scheduler = ks.Scheduler(RATE, updates_per_batch=updates)
    scheduler.set_model(line())
    scheduler.set_params({"epochs": 1, "steps": batches})
    assert scheduler._count(scheduler.model.optimizer).steps == total


def test_groups_that_accumulate_differently_have_no_one_length():
    parts = keras.optimizers.OptimizerMap(
        keras.optimizers.SGD(0.5, name="a"),
        {"nothing": keras.optimizers.SGD(0.5, gradient_accumulation_steps=4, name="b")},
    )
    model = line(keras.optimizers.MultiOptimizer(parts))
    with pytest.raises(ValueError, match="accumulate over the same number"):
        fit(model, ks.Scheduler(groups={"a": {"learning_rate": RATE}}))


@pytest.mark.parametrize("acting", ["plateau", "step_logger", "momentum"])
def test_a_schedule_without_a_configuration_is_no_obstacle(acting):
    class Bare(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.125

    model = line(keras.optimizers.SGD(Bare(), momentum=0.5))
    if acting == "momentum":
        fit(model, ks.Scheduler(momentum=ks.Demon(0.9)))
    else:
        ACTING[acting](model, None)
