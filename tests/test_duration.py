"""Lengths in every unit, counted in steps; and what is no length."""

import dataclasses

import pytest

import keras_sched as ks
from keras_sched import Duration, Run

RUN = Run(steps=1000, steps_per_epoch=100, batch_size=32, seconds_per_step=0.5)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("500st", 500),
        ("3ep", 300),
        ("0.5ep", 50),
        ("0.1dur", 100),
        ("10%", 100),
        ("6400sp", 200),
        ("1e2 st", 100),
        ("90s", 180),
        ("5min", 600),
        ("0.05h", 360),
        ("1step", 1),
        (7, 7),
        (7.0, 7),
        (Duration(2, unit="epochs"), 200),
    ],
    ids=str,
)
def test_every_unit_is_counted_in_steps(text, steps):
    assert Duration.parse(text).steps(RUN) == steps


@pytest.mark.parametrize("text", ["30ep", "0.1dur", "500st", "1000000.0sp", "90.0s"])
def test_a_length_survives_its_text(text):
    assert Duration.parse(str(Duration.parse(text))) == Duration.parse(text)


@pytest.mark.parametrize(
    "wrong", ["", "10", "ep", "-3ep", "5 weeks", "nanep", "1.5st", 0.1, -1, True, None, "3ep2"]
)
def test_what_is_no_length_is_refused(wrong):
    with pytest.raises((ValueError, TypeError), match="Received"):
        Duration.parse(wrong)


@pytest.mark.parametrize(
    ("text", "fact"),
    [("1ep", "steps_per_epoch"), ("1sp", "batch_size"), ("1s", "seconds_per_step")],
)
def test_the_missing_fact_is_named(text, fact):
    with pytest.raises(ValueError, match=f"needs `{fact}`"):
        Duration.parse(text).steps(Run(steps=10))


@pytest.mark.parametrize(
    "facts", [{"steps": 0}, {"steps": 1.5}, {"steps": 5, "batch_size": 0}], ids=str
)
def test_a_run_of_nothing_is_refused(facts):
    with pytest.raises(ValueError, match="must be"):
        Run(**facts)


def test_two_forms_of_one_length_are_refused():
    with pytest.raises(ValueError, match="in one form only"):
        ks.Linear(0.1, steps=10, epochs=2)


def test_every_suffix_is_a_length():
    for suffix, length in (("steps", 50), ("epochs", 0.5), ("fraction", 0.05), ("samples", 1600)):
        schedule = ks.Linear(0.1, **{suffix: length}).resolve(RUN)
        assert schedule.span == 50
    assert ks.Linear(0.1, seconds=25).resolve(RUN).span == 50
    assert ks.Linear(0.1).resolve(RUN).span == 1000


@pytest.mark.parametrize(
    ("text", "steps"),
    [("5ep", 9), ("1ep", 2), ("8ep", 15), ("0.5ep", 1)],
)
def test_an_epoch_of_a_fraction_of_updates_is_rounded_once(text, steps):
    """15 batches of which 8 are accumulated: 5 epochs are 75 batches, 9.375 updates."""
    assert Duration.parse(text).steps(Run(steps_per_epoch=15 / 8)) == steps


OF_UNKNOWN_LENGTH = Run(batch_size=32, seconds_per_step=0.5)


@pytest.mark.parametrize(
    ("schedule", "resolved"),
    [
        (ks.REX(0.1, steps=10), ks.REX(0.1, steps=10)),
        (ks.REX(0.1, length="320sp").warmup("1s"), ks.REX(0.1, steps=10).warmup(2)),
        (ks.Linear(0.1, length="64sp").then(ks.Constant(0.1)), None),
        (ks.REX(0.1, steps=10) * 0.5, ks.REX(0.1, steps=10) * 0.5),
        (ks.InverseSqrt(0.1, timescale="64sp"), ks.InverseSqrt(0.1, timescale=2)),
        (ks.MultiStep(1.0, at=["50%"], steps=10), ks.MultiStep(1.0, at=[5], steps=10)),
        (ks.REX(0.1, steps=4).repeat(triangular=True).shift("64sp"), None),
        (ks.REX(0.1, steps=8).sampled(every="64sp"), ks.REX(0.1, steps=8).sampled(every=2)),
        (ks.Cosine(0.1, steps=8).cooldown("25%"), ks.Cosine(0.1, steps=8).cooldown(2)),
    ],
    ids=str,
)
def test_a_run_of_unknown_length_takes_lengths_of_their_own(schedule, resolved):
    got = schedule.resolve(OF_UNKNOWN_LENGTH)
    assert got.is_resolved
    if resolved is not None:
        assert got == resolved


@pytest.mark.parametrize(
    ("schedule", "missing"),
    [
        (ks.REX(0.1), "steps"),
        (ks.REX(0.1, length="10%"), "steps"),
        (ks.REX(0.1, steps=10).warmup("10%"), "steps"),
        (ks.REX(0.1).warmup(5), "steps"),
        (ks.WSD(0.1), "steps"),
        (ks.REX(0.1).repeat(3), "steps"),
        (ks.Constant(0.1, steps=3).then(ks.REX(0.1)), "steps"),
        (ks.REX(0.1, steps=10).warmup("1ep"), "steps_per_epoch"),
    ],
    ids=str,
)
def test_what_a_run_of_unknown_length_lacks_is_named(schedule, missing):
    with pytest.raises(ValueError, match=f"needs `{missing}`, which this run does not know"):
        schedule.resolve(OF_UNKNOWN_LENGTH)


def test_a_curve_over_a_run_of_unknown_length_is_refused():
    with pytest.raises(ValueError, match="must know its `steps`"):
        ks.simulate(ks.REX(0.1, steps=10), n=OF_UNKNOWN_LENGTH)


def test_the_length_is_an_attribute_in_its_unit():
    assert ks.REX(0.1, steps=100).steps == 100
    assert ks.REX(0.1, length=100).length == Duration(100, unit="steps")
    assert ks.REX(0.1, length="30ep").epochs == 30
    assert ks.REX(0.1, length="30ep").steps is None
    assert ks.REX(0.1, epochs=30).resolve(RUN).steps == 3000
    assert ks.REX(0.1).length is ks.REX(0.1).steps is ks.REX(0.1).seconds is None
    assert dataclasses.replace(ks.REX(0.1, steps=100), length="3ep").epochs == 3


def test_steps_at_points_end_with_their_length_or_their_last_point():
    assert ks.MultiStep(0.1, at=[2, 4]).span == 4
    assert ks.MultiStep(0.1, at=[2, 4], steps=10).span == 10
    assert ks.MultiStep(0.1, at=[2, "1ep"]).span is None
