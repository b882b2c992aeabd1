"""`ks.Scheduler` reads the run off `fit`, and refuses what cannot work before training begins."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_sched as ks

X = np.linspace(-1, 1, 48).reshape(24, 2).astype("float32")
Y = X.sum(axis=1, keepdims=True)


def network(optimizer=None, **compiled):
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    optimizer = optimizer or keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(optimizer, "mse", jit_compile=False, **compiled)
    return model


def fit(model, *callbacks, epochs=2, **options):
    return model.fit(
        X, Y, batch_size=4, epochs=epochs, verbose=0, callbacks=[*callbacks], **options
    )


def test_the_run_is_read_off_fit():
    scheduler = ks.Scheduler(learning_rate=ks.REX(0.1).warmup("0.5ep"))
    fit(network(), scheduler, epochs=3)
    assert scheduler.run == ks.Run(steps=18, steps_per_epoch=6)


def test_samples_and_seconds_need_their_facts():
    in_samples = ks.Linear(0.1).warmup("8sp")
    with pytest.raises(ValueError, match="needs `batch_size`"):
        fit(network(), ks.Scheduler(learning_rate=in_samples))
    fit(network(), ks.Scheduler(learning_rate=in_samples, batch_size=4))
    in_seconds = ks.Linear(0.1).warmup("2s")
    with pytest.raises(ValueError, match="needs `seconds_per_step`"):
        fit(network(), ks.Scheduler(learning_rate=in_seconds))
    fit(network(), ks.Scheduler(learning_rate=in_seconds, seconds_per_step=0.5))


def test_the_optimizer_is_left_as_it_was_found():
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    model = network(optimizer)
    before = dict(vars(optimizer))
    fit(model, ks.Scheduler(learning_rate=ks.Linear(0.1), momentum=ks.Demon(0.9)))
    after = vars(optimizer)
    assert set(before) <= set(after)
    assert not [name for name in after if "keras_sched" in name]
    assert optimizer.momentum == 0.9
    assert float(optimizer.learning_rate) == pytest.approx(0.1)


def test_the_next_fit_is_not_scheduled():
    """The compiled step of the first has its schedules inside: it must not be used again."""
    model = network(keras.optimizers.SGD(0.1, momentum=0.9))
    fit(model, ks.Scheduler(learning_rate=ks.Constant(0.0)), epochs=1)
    before = model.get_weights()[0].copy()
    fit(model, epochs=1)
    assert np.abs(model.get_weights()[0] - before).max() > 0.01


class Trip(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        raise KeyboardInterrupt


def test_a_training_that_raised_leaves_no_schedule_for_the_next():
    model = network()
    with pytest.raises(KeyboardInterrupt):
        fit(model, ks.Scheduler(learning_rate=ks.Linear(0.1)), Trip())
    second = ks.Scheduler(learning_rate=ks.Linear(0.2), first_step=1)
    fit(model, second)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.1)


def test_a_training_that_raised_leaves_the_bits_as_they_were():
    model = network()
    handle = ks.precision.quantize(model, weights=8, activations=8, layers="all")
    with pytest.raises(KeyboardInterrupt):
        fit(model, ks.Scheduler(ks.Constant(0.0), bits=ks.Constant(4)), Trip())
    assert float(handle.current()["weight_bits"]) == 8
    before = model.get_weights()[0].copy()
    fit(model)
    assert (model.get_weights()[0] != before).any()


def test_a_model_saved_while_it_trains_is_a_stock_model(tmp_path):
    path = tmp_path / "model.keras"
    fit(
        network(),
        ks.Scheduler(learning_rate=ks.Linear(0.1), momentum=ks.Demon(0.9)),
        keras.callbacks.ModelCheckpoint(path),
    )
    loaded = keras.models.load_model(path)
    assert type(loaded.optimizer) is keras.optimizers.SGD
    assert loaded.optimizer.momentum == 0.9
    assert int(loaded.optimizer.iterations) == 12


def test_t13_backup_and_restore_continues_the_schedule(tmp_path):
    """A training stopped in its second epoch and continued has the weights of one undisturbed."""

    class Trip(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    def train(*extra):
        keras.utils.set_random_seed(7)
        model = network()
        scheduler = ks.Scheduler(learning_rate=ks.REX(0.1), momentum=ks.Demon(0.9))
        model.fit(
            X, Y, batch_size=4, epochs=4, shuffle=False, verbose=0, callbacks=[scheduler, *extra]
        )
        return model.get_weights()[0]

    undisturbed = train()
    backup = keras.callbacks.BackupAndRestore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(backup, Trip())
    np.testing.assert_array_equal(train(keras.callbacks.BackupAndRestore(tmp_path)), undisturbed)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ValueError, "needs a schedule"),
        ({"learning_rate": 0.1}, TypeError, "`learning_rate` must be a schedule"),
        ({"momentum": lambda t: 0.9}, TypeError, "`momentum` must be a schedule"),
        ({"learning_rate": ks.REX(0.1), "per": "epoch"}, ValueError, "`per` must be one of"),
        ({"learning_rate": ks.REX(0.1), "first_step": -1}, ValueError, "`first_step` must be"),
        ({"learning_rate": ks.REX(0.1), "batch_size": 0}, ValueError, "`batch_size` must be"),
    ],
    ids=["nothing", "number", "function", "per", "first_step", "batch_size"],
)
def test_wrong_arguments_are_refused_at_once(options, error, message):
    with pytest.raises(error, match=message):
        ks.Scheduler(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta_1": ks.Constant(0.9)}, "no hyperparameter"),
        ({"momentum": ks.Linear(0.5, end=1.5)}, r"in \[0, 1\) at every step"),
        ({"learning_rate": ks.REX(0.1).warmup("3ep")}, "must leave room"),
        ({"learning_rate": ks.MultiStep(0.1, at=["1ep", "3st"])}, "must increase"),
    ],
    ids=["unknown", "range", "warmup", "unordered"],
)
def test_what_cannot_work_is_refused_before_the_first_step(options, message):
    model = network()
    with pytest.raises(ValueError, match=message):
        fit(model, ks.Scheduler(**options))
    assert int(model.optimizer.iterations) == 0


def test_momentum_of_an_optimizer_built_without_is_refused():
    with pytest.raises(ValueError, match="built with momentum 0"):
        fit(network(keras.optimizers.SGD(0.1)), ks.Scheduler(momentum=ks.Demon(0.9)))


def test_t29_steps_of_unknown_count_are_refused():
    def forever():
        while True:
            yield X[:4], Y[:4]

    scheduler = ks.Scheduler(learning_rate=ks.REX(0.1))
    with pytest.raises(ValueError, match=r"steps_per_epoch=\.\.\."):
        network().fit(forever(), shuffle=False, callbacks=[scheduler], verbose=0)
    options = {"steps_per_epoch": 3, "epochs": 2, "shuffle": False, "verbose": 0}
    network().fit(forever(), callbacks=[scheduler], **options)
    assert scheduler.run.steps == 6


def test_parts_quantized_apart_do_not_matter_to_a_schedule_of_the_rate():
    parts = [keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]) for _ in range(2)]
    model = keras.Sequential([keras.Input((2,)), *parts, keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    for part in parts:
        ks.precision.quantize(part, weights=8, activations=8, gradients=None, layers="all")
    fit(model, ks.Scheduler(learning_rate=ks.REX(0.1)), epochs=1)
    with pytest.raises(ValueError, match="2 parts quantized apart"):
        fit(model, ks.Scheduler(bits=ks.precision.cr(3, bits_max=8, cycles=2)))


def test_two_schedulers_of_one_thing_are_refused():
    pair = [ks.Scheduler(learning_rate=ks.Constant(0.1)) for _ in range(2)]
    with pytest.raises(ValueError, match="scheduled already"):
        fit(network(), *pair)


def test_two_schedulers_of_two_things_work_together():
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    model = network(optimizer)
    fit(model, ks.Scheduler(learning_rate=ks.Linear(0.1)), ks.Scheduler(momentum=ks.Demon(0.9)))
    assert optimizer.momentum == 0.9
    assert not [name for name in vars(optimizer) if "keras_sched" in name]


def test_parts_that_are_models_are_traced_anew_with_the_bits_of_the_schedule():
    part = keras.Sequential([keras.Input([3]), keras.layers.Dense(3)])
    model = keras.Sequential([keras.Input([3]), part, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    ks.precision.quantize(model, weights=8, activations=8)
    x = np.ones([8, 3], "float32")
    part.predict(x, verbose=0)
    assert part.predict_function is not None  # it has the bits of before
    seen = []
    look = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append(part.predict_function)
    )
    bits = ks.Scheduler(weight_bits=ks.Linear(3.0, end=8.0).rounded())
    model.fit(x, x[:, :1], verbose=0, callbacks=[bits, look])
    assert seen == [None]
