"""Random configurations of image classification: right ones, wrong ones, and the rule for both."""

from __future__ import annotations

import contextlib
import json
import math
import re
import time

import numpy as np
from hypothesis import strategies as st

import keras_sched as ks
from trainers.options.classification import Classification
from trainers.options.fields import shown

BASE = {"name": "a", "dataset": "digits8", "model": "cnn2"}
LEAVES = Classification.leaves()

# --- wrong ones -----------------------------------------------------------------------------------


class Odd:
    """A value whose text cannot be had."""

    def __repr__(self):
        raise RuntimeError("no text")


def deep(levels, make=lambda inner: {"a": inner}):
    inner = {}
    for _ in range(levels):
        inner = make(inner)
    return inner


def shared(levels):
    """A list that is small in memory, and of 10 ** levels items when it is looked at."""
    inner = [0]
    for _ in range(levels):
        inner = [inner] * 10
    return inner


CYCLE = []
CYCLE.append(CYCLE)

TEXTS = [
    *(
        "",
        " ",
        "\0",
        "a\0b",
        "\ud800",
        "é",
        "\u0661ep",
        "名前",
        "x" * 2000,
        "x" * 10**6,
        "%s",
        "{}",
    ),
    *("3weeks", "1e400ep", "-1ep", "1e18ep", "nanep", "infep", "0.5", "2dur", "ep", "1e300dur"),
    *("../x", "/", ".", "..", "~", "a/b", "a\n", "CON", "none", "None", "True", "1", "8", "nan"),
    *("(", "[", "*" * 200, "(a+)+$" * 20, "[!", "a{99999999999}", "\\"),
    *("float8", "mixed_float16", "mixed_float16:0.5", "every:0.1dur", "rex", "triangular", "cr"),
    *("piecewise_linear", "noam", "plateau", "deficit", "static", "rungs", "x.weights.h5"),
    *("nothing.keras", "\0.keras", "x" * 990 + ".keras", "0.1dur", "1ep", "0ep", "10st", "1e9ep"),
]
NUMBERS = [
    *(math.nan, math.inf, -math.inf, 1e400, -0.0, 0.0, 5e-324, 1e308, -1.0, 0.5, 1.0, 0.9999999),
    *(0, 1, -1, 2, 3, 17, 2**31, 2**32, 2**53 + 1, 2**63, 2**64, 10**400, 10**5000, -(10**400)),
    *(np.float32("nan"), np.float16("inf"), np.int8(-3), np.uint64(2**64 - 1), np.bool_(True)),
    *(np.float64(0.1), np.str_("rex"), np.longdouble("1e4000"), np.datetime64("NaT"), 1j, True),
]
OTHERS = [
    *(None, b"bytes", Odd(), object(), int, [], (), {}, set(), frozenset("a"), range(3), ...),
    *(np.zeros(3), np.array(0.1), [None], [[]], ["rex", 1], ("0.5dur", "0.25dur"), [b"a"]),
    *(["a"] * 5000, [math.nan], {1: 2}, {None: 1}, {(): 1}, {"a": object()}, {"": ""}),
    *({"a" * 10**5: 1}, {"\ud800": 1}, {"a": math.nan}, {"a": b""}, {"monitor": "val_loss"}),
    *(deep(11), deep(400), deep(5000), deep(3000, lambda x: [x]), shared(3), shared(25), CYCLE),
    *({"steps": 10**9}, {"steps": -1}, {"length": "2dur"}, {"length": "3weeks"}, {"d": "a"}),
    *({"end": 10.0}, {"start": 0.1}, {"every": "9dur"}, {"half_period": "2dur", "start": 0.0}),
    *({"at": ["0.5dur", "0.2dur"]}, {"at": "0.5dur"}, {"bits_min": 2}, {"cycles": 10**12}),
    *({"conv*": 0.0}, {"conv*": -1}, {"conv*": True}, {"conv*": "a"}, {"conv*": 1e300}, {"[": 1}),
    *({"length": "0.5dur", "start": "0.9dur"}, {"rounding": "down"}, {"bits": [3, 20]}),
    *({"optimizer": "sgd"}, {"patience": 1e9, "factor": 0.5}, {"name": "a b"}, {"mode": []}),
]
BITS_ARGUMENTS = ["bits", "bits_min", "bits_max", "cycles", "length", "start", "rounding", "steps"]
NAMES = [
    *("nme", "batch_sise", "Epochs", "epochs ", "lr", "", "\0", "\ud800", "x" * 10**5, "__class__"),
    *(0, None, 1.5, (), b"epochs", math.nan, frozenset(), True, "training", "optimization", "`"),
]


def of(values):
    """One of some values, by its place: Hypothesis would ask each for its text."""
    return st.integers(0, len(values) - 1).map(lambda place: values[place])


class Changes(dict):
    """Changes to a configuration whose text is short, whatever is in them."""

    def __repr__(self):
        return shown(dict(self))


def junk():
    """Anything: what is known to be nasty, what is random, and nests of both."""
    single = st.one_of(
        of(TEXTS),
        of(NUMBERS),
        st.text(max_size=20),
        st.integers(),
        st.floats(),
    )
    nested = st.recursive(
        single,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
        ),
        max_leaves=6,
    )
    return st.one_of(single, of(OTHERS), nested)


def typed(name):
    """A value of the right type for an option, mostly a wrong one."""
    leaf = LEAVES[name]
    texts = of(TEXTS + ks.schedules.names() + ks.precision.names() + list(leaf.declared.choices))
    kinds = {
        int: of([0, 1, 2, 3, 8, 100, 10**4, 10**7, 2**32 - 1]) | st.integers(0, 2**40),
        float: of([0.0, 1e-9, 0.5, 1.0, 100.0, 1e6]) | st.floats(0.0, 1e7),
        str: texts,
        tuple: st.lists(texts, max_size=3),
        dict: of([each for each in OTHERS if isinstance(each, dict)]),
    }
    return st.tuples(st.just(name), st.one_of([kinds[kind] for kind in leaf.kinds]))


def options_of(option, names, arguments):
    """A schedule by its name, with some of its arguments by their names, of any value."""
    within = option.replace("schedule", "options") if "_" in option else "schedule_options"
    texts = of(TEXTS)
    return st.sampled_from(names).flatmap(
        lambda name: st.dictionaries(
            st.sampled_from(arguments(name)), st.floats(0.0, 2.0) | texts | junk(), max_size=3
        ).map(lambda options: {option: name, within: options})
    )


def anything():
    """Changes to a right configuration: most of them wrong."""
    some = st.dictionaries(st.sampled_from(sorted(LEAVES)), junk(), min_size=1, max_size=3)
    nearly = st.lists(st.sampled_from(sorted(LEAVES)).flatmap(typed), min_size=1, max_size=4)
    odd = st.dictionaries(of(NAMES), junk(), min_size=1, max_size=2)
    rates = options_of("schedule", ks.schedules.names(), ks.schedules.arguments)
    momenta = options_of("momentum_schedule", ks.schedules.names(), ks.schedules.arguments)
    bits = options_of("precision_schedule", ks.precision.names(), lambda name: BITS_ARGUMENTS)
    some_or_more = st.tuples(rates, nearly.map(dict)).map(lambda pair: {**pair[1], **pair[0]})
    return st.one_of(
        some, nearly.map(dict), nearly.map(dict), odd, rates, momenta, bits, some_or_more
    ).map(Changes)


# --- right ones -----------------------------------------------------------------------------------

# Epochs of digits8 in batches of 128 have 11 steps, or 10 where some are held out.
_LENGTHS = st.sampled_from(["0ep", "1st", "0.1dur", "10%", "2st", "0.25ep", "100sp"])
_RATES = st.floats(1e-6, 1e3)
RATES = {
    "constant": {},
    "cosine": {"k": 0.5, "end": 0.0},
    "cosine_restarts": {"period": "0.5dur"},
    "delayed_linear": {"delay": 0.3},
    "exp_range": {"start": 0.0, "half_period": "0.25dur"},
    "exponential": {"rate": 2.0},
    "inverse_power": {"timescale": "0.1dur"},
    "inverse_sqrt": {"timescale": "0.1dur"},
    "inverse_time": {},
    "linear": {"end": 0.0},
    "multistep": {"at": ["0.5dur", "0.75dur"]},
    "one_cycle": {"rise": 0.4},
    "one_cycle_triangle": {},
    "plateau": {"patience": 2, "factor": 0.5},
    "polynomial": {"power": 1.5},
    "polynomial_restarts": {"period": "0.5dur"},
    "power": {"batch_size": 128, "tokens_per_step": 128},
    "rex": {"d": 0.5},
    "step": {"every": "0.3dur"},
    "refined": {"profile": [0.5, 1.0, 0.0]},
    "tanh": {},
    "triangular": {"start": 0.0, "half_period": "0.25dur"},
    "triangular2": {"start": 0.0, "half_period": "0.25dur"},
    "wsd": {"cooldown_length": "0.2dur", "warmup_length": "0.1dur"},
}
MOMENTA = {
    "constant": {},
    "cosine_momentum": {},
    "demon": {"end": 0.1},
    "exponential_momentum": {},
    "linear_momentum": {},
    "one_cycle_momentum": {"low": 0.0},
}
BITS = {
    "none": {},
    "cr": {},
    "deficit": {"length": "0.3dur"},
    "rr": {"rounding": "floor"},
    "static": {},
}


def _chosen(name, table, within):
    """A name of a table in one option, and its options, or none where it needs none, in another."""
    return st.sampled_from(sorted(table)).map(lambda key: {name: key, within: table[key]})


def right():
    """A right configuration; hardly any option is left at its default."""
    bits_min = st.integers(2, 8)
    parts = [
        _chosen("schedule", RATES, "schedule_options"),
        _chosen("momentum_schedule", MOMENTA, "momentum_options"),
        _chosen("precision_schedule", BITS, "precision_options"),
        bits_min.flatmap(
            lambda low: st.fixed_dictionaries(
                {"bits_min": st.just(low), "bits_max": st.integers(low, 8)}
            )
        ),
        st.sampled_from(
            [
                {},
                {"policies": ["mixed_bfloat16"]},
                {"policies": ["mixed_bfloat16", "float32"], "policy_lengths": ["0.5dur"]},
                {"policies": ["mixed_float16", "float32"], "policy_lengths": ["0.5dur", "0.5dur"]},
            ]
        ),
        st.sampled_from([{}, {"sampled_every": "0.2dur"}, {"sampled_at": ["0.25dur", "0.5dur"]}]),
        st.sampled_from(
            [{}, {"clip_norm": 1.0}, {"clip_value": 0.5}, {"rate_factors": {"conv2d/*": 0.1}}]
        ),
        st.sampled_from(
            [{"optimizer": name} for name in ("adam", "amsgrad", "demon_adam", "sgd", "nesterov")]
            + [{"optimizer": "adamw", "weight_decay": 0.01}]
        ),
        st.fixed_dictionaries(
            {},
            optional={
                "name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}", fullmatch=True),
                "epochs": st.integers(4, 12),
                "budget": st.floats(1.0, 3.0),
                "batch_size": st.integers(32, 128),
                "split": st.sampled_from(["test", "validation"]),
                "seed": st.integers(0, 2**32 - 1),
                "evaluate_every": st.integers(1, 100),
                "steps_per_call": st.integers(1, 1000),
                "steps_per_checkpoint": st.integers(0, 2**40),
                "seconds_per_checkpoint": st.floats(0.0, 1e6),
                "keep_weights": st.sampled_from(["none", "final", "best"]),
                "dataset": st.sampled_from(["digits", "digits8"]),
                "model": st.sampled_from(["cnn2", "vgg16", "resnet20"]),
                "learning_rate": _RATES | st.integers(1, 100),
                "schedule_delay": st.sampled_from(["0ep", "0.1dur", "2st"]),
                "warmup": _LENGTHS,
                "momentum": st.floats(0.2, 0.9999),
                "form": st.sampled_from(["keras", "pytorch"]),
                "l2": st.just(0.0) | st.floats(1e-30, 1e6),
                "decayed": st.sampled_from(["all", "matrices"]),
                "average": st.floats(0.0, 0.999999),
                "frozen": st.lists(st.text("ab*?/[]", max_size=10), max_size=3),
                "gradient_bits": st.sampled_from([0, 2, 8]),
                "cycles": st.integers(1, 8),
                "quantized_layers": st.sampled_from(sorted(ks.precision.PRESETS)),
                "evaluation_bits": st.sampled_from(["max", "current", 2, 8]),
            },
        ),
    ]
    return st.tuples(*parts).map(
        lambda found: {k: v for part in (BASE, *found) for k, v in part.items()}
    )


# --- the rule -------------------------------------------------------------------------------------


def refused(task, changes):
    """Make a task of changes to a right configuration; return its error, None if it is right.

    Whatever the changes are, the error is a ValueError that names an option in backticks, and one
    of those that were changed, says what was received, and can be written anywhere.
    """
    values = {**BASE, **changes}
    try:
        made = task.of(values)
    except ValueError as error:
        text = str(error)
        assert "Received: " in text, text
        names = re.findall(r"`(.*?)`", text)
        assert names, text
        known = [name for name in changes if name in LEAVES]
        if len(known) == len(changes):
            assert set(names) & set(LEAVES), text
            assert any(name in text for name in known), text
        assert len(text) < 2500, len(text)
        text.encode()
        return error
    flat = made.config.flat()
    assert task.options.of(json.loads(json.dumps(flat, allow_nan=False))).flat() == flat
    return None


def seconds(task, changes):
    """Return the seconds of computing that a refusal takes: the least of some."""
    took = []
    for _ in range(3):
        began = time.process_time()
        with contextlib.suppress(ValueError):
            task.of({**BASE, **changes})
        took.append(time.process_time() - began)
        if took[-1] < 0.01:
            break
    return min(took)
