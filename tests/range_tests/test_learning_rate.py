"""LRRangeTest: the values it reports, the suggestions, and that it leaves no trace."""

from __future__ import annotations

import random

import keras
import numpy as np
import pytest

import keras_sched as ks
from keras_sched.range_tests import LRRangeTest, RangeTestResult, _suggest

X = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
Y = (X @ np.array([[1.0], [-2.0], [0.5]])).astype("float32")


def build(optimizer="sgd", **options) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input([3]),
            keras.layers.Dense(8, activation="tanh"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(1),
        ]
    )
    model.compile(optimizer, "mse", metrics=["mae"], **options)
    return model


def everything(model: keras.Model) -> list[np.ndarray]:
    variables = [*model.variables, *model.metrics_variables, *model.optimizer.variables]
    return [np.copy(keras.ops.convert_to_numpy(item)) for item in variables]


def draws() -> list:
    """What the next users of every random state would get."""
    return [
        random.random(),
        np.random.random(),  # noqa: NPY002
        keras.random.normal([3]).numpy().tolist(),
    ]


def assert_same_bits(before: list[np.ndarray], after: list[np.ndarray]) -> None:
    assert len(before) == len(after)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("steps_per_execution", [1, 4])
@pytest.mark.parametrize("jit", [False, True], ids=["graph", "xla"])
def test_t21_learning_rates_and_losses_by_hand(steps_per_execution, jit) -> None:
    model = keras.Sequential(
        [keras.Input([3]), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")]
    )
    model.compile("sgd", "mse", steps_per_execution=steps_per_execution, jit_compile=jit)
    test = LRRangeTest(1e-3, end=0.1, steps=30)
    result = test.run(model, X[:8], Y[:8], batch_size=8)
    rates = 1e-3 * 100 ** (np.arange(30) / 29)
    np.testing.assert_allclose(result.learning_rates, rates, rtol=1e-6)
    weights, losses = np.ones([3, 1]), []
    for rate in rates:
        error = X[:8].astype(float) @ weights - Y[:8]
        losses.append(np.mean(error**2))
        weights = weights - rate * (2 / 8) * X[:8].T @ error
    np.testing.assert_allclose(result.losses, losses, rtol=1e-4)
    powers = 0.98 ** np.arange(30)[::-1]
    mean = np.sum(powers * losses) / np.sum(powers)
    np.testing.assert_allclose(result.smoothed[-1], mean, rtol=1e-4)
    assert not result.diverged


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "schedule", "driven", "loss_scale", "multi"])
def test_t22_leaves_no_trace(optimizer) -> None:
    chosen = {
        "schedule": lambda: keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 99)),
        "driven": lambda: ks.optimizers.SGD(
            ks.REX(0.1, steps=99), momentum=ks.Demon(0.9, steps=99)
        ),
        "loss_scale": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()),
        "multi": lambda: keras.optimizers.MultiOptimizer(
            keras.optimizers.OptimizerMap(
                keras.optimizers.SGD(0.1, name="a"),
                {".*bias": keras.optimizers.Adam(name="b")},
            )
        ),
    }.get(optimizer, lambda: optimizer)()
    model = build(chosen)
    model.fit(X, Y, batch_size=8, verbose=0)  # slots, counts and statistics that are not zero
    random.seed(1)
    keras.utils.set_random_seed(2)
    keras.random.normal([1])
    before, trained = everything(model), model.train_function
    history = model.history
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    expected = draws()
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002
    keras.utils.set_random_seed(2)
    keras.random.normal([1])
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002

    result = LRRangeTest(1e-5, end=10.0, steps=40).run(model, X, Y, batch_size=8)
    assert len(result.losses) >= 5
    assert_same_bits(before, everything(model))
    assert model.train_function is trained
    assert model.history is history
    assert not model.stop_training
    assert "train_step" not in vars(model)
    assert draws() == expected


def test_training_after_it_is_training_without_it() -> None:
    """Also the optimizer that was not built yet: the same weights to the bit."""
    with_test, without = build("adam"), build("adam")
    keras.utils.set_random_seed(3)
    without.fit(X, Y, batch_size=8, verbose=0)
    keras.utils.set_random_seed(3)
    LRRangeTest(1e-5, end=10.0, steps=40).run(with_test, X, Y, batch_size=8)
    with_test.fit(X, Y, batch_size=8, verbose=0)
    assert int(with_test.optimizer.iterations) == 8
    assert_same_bits(everything(without), everything(with_test))


def test_control_a_plain_fit_changes_the_bits() -> None:
    model = build()
    before = everything(model)
    model.fit(X, Y, batch_size=8, verbose=0)
    with pytest.raises(AssertionError):
        assert_same_bits(before, everything(model))


def test_restored_when_training_raises() -> None:
    class Data(keras.utils.PyDataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            if index == 5:
                raise RuntimeError("torn file")
            return X[:8], Y[:8]

    model = build("adam")
    model.fit(X, Y, batch_size=8, verbose=0)
    before = everything(model)
    rate = vars(model.optimizer)["_learning_rate"]
    with pytest.raises(Exception, match="torn file"):
        LRRangeTest(1e-5, end=10.0, steps=40).run(model, Data())
    assert_same_bits(before, everything(model))
    assert vars(model.optimizer)["_learning_rate"] is rate
    assert "train_step" not in vars(model)


def test_t20_stops_at_divergence_by_the_loss_of_the_batch() -> None:
    result = LRRangeTest(1e-3, end=1e4, steps=60).run(build(), X, Y, batch_size=8)
    assert result.diverged
    assert len(result.losses) < 60
    assert result.smoothed[-1] > 4 * min(result.smoothed)
    assert max(result.smoothed[:-1]) <= 4 * min(result.smoothed[:-1])


def test_another_loop() -> None:
    model = build()

    def train(callbacks):
        model.fit(X, Y, batch_size=8, epochs=9, verbose=0, callbacks=callbacks)

    same = LRRangeTest(1e-4, end=1.0, steps=25).run(build(), train=None, x=X, y=Y, batch_size=8)
    keras.utils.set_random_seed(0)
    result = LRRangeTest(1e-4, end=1.0, steps=25).run(model, train=train)
    assert result.learning_rates == same.learning_rates
    assert len(result.losses) == 25


# Fifty points: flat, falling, a minimum at 30, exploding. The values are chosen, not measured.
RATES = np.geomspace(1e-5, 1.0, 50)
LOSSES = np.concatenate(
    [np.full(10, 2.0), 2.0 - 0.05 * np.arange(20), 1.0 + 0.002 * np.arange(20) ** 3]
)


def test_suggestions_from_their_definitions() -> None:
    """Index by index: worked out on paper from fastai's definitions."""
    lowest = 30  # the only 1.0
    assert _suggest.minimum(RATES, LOSSES) == RATES[lowest] / 10
    # Every step of the fall has the slope -0.05: the first of equals is 10 -> 11.
    assert _suggest.steep(RATES, LOSSES) == RATES[np.argmin(np.diff(LOSSES))]
    # The longest fall has one of the eleven 2.0, 19 values below it and the 1.0: 21 long, it ends
    # at 30. Back from there: 30 - 21 = 9, a third is 7, half a third is 3.
    assert _suggest.valley(RATES, LOSSES) == RATES[9 + 7 + 3]


def test_slide_stops_where_the_slopes_meet() -> None:
    """A window of 16 points is moved left from the end until its ends have the same slope."""
    losses = np.zeros(50)
    losses[40:] = np.arange(10) ** 2  # explodes from 40 on
    slope = np.gradient(losses)
    right = max(i for i in range(50) if abs(slope[i] - slope[max(i - 15, 0)]) <= 0.005)
    assert _suggest.slide(RATES, losses) == RATES[right - 15 + 1]
    assert _suggest.slide(RATES, np.zeros(50)) == RATES[-16]


def test_json_round_trip(tmp_path) -> None:
    result = LRRangeTest(1e-4, end=10.0, steps=40).run(build(), X, Y, batch_size=8)
    path = tmp_path / "range.json"
    result.to_json(path)
    assert RangeTestResult.from_json(path) == result
    with pytest.raises(FileExistsError):
        result.to_json(path)
    axes = result.plot()
    assert axes.get_xscale() == "log"
    assert len(axes.get_lines()) == 6


@pytest.mark.parametrize("steps", [5, 15, 16])
def test_suggestions_need_at_least_16_steps(steps) -> None:
    result = RangeTestResult(tuple(np.geomspace(1e-3, 1.0, steps)), *[(1.0,) * steps] * 2, True)
    if steps == 16:
        assert len(result.suggestions) == 4
        return
    with pytest.raises(ValueError, match=f"at least 16 steps .*Received: {steps}"):
        _ = result.suggestions


@pytest.mark.parametrize(
    "arguments",
    [
        {"start": 0.0},
        {"start": float("inf")},
        {"start": 1.0, "end": 1.0},
        {"steps": 19},
        {"smoothing": 1.0},
        {"divergence": 1.0},
    ],
    ids=str,
)
def test_bad_arguments(arguments) -> None:
    with pytest.raises(ValueError, match="must be"):
        LRRangeTest(**arguments)


def test_bad_calls() -> None:
    with pytest.raises(ValueError, match="must be compiled"):
        LRRangeTest().run(keras.Sequential([keras.Input([3]), keras.layers.Dense(1)]), X, Y)
    with pytest.raises(ValueError, match="Give either data"):
        LRRangeTest().run(build())


def test_a_model_without_weights_is_refused_and_can_still_be_trained() -> None:
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match="must be built"):
        LRRangeTest().run(model, X, Y)
    model.fit(X, Y, verbose=0)
    assert int(model.optimizer.iterations) == 2
