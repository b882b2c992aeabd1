"""PrecisionRangeTest: what it trains, what it suggests, and that it leaves no trace."""

from __future__ import annotations

import random
import tempfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend.common import global_state

import keras_sched as ks
from keras_sched import PrecisionRangeTest
from tests.trainers import toy
from trainers.loop.experiment import Experiment

STEPS = 6
FIXED = [(".*", {"weights": 8, "activations": 8})]
X = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
Y = np.argmax(X @ np.random.default_rng(1).normal(size=(6, 3)), axis=1)


class Counted(keras.layers.Layer):
    """Counts how often Python calls it: once in each trace."""

    calls = 0

    def call(self, inputs):
        self.calls += 1
        return inputs


class Noise(keras.layers.Layer):
    """Draws from the seeds that Keras keeps for whoever gives none."""

    def call(self, inputs):
        return inputs + 0.1 * keras.random.normal(keras.ops.shape(inputs))


def build(optimizer="adam", extra=None, **options) -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input([6]),
        keras.layers.Dense(12, activation="tanh"),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.1),
        extra or Counted(),
        keras.layers.Dense(3, activation="softmax"),
    ]
    model = keras.Sequential(layers)
    options = {"metrics": ["accuracy"], "jit_compile": False, **options}
    model.compile(optimizer, "sparse_categorical_crossentropy", **options)
    return model


def small(**options) -> PrecisionRangeTest:
    return PrecisionRangeTest(**{"bits_max": 4, "steps": STEPS, "window": 2, **options})


def fit(model, epochs=1, **options):
    return model.fit(X, Y, batch_size=32, epochs=epochs, verbose=0, **options)


def everything(model: keras.Model) -> list[np.ndarray]:
    variables = [*model.variables, *model.optimizer.variables]
    handle = ks.precision.find(model)
    variables += [] if handle is None else handle.variables
    # Keras makes some metrics with the first step: last, so that the others keep their places.
    variables += model.metrics_variables
    return [np.copy(keras.ops.convert_to_numpy(item)) for item in variables]


def assert_same_bits(before: list[np.ndarray], after: list[np.ndarray]) -> None:
    assert len(before) == len(after)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


def seed_all() -> None:
    keras.utils.set_random_seed(5)
    keras.random.normal([1])


def draws() -> list:
    """What the next users of every random state get."""
    return [
        random.random(),
        np.random.random(),  # noqa: NPY002
        keras.random.normal([3]).numpy().tolist(),
    ]


# --- what it trains ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def by_hand():
    """Give the losses of a plain quantized training with some bits, `STEPS` steps each."""
    model = build()
    model.optimizer.build(model.trainable_variables)
    handle = ks.precision.quantize(model, weights=2, activations=2, gradients=8, layers="all")
    variables = [*model.variables, *model.optimizer.variables]
    new = [np.copy(keras.ops.convert_to_numpy(variable)) for variable in variables]

    def losses(*rungs: int) -> tuple[float, ...]:
        for variable, value in zip(variables, new, strict=True):
            variable.assign(value)
        found = []
        for bits in rungs:
            handle.weights.assign(bits)
            handle.activations.assign(bits)
            for _ in range(STEPS):
                model.reset_metrics()
                found.append(float(model.train_on_batch(X, Y)[0]))
        return tuple(found)

    return losses


def in_order(model):
    """A loop that gives one batch again and again, in its order."""
    batches = tf.data.Dataset.from_tensors((X, Y)).repeat()
    return lambda callbacks: model.fit(
        batches, steps_per_epoch=1000, shuffle=False, verbose=0, callbacks=callbacks
    )


def test_restart_trains_each_number_of_bits_as_if_it_were_the_first(by_hand) -> None:
    """To the bit: dropout, statistics, slots and the noise of gradients begin anew each time."""
    model = build()
    result = small(layers="all").run(model, train=in_order(model))
    assert result.bits == (2, 3, 4)
    assert result.losses == (by_hand(2), by_hand(3), by_hand(4))
    assert result.values == result.losses
    assert len(set(result.losses)) == 3


def test_single_pass_is_one_training_whose_bits_rise(by_hand) -> None:
    model = build()
    result = small(mode="single_pass", layers="all").run(model, train=in_order(model))
    assert sum(result.losses, ()) == by_hand(2, 3, 4)


def test_restart_gives_every_number_of_bits_the_same_batches_and_seeds() -> None:
    """The last bits train alike, whatever was tried before them and however data are shuffled.

    Also if the seeds of Keras do not exist before the first step.
    """
    last = []
    for first in (2, 3):
        model = build(extra=Noise())
        global_state.set_global_attribute("global_seed_generator", None)
        random.seed(1)
        test = small(bits_min=first, layers="all")
        last.append(test.run(model, X, Y, batch_size=8).losses[-1])
        assert global_state.get_global_attribute("global_seed_generator") is None
    assert last[0] == last[1]
    assert len(set(last[0])) == STEPS


def test_several_steps_per_execution_and_a_metric_of_each() -> None:
    losses = {}
    for steps in (1, 3):
        model = build(steps_per_execution=steps)
        data = dataset().repeat()
        test = small(layers="all", metric="accuracy", direction="max")
        losses[steps] = test.run(model, data)
    assert losses[1].losses == losses[3].losses
    accuracies = np.array(losses[1].values)
    # Eight samples a batch: the accuracy of one batch is a multiple of 1 / 8.
    np.testing.assert_array_equal(accuracies * 8, np.rint(accuracies * 8))
    # That of an execution is the mean over its batches.
    means = np.repeat(accuracies.reshape(3, 2, 3).mean(2), 3, axis=1)
    np.testing.assert_allclose(losses[3].values, means, atol=1e-6)


def dataset():
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)


def test_the_loop_of_the_trainers() -> None:
    """Epochs of that loop have the same batches, so each is a number of bits."""
    keras.utils.set_random_seed(0)
    model = toy.model()
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9))
    runs = []
    seed_all()
    expected = draws()
    seed_all()

    def train(callbacks):
        task = toy.Toy(9, model=lambda: model, optimizer=lambda: model.optimizer)
        with tempfile.TemporaryDirectory() as directory:
            run = Experiment(task, toy.plan(directory, 9, steps_per_checkpoint=1000), callbacks)
            runs.append(run)
            run.run()

    test = PrecisionRangeTest(2, bits_max=4, steps=toy.STEPS_PER_EPOCH, layers="all", threshold=0.2)
    result = test.run(model, train=train)
    assert runs[0].step == 3 * toy.STEPS_PER_EPOCH
    # That loop sets a seed of its own.
    assert draws() == expected
    assert global_state.get_global_attribute("global_random_seed") == 5
    assert result.figures[0] > result.figures[2]
    assert not any(np.any(keras.ops.convert_to_numpy(v)) for v in model.optimizer.variables[2:])
    assert ks.precision.find(model) is None


# --- that it leaves no trace ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "is_quantized"),
    [("single_pass", False), ("restart", True)],
    ids=["plain", "quantized"],
)
def test_leaves_no_trace(mode, is_quantized) -> None:
    model = build()
    counted = model.layers[3]
    handle = (
        ks.precision.quantize(model, weights=5, activations=7, gradients=8, layers="all")
        if is_quantized
        else None
    )
    fit(model)  # slots, counts and statistics that are not zero
    cost, bits = (handle.cost(), handle.current()) if handle else (None, None)
    seed_all()
    before, trained, history = everything(model), model.train_function, model.history
    expected = draws()
    seed_all()
    counted.calls = 0
    result = small(mode=mode, **({} if is_quantized else {"layers": "all"})).run(model, X, Y)
    # However many numbers of bits: one trace more, as the loss of each step is logged.
    assert counted.calls == 1
    assert len(set(result.losses)) == 3
    assert_same_bits(before, everything(model))
    assert draws() == expected
    assert model.train_function is trained
    assert model.history is history
    assert not model.stop_training
    assert not {"train_step", "call"} & (set(vars(model)) - ({"call"} if handle else set()))
    assert ks.precision.find(model) is handle
    if handle:
        assert handle.cost() == cost
        assert {name: float(value) for name, value in handle.current().items()} == {
            name: float(value) for name, value in bits.items()
        }
    fit(model)
    assert counted.calls == 1


def test_control_a_plain_fit_changes_bits_and_draws() -> None:
    model = build()
    seed_all()
    before, expected = everything(model), draws()
    seed_all()
    fit(model)
    draws()
    with pytest.raises(AssertionError):
        assert_same_bits(before, everything(model))
    assert draws() != expected


def test_training_after_it_is_training_without_it() -> None:
    """Also with an optimizer that was not built yet, and a layer that the test has quantized."""
    with_test, without = build(), build()
    keras.utils.set_random_seed(3)
    without.fit(X, Y, batch_size=8, verbose=0)
    keras.utils.set_random_seed(3)
    small(layers="all").run(with_test, X, Y, batch_size=8)
    with_test.fit(X, Y, batch_size=8, verbose=0)
    assert int(with_test.optimizer.iterations) == 4
    assert_same_bits(everything(without), everything(with_test))


@pytest.mark.parametrize("is_quantized", [False, True], ids=["plain", "quantized"])
def test_restored_when_training_raises(is_quantized) -> None:
    class Torn(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == STEPS + 1:  # with the second number of bits
                raise RuntimeError("torn file")

    model = build()
    model.optimizer.build(model.trainable_variables)
    handle = (
        ks.precision.quantize(model, weights=5, activations=7, gradients=None, layers="all")
        if is_quantized
        else None
    )
    seed_all()
    before, trained = everything(model), model.train_function
    expected = draws()
    seed_all()
    with pytest.raises(RuntimeError, match="torn file"):
        small().run(
            model,
            train=lambda callbacks: model.fit(
                dataset().repeat(),
                steps_per_epoch=99,
                shuffle=False,
                verbose=0,
                callbacks=[*callbacks, Torn()],
            ),
        )
    assert_same_bits(before, everything(model)[: len(before)])
    assert draws() == expected
    assert model.train_function is trained
    assert "train_step" not in vars(model)
    assert ks.precision.find(model) is handle


# --- what it suggests ----------------------------------------------------------------------------


def test_a_task_that_two_bits_do_not_learn(tmp_path) -> None:
    data = np.random.default_rng(3)
    x = data.normal(size=(128, 6)).astype("float32")
    y = np.argmax(x @ data.normal(size=(6, 3)), axis=1)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input([6]),
            keras.layers.Dense(16, activation="tanh"),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.SGD(0.2),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    test = PrecisionRangeTest(
        2,
        bits_max=6,
        steps=80,
        metric="accuracy",
        direction="max",
        window=20,
        threshold=0.2,
        tolerance=0.1,
        layers="all",
    )
    learned = test.run(model, x, y, batch_size=64)
    assert 2 < learned.bits_min <= learned.bits_max <= 6
    assert learned.figures[0] < learned.figures[-1] - 0.1
    assert learned.shares[0] < 0.8
    assert ks.precision.cpt(learned.bits_min, bits_max=learned.bits_max, cycles=2, steps=8)
    learned.to_json(tmp_path / "bits.json")
    assert type(learned).from_json(tmp_path / "bits.json") == learned
    assert learned.plot().get_ylabel() == "accuracy"


# --- what it refuses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"bits_min": 1}, ValueError, "bits_min"),
        ({"bits_max": 17}, ValueError, "bits_max"),
        ({"bits_min": 4.5}, ValueError, "bits_min"),
        ({"bits_min": "4"}, TypeError, "bits_min"),
        ({"bits_min": 8}, ValueError, "`bits_max` must be above"),
        ({"steps": 1}, ValueError, "steps"),
        ({"mode": "twice"}, ValueError, "'restart', 'single_pass'"),
        ({"metric": 3}, TypeError, "`metric` must be a name"),
        ({"metric": "accuracy"}, ValueError, "`direction` must be"),
        ({"direction": "max"}, ValueError, "'min' for the loss"),
        ({"metric": "accuracy", "direction": "up"}, ValueError, "direction"),
        ({"window": 41}, ValueError, "`window` must be at most"),
        ({"window": 0}, ValueError, "window"),
        ({"threshold": 1.0}, ValueError, "threshold"),
        ({"threshold": -0.1}, ValueError, "threshold"),
        ({"tolerance": 1.0}, ValueError, "tolerance"),
        ({"gradients": 1}, ValueError, "gradients"),
        ({"layers": "most"}, ValueError, "layers"),
        ({"symmetric": 1}, TypeError, "symmetric"),
        ({"seed": 0.5}, ValueError, "seed"),
    ],
    ids=str,
)
def test_bad_arguments(arguments, error, match) -> None:
    with pytest.raises(error, match=match):
        PrecisionRangeTest(**arguments)


def test_bad_calls() -> None:
    plain = keras.Sequential([keras.Input([6]), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="must be compiled"):
        small().run(plain, X, Y)
    with pytest.raises(ValueError, match="Give either data"):
        small().run(build())
    with pytest.raises(ValueError, match="Give either data"):
        small().run(build(), X, Y, train=print)
    unbuilt = keras.Sequential([keras.layers.Dense(1)])
    unbuilt.compile("sgd", "mse")
    with pytest.raises(ValueError, match="must be built"):
        small().run(unbuilt, X, Y)


@pytest.mark.parametrize(
    ("prepare", "test", "data", "match"),
    [
        (None, small(steps=7), {}, "multiple of the steps per execution.*steps=7"),
        (None, small(metric="auc", direction="max"), {}, "`metric` must be one of.*'accuracy'"),
        (None, small(layers=[("none", None)]), {}, "names none that could be quantized"),
        (None, small(layers=[(".*", None)], gradients=None), {}, "must leave something to q"),
        (None, small(layers=FIXED), {}, "`model` must have layers"),
        (None, small(layers=FIXED, mode="single_pass"), {}, "`model` must have layers"),
        (None, small(layers="all"), {"x": []}, "at least one batch"),
        (None, small(layers="all"), {"train": lambda _: None}, "Received: 0 steps"),
        (
            {"weights": None, "activations": None, "gradients": 8},
            small(),
            {},
            "`model` must have l",
        ),
        (
            {"weights": ks.precision.cpt(3, bits_max=8, cycles=1, steps=9)},
            small(),
            {},
            "not follow a sch",
        ),
        ({"weights": 8}, small(gradients=6), {}, "quantized already, and has its own options"),
    ],
    ids=[
        "steps per execution",
        "metric",
        "pattern",
        "no layer",
        "bits of their own",
        "bits of their own in a single pass",
        "no data",
        "no training",
        "full precision",
        "schedule",
        "options",
    ],
)
def test_a_refusal_leaves_the_model_untouched(prepare, test, data, match) -> None:
    model = build(steps_per_execution=2)
    model.optimizer.build(model.trainable_variables)
    handle = None if prepare is None else ks.precision.quantize(model, layers="all", **prepare)
    keras.random.normal([1])
    before = everything(model)
    if "x" in data:
        data = {"x": dataset().take(0)}  # made here, as none may be made when tests are collected
    with pytest.raises(ValueError, match=match):
        test.run(model, **(data or {"x": X, "y": Y}))
    assert_same_bits(before, everything(model)[: len(before)])
    assert ks.precision.find(model) is handle
    assert "train_step" not in vars(model)
    assert not model.stop_training


def test_more_bits_than_a_dtype_holds_are_refused() -> None:
    keras.utils.set_random_seed(0)
    policy = keras.DTypePolicy("mixed_bfloat16")
    layers = [keras.Input([6]), keras.layers.Dense(3, dtype=policy)]
    model = keras.Sequential([*layers, keras.layers.Activation("softmax", dtype="float32")])
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    with pytest.raises(ValueError, match="holds levels of at most 8 bits"):
        small(bits_max=9, layers="all").run(model, X, Y)
    handle = ks.precision.quantize(model, weights=8, activations=8, layers="all")
    model.optimizer.build(model.trainable_variables)
    before = everything(model)
    with pytest.raises(ValueError, match="holds levels of at most 8 bits"):
        small(bits_max=9).run(model, X, Y)
    assert_same_bits(before, everything(model)[: len(before)])
    assert ks.precision.find(model) is handle
    assert handle.weights.most == 8


def test_a_loop_whose_calls_straddle_two_numbers_of_bits_is_refused() -> None:
    model = build(steps_per_execution=2)
    before = [np.copy(weight) for weight in model.get_weights()]

    def train(callbacks):
        model.steps_per_execution = 4
        model.make_train_function(force=True)
        model.fit(
            dataset().repeat(), steps_per_epoch=40, shuffle=False, verbose=0, callbacks=callbacks
        )

    with pytest.raises(ValueError, match="4 steps in one call"):
        small(layers="all").run(model, train=train)
    assert_same_bits(before, model.get_weights())


def test_a_second_training_within_a_test_is_refused() -> None:
    model = build()
    before = [np.copy(weight) for weight in model.get_weights()]

    def train(callbacks):
        for _ in range(2):
            model.fit(dataset(), shuffle=False, verbose=0, callbacks=callbacks)

    with pytest.raises(ValueError, match="begin to train once"):
        small(layers="all").run(model, train=train)
    assert_same_bits(before, model.get_weights())
