"""A number that is driven by a constant trains as the number itself does, in every dtype."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from keras_sched._driver import Source
from keras_sched.hyperparameters import attach, driver_of, schedulable
from tests.laws import cases

DTYPES = ["float32", "float64", "bfloat16", "float16"]
MODES = {"eager": None, "graph": False, "xla": True}
OPTIONS = {
    "SGD": {"momentum": 0.9},
    "RMSprop": {"momentum": 0.9},
    "Ftrl": {
        "l1_regularization_strength": 0.01,
        "l2_regularization_strength": 0.02,
        "l2_shrinkage_regularization_strength": 0.03,
        "beta": 0.1,
    },
}
# What all optimizers have from their base class; one has one way of clipping.
COMMON = [
    {"use_ema": True, "ema_momentum": 0.95},
    {"clipvalue": 0.3},
    {"clipnorm": 0.7},
    {"global_clipnorm": 0.8},
]
STOCK = [name for name in ks.optimizers.__all__ if hasattr(keras.optimizers, name)]
# Of a constant that it can see the graph optimizer makes other operations than of a tensor.
FOLDED = {"ScheduleFreeAdamW"}


CASES = {
    **{name: (name, COMMON[i % len(COMMON)]) for i, name in enumerate(STOCK)},
    **{f"SGD {next(iter(common))}": ("SGD", common) for common in COMMON},
}


def make(case):
    name, common = CASES[case]
    options = {"weight_decay": 0.01, **OPTIONS.get(name, {}), **common}
    return getattr(keras.optimizers, name)(**options)


def constants(optimizer):
    numbers = {
        name: float(getattr(optimizer, name))
        for name in schedulable(optimizer)
        if getattr(optimizer, name) is not None
    }
    return {name: ks.Constant(number) for name, number in numbers.items()}


def drive(optimizer):
    attach(optimizer, schedules=constants(optimizer))
    return optimizer


def train(optimizers, dtype, mode, steps=3):
    """Return what every optimizer has after some steps: its weights and its own variables."""
    start = np.linspace(-1.0, 1.5, 6).reshape(2, 3)
    weights = [
        [keras.Variable(start, dtype=dtype), keras.Variable(start[0], dtype=dtype)]
        for _ in optimizers
    ]
    for optimizer, own in zip(optimizers, weights, strict=True):
        optimizer.build(own)

    def step():
        for optimizer, own in zip(optimizers, weights, strict=True):
            optimizer.apply([tf.cast(1.3, w.dtype) * w.value for w in own], own)

    run = step if MODES[mode] is None else tf.function(step, jit_compile=MODES[mode])
    for _ in range(steps):
        run()
    return [
        [
            tf.cast(keras.ops.convert_to_tensor(variable), "float64").numpy()
            for variable in (*own, *optimizer.variables[2:])
        ]
        for optimizer, own in zip(optimizers, weights, strict=True)
    ]


def train_both(cases, dtype, mode):
    """Train stock optimizers and driven ones in one step: it is traced and compiled once."""
    # Keras 3.15 does not train the weights of Muon in 64 bits.
    cases = [case for case in cases if (case, dtype) != ("Muon", "float64")]
    driven = [drive(make(case)) for case in cases]
    results = train([*map(make, cases), *driven], dtype, mode)
    assert all(not driver_of(optimizer).unread() for optimizer in driven)
    for case, one, other in zip(cases, results, results[len(cases) :], strict=False):
        for stock, own in zip(one, other, strict=True):
            yield case, stock, own


@pytest.mark.parametrize(
    ("mode", "dtype"),
    [*[("eager", dtype) for dtype in DTYPES], ("graph", "float32"), ("graph", "bfloat16")],
)
def test_a_constant_schedule_gives_the_bits_of_the_number(mode, dtype):
    for case, stock, own in train_both(CASES, dtype, mode):
        if case in FOLDED and mode == "graph":
            np.testing.assert_allclose(own, stock, rtol=3e-7, err_msg=case)
        else:
            np.testing.assert_array_equal(own, stock, err_msg=case)


def test_under_xla_it_is_the_number_but_for_its_rounding():
    """XLA fuses what it can see to be constant, in another order."""
    for case, stock, own in train_both(("SGD", "SGD clipnorm", "Adam", "Muon"), "float32", "xla"):
        np.testing.assert_allclose(own, stock, rtol=2e-6, atol=2e-6, err_msg=case)


@pytest.mark.parametrize("case", CASES)
def test_each_number_that_is_named_can_be_driven_alone_and_reaches_the_weights(case):
    """Half the numbers give other weights: the negative control of the tests above."""
    found = constants(make(case))
    alone = []
    for name, schedule in found.items():
        alone.append(make(case))
        attach(alone[-1], schedules={name: schedule})
    half = make(case)
    attach(half, schedules={name: schedule * 0.5 for name, schedule in found.items()})
    same, *_, other = train([drive(make(case)), *alone, half], "float32", "eager", steps=2)
    assert all(not driver_of(optimizer).unread() for optimizer in (*alone, half))
    assert any((a != b).any() for a, b in zip(same, other, strict=True))


def test_what_can_never_be_scheduled_is_not_named():
    assert "momentum" not in schedulable(keras.optimizers.SGD(0.1))
    assert "ema_momentum" not in schedulable(keras.optimizers.SGD(0.1))
    assert "beta_2_decay" not in schedulable(keras.optimizers.Adafactor())
    assert "learning_rate_power" not in schedulable(keras.optimizers.Ftrl())
    assert {"muon_b", "ns_steps"}.isdisjoint(schedulable(keras.optimizers.Muon()))
    assert "momentum" in schedulable(keras.optimizers.Muon(momentum=0.0))
    accumulating = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2, loss_scale_factor=2.0)
    assert schedulable(accumulating) == ["learning_rate", "weight_decay"]


def test_arithmetic_with_numbers_is_in_64_bits_and_with_tensors_in_theirs():
    optimizer = ks.optimizers.SGD(0.1, momentum=ks.Constant(0.9))
    beta = optimizer.momentum
    expressions = {
        "1 - b": lambda b: 1 - b,
        "b - 1": lambda b: b - 1,
        "2 + b": lambda b: 2 + b,
        "-b": lambda b: -b,
        "+b": lambda b: +b,
        "b / 3": lambda b: b / 3,
        "3 / b": lambda b: 3 / b,
        "b ** 3": lambda b: b**3,
        "2 ** b": lambda b: 2**b,
        "1 - b * b": lambda b: 1 - b * b,
        "b * np": lambda b: b * np.float64(3),
    }
    for text, expression in expressions.items():
        assert float(expression(beta)) == expression(0.9), text

    @tf.function
    def traced():
        lazies = [expression(beta) for expression in expressions.values()]
        one = tf.ones((), tf.float64)
        return [[tf.convert_to_tensor(lazy, tf.float64), one * lazy] for lazy in lazies]

    for (text, expression), tensors in zip(expressions.items(), traced(), strict=True):
        assert [float(tensor) for tensor in tensors] == pytest.approx(
            [expression(0.9)] * 2, rel=1e-15
        ), text
    for dtype in DTYPES:
        x = tf.cast([1.0, 2.0], dtype)
        for result in (x * beta, beta * x, beta - x, x / beta, keras.ops.multiply(x, beta)):
            assert result.dtype == dtype
        np.testing.assert_array_equal((x * beta).numpy(), (x * 0.9).numpy())
    assert (beta * np.ones(2, "float32")).dtype == "float32"
    with pytest.raises(TypeError, match=r"floating point.*int32"):
        beta * tf.constant([1, 2])
    with pytest.raises(TypeError):
        beta * "2"


def test_the_exact_number_of_every_schedule_is_what_it_rounds():
    """In eager mode and in a graph, looked up or computed; and so the number is no other."""
    made = [Source(case.schedule, "update", 0, None) for case in cases.ALL_SCHEDULES.values()]
    replaced = Source(ks.Constant(0.1), "update", 0, None)
    replaced.replace(ks.Cosine(0.9, steps=cases.T), cases.T)

    @tf.function(autograph=False)
    def traced(count):
        return [(source.value(count), source.exact(count)) for source in (*made, replaced)]

    for step in (0, 1, cases.T // 3, cases.T - 1, cases.T, 2 * cases.T):
        count = tf.constant(step, tf.int64)
        for source, (value, exact) in zip((*made, replaced), traced(count), strict=True):
            eager = source.exact(count)
            assert isinstance(eager, float)
            assert (value.dtype, exact.dtype) == (tf.float32, tf.float64)
            assert float(exact) == pytest.approx(eager, rel=1e-14, abs=1e-300)
            assert np.float32(eager) == value.numpy() == source.value(count).numpy()
