"""`recommend`: what it answers, how soon, and what it refuses."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import re
import time

import keras
import numpy as np
import pytest

import keras_sched as ks
from keras_sched.advice.evidence import FAMILIES, load
from keras_sched.advice.methods import METHODS
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
    assert has_momentum == ("left out" not in advice.momentum)


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
    bits = [dataclasses.replace(each, precision="CR 3-8/8") for each in own]
    said = " ".join(ks.recommend(**asked, evidence=bits).notes)
    assert "what is said of precision alone" in said and "pass `setting=`" not in said
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


def test_momentum_is_advised_where_it_is_expected_to_be_better_than_what_is_recommended():
    best = {"None": 0.0, "Cosine": 0.7, "REX": 0.75, "Linear": 0.8}
    own = [
        row(name, 10.0 * math.exp(effect), "mine", budget=budget)
        for name, effect in best.items()
        for budget in (0.05, 0.1, 0.25, 1.0)
    ]
    advice = ks.recommend("graph", optimizer="sgd", evidence=own, setting="mine")
    assert advice.rows[0].method == "None" and advice.momentum == "Momentum: keep it constant."
    moved = [
        dataclasses.replace(each, schedule="REX", momentum="Demon")
        if each.schedule == "None"
        else each
        for each in own
    ]
    asked = {"optimizer": "sgd", "evidence": moved, "setting": "mine", "fear": "divergence"}
    other = ks.recommend("graph", **asked)
    assert other.rows[0].momentum is None
    assert other.momentum == "Momentum: let it change, as in Demon REX."


def test_the_rate_is_that_of_the_baseline_times_the_factor():
    advice = ks.recommend(**ASKED, learning_rate=0.3, baseline="Linear")
    rex = next(each for each in advice.rows if each.method == "REX")
    expected = ks.rate_factor(ks.REX(1.0), ks.Linear(1.0), steps=10_000)
    assert rex.rate_factor == pytest.approx(expected)
    assert rex.schedule.resolve(100)(0) == pytest.approx(0.3 * expected, rel=5e-3)
    assert "GUESS" not in advice.assumed and "0.3 was tuned with Linear" in advice.assumed


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
    again = [
        dataclasses.replace(each, source="mine")
        for each in load()
        if each.source == "advice_digits"
    ]
    lines = ks.recommend(**ASKED, evidence=again).why("REX").splitlines()
    for source in ("mine", "advice_digits"):
        assert sum(f"digits, sgd ({source}, measured here)" in each for each in lines) == 1
    assert "not measured: theory only" in advice.why("Warmup Linear")
    with pytest.raises(ValueError, match="`method` must be one of"):
        advice.why("SGDR")
    assert len(repr(advice)) < 10_000


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
