"""What advice reads off an optimizer, off a network, and off norms."""

from __future__ import annotations

import dataclasses
import math

import keras
import numpy as np
import pytest

import keras_sched as ks
from keras_sched.advice.evidence import kind_of
from keras_sched.advice.methods import METHODS, SLOPE
from keras_sched.advice.question import FEARS, of_optimizer
from tests.advice.made_up import rows

ASKED = {"task": "image classification", "optimizer": "sgd", "budget": 0.1}


BY_NAME = {
    "adadelta": keras.optimizers.Adadelta,
    "adafactor": keras.optimizers.Adafactor,
    "adagrad": keras.optimizers.Adagrad,
    "adam": keras.optimizers.Adam,
    "adamax": keras.optimizers.Adamax,
    "adamw": keras.optimizers.AdamW,
    "ftrl": keras.optimizers.Ftrl,
    "lamb": keras.optimizers.Lamb,
    "lion": keras.optimizers.Lion,
    "muon": keras.optimizers.Muon,
    "nadam": keras.optimizers.Nadam,
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": keras.optimizers.SGD,
}


@pytest.mark.parametrize("name", BY_NAME)
def test_a_name_stands_for_the_optimizer_that_keras_makes_of_it(name):
    """But for SGD, whose momentum is asked for in words."""
    named, made = of_optimizer(name), of_optimizer(BY_NAME[name]())
    assert named.name == made.name and named.is_named and not made.is_named
    assert named.start == pytest.approx(made.start)
    assert named.momentum == (made.momentum if name != "sgd" else "momentum")
    rising = rows({"Demon REX": -0.5, "REX": 0.0, "Cosine": 0.0}, settings=12)
    rising = [
        dataclasses.replace(each, schedule="REX", momentum="Demon")
        if each.schedule == "Demon REX"
        else each
        for each in rising
    ]
    advice = ks.recommend("graph", optimizer=name, evidence=rising)
    assert (advice.rows[0].method == "Demon REX") == (named.momentum is not None)
    assert ("`SGD(momentum=0.9)`" in advice.momentum) == (name == "sgd" or named.momentum is None)


def test_a_momentum_that_sums_steps_is_seen_as_such():
    """RMSprop's does, and is of Adam's kind in all else."""

    class Derived(keras.optimizers.RMSprop):
        pass

    factors = [
        {each.method: each.rate_factor for each in ks.recommend("tabular", optimizer=made).rows}
        for made in (
            keras.optimizers.RMSprop(1e-3, momentum=0.9),
            keras.optimizers.SGD(0.1, momentum=0.9),
            keras.optimizers.Adam(1e-3),
            Derived(1e-3, momentum=0.9),
        )
    ]
    assert factors[0] == factors[1] == factors[3]
    assert factors[2]["Demon"] == factors[2]["None"]
    assert factors[0]["Demon"] > 2.0 * factors[0]["None"]


def test_a_scheduled_momentum_is_one_also_after_it_has_fallen():
    optimizer = ks.optimizers.SGD(
        learning_rate=ks.REX(0.05, steps=4), momentum=ks.Demon(0.9, steps=4)
    )
    model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    x = np.ones([8, 1], "float32")
    before = of_optimizer(optimizer)
    model.fit(x, x, batch_size=1, verbose=0)
    assert float(optimizer.momentum) == 0.0
    assert of_optimizer(optimizer) == before and before.momentum == "momentum"
    stock = keras.optimizers.SGD(0.05, momentum=0.9)
    model.compile(stock, "mse")
    model.fit(x, x, batch_size=1, verbose=0, callbacks=[ks.Scheduler(momentum=ks.Demon(0.9))])
    assert of_optimizer(stock).momentum == "momentum" and of_optimizer(stock).start == 0.9


@pytest.mark.parametrize("rate", [0.0, -0.1, math.nan, math.inf, 1e9])
def test_a_rate_of_the_optimizer_that_cannot_be_is_refused_where_it_is_used(rate):
    optimizer = keras.optimizers.SGD(rate)
    with pytest.raises(ValueError, match="`optimizer` must have a learning rate in"):
        ks.recommend("tabular", optimizer=optimizer)
    ks.recommend("tabular", optimizer=optimizer, learning_rate=0.1)


@pytest.mark.parametrize(
    ("rates", "is_constant"),
    [
        (np.full(60, 0.1), True),
        (np.r_[np.linspace(0.01, 0.1, 3), np.full(57, 0.1)], True),
        (np.r_[np.full(57, 0.1), np.full(3, 0.01)], True),
        (np.r_[np.full(56, 0.1), np.full(4, 0.01)], False),
        (np.linspace(0.1, 0.0, 60), False),
        (np.linspace(0.001, 0.1, 60), False),
        (np.r_[np.linspace(0.1, 0.001, 30), np.linspace(0.001, 0.1, 30)], False),
    ],
)
def test_norms_of_a_rate_that_is_not_constant_are_warned_of(rates, is_constant, recwarn):
    norms = {"grad_norm": np.linspace(3.0, 1.0, 60), "learning_rate": rates}
    ks.recommend(**ASKED, norms=norms)
    assert (not [each for each in recwarn if each.category is UserWarning]) == is_constant


@pytest.mark.parametrize("rate", [20.0, 3e-4])
def test_the_rate_of_the_optimizer_is_used(rate):
    for optimizer in (
        keras.optimizers.SGD(rate),
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(rate)),
        keras.optimizers.AdamW(rate),
    ):
        advice = ks.recommend("tabular", optimizer=optimizer)
        cosine = next(each for each in advice.rows if each.method == "Cosine")
        assert cosine.learning_rate == pytest.approx(rate, rel=1e-6)
        assert f"your optimizer's rate, {rate:.6g}," in advice.assumed
        given = ks.recommend("tabular", optimizer=optimizer, learning_rate=0.5)
        assert next(e for e in given.rows if e.method == "Cosine").learning_rate == 0.5
    scheduled = keras.optimizers.SGD(ks.Linear(rate, steps=10))
    assert "GUESS" in ks.recommend("tabular", optimizer=scheduled).assumed


def norms_of(shape):
    return {"falling": np.linspace(10, 1, 500), "rising": np.linspace(1, 3, 500)}[shape]


@pytest.mark.filterwarnings("ignore:`norms` rise")
@pytest.mark.parametrize(("optimizer", "kind"), [("sgd", "l2"), ("adam", "l1")])
@pytest.mark.parametrize("shape", ["falling", "rising"])
def test_norms_move_what_theory_says_and_no_more(optimizer, kind, shape):
    asked = {"task": "tabular", "optimizer": optimizer}
    plain = {each.method: each for each in ks.recommend(**asked).rows}
    found = {each.method: each for each in ks.recommend(**asked, norms=norms_of(shape)).rows}
    for name in ("REX", "None", "WSD 20 %", "Exp"):
        values = [
            ks.bound(METHODS[name].effective(10_000, sums=optimizer == "sgd"), **given).value
            for given in ({}, {"norms": norms_of(shape), "kind": kind})
        ]
        assert found[name].bound == pytest.approx(values[1])
        base = ks.bound(METHODS["Cosine"].effective(10_000), norms=norms_of(shape), kind=kind).value
        flat = ks.bound(METHODS["Cosine"].effective(10_000)).value
        moved = SLOPE * math.log(values[1] / values[0] * flat / base)
        before, after = (math.log1p(-each[name].gain / 100.0) for each in (plain, found))
        assert after - before == pytest.approx(moved, abs=1e-9)


def test_norms_that_stay_change_nothing_but_the_notes():
    plain, found = (ks.recommend(**ASKED, norms=norms) for norms in (None, [2.0] * 100))
    for one, other in zip(plain.rows, found.rows, strict=True):
        assert (one.method, one.regret) == (other.method, pytest.approx(other.regret))
    assert plain.rows[0].bound is None and found.rows[0].bound is not None
    heads = [str(each).splitlines()[8].split() for each in (plain, found)]
    assert "bound" not in heads[0] and "bound" in heads[1]


def history(schedule, optimizer):
    model = keras.Sequential([keras.Input([2]), keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    x = np.random.default_rng(0).normal(size=[64, 2]).astype("float32")
    log = ks.StepLogger(norms=True)
    scheduler = ks.Scheduler(learning_rate=schedule)
    model.fit(x, x[:, 0], batch_size=4, epochs=2, verbose=0, callbacks=[scheduler, log])
    return log.history


@pytest.mark.parametrize(
    "optimizer", [keras.optimizers.SGD, keras.optimizers.AdamW], ids=lambda each: each.__name__
)
def test_norms_are_taken_from_a_history_with_the_rate_that_they_were_measured_at(optimizer):
    constant = history(ks.Constant(0.01), optimizer(0.01, gradient_accumulation_steps=2))
    column = "grad_norm" if optimizer is keras.optimizers.SGD else "grad_l1"
    assert np.isnan(constant[column][0])  # Before the first update.
    asked = {"task": "tabular", "optimizer": optimizer(0.01)}
    both = [ks.recommend(**asked, norms=each) for each in (constant, constant[column])]
    assert str(both[0]) == str(both[1])
    falling = history(ks.Linear(0.01), optimizer(0.01))
    with pytest.warns(UserWarning, match=r"not constant: in \d\d % of the steps"):
        ks.recommend(**asked, norms=falling)
    with pytest.raises(ValueError, match=f"must have the column '{column}'"):
        ks.recommend(**asked, norms={"loss": [1.0]})


def test_rising_norms_are_warned_of_where_the_rate_is_not_known():
    with pytest.warns(UserWarning, match=r"rise by a factor of 1\.88"):
        ks.recommend(**ASKED, norms=np.linspace(1.0, 2.0, 50))


def inputs(*layers):
    return keras.Sequential([keras.Input([4, 4]), *layers])


def attention(layer):
    x = keras.Input([4, 4])
    return keras.Model(
        x, layer(x, x) if not isinstance(layer, keras.layers.Attention) else layer([x, x])
    )


@pytest.mark.parametrize(
    "model",
    [
        lambda: attention(keras.layers.MultiHeadAttention(1, 2)),
        lambda: attention(keras.layers.GroupQueryAttention(2, 2, 1)),
        lambda: attention(keras.layers.Attention()),
        lambda: keras.Sequential(
            [attention(keras.layers.Attention()), keras.layers.LSTM(2, return_sequences=True)]
        ),
        lambda: keras.Sequential([attention(keras.layers.MultiHeadAttention(1, 2))]),
    ],
)
def test_networks_with_attention_are_warmed_up(model):
    plain = ks.recommend(**ASKED)
    assert not plain.rows[0].method.startswith("Warmup")
    advice = ks.recommend(**ASKED, model=model())
    assert advice.rows[0].method.startswith("Warmup")
    assert "Networks with attention need a warmup" in advice.said
    for fear in FEARS:
        answer = ks.recommend("tabular", optimizer="adam", model=model(), fear=fear)
        is_warmed = answer.rows[0].method.startswith("Warmup")
        assert is_warmed != any("attention need a warmup: add" in note for note in answer.notes)


def test_recurrent_networks_are_to_clip_unless_they_do():
    model = inputs(keras.layers.LSTM(2))
    for optimizer, is_said in (
        ("sgd", True),
        (keras.optimizers.SGD(0.1), True),
        (keras.optimizers.SGD(0.1, clipnorm=1.0), False),
        (keras.optimizers.SGD(0.1, global_clipnorm=1.0), False),
    ):
        advice = ks.recommend("language model", optimizer=optimizer, model=model)
        assert any("clip the norm" in note for note in advice.notes) == is_said
    other = ks.recommend("tabular", optimizer="sgd", model=inputs(keras.layers.Flatten()))
    assert any("none calls for another" in note for note in other.notes)


class Mine(keras.optimizers.SGD):
    pass


@pytest.mark.parametrize(
    ("optimizer", "kind"),
    [
        *(("sgd", "sgd"), ("SGDM", "sgd"), ("AdamW", "adam"), ("rmsprop", "adam")),
        *((keras.optimizers.SGD(0.1), "sgd"), (Mine(0.1), "sgd")),
        *((keras.optimizers.Lion(0.1), "adam"), (keras.optimizers.Adafactor(0.1), "adam")),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_optimizers_by_name_and_by_hand(optimizer, kind):
    assert kind_of(of_optimizer(optimizer).name) == kind
    assert ks.recommend("graph", optimizer=optimizer).rows
