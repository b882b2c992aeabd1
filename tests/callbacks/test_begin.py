"""Where schedules begin: with the training, whatever the optimizer's count says."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_sched as ks
from tests.callbacks.models import BATCH, ONES, STEPS, StopIn, Stopped, Weights, falls, fit, line

SCHEDULE = ks.Linear(0.125).warmup("1ep")


def rates_of(model, *callbacks, schedule=SCHEDULE, epochs=4, **options):
    """Train, and return the learning rate of every step, read off the weights."""
    weights = Weights()
    fit(model, ks.Scheduler(schedule), weights, *callbacks, epochs=epochs, **options)
    return weights.rates


def expected(epochs, first=0, schedule=SCHEDULE):
    run = ks.Run(steps=epochs * STEPS, steps_per_epoch=STEPS)
    return ks.simulate(schedule, n=run)[first * STEPS :]


def assert_rates(found, wanted):
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def saved_and_loaded(tmp_path):
    model = line()
    fit(model, epochs=3)
    model.save(tmp_path / "model.keras")
    return keras.models.load_model(tmp_path / "model.keras", custom_objects={"falls": falls})


def fitted_before(tmp_path):
    model = line()
    fit(model, ks.Scheduler(SCHEDULE), epochs=2)
    return model


def fitted_twice_as_long(tmp_path):
    model = line()
    fit(model, ks.Scheduler(SCHEDULE), epochs=8)
    return model


def stopped_early(tmp_path):
    model = line()
    stop = keras.callbacks.EarlyStopping("loss", patience=0, mode="max")
    fit(model, ks.Scheduler(SCHEDULE), stop, epochs=9)
    assert int(model.optimizer.iterations) < 9 * STEPS
    return model


def interrupted(tmp_path):
    model = line()
    with pytest.raises(Stopped):
        fit(model, ks.Scheduler(SCHEDULE), StopIn("on_train_batch_end"), epochs=4)
    return model


@pytest.mark.parametrize(
    "before",
    [saved_and_loaded, fitted_before, fitted_twice_as_long, stopped_early, interrupted],
    ids=lambda make: make.__name__,
)
def test_a_new_training_begins_at_step_0_and_ends_with_the_fit(before, tmp_path):
    model = before(tmp_path)
    assert int(model.optimizer.iterations) > 0
    assert_rates(rates_of(model), expected(4))


@pytest.mark.filterwarnings("ignore:The schedule of `learning_rate` is at 0")
def test_control_a_first_step_of_0_is_the_count_of_the_optimizer():
    """What every new training did before: it stands where the optimizer's count says."""
    model = line()
    fit(model, epochs=2)
    weights = Weights()
    fit(model, ks.Scheduler(SCHEDULE, first_step=0), weights, epochs=4)
    held = expected(4)[-2 * STEPS :]
    assert_rates(weights.rates[: 2 * STEPS], held)
    assert_rates(weights.rates[2 * STEPS :], 0.0)
    with pytest.raises(AssertionError):
        assert_rates(weights.rates, expected(4))


def test_a_fresh_optimizer_with_an_initial_epoch_stands_where_it_begins():
    assert_rates(rates_of(line(), initial_epoch=2), expected(4, first=2))


def test_a_fit_that_goes_on_goes_on():
    model = line()
    first = rates_of(model, epochs=4, initial_epoch=0)[: 2 * STEPS]
    again = line()
    fit(again, ks.Scheduler(SCHEDULE), epochs=2)  # of another length: only the count matters
    assert_rates(rates_of(again, initial_epoch=2), expected(4, first=2))
    assert_rates(first, expected(4)[: 2 * STEPS])


@pytest.mark.parametrize("save_freq", ["epoch", 4])
@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("at", [1, 2], ids=["first_epoch", "second_epoch"])
def test_backup_and_restore_ends_with_the_last_step_of_the_schedule(save_freq, order, at, tmp_path):
    def callbacks():
        backup = keras.callbacks.BackupAndRestore(tmp_path, save_freq=save_freq)
        scheduler = ks.Scheduler(SCHEDULE)
        return [backup, scheduler] if order == "before" else [scheduler, backup]

    class StopAt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if int(self.model.optimizer.iterations) == at * STEPS - 1:
                raise Stopped

    with pytest.raises(Stopped):
        fit(line(), *callbacks(), StopAt(), epochs=4)
    weights, resumed = Weights(), line()
    fit(resumed, weights, *callbacks(), epochs=4)
    # Keras begins the epoch again, at its first batch.
    begun = len(weights.rates) // STEPS
    assert len(weights.rates) == begun * STEPS
    assert_rates(weights.rates, expected(4, first=4 - begun))


@pytest.mark.parametrize(
    ("accumulated", "per"), [(None, "update"), (4, "update"), (4, "micro")], ids=str
)
def test_every_clock_begins_with_the_training(accumulated, per):
    """Accumulated, the weight falls by the rate of the update at every fourth batch."""
    model = line(keras.optimizers.SGD(0.5, gradient_accumulation_steps=accumulated))
    fit(model, epochs=2)
    weights = Weights()
    fit(model, ks.Scheduler(ks.Linear(0.125), per=per), weights, epochs=4)
    steps, every = 4 * STEPS, accumulated or 1
    updates = weights.rates.reshape(-1, every)
    np.testing.assert_allclose(updates[:, :-1], 0.0)
    values = ks.simulate(ks.Linear(0.125), n=steps if per == "micro" else steps // every)
    # A call of the optimizer that updates has the last of its micro steps.
    used = values[every - 1 :: every] if per == "micro" else values
    assert_rates(updates[:, -1], used)


def test_lengths_in_epochs_are_counted_in_batches_and_divided_last():
    """15 batches with 8 accumulated are 1.875 updates: floored first, 5 epochs would be 2.67."""
    model = line(keras.optimizers.SGD(0.5, gradient_accumulation_steps=8))
    scheduler = ks.Scheduler(ks.PiecewiseConstant([0.5, 0.25], boundaries=["5ep"]))
    weights = Weights()
    data = np.ones([15 * BATCH, 1], "float32")
    fit(model, scheduler, weights, epochs=10, data=(data, data))
    assert scheduler.run.steps == 150 // 8
    assert scheduler.run.steps_per_epoch == 15 / 8
    used = weights.rates[7::8]
    assert np.argmax(used < 0.4) == round(5 * 15 / 8)


def test_bits_share_the_rule():
    model = line()
    ks.precision.quantize(model, weights=8, activations=8, layers="all")
    fit(model, epochs=3)
    log = ks.StepLogger()
    fit(model, ks.Scheduler(bits=ks.precision.lr(3, bits_max=8, cycles=1)), log, epochs=2)
    wanted = ks.simulate(ks.precision.lr(3, bits_max=8, cycles=1), n=2 * STEPS)
    np.testing.assert_array_equal(log.history["weight_bits"], wanted)


def test_plateau_shares_the_rule():
    """A new training has the full rate; one that goes on has what was left of it."""
    model = line()
    plateau = ks.Plateau("loss", factor=0.5, patience=1, mode="max")
    fit(model, plateau, epochs=3)
    assert plateau.get_state()["multiplier"] == 0.25
    weights = Weights()
    fit(model, plateau, weights, epochs=4, initial_epoch=3)
    assert_rates(weights.rates, 0.125)
    weights = Weights()
    fit(model, plateau, weights, epochs=1)
    assert_rates(weights.rates, 0.5)


def test_a_scheduler_hands_its_place_to_a_loop_that_goes_on_within_an_epoch():
    model, scheduler = line(), ks.Scheduler(SCHEDULE)
    fit(model, epochs=1)
    seen = []

    class Save(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(scheduler.get_state())

    fit(model, scheduler, Save(), epochs=2)
    assert seen[0] == seen[-1] == {"": STEPS}
    again = ks.Scheduler(SCHEDULE)
    again.set_state(seen[-1])
    weights = Weights()
    fit(model, again, weights, epochs=4)
    # The optimizer has 3 epochs behind it, one of them before the schedule began.
    assert_rates(weights.rates[: 2 * STEPS], expected(4, first=2))


def test_a_run_that_goes_on_after_a_rate_of_0_is_said_once():
    short = ks.Linear(0.125, steps=STEPS)
    with pytest.warns(UserWarning, match=f"the last {STEPS} steps change nothing") as said:
        fit(line(), ks.Scheduler(short), epochs=2)
    assert sum("change nothing" in str(warning.message) for warning in said) == 1
    fit(line(), ks.Scheduler(ks.Linear(0.125, end=0.01, steps=STEPS)), epochs=2)


def test_the_same_schedules_are_not_traced_again():
    """A later training with equal schedules takes the step of the one before."""
    traced = []

    class Counted(keras.layers.Layer):
        def call(self, x):
            traced.append(1)
            return x

    model = keras.Sequential([keras.Input([1]), Counted(), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=False)
    for _ in range(2):
        fit(model, ks.Scheduler(SCHEDULE), ks.StepLogger())
    before = len(traced)
    for _ in range(3):
        weights, log = model.get_weights()[0].copy(), ks.StepLogger()
        fit(model, ks.Scheduler(SCHEDULE), log)
        np.testing.assert_array_equal(log.history["learning_rate"], expected(2))
        assert (model.get_weights()[0] != weights).any()
    assert len(traced) == before
    fit(model, ks.Scheduler(ks.Cosine(0.125)), ks.StepLogger())
    assert len(traced) > before
    fit(model)
    plain = len(traced)
    fit(model)
    assert len(traced) == plain


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_unknown_steps_need_lengths_in_steps_and_say_what_else_would_do():
    def batches():
        for _ in range(STEPS):
            yield ONES[:BATCH], ONES[:BATCH]

    def train(schedule, **options):
        weights = Weights()
        line().fit(
            batches(),
            shuffle=False,
            verbose=0,
            callbacks=[ks.Scheduler(schedule), weights],
            **options,
        )
        return weights.rates

    rates = train(ks.Linear(0.125, steps=2 * STEPS))
    assert_rates(rates, ks.simulate(ks.Linear(0.125), n=2 * STEPS)[:STEPS])
    absolute = ks.MultiStep(0.125, at=[2, 4])
    assert_rates(train(absolute), absolute(np.arange(STEPS)))
    for open_length in (ks.Linear(0.125), ks.Linear(0.125).warmup("1ep")):
        with pytest.raises(ValueError, match="assert_cardinality") as error:
            train(open_length)
        assert "steps_per_epoch" in str(error.value)
        assert "`learning_rate`" in str(error.value)
    with pytest.raises(ValueError, match="where epoch 1 begins"):
        train(ks.Linear(0.125, steps=STEPS), epochs=2, initial_epoch=1)


def test_a_number_that_is_changed_between_two_trainings_is_traced():
    """Keras has momentum in the trace: a step that was kept would still have the old one."""
    model = line(keras.optimizers.SGD(0.5, momentum=0.5))
    for momentum in (0.5, 0.0625):
        model.optimizer.momentum = momentum
        weights = Weights()
        fit(model, ks.Scheduler(ks.Constant(0.25)), weights, epochs=1)
        moved = weights.rates
        np.testing.assert_allclose(moved[1:] - momentum * moved[:-1], 0.25, rtol=1e-4)


@pytest.mark.parametrize("accumulated", [None, 2])
def test_a_training_of_one_update_is_the_first_step_of_its_schedule(accumulated):
    """And one that has none at all is refused."""
    batches = accumulated or 1
    optimizer = keras.optimizers.SGD(0.5, gradient_accumulation_steps=accumulated)
    data = (ONES[: batches * BATCH], ONES[: batches * BATCH])
    model = line(optimizer)
    logger = ks.StepLogger()
    assert_rates(sum(rates_of(model, logger, schedule=ks.REX(0.125), epochs=1, data=data)), 0.125)
    assert logger.history["learning_rate"][-1] == np.float32(0.125)
    if accumulated:
        data = (ONES[: BATCH * (accumulated - 1)],) * 2
        with pytest.raises(ValueError, match="at least one update"):
            rates_of(line(optimizer.from_config(optimizer.get_config())), epochs=1, data=data)
