"""Each argument of precision just inside its bounds, and just outside; what `replace` refuses."""

from __future__ import annotations

import functools

import keras
import pytest

import keras_sched as ks
from keras_sched import precision
from keras_sched.precision import Cost, LayerCost, quantize
from tests.precision.networks import HALF, compiled, network

COST = Cost((LayerCost("layer", True, 1.0, 64.0, 64.0, 64.0),))


@functools.cache
def model(dtype=None):
    return compiled(model=network(dtype, spy=False), jit_compile=False)


def quantized(**options):
    quantize(model(), layers="all", **options).detach()


def attached(**options):
    with quantize(model(), layers="all") as handle:
        handle.attach({"bits": precision.static(4)}, **options)


def macs(value):
    return precision.macs(model(), macs={".*hidden": value})


def phases(length):
    return ks.PrecisionPolicy([(HALF, length), ("float32", None)])


CYCLIC = [functools.partial(make, steps=100) for make in precision.CYCLIC.values()]
# The argument, what takes it, values just inside of its bounds, and just outside.
BOUNDS = [
    *(
        (name, lambda value, name=name: quantized(**{name: value}), [2, 16], [1, 17, 2.5])
        for name in ("weights", "activations", "gradients", "evaluation")
    ),
    ("seed", lambda value: quantized(seed=value), [0, 1], [-1, 0.5]),
    ("first_step", lambda value: attached(first_step=value), [0, 1, None], [-1, 0.5]),
    ("per", lambda value: attached(per=value), ["update", "micro"], ["epoch", "call"]),
    ("macs", macs, [0, 1], [-1, 0.5]),
    *(("bits_min", functools.partial(make, bits_max=16), [2, 16], [1, 17]) for make in CYCLIC),
    *(
        ("bits_max", lambda value, make=make: make(3, bits_max=value), [3, 16], [2, 17])
        for make in CYCLIC
    ),
    *(
        ("cycles", lambda value, make=make: make(3, bits_max=8, cycles=value), [1, 2], [0, 1.5])
        for make in CYCLIC
    ),
    *(
        ("rounding", lambda value, make=make: make(3, bits_max=8, rounding=value), ["up"], ["down"])
        for make in CYCLIC[:-1]
    ),
    ("bits", precision.static, [2, 16], [1, 17, 3.5]),
    ("bits", precision.rungs, [(2, 16), (4, 4)], [(1, 4), (4, 17), (4, 3)]),
    ("boundaries", lambda at: precision.rungs((3, 4), at=at), [[1]], [[1, 2], []]),
    (
        "bits_min",
        lambda value: precision.deficit(value, bits_max=16, length=1),
        [2, 16],
        [1, 17],
    ),
    ("bits_max", lambda value: precision.deficit(3, bits_max=value, length=1), [3, 16], [2, 17]),
    (
        "length",
        lambda value: precision.deficit(3, bits_max=8, length=value),
        [1, "1ep", "0.1dur"],
        [0, "0ep"],
    ),
    (
        "start",
        lambda value: precision.deficit(3, bits_max=8, length="1ep", start=value),
        [0, "2ep"],
        [2, "0.1dur"],
    ),
    (
        "forward",
        lambda value: precision.predicted_cost(value, gradients=8, steps=1),
        [2, 16],
        [1, 17],
    ),
    (
        "gradients",
        lambda value: precision.predicted_cost(8, gradients=value, steps=1),
        [2, 16, None],
        [1, 17],
    ),
    (
        "steps",
        lambda value: precision.predicted_cost(8, gradients=8, steps=value),
        [1, 2],
        [0, 1.5],
    ),
    ("bits", COST.relative_to_static, [2, 32], [1, 33]),
    (
        "gradient_bits",
        lambda value: COST.relative_to_static(8, gradient_bits=value),
        [2, 32, None],
        [1, 33],
    ),
    ("bits", ks.ProgressivePrecision, [(2, 3, 4, 16)], [(1, 3, 4, 8), (2, 3, 4, 17)]),
    (
        "gradient_bits",
        lambda value: ks.ProgressivePrecision((3, 8), gradient_bits=value),
        [(2, 16), None],
        [(1, 8), (2, 17), (8, 6), (6,), (6, 6, 6)],
    ),
    ("threshold", lambda value: ks.ProgressivePrecision(threshold=value), [1e-9, 9.0], [0.0]),
    ("decay", lambda value: ks.ProgressivePrecision(decay=value), [1e-9, 1.0], [0.0, 1.001]),
    ("window", lambda value: ks.ProgressivePrecision(window=value), [2, 3], [1, 2.5]),
    (
        "rung",
        lambda value: ks.ProgressivePrecision().set_state(
            {"rung": value, "losses": [], "first": []}
        ),
        [0, 3],
        [-1, 4],
    ),
    ("length|sum", phases, [1e-9, 0.999, "1st"], [0.0, 1.0, 1.001, "0st"]),
]


@pytest.mark.parametrize(
    ("name", "make", "inside", "outside"), BOUNDS, ids=[f"{i}_{b[0]}" for i, b in enumerate(BOUNDS)]
)
def test_inside_of_its_bounds_and_outside(name, make, inside, outside):
    argument = {"weights": "weight_bits", "activations": "activation_bits"}.get(name, name)
    argument = "gradient_bits|gradients" if name == "gradients" else argument
    for value in inside:
        make(value)
    for value in outside:
        with pytest.raises(ValueError, match=rf"(?i){argument}"):
            make(value)


# --- replace --------------------------------------------------------------------------------------

BITS = precision.static(4)


def names(handle):
    """What a refusal must leave as it was."""
    return {name: repr(schedule) for name, schedule in handle.attached().items()}


@pytest.mark.parametrize(
    ("schedules", "steps", "error", "message"),
    [
        ({"weight_bits": BITS}, 9, ValueError, "must replace all that are attached. Received"),
        ({"bits": BITS}, 9, ValueError, "Expected: .'activation_bits', 'weight_bits'"),
        ({}, 9, ValueError, "must replace all"),
        ({"weight_bits": BITS, "activation_bits": 8}, 9, TypeError, "must be a keras_sched sch"),
        (
            {"weight_bits": BITS, "activation_bits": ks.Linear(3, end=8).rounded()},
            9,
            ValueError,
            "length in steps",
        ),
        (
            {"weight_bits": BITS, "activation_bits": ks.Linear(3, end=8, steps=9)},
            9,
            ValueError,
            "whole number of bits",
        ),
        (
            {"weight_bits": BITS, "activation_bits": precision.static(9)},
            9,
            ValueError,
            "bfloat16, which holds levels of at most 8 bits. Received: activation_bits=9",
        ),
        ({"weight_bits": BITS, "activation_bits": BITS}, 0, ValueError, "`steps`.*at least 1"),
        ({"weight_bits": BITS, "activation_bits": BITS}, 1.5, ValueError, "`steps`"),
    ],
)
def test_what_cannot_replace_is_refused_and_replaces_nothing(schedules, steps, error, message):
    start = precision.static(8)
    with quantize(model(HALF), weights=start, activations=start, gradients=4) as handle:
        before = names(handle)
        with pytest.raises(error, match=message):
            handle.replace(schedules, steps=steps)
        assert names(handle) == before
        assert float(handle.current()["weight_bits"]) == 8
        handle.replace({"weight_bits": BITS, "activation_bits": BITS}, steps=1)  # the least
        assert float(handle.current()["weight_bits"]) == 4
        with pytest.raises(ValueError, match="`gradient_bits` follows no schedule"):
            handle.gradients.replace(BITS, 9)


# --- backends -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: quantize(model()),
        lambda: precision.macs(model()),
        ks.CostLogger,
        ks.ProgressivePrecision,
        lambda: ks.PrecisionPolicy([(HALF, 1.0)]),
    ],
    ids=["quantize", "macs", "CostLogger", "ProgressivePrecision", "PrecisionPolicy"],
)
def test_another_backend_is_refused_at_once(monkeypatch, make):
    make()
    found = precision.find(model())
    if found is not None:
        found.detach()
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(
        RuntimeError, match=r"needs the TensorFlow backend.*Received: backend='jax'"
    ):
        make()
