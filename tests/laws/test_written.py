"""How schedules are written: as the call that makes them."""

import dataclasses

import pytest

import keras_sched as ks
from keras_sched.schedules import label
from tests.laws.cases import ALL_SCHEDULES

# What no law runs over: open lengths, defaults, and forms that no method can write.
OTHERS = [
    ks.REX(0.1),
    ks.REX(0.1, length="30ep"),
    ks.Demon(),
    ks.Demon(end=0.2),
    ks.OneCycle(1.0, start=0.5),
    ks.MultiStep(1.0),
    ks.MultiStep(1.0, at=["10%", "3ep"]),
    ks.PiecewiseLinear([("1ep", 0.0), ("2ep", 1.0)]),
    ks.Constant(0.3, steps=5),
    ks.WSD(1.0, cooldown_length="0.3dur"),
    ks.Warmup(ks.REX(0.1), length=0),
    ks.REX(0.1).warmup("1ep", start=0.01, profile="cosine", offset=0),
    ks.Constant(1.0).cooldown("20%"),
    ks.Constant(1.0).cooldown("20%").resolve(100),
    ks.Cooldown(ks.Constant(1.0), cooldown_length=2, steps=6),
    ks.Sequence((ks.REX(0.1),)),
    ks.Sequence((ks.Sequence((ks.REX(0.1, steps=3), ks.REX(0.1, steps=4))), ks.Linear(0.2))),
    ks.REX(0.1) * ks.Linear(1.0) * 0.5,
    ks.REX(0.1) * (ks.Linear(1.0) * ks.Constant(0.5, steps=3)),
    (ks.REX(0.1) * 2).warmup(5).rounded(),
    ks.Product((ks.REX(0.1),)),
    ks.Product((ks.REX(0.1), ks.REX(0.2), ks.REX(0.3))),
    ks.REX(0.1).repeat(3, triangular=True),
    ks.REX(0.1).sampled(at=["50%", 7]),
    *(make(3, bits_max=8) for make in ks.precision.CYCLIC.values()),
]
ALL = [case.schedule for case in ALL_SCHEDULES.values() if case.schedule.can_be_saved] + OTHERS


@pytest.mark.parametrize("schedule", ALL, ids=repr)
def test_it_is_written_as_the_call_that_makes_it(schedule):
    assert eval(repr(schedule), vars(ks)) == schedule
    assert eval(repr(dataclasses.replace(schedule)), vars(ks)) == schedule


@pytest.mark.parametrize(
    "text",
    [
        "REX(0.1)",
        "REX(0.1, steps=100)",
        "REX(0.1, length='30ep')",
        "REX(0.1).warmup('1ep')",
        "Linear(0.0, end=1.0, length='30ep') * Constant(0.5, steps=5)",
        "Linear(1.0) * 0.5",
        "Cosine(3.0, end=8.0).repeat(8, rounding='up').rounded()",
        "PiecewiseConstant([1.0, 0.1], boundaries=[5])",
        "OneCycle(1.0, steps=100)",
        "Duration(30, unit='steps')",
        "Duration(0.1, unit='fraction')",
    ],
)
def test_what_is_the_default_is_left_out(text):
    assert repr(eval(text, vars(ks))) == text


def test_schedules_that_differ_have_labels_that_differ():
    """Two bit schedules were both "Rounded" once."""
    written = {label(make(3, bits_max=8)) for make in ks.precision.CYCLIC.values()}
    assert len(written) == len({make(3, bits_max=8) for make in ks.precision.CYCLIC.values()})
    assert max(map(len, written)) <= 60


def test_a_long_label_keeps_its_ends():
    schedule = ks.REX(0.1, steps=100).warmup("1ep", profile="cosine").cooldown("2ep")
    assert label(schedule, width=200) == repr(schedule)
    for width in (20, 21, 40):
        short = label(schedule, width=width)
        assert len(short) == width
        assert short.startswith("REX(0.1")
        assert short.endswith("2ep')")
