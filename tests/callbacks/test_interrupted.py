"""An exception in `fit` leaves model and optimizer as they were found, whatever raised it."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_sched as ks
from tests.callbacks.models import BATCH, ONES, STEPS, StopIn, Stopped, Weights, fit, line

HOOKS = (
    "on_train_begin",
    "on_epoch_begin",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_begin",
    "on_test_batch_end",
    "on_epoch_end",
    "on_train_end",
)


def scheduler():
    """Schedules that need no length of the run."""
    return ks.Scheduler(ks.Constant(0.0), momentum=ks.Constant(0.25))


CALLBACKS = {
    "scheduler": lambda: [scheduler()],
    "plateau": lambda: [ks.Plateau("loss", factor=0.1, patience=1, mode="max")],
    "logger": lambda: [ks.StepLogger()],
    "two_loggers": lambda: [ks.StepLogger(), ks.StepLogger()],
    "policy": lambda: [ks.PrecisionPolicy([("float32", 1.0)], exclude=[])],
    "all": lambda: [
        ks.StepLogger(),
        scheduler(),
        ks.Plateau("loss", factor=0.1, patience=1, mode="max"),
        ks.StepLogger(),
        ks.PrecisionPolicy([("float32", 1.0)], exclude=[]),
    ],
}


def model_of(**options):
    model = line(keras.optimizers.SGD(0.5, momentum=0.5), **options)
    model.optimizer.build(model.trainable_variables)
    return model


def state(model) -> dict:
    """What a callback could have left: the names of attributes, and what is called or a number."""
    parts = [model, model.optimizer, model._loss_tracker, *model.layers]
    passing = {"history", "_eval_epoch_iterator", "stop_training", "_initial_epoch"}
    found = {}
    for i, part in enumerate(parts):
        for name, value in {**vars(part), "class": type(part)}.items():
            if name not in passing and "plateau" not in name:
                is_told = callable(value) or isinstance(value, int | float | str)
                found[i, name] = value if is_told else None
    return found


def assert_as_found(model, found) -> None:
    now = state(model)
    assert now.keys() == found.keys()
    assert [name for name in now if now[name] is not found[name] and now[name] != found[name]] == []


def assert_trains_as_plain(model) -> None:
    """A further plain `fit` gives the bits of a model that never met a callback of ours."""
    plain = model_of()
    for each in (model, plain):
        each.set_weights([np.zeros([1, 1], "float32")])
        for variable in each.optimizer.variables:
            if variable.name not in ("learning_rate",):
                variable.assign(np.zeros(variable.shape, variable.dtype))
        fit(each)
    np.testing.assert_array_equal(model.get_weights()[0], plain.get_weights()[0])


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("place", ["first", "last"])
def test_whatever_another_callback_raises(hook, place):
    """As Ctrl-C does: no `Exception`."""
    model = model_of()
    fit(model, validation_data=(ONES, ONES))
    found = state(model)
    ours, stop = CALLBACKS["all"](), StopIn(hook, KeyboardInterrupt)
    every = [stop, *ours] if place == "first" else [*ours, stop]
    with pytest.raises(KeyboardInterrupt) as kept:  # and all that it holds, as a notebook does
        fit(model, *every, validation_data=(ONES, ONES), epochs=3)
    assert_as_found(model, found)
    assert [callback for callback in every if "on_train_begin" in vars(callback)] == (
        [stop] if hook == "on_train_begin" else []
    )
    assert_trains_as_plain(model)
    del kept


@pytest.mark.parametrize("callbacks", CALLBACKS)
@pytest.mark.parametrize("eager", [False, True], ids=["graph", "eager"])
def test_whatever_the_step_raises(callbacks, eager):
    """As Ctrl-C does while a step is computed."""

    class Fails(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.fails = False

        def call(self, x):
            if self.fails:
                raise KeyboardInterrupt
            return x

    model = keras.Sequential([keras.Input([1]), Fails(), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(0.5, momentum=0.5), "mse", run_eagerly=eager)
    model.optimizer.build(model.trainable_variables)
    fit(model, epochs=1)
    found = state(model)
    model.layers[0].fails = True
    with pytest.raises(KeyboardInterrupt):
        fit(model, *CALLBACKS[callbacks]())
    model.layers[0].fails = False
    assert_as_found(model, found)
    fit(model, *CALLBACKS[callbacks]())
    assert_as_found(model, found)


@pytest.mark.parametrize("callbacks", CALLBACKS)
def test_whatever_the_data_raise(callbacks):
    class Torn(keras.utils.PyDataset):
        def __len__(self):
            return STEPS

        def __getitem__(self, index):
            if index == 2:
                raise Stopped("torn file")
            return ONES[:BATCH], ONES[:BATCH]

    model = model_of()
    fit(model)
    found = state(model)
    with pytest.raises(Exception, match="torn file"):
        model.fit(Torn(), verbose=0, callbacks=CALLBACKS[callbacks]())
    assert_as_found(model, found)
    assert_trains_as_plain(model)


def test_the_next_fit_has_its_own_schedules_and_no_others():
    """Ctrl-C, then a training with fewer schedules: the momentum of the first is gone."""
    model = model_of()
    with pytest.raises(Stopped):
        fit(model, scheduler(), StopIn("on_train_batch_end"))
    assert model.optimizer.momentum == 0.5
    log, weights = ks.StepLogger(), Weights()
    fit(model, ks.Scheduler(ks.Constant(0.25)), log, weights)
    assert "momentum" not in log.history
    velocity, wanted = 0.0, []
    for _ in range(2 * STEPS):
        velocity = 0.5 * velocity - 0.25
        wanted.append(-velocity)
    np.testing.assert_allclose(weights.rates, wanted, rtol=1e-5)


def test_a_loop_of_ones_own_that_is_lost_leaves_the_next_alone():
    """A loop tells callbacks nothing of its errors: the next one finds what it has left."""
    model = model_of()

    def loop(stops):
        every = keras.callbacks.CallbackList([scheduler()], model=model)
        every.on_train_begin()
        every.on_epoch_begin(0)
        every.on_train_batch_begin(0)
        if stops:
            raise Stopped
        model.train_on_batch(ONES[:BATCH], ONES[:BATCH])
        every.on_train_batch_end(0)
        every.on_epoch_end(0)
        every.on_train_end()

    kept = []
    for stops in (True, True, False):
        try:
            loop(stops)
        except Stopped as error:
            kept.append(error)  # and with it the list of callbacks
    assert len(kept) == 2
    assert model.optimizer.momentum == 0.5
    assert "fit" not in vars(model)


def test_a_logger_that_raised_raises_once():
    """A capacity that is too small is an error of one `fit`, not of all later ones."""
    model = model_of(steps_per_execution=4)
    with pytest.raises(ValueError, match="`capacity`"):
        fit(model, ks.StepLogger(capacity=1))
    fit(model)
    log = ks.StepLogger()
    fit(model, log)
    assert len(log.history["step"]) == 2 * STEPS


@pytest.mark.parametrize("ours_first", [True, False])
@pytest.mark.parametrize("is_stopped", [True, False])
def test_wrappers_of_others_stay_in_any_order(ours_first, is_stopped):
    """Whoever wraps `train_step` before or after us keeps the wrapper, and sees the exception."""
    model, calls, seen = model_of(), [], []

    def wrap():
        inner = model.train_step

        def wrapper(data):
            calls.append(1)
            return inner(data)

        model.train_step = wrapper
        model.make_train_function(force=True)
        return wrapper

    class WrapsLater(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.wrapper = wrap()

        def on_train_batch_end(self, batch, logs=None):
            if is_stopped:
                seen.append(1)
                raise Stopped

    later, log = WrapsLater(), ks.StepLogger()
    callbacks = [log, later] if ours_first else [later, log]
    if is_stopped:
        with pytest.raises(Stopped):
            fit(model, *callbacks)
    else:
        fit(model, *callbacks)
        assert len(log.history["step"]) == 2 * STEPS
    assert calls
    assert vars(model)["train_step"] is later.wrapper
    calls.clear()
    model.make_train_function(force=True)
    fit(model)
    assert calls


def test_compile_within_a_training_is_refused():
    """It would drop what is scheduled, in silence."""

    class Compiles(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.compile(keras.optimizers.SGD(0.1), "mse")

    model = model_of()
    with pytest.raises(RuntimeError, match=r"`compile` must not be called.*Scheduler"):
        fit(model, scheduler(), Compiles())
    assert model.optimizer.momentum == 0.5
    model.compile(keras.optimizers.SGD(0.1), "mse")


def test_a_step_that_is_asked_for_by_force_is_traced_anew_with_the_schedules():
    """As a callback does that unfreezes a layer."""

    class Forces(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.make_train_function(force=True)

    model, log = model_of(), ks.StepLogger()
    fit(model, ks.Scheduler(ks.Linear(0.5)), Forces(), log)
    np.testing.assert_array_equal(
        log.history["learning_rate"], ks.simulate(ks.Linear(0.5), n=2 * STEPS)
    )


def test_control_a_plain_wrapper_is_seen_by_state():
    """The comparison of attributes sees what the callbacks do while they train."""
    model = model_of()
    fit(model)
    found = state(model)

    class Looks(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            with pytest.raises(AssertionError):
                assert_as_found(self.model, found)

    fit(model, scheduler(), Looks())


class Calls(keras.callbacks.Callback):
    """Calls something of the model once, within a training."""

    def __init__(self, call):
        super().__init__()
        self.call = call

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            self.call(self.model)


def test_fit_within_a_training_is_refused():
    model = model_of()
    with pytest.raises(RuntimeError, match=r"`fit` must not be called.*Scheduler"):
        fit(model, scheduler(), Calls(lambda model: fit(model)))
    assert model.optimizer.momentum == 0.5
    fit(model)


def test_an_error_that_a_callback_catches_ends_nothing():
    def evaluate(model):
        with pytest.raises(Exception, match=r"shape|rank|dimension|Dimension|compatible"):
            model.evaluate(np.ones([4, 7]), np.ones([4, 7]), verbose=0)

    model, log = model_of(), ks.StepLogger()
    fit(model, ks.Scheduler(ks.Linear(0.5)), log, Calls(evaluate), epochs=3)
    np.testing.assert_array_equal(
        log.history["learning_rate"], ks.simulate(ks.Linear(0.5), n=3 * STEPS)
    )


def test_a_loop_that_goes_on_after_an_error_is_told():
    """What was scheduled is off: to go on would train without it, in silence."""
    model = model_of()
    every = keras.callbacks.CallbackList([scheduler(), ks.StepLogger()], model=model)
    every.on_train_begin()
    every.on_epoch_begin(0)
    every.on_train_batch_begin(0)
    with pytest.raises(ValueError):
        model.train_on_batch(np.ones([4, 7]), np.ones([4, 7]))
    with pytest.raises(RuntimeError, match="goes on after"):
        every.on_train_batch_begin(1)
        every.on_train_batch_end(1)


def test_the_same_callbacks_begin_anew_after_an_interruption():
    model = model_of()
    ours = [ks.Scheduler(ks.Linear(0.5)), ks.StepLogger(), ks.Plateau("loss")]
    for _ in range(2):
        ours[0].set_state({"": 3})
        ours[1].set_state({"step": 100})
        with pytest.raises(Stopped):
            fit(model, *ours, StopIn("on_train_batch_end"))
        fit(model, *ours)
        # The state was of the schedules of one training. Batches are counted over all of them.
        np.testing.assert_array_equal(ours[1].history["step"], 102 + np.arange(2 * STEPS))
        np.testing.assert_array_equal(
            ours[1].history["learning_rate"], ks.simulate(ks.Linear(0.5), n=2 * STEPS)
        )


def test_a_model_that_turns_eager_between_two_trainings():
    """Keras keeps the compiled step until `compile`; so do we, and say nothing wrong of it."""
    model = model_of()
    for _ in range(2):
        log = ks.StepLogger()
        fit(model, ks.Scheduler(ks.Linear(0.5), momentum=ks.Demon(0.9)), log)
        np.testing.assert_array_equal(
            log.history["momentum"], ks.simulate(ks.Demon(0.9), n=2 * STEPS)
        )
        model.run_eagerly = True
