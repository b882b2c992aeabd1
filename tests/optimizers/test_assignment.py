"""What is scheduled cannot be assigned over, and reads as a number wherever it has a value."""

from __future__ import annotations

import math
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from keras_sched._driver import driver_of
from keras_sched.hyperparameters import attach, attached, current, schedulable

X = np.linspace(-1, 1, 32).reshape(16, 2).astype("float32")
Y = X.sum(axis=1, keepdims=True)
STOCK = [name for name in ks.optimizers.__all__ if hasattr(keras.optimizers, name)]


def by_attach(name):
    optimizer = getattr(keras.optimizers, name)(
        **({"momentum": 0.9} if name in ("SGD", "RMSprop") else {})
    )
    names = set(schedulable(optimizer)) - {"muon_a", "muon_c"}
    attach(optimizer, schedules={each: ks.Linear(0.5, end=0.25, steps=8) for each in names})
    return optimizer


def by_constructor(name):
    made = getattr(ks.optimizers, name)
    names = attached(by_attach(name))
    return made(**{each: ks.Linear(0.5, end=0.25, steps=8) for each in names})


WAYS = [(make, name) for name in STOCK for make in (by_attach, by_constructor)]


def network(optimizer):
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(2)])
    model.compile(optimizer, "mse", jit_compile=False)
    return model


@pytest.mark.parametrize(("make", "name"), WAYS, ids=lambda x: getattr(x, "__name__", x))
def test_assigning_over_a_schedule_is_refused_and_changes_nothing(make, name):
    optimizer = make(name)
    before, config = dict(vars(optimizer)), optimizer.get_config()
    values = {key: float(value) for key, value in current(optimizer).items()}
    for each, schedule in attached(optimizer).items():
        for value in (0.5, keras.optimizers.schedules.PolynomialDecay(0.1, 10), ks.Constant(0.1)):
            with pytest.raises(TypeError) as caught:
                setattr(optimizer, each, value)
            message = str(caught.value)
            assert f"`{each}` of this {name} is driven by {schedule!r}" in message
            assert f"Received: {each}={value!r}" in message
            assert f"ks.optimizers.{name}({each}=...)" in message
    assert dict(vars(optimizer)) == before
    assert optimizer.get_config() == config
    assert {key: float(value) for key, value in current(optimizer).items()} == values


def test_what_is_not_scheduled_is_assigned_as_ever():
    optimizer = by_attach("Adam")
    optimizer.amsgrad = True
    optimizer.mine = keras.Variable(1.0)
    assert optimizer.amsgrad is True
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    attachment = attach(optimizer, schedules={"momentum": ks.Constant(0.5)})
    optimizer.learning_rate = 0.2
    assert float(current(optimizer)["learning_rate"]) == pytest.approx(0.2)
    attachment.detach()
    optimizer.momentum = 0.7
    assert optimizer.momentum == 0.7
    assert "__setattr__" not in vars(type(optimizer))


def test_a_learning_rate_under_a_factor_is_not_assigned():
    optimizer = keras.optimizers.SGD(0.1)
    factor = tf.Variable(0.5)
    driver_of(optimizer).multiply("learning_rate", factor)
    with pytest.raises(TypeError, match="driven by a factor"):
        optimizer.learning_rate = 0.3
    assert float(optimizer.learning_rate) == pytest.approx(0.05)
    driver_of(optimizer).unmultiply("learning_rate", factor)
    optimizer.learning_rate = 0.3
    assert float(optimizer.learning_rate) == pytest.approx(0.3)


def test_a_factor_has_a_floor_that_the_value_itself_may_go_below():
    optimizer = ks.optimizers.SGD(ks.Linear(1.0, steps=4), momentum=ks.Constant(0.8))
    factor = tf.Variable(0.1)
    for name in ("learning_rate", "momentum"):
        driver_of(optimizer).multiply(name, factor, floor=0.3)
    assert float(optimizer.momentum) == pytest.approx(0.3)
    found = []
    for step in range(5):
        optimizer.iterations.assign(step)
        found.append(float(optimizer.learning_rate))
    assert found == pytest.approx([0.3, 0.3, 0.3, 0.25, 0.0])
    factor.assign(0.5)
    optimizer.iterations.assign(0)
    assert float(optimizer.learning_rate) == 0.5


@pytest.mark.parametrize("name", STOCK)
@pytest.mark.parametrize("make", [by_attach, by_constructor])
def test_a_driven_optimizer_is_still_of_its_class(make, name):
    optimizer = make(name)
    kind = getattr(keras.optimizers if make is by_attach else ks.optimizers, name)
    assert isinstance(optimizer, kind)
    assert optimizer.__class__ is kind
    assert type(optimizer).__name__ == name
    assert type(optimizer).__module__ == kind.__module__
    saved = keras.saving.serialize_keras_object(optimizer)
    expected = keras.saving.serialize_keras_object(kind(name=optimizer.name))
    assert {key: saved[key] for key in ("class_name", "module", "registered_name")} == {
        key: expected[key] for key in ("class_name", "module", "registered_name")
    }
    again = keras.saving.deserialize_keras_object(saved)
    assert again.__class__ is kind
    assert again.get_config() == optimizer.get_config()
    assert keras.optimizers.get(optimizer) is optimizer


@pytest.mark.filterwarnings("ignore:Skipping variable loading")  # as of every stock optimizer
def test_a_driven_stock_optimizer_is_saved_and_copied_as_the_stock_one(tmp_path):
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    model = network(optimizer)
    model.train_on_batch(X, Y)
    saved = keras.saving.serialize_keras_object(optimizer)
    attach(optimizer, schedules={"momentum": ks.Linear(0.9, steps=8)})
    assert keras.saving.serialize_keras_object(optimizer) == saved
    assert type(pickle.loads(pickle.dumps(optimizer))) is keras.optimizers.SGD
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").optimizer
    assert type(loaded) is keras.optimizers.SGD
    assert loaded.momentum == 0.9
    for one, other in zip(optimizer.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.mark.parametrize(
    "callback",
    [
        lambda: keras.callbacks.LearningRateScheduler(lambda epoch: 0.5),
        lambda: keras.callbacks.ReduceLROnPlateau("loss", patience=0, min_delta=1e9),
    ],
    ids=["LearningRateScheduler", "ReduceLROnPlateau"],
)
def test_callbacks_of_keras_that_assign_the_rate_fail_with_the_line_to_write(callback):
    model = network(ks.optimizers.SGD(ks.Linear(0.1, steps=8)))
    with pytest.raises(TypeError, match=r"driven by Linear\(.*ks\.Scheduler\(learning_rate="):
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[callback()])


def test_a_paused_driver_shows_the_optimizer_as_it_was_found():
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    attach(optimizer, schedules={"momentum": ks.Constant(0.5), "learning_rate": ks.Constant(0.3)})
    with driver_of(optimizer).paused():
        assert optimizer.momentum == 0.9
        assert isinstance(optimizer.learning_rate, keras.Variable)
    assert float(optimizer.momentum) == 0.5
    assert float(optimizer.learning_rate) == pytest.approx(0.3)


# --- reading ------------------------------------------------------------------------------------

READINGS = {
    "format": lambda x: f"{x:.3f}",
    "text": str,
    "float": float,
    "numpy": lambda x: float(np.asarray(x)),
    "round": lambda x: round(x, 2),
    "whole": round,
    "sqrt": math.sqrt,
    "above": lambda x: x > 0.7,
    "at_least": lambda x: x >= 0.75,
    "below": lambda x: x < 0.7,
    "at_most": lambda x: x <= 0.75,
    "equal": lambda x: x == 0.75,
    "other": lambda x: x != 0.75,
    "reflected": lambda x: 0.7 < x <= 0.8,
    "between": lambda x: 0.5 if x > 1 - x else 0.1,
    "true": bool,
}


@pytest.mark.parametrize("reading", READINGS)
def test_where_a_value_exists_it_reads_as_the_number(reading):
    optimizer = ks.optimizers.SGD(0.1, momentum=ks.Constant(0.75))
    assert READINGS[reading](optimizer.momentum) == READINGS[reading](0.75)


@pytest.mark.parametrize("reading", sorted(READINGS.keys() - {"text", "true"}))
def test_in_a_trace_reading_fails_and_says_why(reading):
    optimizer = ks.optimizers.SGD(0.1, momentum=ks.Constant(0.75))

    @tf.function(autograph=False)
    def step():
        READINGS[reading](optimizer.momentum)
        return tf.zeros(())

    with pytest.raises(TypeError, match=r"`momentum` has no one value in a step that is traced"):
        step()


def test_printed_it_is_its_value_or_in_a_trace_its_schedule(capsys):
    optimizer = ks.optimizers.SGD(0.1, momentum=ks.Linear(0.75, end=0.25, steps=4))
    print(optimizer.momentum)  # noqa: T201
    optimizer.iterations.assign(2)
    print(f"{optimizer.momentum}")  # noqa: T201

    @tf.function(autograph=False)
    def step():
        print(optimizer.momentum)  # noqa: T201
        return tf.zeros(())

    step()
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["0.75", "0.5", f"<momentum: {attached(optimizer)['momentum']!r}>"]
    assert repr(optimizer.momentum) == lines[2]
    assert optimizer.momentum == optimizer.momentum
    assert optimizer.momentum != "momentum"


class Asking(keras.optimizers.SGD):
    """Notes how its momentum compares, in an update."""

    def build(self, variables):
        self.asked = [self.momentum != 0, self.momentum == 0]
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
        momentum = self.momentum
        self.asked += [momentum > 0, momentum >= 0, bool(momentum), momentum <= 0, momentum < 0]
        super().update_step(gradient, variable, learning_rate)


@pytest.mark.parametrize("eager", [True, False])
def test_a_momentum_of_0_counts_as_above_0_while_keras_decides_what_to_do(eager):
    """So a momentum that reaches 0, or begins there, takes one path eagerly and in a graph."""
    optimizer = Asking(0.1, momentum=0.9)
    attach(optimizer, schedules={"momentum": ks.Linear(0.0, end=0.5, steps=2)})
    w = keras.Variable([1.0])
    optimizer.build([w])
    assert len(optimizer.momentums) == 1

    def step():
        optimizer.apply([tf.constant([1.0])], [w])

    step = step if eager else tf.function(step, autograph=False)
    for _ in range(3):
        step()
    assert optimizer.asked[:7] == [True, False, True, True, True, False, False]
    v, expected = 0.0, 1.0
    for momentum in (0.0, 0.25, 0.5):
        v = momentum * v - 0.1
        expected += v
    assert float(w.numpy()[0]) == pytest.approx(expected)


@pytest.mark.parametrize("eager", [True, False])
def test_in_an_update_it_has_no_other_value_to_compare_with(eager):
    class Asks(keras.optimizers.SGD):
        def update_step(self, gradient, variable, learning_rate):
            if self.momentum > 0.5:
                super().update_step(gradient, variable, learning_rate)

    optimizer = Asks(0.1, momentum=0.9)
    attach(optimizer, schedules={"momentum": ks.Constant(0.9)})
    w = keras.Variable([1.0])
    optimizer.build([w])

    def step():
        optimizer.apply([tf.constant([1.0])], [w])

    with pytest.raises(TypeError, match="has no one value"):
        (step if eager else tf.function(step, autograph=False))()


def test_what_an_update_has_read_is_known():
    class Unused(keras.optimizers.SGD):
        def __init__(self, **options):
            super().__init__(**options)
            self.spare = 0.5

        def get_config(self):
            return {**super().get_config(), "spare": self.spare}

    optimizer = Unused(learning_rate=0.1, momentum=0.9)
    names = ("learning_rate", "momentum", "spare")
    attach(optimizer, schedules={name: ks.Constant(0.5) for name in names})
    driver, w = driver_of(optimizer), keras.Variable([1.0])
    optimizer.build([w])
    current(optimizer)
    assert f"{optimizer.momentum} {optimizer.momentum:.2f} {optimizer.learning_rate:.1f}"
    assert driver.unread() == set(names)
    tf.function(lambda: current(optimizer))()
    assert driver.unread() == set(names)
    tf.function(lambda: optimizer.apply([tf.constant([1.0])], [w]))()
    assert driver.unread() == {"spare"}
    factor = tf.Variable(1.0)
    driver.multiply("momentum", factor)
    assert driver.unread() == {"spare", "momentum"}
    optimizer.apply([tf.constant([1.0])], [w])
    assert driver.unread() == {"spare"}
