"""When a dtype policy begins, in data steps, and what is refused at construction."""

from __future__ import annotations

import pytest

import keras_sched as ks
from keras_sched.callbacks import PrecisionPolicy
from keras_sched.precision.phases import Ladder, Lengths
from tests.precision.networks import FULL, HALF, SCALED


@pytest.mark.parametrize(
    ("phases", "expected"),
    [
        ([(HALF, 0.9), (FULL, 0.1)], [(0, HALF), (90, FULL)]),
        ([(HALF, 0.35), (FULL, 0.3), (HALF, 0.35)], [(0, HALF), (35, FULL), (65, HALF)]),
        ([(HALF, "3ep"), (FULL, "15st"), (HALF, None)], [(0, HALF), (30, FULL), (45, HALF)]),
        ([(HALF, "0.25ep"), (FULL, "0.25ep"), (HALF, None)], [(0, HALF), (3, FULL), (5, HALF)]),
        ([(HALF, 0.2), (HALF, 0.3), (FULL, "0.5dur")], [(0, HALF), (50, FULL)]),
        ([(SCALED, "160sp"), (FULL, None)], [(0, SCALED), (20, FULL)]),
        ([(FULL, 1)], [(0, FULL)]),
        ([(HALF, 1 / 3), (FULL, 1 / 3), (HALF, 1 / 3)], [(0, HALF), (33, FULL), (67, HALF)]),
    ],
)
def test_lengths_are_counted_in_data_steps(phases, expected):
    run = ks.Run(steps=100, steps_per_epoch=10, batch_size=8)
    assert [tuple(phase) for phase in Lengths(phases).phases(run)] == expected


def test_a_schedule_takes_the_nearest_rung_and_the_higher_one_in_the_middle():
    ladder = Ladder(ks.Linear(16.0, end=32.0), {32: FULL, 16: HALF})
    assert ladder.phases(ks.Run(steps=16)) == ((0, HALF), (8, FULL))
    three = Ladder(ks.Linear(2.0, end=0.0), {0: FULL, 1: SCALED, 2: HALF})
    assert three.phases(ks.Run(steps=8)) == ((0, HALF), (3, SCALED), (7, FULL))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "either `phases`"),
        ({"phases": []}, ValueError, "at least one phase"),
        ({"phases": "float32"}, TypeError, "pairs"),
        ({"phases": [FULL]}, TypeError, "pairs"),
        ({"phases": [("bfloat16", 1.0)]}, ValueError, "must be one of"),
        ({"phases": [("mixed_bfloat61", 1.0)]}, ValueError, "must be one of"),
        ({"phases": [(HALF, 0.9), (FULL, 0.2)]}, ValueError, "sum to 1"),
        ({"phases": [(HALF, "90%"), (FULL, 0.05)]}, ValueError, "sum to 1"),
        ({"phases": [(HALF, 1.0), (FULL, None)]}, ValueError, "less than 1"),
        ({"phases": [(HALF, None), (FULL, 0.1)]}, ValueError, "Only the last"),
        ({"phases": [(HALF, 500), (FULL, None)]}, ValueError, "'500st'"),
        ({"phases": [(HALF, "0ep"), (FULL, None)]}, ValueError, "above 0"),
        ({"phases": [(HALF, "3 moons"), (FULL, None)]}, ValueError, "number with a unit"),
        ({"phases": [(FULL, 1.0)], "ladder": {16: HALF}}, ValueError, "for a schedule"),
        ({"phases": [(FULL, 1.0)], "exclude": "out"}, TypeError, "list of regular"),
        ({"phases": [(FULL, 1.0)], "exclude": ["("]}, ValueError, "regular expressions"),
        ({"phases": [(FULL, 1.0)], "exclude": [5]}, ValueError, "regular expressions"),
        ({"schedule": 16}, TypeError, "must be a keras_sched schedule"),
        ({"schedule": lambda step: 16}, TypeError, "must be a keras_sched schedule"),
        ({"schedule": ks.Constant(16.0), "ladder": [HALF]}, TypeError, "must map"),
        ({"schedule": ks.Constant(16.0), "ladder": {}}, ValueError, "at least one rung"),
        ({"schedule": ks.Constant(16.0), "ladder": {16: "int8"}}, ValueError, "one of"),
    ],
)
def test_what_cannot_be_is_refused_at_once(arguments, error, message):
    with pytest.raises(error, match=message):
        PrecisionPolicy(**arguments)
