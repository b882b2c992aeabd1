"""Whatever an argument is, it is taken or refused with an error that names it."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import keras_sched as ks
from keras_sched.schedules import base
from tests.laws.cases import ALL_SCHEDULES

many = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
ONCE = {type(case.schedule): case.schedule for case in ALL_SCHEDULES.values()}
UNITS = ("steps", "epochs", "fraction", "samples", "seconds")

numbers = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([10**400, -(10**400), 2**53, 2**64, 1e308, 3.5e38, 1e-320, -0.0, True, 0.5]),
)
texts = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["linear", "cosine", "1ep", "0dur", "1e400ep", "1e300ep", "-1st", "1e30st"]),
)
arrays = st.sampled_from(
    [np.zeros(0), np.arange(3), np.float32(0.5), np.int64(7), np.array("a"), np.zeros((2, 2))]
)
things = st.sampled_from(
    [None, ks.REX(0.1), ks.Duration(3, unit="epochs"), ks.Duration(3, unit="steps"), object(), 1j]
)
anything = st.recursive(
    st.one_of(numbers, texts, arrays, things, st.binary(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(st.text(max_size=3), inner, max_size=2),
    ),
    max_leaves=6,
)


RUN = ks.Run(steps=1000, steps_per_epoch=100)
STEPS = np.arange(0, 1200, 97)


def check_taken_or_named(make, name):
    """What is made has values, or says why not; what is refused is so by name, and briefly."""
    try:
        made = make()
    except (ValueError, TypeError) as error:
        assert name in str(error), f"{name} is not in {error}"
        assert len(str(error)) < 2000
        return
    if isinstance(made, ks.Schedule):
        assert len(repr(made)) < 10_000
        hash(made)
        with contextlib.suppress(ValueError):
            assert made.resolve(RUN)(STEPS).dtype == np.float32


@pytest.mark.parametrize("schedule", ONCE.values(), ids=lambda item: type(item).__name__)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numbers that overflow are no error
def test_each_argument_is_taken_or_named(schedule):
    fields = {f.name: getattr(schedule, f.name) for f in dataclasses.fields(schedule)}
    names = [*fields, *(UNITS if "length" in fields and hasattr(schedule, "steps") else ())]

    @many
    @given(st.sampled_from(names), anything)
    def check(name, value):
        arguments = {**fields, name: value}
        if name in UNITS:
            del arguments["length"]
        check_taken_or_named(lambda: type(schedule)(**arguments), name)

    check()


REX = ks.REX(0.1, steps=100)
ROOT = REX.repeat()
# What each public method and function is given by name, one argument at a time.
CALLS = {
    "warmup": (REX.warmup, {"length": 5, "start": 0.0, "profile": "linear", "offset": 1}),
    "cooldown": (REX.cooldown, {"length": 5, "end": 0.0, "profile": "linear"}),
    "shift": (REX.shift, {"by": 5}),
    "skip": (REX.skip, {"by": 5}),
    "until": (ROOT.until, {"length": 5}),
    "repeat": (
        REX.repeat,
        {
            "times": 5,
            "triangular": True,
            "mirror": "time",
            "stretch": 1.0,
            "scale": 1.0,
            "rounding": "up",
        },
    ),
    "sampled_every": (REX.sampled, {"every": 5}),
    "sampled_at": (REX.sampled, {"at": [5]}),
    "resolve": (REX.resolve, {"run": 100, "room": 50}),
    "stretched": (REX.stretched, {"factor": 2.0}),
    "then": (lambda schedules: REX.then(schedules), {"schedules": REX}),
    "times": (lambda value: REX * value, {"value": 2.0}),
    "plus": (lambda value: REX + value, {"value": 2.0}),
    "at_most": (lambda value: REX.at_most(value), {"value": 2.0}),
    "triangle": (ks.OneCycle.triangle, {"peak": 0.1, "length": 5}),
    "momentum": (ks.OneCycle(0.1, steps=9).momentum, {"start": 0.9, "low": 0.8}),
    "get": (lambda name, start: ks.get(name, start), {"name": "rex", "start": 0.1}),
    "simulate": (ks.simulate, {"schedule": REX, "n": 10}),
    "run": (
        ks.Run,
        {"steps": 5, "steps_per_epoch": 5, "batch_size": 5, "seconds_per_step": 0.5},
    ),
    "duration": (lambda epochs: ks.Duration(epochs, unit="epochs"), {"epochs": 3}),
    "parse": (ks.Duration.parse, {"length": 5}),
    "call": (lambda step: REX(step), {"step": 5}),
}


@pytest.mark.parametrize("which", CALLS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_each_argument_of_a_method_is_taken_or_named(which):
    call, arguments = CALLS[which]

    @many
    @given(st.sampled_from(list(arguments)), anything)
    def check(name, value):
        # Many steps make a long curve: what is asked for here is only how they are refused.
        if (
            (which, name) == ("simulate", "n")
            and isinstance(value, int | np.integer)
            and value > 99
        ):
            return
        check_taken_or_named(lambda: call(**{**arguments, name: value}), name)

    check()


@pytest.mark.parametrize("value", [3.5e38, 1e308, float("inf"), -0.1])
@pytest.mark.parametrize("schedule", ONCE.values(), ids=lambda item: type(item).__name__)
def test_a_value_that_float32_cannot_hold_is_refused(schedule, value):
    for name in ("start", "end", "peak", "low", "value"):
        if hasattr(schedule, name):
            with pytest.raises(ValueError, match=f"`{name}` must"):
                dataclasses.replace(schedule, **{name: value})


def test_a_value_too_small_for_float32_is_0_everywhere():
    stairs = ks.Step(1.0, every=10, factor=0.1)
    assert stairs(np.arange(0, 500, 10))[:38].all()
    assert (stairs(np.arange(380, 500)) == 0.0).all()
    assert stairs.check(500).low == 0.0


# --- schedules in schedules -----------------------------------------------------------------------

WRAPS = {
    "cooldown": lambda s: s.cooldown(2),
    "shift": lambda s: s.shift(1),
    "times": lambda s: s * 0.99,
    "times_left": lambda s: ks.Product((ks.Constant(0.99), s)),
    "then": lambda s: ks.Sequence((ks.Constant(1.0, steps=2), s)),
    "sampled": lambda s: s.sampled(every=2),
    "rounded": lambda s: s.rounded(),
    "mirrored": lambda s: s.mirrored(),
}


def nested(wrap, levels):
    schedule = ks.Cosine(1.0, steps=1000)
    for _ in range(levels - 1):
        schedule = wrap(schedule)
    return schedule


@pytest.mark.parametrize("name", WRAPS)
def test_so_many_levels_work_and_one_more_is_refused(name):
    deepest = nested(WRAPS[name], base.DEEPEST)
    assert deepest.depth == base.DEEPEST
    assert np.isfinite(deepest.resolve(2000)(np.arange(20))).all()
    saved = json.loads(deepest.to_json())
    assert keras.saving.deserialize_keras_object(saved) == deepest
    assert eval(repr(deepest), vars(ks)) == deepest
    assert copy.deepcopy(deepest) == deepest
    graph = tf.function(lambda t: deepest(t))
    assert float(graph(tf.constant(3))) == float(deepest(3))
    for _ in range(2):
        with pytest.raises(ValueError, match=f"more than {base.DEEPEST} levels"):
            WRAPS[name](deepest)


def test_a_file_of_too_many_levels_is_refused():
    saved = json.loads(nested(WRAPS["shift"], base.DEEPEST).to_json())
    for _ in range(5000):
        saved = {**saved, "config": {"schedule": saved, "by": "1st"}}
    with pytest.raises(ValueError, match="levels"):
        keras.saving.deserialize_keras_object(saved)
