"""Lengths in every unit, counted in steps; and what is no length."""

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
