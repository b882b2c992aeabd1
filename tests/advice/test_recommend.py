"""`recommend`: what it answers, how soon, and what it refuses."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import random
import re
import time

import keras
import numpy as np
import pytest

import keras_sched as ks
from keras_sched.advice.evidence import FAMILIES, kind_of, load
from keras_sched.advice.methods import METHODS, SLOPE
from keras_sched.advice.precision import cyclic
from keras_sched.advice.question import FEARS, of_optimizer
from tests.advice.made_up import row, rows

ROOT = pathlib.Path(__file__).parents[2]
ASKED = {"task": "image classification", "optimizer": "sgd", "budget": 0.1}


def test_the_schedule_is_ready_to_use():
    advice = ks.recommend(**ASKED)
    model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x = np.ones([8, 1], "float32")
    model.fit(x, x, verbose=0, callbacks=[ks.Scheduler(learning_rate=advice.best)])


@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.optimizers.SGD(0.1),
        keras.optimizers.AdamW(1e-3),
        keras.optimizers.RMSprop(1e-3),
        keras.optimizers.RMSprop(1e-3, momentum=0.5),
        keras.optimizers.Lion(1e-4),
        keras.optimizers.Adagrad(0.1),
    ],
    ids=lambda each: f"{type(each).__name__} {getattr(each, 'momentum', '')}",
)
@pytest.mark.parametrize("fear", [None, "open end", "divergence"])
def test_what_is_printed_trains_with_the_optimizer(optimizer, fear):
    """A method that the optimizer cannot follow is none: those that move the momentum are tried."""
    advice = ks.recommend("tabular", optimizer=optimizer, fear=fear)
    x = np.ones([8, 1], "float32")
    moving = [each for each in advice.rows if each.momentum is not None and fear is None]
    for each in [advice.rows[0], *moving[:2]]:
        model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1)])
        model.compile(type(optimizer).from_config(optimizer.get_config()), "mse")
        scheduler = eval(each.call, {"ks": ks})
        model.fit(x, x, batch_size=4, verbose=0, callbacks=[scheduler])
    assert advice.rows[0].call in str(advice)
    has_momentum = {each.method for each in advice.rows} == METHODS.keys()
    assert has_momentum != any("left out" in each for each in [advice.momentum])


def test_a_run_of_open_end_is_a_constant_rate_and_a_cooldown_of_its_own():
    advice = ks.recommend("language model", optimizer="adam", fear="open end", learning_rate=1e-3)
    rate = 1e-3 * advice.rows[0].rate_factor
    assert advice.best(0) == pytest.approx(rate, rel=5e-3)
    calls = re.findall(r"callbacks=\[(.*)\]\)", advice.said)
    assert len(calls) == 2
    model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.5), "mse")
    x, used = np.ones([8, 1], "float32"), []
    for call, epochs in zip(calls, (4, 1), strict=True):
        log = ks.StepLogger()
        both = [eval(call, {"ks": ks}), log]
        model.fit(x, x, batch_size=2, epochs=epochs, verbose=0, callbacks=both)
        used += log.history["learning_rate"].tolist()
    peak = advice.rows[0].learning_rate
    assert used[:16] == pytest.approx([peak] * 16)
    assert used[16:] == pytest.approx([peak, 0.75 * peak, 0.5 * peak, 0.25 * peak])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("budget", [0.01, 1.0])
def test_an_answer_hangs_together(family, optimizer, budget):
    advice = ks.recommend(family, optimizer=optimizer, budget=budget)
    assert {each.method for each in advice.rows} == METHODS.keys()
    regrets = [each.regret for each in advice.rows]
    assert regrets == sorted(regrets) and regrets[0] >= 0.0
    assert sum(each.chance_best for each in advice.rows) == pytest.approx(1.0)
    for each in advice.rows:
        assert each.gain_range[0] <= each.gain <= each.gain_range[1]
        assert each.chance_best <= each.chance_tied <= 1.0
        assert (each.grade == "C") == (not each.evidence)
    base = next(each for each in advice.rows if each.method == "Cosine")
    assert base.gain == 0.0 and base.rate_factor == 1.0 and base.chance_better == 0.0
    known = {each.family for each in load() if each.precision == "float32"}
    is_elsewhere = any("this is what other tasks" in note for note in advice.notes)
    assert is_elsewhere == (advice.rows[0].grade != "A")
    assert family in known or all(each.grade != "A" for each in advice.rows)


def test_an_answer_is_computed_in_a_moment():
    ks.recommend(**ASKED)
    ks.advice.recommend.__globals__["_effects"].cache_clear()
    began = time.process_time()
    ks.recommend(**ASKED, evidence=rows({"REX": 0.0, "Linear": 0.1}))
    assert time.process_time() - began < 1.0  # On a machine with much else to do.


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "image classification with sgd at 10 % of full length, use"),
        ({"budget": None, "steps": 5000}, "with sgd at full length (5,000 steps), use"),
        ({"fear": "open end"}, "with sgd at an unknown length, use"),
        ({"fear": "tuning"}, "full length where the rate is not tuned, use"),
        ({"setting": "digits", "optimizer": "lion"}, "as in digits, use"),
    ],
    ids=str,
)
def test_an_answer_says_what_was_asked(changes, said):
    assert said in ks.recommend(**{**ASKED, **changes}).said


def test_equal_questions_have_equal_answers():
    assert str(ks.recommend(**ASKED)) == str(ks.recommend(**ASKED))


def test_evidence_of_ones_own_counts():
    own = rows({"Exp": -0.5, "REX": 0.0, "Cosine": 0.0}, settings=12)
    asked = {"task": "graph", "optimizer": "sgd", "budget": 0.1}
    assert ks.recommend(**asked).rows[0].method != "Exp"
    after = ks.recommend(**asked, evidence=own)
    assert after.rows[0].method == "Exp" and after.rows[0].grade == "A"


def test_evidence_counts_once_however_often_it_is_given():
    own = rows({"Exp": -0.1, "REX": 0.0, "Cosine": 0.0}, settings=4)
    once, often = (ks.recommend(**ASKED, evidence=own * times) for times in (1, 5))
    assert str(once) == str(often)
    assert str(ks.recommend(**ASKED, evidence=list(load()))) == str(ks.recommend(**ASKED))


def test_a_setting_of_ones_own_can_be_asked_for():
    own = rows({"None": -0.3, "REX": 0.0, "Cosine": 0.0}, settings=1, budgets=(0.1, 0.2, 1.0))
    asked = {"task": "graph", "optimizer": "sgd", "budget": 0.1, "evidence": own}
    gains = [
        next(each for each in ks.recommend(**asked, **more).rows if each.method == "None").gain
        for more in ({}, {"setting": "made 0"})
    ]
    assert gains[1] > gains[0] + 5.0
    with pytest.raises(ValueError, match="`setting` must be one of"):
        ks.recommend(**asked, setting="nowhere")
    notes = [" ".join(ks.recommend(**asked, **m).notes) for m in ({}, {"setting": "made 0"})]
    assert ["is among made 0, pass `setting=`" in each for each in notes] == [True, False]


def test_settings_that_are_known_are_named_as_such():
    own = [row(name, setting="digits") for name in ("REX", "Cosine")]
    asked = {"task": "graph", "optimizer": "sgd"}
    assert "as those of the package: digits." in " ".join(ks.recommend(**asked, evidence=own).notes)
    other = " ".join(ks.recommend(**asked, setting="vae").notes)
    assert "The setting vae is of the family image generation." in other
    assert "is of the family" not in " ".join(ks.recommend(**asked, setting="graph").notes)


def test_what_is_measured_again_is_of_another_source():
    again = [dataclasses.replace(each, value=0.9 * each.value) for each in load()[:3]]
    with pytest.raises(ValueError, match="and in the package: give yours another source"):
        ks.recommend(**ASKED, evidence=again)
    ks.recommend(**ASKED, evidence=[dataclasses.replace(each, source="mine") for each in again])


def test_evidence_that_says_nothing_is_named():
    """Of methods that no advice is given on, and rows that are alone."""
    own = [row("rex"), row("cosine"), row("Mine", setting="B")]
    notes = " ".join(ks.recommend(**ASKED, evidence=own).notes)
    assert "rows of Mine, cosine, rex, of which no advice is given" in notes
    assert "1 row of your evidence is alone" in notes
    assert "evidence" not in " ".join(ks.recommend(**ASKED).notes).replace("All evidence", "")


@pytest.mark.parametrize(
    ("fear", "methods"),
    [
        ("tuning", {"Cosine"}),
        ("divergence", {"Warmup REX", "Warmup Linear"}),
        ("open end", {"WSD 20 %"}),
    ],
)
@pytest.mark.parametrize("task", FAMILIES)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_what_is_feared_is_met_or_the_notes_say_that_it_is_not(fear, methods, task, optimizer):
    advice = ks.recommend(task, optimizer=optimizer, fear=fear)
    is_met = advice.rows[0].method in methods
    assert is_met == bool(advice.reason)
    assert is_met != any("tolerates a wrong rate best" in note for note in advice.notes)
    assert is_met or fear == "tuning"
    others = [each.regret for each in advice.rows[1:]]
    assert others == sorted(others)


@pytest.mark.parametrize("effect", [0.6, -0.6])
def test_how_to_end_is_said_whether_or_not_it_is_the_best_anyway(effect):
    evidence = rows({"WSD 20 %": effect, "REX": 0.0, "Cosine": 0.0}, settings=12)
    advice = ks.recommend("graph", optimizer="sgd", fear="open end", evidence=evidence)
    assert (advice.rows[0].regret < advice.rows[1].regret) == (effect < 0.0)
    assert "ks.Linear(" in advice.reason and "initial_epoch" in advice.reason


@pytest.mark.parametrize("baseline", ["Cosine", "None", "WSD 20 %", "Exp"])
def test_a_guessed_rate_does_not_depend_on_what_gains_are_over(baseline):
    advice = ks.recommend(**ASKED, baseline=baseline)
    rex = next(each for each in advice.rows if each.method == "REX")
    assert rex.learning_rate == pytest.approx(
        0.1 * ks.rate_factor(ks.REX(1.0), ks.Cosine(1.0)), rel=0.01
    )
    assert "GUESS" in advice.assumed and "GUESS" in advice.said


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


@pytest.mark.parametrize("momentum", [0.5, 0.9, 0.99])
def test_a_momentum_that_moves_begins_at_the_optimizers(momentum):
    """In theory the first steps are then as large as with a constant one, at the same rate."""
    optimizer = keras.optimizers.SGD(0.1, momentum=momentum)
    advice = ks.recommend("tabular", optimizer=optimizer, steps=1000)
    demon = next(each for each in advice.rows if each.method == "Demon")
    assert repr(demon.momentum) == repr(ks.Demon(momentum))
    assert ("measured from about 0.9" in advice.momentum) == (momentum != 0.9)
    rates = METHODS["Demon"].effective(1000, start=momentum)
    momenta = ks.simulate(ks.Demon(momentum), n=1000)
    assert rates == pytest.approx((1.0 - momentum) / (1.0 - momenta))
    factor = ks.rate_factor(rates, ks.Cosine(1.0), steps=1000)
    assert demon.rate_factor == pytest.approx(factor, rel=0.02)


@pytest.mark.parametrize("start", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("name", ["OneCycle", "Demon", "Demon REX"])
def test_a_rate_is_that_of_the_peak_whatever_the_momentum_is_there(name, start):
    """Scaled by it, the steps that momentum makes of the rates are those of the least bound."""
    method = METHODS[name]
    steps = method.effective(1000, start=start)
    best = ks.bound(steps).base_rate  # Of the highest step.
    factor = method.bounded(1000, start=start).base_rate
    assert (factor * steps).max() == pytest.approx(best)
    optimizer = keras.optimizers.SGD(0.1, momentum=start)
    advice = ks.recommend("tabular", optimizer=optimizer, steps=1000)
    row = next(each for each in advice.rows if each.method == name)
    cosine = ks.bound(ks.Cosine(1.0), steps=1000).base_rate
    assert row.rate_factor == pytest.approx(factor / cosine, rel=1e-6)


def test_a_momentum_that_sums_steps_is_seen_as_such():
    """RMSprop's does, and is of Adam's kind in all else."""
    factors = [
        {each.method: each.rate_factor for each in ks.recommend("tabular", optimizer=made).rows}
        for made in (
            keras.optimizers.RMSprop(1e-3, momentum=0.9),
            keras.optimizers.SGD(0.1, momentum=0.9),
            keras.optimizers.Adam(1e-3),
        )
    ]
    assert factors[0] == factors[1] and factors[2]["Demon"] == factors[2]["None"]
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


def test_momentum_is_advised_where_it_is_expected_to_be_better_than_what_is_recommended():
    best = {"None": 0.0, "Cosine": 0.7, "REX": 0.75, "Linear": 0.8}
    own = [
        row(name, 10.0 * math.exp(effect), "mine", budget=budget)
        for name, effect in best.items()
        for budget in (0.05, 0.1, 0.25, 1.0)
    ]
    advice = ks.recommend("graph", optimizer="sgd", evidence=own, setting="mine")
    assert advice.rows[0].method == "None" and advice.momentum == "Momentum: keep it constant."


@pytest.mark.parametrize(
    ("rates", "is_constant"),
    [
        (np.full(60, 0.1), True),
        (np.r_[np.linspace(0.01, 0.1, 3), np.full(57, 0.1)], True),
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


def test_the_rate_is_that_of_the_baseline_times_the_factor():
    advice = ks.recommend(**ASKED, learning_rate=0.3, baseline="Linear")
    rex = next(each for each in advice.rows if each.method == "REX")
    expected = ks.rate_factor(ks.REX(1.0), ks.Linear(1.0), steps=10_000)
    assert rex.rate_factor == pytest.approx(expected)
    assert rex.schedule.resolve(100)(0) == pytest.approx(0.3 * expected, rel=5e-3)
    assert "GUESS" not in advice.assumed and "0.3 was tuned with Linear" in advice.assumed


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


def test_why_shows_what_was_measured():
    advice = ks.recommend(**ASKED)
    text = advice.why("REX")
    table = [
        each for each in load() if (each.source, each.setting) == ("REX, table 4", "RN20-CIFAR10")
    ]
    found = {(each.optimizer, each.budget, each.method): each.value for each in table}
    line = next(each for each in text.splitlines() if "RN20-CIFAR10, sgd (REX, table 4" in each)
    for budget in (0.01, 0.05, 1.0):
        rex, cosine = (found["sgd", budget, name] for name in ("REX", "Cosine"))
        assert f"{100 * budget:g} %: {rex:.4g} ({cosine:.4g})" in line
    assert "not measured: theory only" in advice.why("Warmup Linear")
    with pytest.raises(ValueError, match="`method` must be one of"):
        advice.why("SGDR")
    assert len(repr(advice)) < 10_000


@pytest.mark.parametrize("seed", range(5))
def test_cyclic_bits_are_compared_with_static_ones_in_all_else_alike(seed):
    """Of CR, with as many bits at most, whatever the order; what is alone is left out."""
    given = [
        row(precision="static 8/8", loss=10.0),
        row(precision="CR 3-8/8", loss=11.0),
        row(precision="CPT 3-8/8", loss=9.0),
        row(precision="ER 3-8/8", loss=5.0),
        # Each is another thing in one way only.
        row(precision="CPT 3-8/8", loss=12.0, source="another"),
        row(precision="CR 3-8/8", loss=12.0, budget=0.5),
        row(precision="CR 3-8/8", loss=12.0, momentum="Demon"),
        row(precision="CR 3-8/4", loss=12.0),
        row(precision="CR 3-6/8", loss=12.0),
        row(precision="CPT 8-32", loss=12.0),
        row(precision="float32", loss=8.0),
        row(precision="static 4/8", loss=13.0),
        row(precision="static 8/8", setting="B", loss=5.0, measured_by="others"),
        row(precision="CPT 3-8/8", setting="B", loss=4.0, measured_by="authors"),
    ]
    random.Random(seed).shuffle(given)
    found = cyclic(given)
    assert found.keys() == {"authors", "here"}
    assert sorted(found["here"]) == pytest.approx([math.log(0.9), math.log(1.1)])
    assert found["authors"] == pytest.approx([math.log(0.8)])


def test_what_cyclic_bits_cost_is_said_of_the_family_to_who_asks():
    own = [row(precision="static 8/8"), row(precision="CR 3-8/8", loss=11.0)]
    own = [dataclasses.replace(each, family="tabular") for each in own]
    asked = {"task": "tabular", "optimizer": "sgd", "fear": "cost"}
    before, after = (ks.recommend(**asked, evidence=each).precision for each in ([], own))
    assert "elsewhere their loss was" in before and "by the method's authors" in before
    assert "in this family of tasks their loss was 9.5 % higher in 1 comparison here" in after
    assert "comparison" not in ks.recommend(**{**asked, "fear": None}).precision


@pytest.mark.parametrize(
    ("chance", "said"),
    [
        (0.95, "Clearly better than Cosine (95 %"),
        (0.7, "A slight edge over Cosine (70 %"),
        (0.5, "A toss-up with Cosine (50 %"),
        (0.2, "Worse than Cosine (20 %"),
    ],
)
def test_how_sure_it_is_is_said_in_words(chance, said):
    advice = ks.recommend(**ASKED)
    first = dataclasses.replace(advice.rows[0], chance_better=chance)
    assert said in dataclasses.replace(advice, rows=(first, *advice.rows[1:])).said
    is_apart = dataclasses.replace(first, regret=first.regret - 30.0)
    for rows_, is_said in ((advice.rows, True), ((is_apart, *advice.rows[1:]), False)):
        assert ("Too close to tell" in dataclasses.replace(advice, rows=rows_).said) == is_said


def test_short_budgets_get_no_cyclic_bits():
    assert "No cyclic bits" in ks.recommend(**ASKED).precision
    assert "No cyclic bits" not in ks.recommend(**{**ASKED, "budget": 1.0}).precision


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"task": "cooking"}, ValueError, "`task` must be one of"),
        ({"optimizer": "best"}, ValueError, "`optimizer` must be one of"),
        ({"optimizer": keras.optimizers.SGD}, TypeError, "its name, not a class"),
        pytest.param(
            {"optimizer": keras.optimizers.SGD(0.1, momentum=1.0)},
            *(ValueError, "`optimizer` must have a momentum below 1"),
            id="a momentum of 1",
        ),
        pytest.param(
            {"optimizer": keras.optimizers.MultiOptimizer(lambda _: keras.optimizers.SGD(0.1))},
            *(ValueError, "`optimizer` must be one optimizer"),
            id="several optimizers",
        ),
        ({"steps": 3}, ValueError, "`steps` must be a whole number of at least 4"),
        ({"optimizer": None}, TypeError, "`optimizer` must be an optimizer"),
        ({"learning_rate": 1e300}, ValueError, "`learning_rate` must be"),
        ({"budget": 0.0}, ValueError, "`budget` must be a finite number in"),
        ({"budget": 2.0}, ValueError, "`budget` must be"),
        ({"steps": 1}, ValueError, "`steps` must be a whole number of at least 4"),
        ({"learning_rate": 0.0}, ValueError, "`learning_rate` must be"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be"),
        ({"fear": "spiders"}, ValueError, "`fear` must be one of"),
        ({"metric": "mean"}, ValueError, "`metric` must be one of"),
        ({"baseline": "SGDR"}, ValueError, "`baseline` must be one of"),
        pytest.param(
            {"baseline": "Demon", "optimizer": keras.optimizers.SGD(0.1)},
            *(ValueError, "`baseline` must be one of"),
            id="a baseline that moves the momentum, for SGD without one",
        ),
        ({"model": "resnet"}, TypeError, "`model` must be a Keras model"),
        ({"evidence": [3]}, TypeError, "`evidence` must have paths"),
        ({"evidence": "x.csv"}, TypeError, "`evidence` must be a sequence"),
        ({"evidence": ["/none/x.csv"]}, FileNotFoundError, "`evidence` must be files"),
        ({"norms": [1.0, -1.0] * 9}, ValueError, "`norms` must be at least 10 numbers above 0"),
        ({"norms": [1.0] * 9}, ValueError, "`norms` must be at least 10 numbers above 0"),
        ({"norms": "abc"}, TypeError, "`norms` must be numbers"),
        *(
            ({"norms": {"grad_norm": [1.0] * 20, "learning_rate": rates}}, ValueError, said)
            for said, some in {
                "a finite number, at least 0, for each of its 20 norms": (
                    *([], 0.1, ["x"] * 20, [math.nan] * 20, [0.1] * 3, [-0.1] * 20),
                ),
                "with a learning rate above 0": ([0.0] * 20,),
            }.items()
            for rates in some
        ),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(changes, error, said):
    with pytest.raises(error, match=said):
        ks.recommend(**{**ASKED, **changes})
