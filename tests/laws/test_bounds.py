"""Each argument just inside each of its bounds is taken, and just outside of it is refused."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

import keras_sched as ks
from keras_sched.schedules.momentum import _Momentum
from tests.laws.cases import ALL_SCHEDULES

TINY = 5e-324
MOST = float(np.finfo(np.float32).max)
ABOVE_MOST, BELOW_1, ABOVE_1 = math.nextafter(MOST, math.inf), math.nextafter(1.0, 0.0), 1.0 + 3e-16
HALF = 0.5

# What is inside, and what is outside.
VALUE = ([0, MOST], [-TINY, ABOVE_MOST])
MOMENTUM = ([0, BELOW_1], [-TINY, 1])
POSITIVE = ([TINY, 1e308], [0, -TINY, math.inf])
SHARE = ([0, BELOW_1], [-TINY, 1])
LENGTH = ([1, "1ep", 2**53], [0, -1, "0ep", 0.5, 2**53 + 2])
LENGTH_OR_0 = ([0, 1, "0ep"], [-1, 0.5, "-1ep"])
FLAG = ([True, False], [1, 0, None])
RAMP = (["cosine", "linear", "sqrt", "square"], ["rex", ""])
INCREASING = ([[1, 2], ["1ep", 2]], [[2, 2], [2, 1], [-1, 2], 5, "1ep"])

# By name, for all schedules that have the argument, and where one has bounds of its own.
BOUNDS = {
    **dict.fromkeys(["start", "end", "peak", "value", "Noam.scale"], VALUE),
    **dict.fromkeys(["OneCycleMomentum.low"], ([0, 0.95], [-TINY, math.nextafter(0.95, 1)])),
    **dict.fromkeys(["OneCycle.start", "OneCycle.end"], ([0, 1], [-TINY, ABOVE_1])),
    "OneCycle.peak": ([0.04, MOST], [math.nextafter(0.04, 0), ABOVE_MOST]),
    "OneCycleMomentum.start": ([0.85, BELOW_1], [math.nextafter(0.85, 0), 1]),
    **dict.fromkeys(
        ["power", "k", "rate", "factor", "batch_size", "tokens_per_step", "CosineRestarts.scale"],
        POSITIVE,
    ),
    "Repeat.scale": POSITIVE,
    "exponent": ([-TINY, -1e308], [0, TINY, -math.inf]),
    "d": SHARE,
    "delay": SHARE,
    "gamma": ([TINY, 1], [0, ABOVE_1]),
    "stretch": ([1, 1e308], [BELOW_1, math.inf]),
    "rise": ([0, 1], [-TINY, ABOVE_1]),
    "three_phase": FLAG,
    "triangular": FLAG,
    "last": ([None], [0, HALF]),  # it needs `three_phase`
    "times": ([1, 2**53], [0, 1.5, 2**53 + 2]),
    "Cycles.times": ([0.001, 1e6], [math.nextafter(0.001, 0), math.nextafter(1e6, 1e7)]),
    "offset": ([0, 1], [-1, 2, HALF]),
    "dim": ([1, 2**53], [0, 1.5]),
    "lower": ([-100, math.nextafter(3, 0)], [math.nextafter(-100, -101), 3]),
    "upper": ([math.nextafter(-6, 0), 100], [-6, math.nextafter(100, 101)]),
    "profile": RAMP,
    "Refined.profile": ([[0.0, 1.0], (1, 0, 0.5)], [[1.0], [1.0, 1.1], [-0.1, 1.0], "linear", 1.0]),
    "OneCycle.profile": (["cosine", "linear"], ["sqrt"]),
    "OneCycleMomentum.profile": (["cosine", "linear"], ["sqrt"]),
    "mirror": (["time", "value"], ["Time", None]),
    "rounding": (["floor", "up"], ["down", None]),
    "anchor": (["low", "high", "floor"], ["middle", None]),
    "length": ([None, *LENGTH[0]], LENGTH[1]),
    "Warmup.length": LENGTH_OR_0,
    "WSD.length": ([None, 300, 2**53], [0, 299]),
    "Until.length": LENGTH,
    **dict.fromkeys(["period", "half_period", "timescale", "every", "Noam.warmup_length"], LENGTH),
    "WSD.warmup_length": ([0, 800], [-1, 801]),
    "WSD.cooldown_length": ([0, 900], [-1, 901]),
    "Cooldown.cooldown_length": ([0, 1000], [-1, 1001]),
    "Cooldown.length": ([None, 200, 2000], [0, 199]),
    "by": LENGTH_OR_0,
    "Skip.by": ([0, 1299], [-1, 1300]),
    "at": INCREASING,
    "boundaries": INCREASING,
    "points": (
        [[(1, 0.0), (2, MOST)]],
        [
            [(1, 0.0)],
            [(2, 0.0), (2, 1.0)],
            [(1, -TINY), (2, 1.0)],
            [(1, 0.0), (2, ABOVE_MOST)],
            [5],
        ],
    ),
    "values": ([[0, 1, MOST]], [[0, 1], [0, 1, 2, 3], [0, 1, -TINY], [0, 1, ABOVE_MOST], 5]),
    "schedules": (
        [[ks.Linear(1.0, steps=2), ks.Linear(1.0)]],
        [[], [0.5], ks.REX(0.1)],
    ),
    "schedule": ([ks.Linear(1.0, steps=1300)], [0.5, None]),
    "fn": ([abs], [0.5, None, str, lambda t: t[:1], lambda t: t + math.inf]),
}
ONCE: dict[type, ks.Schedule] = {}
for _case in ALL_SCHEDULES.values():
    ONCE.setdefault(type(_case.schedule), _case.schedule)
FIELDS = [(s, field.name) for s in ONCE.values() for field in dataclasses.fields(s)]


def bounds(schedule, name):
    own = BOUNDS.get(f"{type(schedule).__name__}.{name}")
    if own is None and isinstance(schedule, _Momentum) and name in ("start", "end"):
        return MOMENTUM
    return own or BOUNDS[name]


def changed(schedule, name, value):
    """Return the schedule with one argument changed; those that depend on it are left to it."""
    fields = {f.name: getattr(schedule, f.name) for f in dataclasses.fields(schedule)}
    if isinstance(schedule, ks.Sampled):
        fields = {"schedule": fields["schedule"]} | ({} if name == "at" else {"every": 5})
    if isinstance(schedule, ks.OneCycle) and name == "peak":
        fields["end"] = 0.0
    return type(schedule)(**{**fields, name: value})


def identify(item):
    return item if isinstance(item, str) else type(item).__name__


@pytest.mark.parametrize(("schedule", "name"), FIELDS, ids=identify)
def test_inside_is_taken_and_outside_is_refused(schedule, name):
    inside, outside = bounds(schedule, name)
    for value in inside:
        assert type(changed(schedule, name, value)) is type(schedule), value
    for value in outside:
        with pytest.raises((ValueError, TypeError), match=f"`{name}`"):
            changed(schedule, name, value)


@pytest.mark.parametrize("unit", ["steps", "epochs", "fraction", "samples", "seconds"])
def test_a_length_in_any_unit_is_positive(unit):
    assert ks.REX(0.1, **{unit: 1}).length.value == 1
    for wrong in (0, -1, math.nan, math.inf, "1"):
        with pytest.raises((ValueError, TypeError), match=f"`{unit}` must"):
            ks.REX(0.1, **{unit: wrong})


def test_a_whole_shorter_than_its_parts_is_refused():
    assert ks.Constant(1.0).cooldown(10).resolve(10).span == 10
    with pytest.raises(ValueError, match="must not be longer than the whole"):
        ks.Constant(1.0).cooldown(11).resolve(10)
    assert ks.Linear(1.0).warmup(9).resolve(10).span == 10
    with pytest.raises(ValueError, match="must leave room"):
        ks.Linear(1.0).warmup(10).resolve(10)
    assert ks.REX(1.0).repeat(10).resolve(10).schedule.span == 1
    with pytest.raises(ValueError, match="at least a step each"):
        ks.REX(1.0).repeat(11).resolve(10)
    with pytest.raises(ValueError, match="is left with no steps"):
        ks.Linear(1.0, steps=10).then(ks.Linear(1.0)).resolve(10)


def test_three_phases_fit_in_the_length():
    assert ks.OneCycle(1.0, three_phase=True, rise=0.5).rise == 0.5
    with pytest.raises(ValueError, match="`rise` must"):
        ks.OneCycle(1.0, three_phase=True, rise=0.5 + 1e-16 * 2)
    assert ks.OneCycle(1.0, three_phase=True, rise=0.25, last=0.75).last == 0.75
    with pytest.raises(ValueError, match="`last` must"):
        ks.OneCycle(1.0, three_phase=True, rise=0.25, last=0.7500001)


DEFAULTS = {
    "polynomial": 0.25,
    "exponential": math.exp(-1.5),
    "inverse_time": 1 / 1.5,
    "rex": 2 / 3,
    "delayed_linear": 1.0,
    "linear": 0.5,
    "cosine": 0.5,
    "sqrt": 1 - math.sqrt(0.5),
    "square": 0.75,
    "constant": 1.0,
    "tanh": 0.5 * (1 - math.tanh(-1.5)),
}


@pytest.mark.parametrize("name", ks.profiles.PROFILES)
def test_the_defaults_of_a_profile_are_pinned(name):
    """At half time, with nothing said of its options: a changed default is another curve."""
    assert float(ks.profiles.PROFILES[name](0.5)) == pytest.approx(DEFAULTS[name], rel=1e-14)
