"""Numbers that nobody writes: with another default people would train something else."""

from __future__ import annotations

import dataclasses
import inspect
import math

import pytest

import keras_sched as ks

CYCLED = ("cr", "ct", "er", "eth", "etv", "lr", "lt", "rr", "rth", "rtv")
DEFAULTS = {
    ks.schedules: {
        "REX": {"end": 0.0, "d": 0.5},
        "WSD": {"start": 0.0, "end": 0.0},
        "Cooldown": {"end": 0.0},
        "Cosine": {"end": 0.0, "k": 1.0, "power": 1.0},
        "CosineMomentum": {"start": 0.9, "end": 0.0, "k": 1.0, "power": 1.0},
        "CosineRestarts": {"stretch": 1.0, "scale": 1.0, "end": 0.0},
        "Cycles": {"triangular": False},
        "DelayedLinear": {"end": 0.0, "delay": 0.5},
        "Demon": {"start": 0.9, "end": 0.0},
        "ExpRange": {"gamma": 0.99994},
        "Exponential": {"end": 0.0, "rate": 3.0},
        "ExponentialMomentum": {"start": 0.9, "end": 0.0, "rate": 5.0},
        "InversePower": {"power": 0.5},
        "InverseTime": {"end": 0.0, "rate": 1.0},
        "Linear": {"end": 0.0},
        "LinearMomentum": {"start": 0.9, "end": 0.0},
        "MultiStep": {"factor": 0.1},
        "Noam": {"scale": 1.0},
        "OneCycle": {"rise": 0.3, "three_phase": False},
        "OneCycleMomentum": {"start": 0.95, "low": 0.85, "rise": 0.3, "three_phase": False},
        "Polynomial": {"end": 0.0, "power": 2.0, "k": 1.0},
        "PolynomialRestarts": {"power": 2.0, "end": 0.0},
        "Power": {"factor": 4.6, "exponent": -0.51},
        "Refined": {"end": 0.0},
        "Repeat": {"triangular": False, "stretch": 1.0, "scale": 1.0},
        "Step": {"factor": 0.1},
        "Tanh": {"end": 0.0, "lower": -6.0, "upper": 3.0},
        "Warmup": {"start": 0.0, "offset": 1},
        "label": {"width": 60},
    },
    ks.callbacks: {
        "CostLogger": {"quantized_only": False},
        "Plateau": {
            "factor": 0.1,
            "patience": 10,
            "verbose": 0,
            "min_delta": 1e-4,
            "cooldown": 0,
            "min_lr": 0.0,
        },
        "ProgressivePrecision": {"threshold": 0.05, "decay": 0.3, "window": 5},
        "Scheduler": {"updates_per_batch": 1},
        "StepLogger": {"every": 1, "norms": False, "capacity": 1000, "resume": False},
    },
    ks.range_tests: {
        "LRRangeTest": {
            "start": 1e-7,
            "end": 10.0,
            "steps": 100,
            "smoothing": 0.98,
            "divergence": 4.0,
        },
        "PrecisionRangeTest": {
            "bits_min": 2,
            "bits_max": 8,
            "steps": 40,
            "window": 10,
            "threshold": 0.1,
            "gradients": 8,
            "symmetric": False,
            "seed": 0,
        },
        "RangeTestResult": {"ended_early": False},
    },
    ks.precision: {
        "cpt": {"cycles": 32},
        **{name: {"cycles": 8} for name in CYCLED},
        "deficit": {"start": 0},
        "quantize": {
            "weights": 8,
            "activations": 8,
            "symmetric": False,
            "products": False,
            "seed": 0,
        },
    },
}


def numbers(function):
    """Return the defaults of a function that are numbers, by name."""
    try:
        arguments = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a type of Python's own
        return {}
    return {a.name: a.default for a in arguments if isinstance(a.default, int | float)}


@pytest.mark.parametrize("room", DEFAULTS, ids=lambda room: room.__name__)
def test_numbers_that_nobody_writes_are_pinned(room):
    public = {name: getattr(room, name) for name in room.__all__}
    found = {name: numbers(item) for name, item in public.items() if callable(item)}
    assert {name: own for name, own in found.items() if own} == DEFAULTS[room]


FROZEN = [
    ks.Run(steps=10),
    ks.Duration(10, unit="steps"),
    ks.REX(0.1, steps=10),
    ks.RangeTestResult((), (), (), False),
]


@pytest.mark.parametrize("item", FROZEN, ids=lambda item: type(item).__name__)
def test_what_is_compared_by_value_is_never_changed(item):
    for field in dataclasses.fields(item):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(item, field.name, math.pi)
    assert hash(item) == hash(dataclasses.replace(item))
