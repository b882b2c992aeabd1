"""BitOPs of training beside counts made by hand, and those predicted beside those measured."""

from __future__ import annotations

import functools
import io
import json
import math
import sys
from fractions import Fraction

import keras
import numpy as np
import pytest
import rich.console
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_sched as ks
from keras_sched import precision
from keras_sched.precision import EMULATED, Cost, LayerCost, macs, predicted_cost, quantize

FULL = 32


def layer_cost(path, count, w, a, g, quantized=True):
    """A layer whose weights, activations and gradients have so many bits."""
    return LayerCost(path, quantized, float(count), *(count * x for x in (w * a, w * g, a * g)))


def convolved():
    """Two convolutions and the logits: 36 x 108, 16 x 144 and 12 MACs an example."""
    return keras.Sequential(
        [
            keras.Input([8, 8, 3]),
            keras.layers.Conv2D(4, 3, name="first"),
            keras.layers.Conv2D(4, 3, name="second", activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, name="logits"),
        ]
    )


MACS = {"first": 36 * 108, "second": 16 * 144, "logits": 4 * 3}
X = np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype("float32")
Y = np.random.default_rng(1).normal(size=(8, 3)).astype("float32")


def trained(**bits):
    """Three steps of four, two and two examples; an evaluation between them."""
    model = convolved()
    model.compile(keras.optimizers.SGD(0.01), "mse", run_eagerly=True)
    handle = quantize(model, **bits)
    for part in (slice(0, 4), slice(4, 6), slice(6, 8)):
        model.train_on_batch(X[part], Y[part])
        model.test_on_batch(X[part], Y[part])
    return model, handle


# --- by hand --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (
            {"weights": 3, "activations": 4, "gradients": 8, "layers": "all"},
            {"first": (3, 4, 8), "second": (3, 4, 8), "logits": (3, 4, 8)},
        ),
        (
            {"weights": 3, "activations": 5, "gradients": 7, "layers": "cpt_cifar"},
            {"first": (3, 5, 7), "second": (3, 5, 7), "logits": (FULL, FULL, FULL)},
        ),
        (
            {"weights": 4, "activations": None, "gradients": None, "layers": "all"},
            dict.fromkeys(MACS, (4, FULL, FULL)),
        ),
        (
            {
                "weights": 4,
                "activations": 6,
                "gradients": 8,
                "layers": [(".*first", None), (".*second", {"weights": 2, "gradients": None})],
            },
            {"first": (FULL, FULL, FULL), "second": (2, 6, FULL), "logits": (4, 6, 8)},
        ),
    ],
    ids=["all", "all_but_the_last", "weights_only", "rules"],
)
def test_a_training_by_hand(bits, expected):
    """Eight examples in three steps: w a forward, w g and a g backward, for every MAC."""
    model, handle = trained(**bits)
    by_hand = []
    for name, (w, a, g) in expected.items():
        count = 8 * MACS[name]
        assert MACS[name] == {each.path.split("/")[-1]: each.macs for each in macs(model)}[name]
        by_hand.append((name, (w, a, g) != (FULL,) * 3, count, count * w * a, count * w * g))
    found = [
        (x.path.split("/")[-1], x.quantized, x.macs, x.forward, x.input_gradient)
        for x in handle.cost().layers
    ]
    assert found == by_hand
    weight_gradients = [8 * MACS[name] * a * g for name, (_, a, g) in expected.items()]
    assert [x.weight_gradient for x in handle.cost().layers] == weight_gradients
    cost = handle.cost()
    assert cost.bitops_train == sum(
        8 * MACS[name] * (w * a + w * g + a * g) for name, (w, a, g) in expected.items()
    )
    assert cost.bitops_forward == sum(
        8 * MACS[name] * w * a for name, (w, a, _) in expected.items()
    )
    assert cost.macs == 8 * sum(MACS.values())


def test_the_formula_of_the_papers():
    """M (q^2 + 2 q q_g) for a step; over 3 M 32^2 it is their ratio."""
    cost = Cost((layer_cost("layer", 1000, 5, 5, 8),))
    assert cost.bitops_train == 1000 * (5**2 + 2 * 5 * 8) == 105_000
    assert cost.relative_to_fp32 == (25 + 40 + 40) / 3 / 32**2
    assert cost.relative_to_static(8) == 105 / 192
    assert cost.relative_to_static(8, gradient_bits=16) == 105 / (64 + 256)
    assert cost.relative_to_static(32) == cost.relative_to_fp32


def test_assigned_bits_count_from_the_next_step_on():
    model, handle = trained(weights=8, activations=8, gradients=8, layers="all")
    before = handle.cost()
    handle.weights.assign(3)
    handle.activations.assign(3)
    model.train_on_batch(X[:4], Y[:4])
    more = handle.cost().bitops_train - before.bitops_train
    assert before.bitops_train == 8 * sum(MACS.values()) * 3 * 8**2
    assert more == 4 * sum(MACS.values()) * (3**2 + 2 * 3 * 8)


def test_evaluation_and_prediction_cost_nothing_and_what_is_detached_is_not_counted():
    model, handle = trained(weights=8, activations=8, gradients=8)
    before = handle.cost()
    model.evaluate(X, Y, verbose=0)
    model.predict(X, verbose=0)
    with handle.paused():
        model.train_on_batch(X, Y)
    assert handle.cost() == before
    model.train_on_batch(X[:1], Y[:1])
    assert handle.cost().macs == before.macs + sum(MACS.values())


def test_sixteen_bits_of_a_layer_in_half_precision_are_sixteen_bits():
    x = keras.Input([5])
    y = keras.layers.Dense(7, name="half", dtype="mixed_bfloat16")(x)
    model = keras.Model(x, keras.layers.Dense(2, name="logits", dtype="float32")(y))
    model.compile(keras.optimizers.SGD(0.01), "mse", run_eagerly=True)
    handle = quantize(model, weights=4, activations=None, gradients=8, layers="all")
    model.train_on_batch(np.ones([3, 5]), np.ones([3, 2]))
    half, full = handle.cost().layers
    assert (half.forward, half.input_gradient) == (3 * 35 * 4 * 16, 3 * 35 * 4 * 8)
    assert (full.forward, full.weight_gradient) == (3 * 14 * 4 * 32, 3 * 14 * 32 * 8)


def test_products_within_an_attention_count_in_full_precision():
    x = keras.Input([10, 16])
    attended = keras.layers.MultiHeadAttention(2, 8, name="attention")(x, x)
    model = keras.Model(x, keras.layers.Dense(4, name="out")(attended))
    model.compile(keras.optimizers.SGD(0.01), "mse", run_eagerly=True)
    handle = quantize(model, weights=4, activations=4, gradients=4, layers="all")
    model.train_on_batch(np.ones([2, 10, 16]), np.ones([2, 10, 4]))
    *projections, scores = handle.cost().layers
    assert scores.path.endswith("attention/scores") and not scores.quantized
    assert scores.macs == 2 * 3200
    assert scores.train == 3 * FULL**2 * scores.macs
    assert sum(layer.macs for layer in projections) == 2 * 10_880
    assert all(layer.train == 3 * 4**2 * layer.macs for layer in projections)


# --- laws -----------------------------------------------------------------------------------------

BITS = st.integers(2, 16)
LAYERS = st.lists(
    st.tuples(st.integers(1, 10**6), BITS, BITS, BITS, st.booleans()), min_size=1, max_size=5
)


@settings(deadline=None)
@given(LAYERS, BITS, st.none() | BITS)
def test_sums_are_those_of_rational_numbers(layers, bits, gradient_bits):
    cost = Cost(
        tuple(
            layer_cost(str(index), count, *((w, a, g) if on else (FULL,) * 3), on)
            for index, (count, w, a, g, on) in enumerate(layers)
        )
    )
    spent = quantized_static = quantized = everything = Fraction(0)
    g_static = bits if gradient_bits is None else gradient_bits
    for count, w, a, g, on in layers:
        each = Fraction(w * a + w * g + a * g) if on else Fraction(3 * FULL**2)
        spent += count * each
        everything += count * 3 * FULL**2
        quantized += count * each if on else 0
        quantized_static += count * (bits**2 + 2 * bits * g_static if on else 3 * FULL**2)
    assert cost.relative_to_fp32 == pytest.approx(float(spent / everything), rel=1e-14)
    static = cost.relative_to_static(bits, gradient_bits=gradient_bits)
    assert static == pytest.approx(float(spent / quantized_static), rel=1e-14)
    assert cost.quantized_only().bitops_train == pytest.approx(float(quantized), rel=1e-14)
    assert cost.effective_bits**2 == pytest.approx(FULL**2 * float(spent / everything), rel=1e-13)


@settings(deadline=None)
@given(BITS, st.integers(1, 10**9))
def test_one_width_everywhere_is_its_own_effective_width(bits, count):
    cost = Cost((layer_cost("a", count, bits, bits, bits), layer_cost("b", 7, bits, bits, bits)))
    assert cost.effective_bits == pytest.approx(bits, rel=1e-14)
    assert cost.relative_to_static(bits) == pytest.approx(1.0, rel=1e-14)


def test_before_the_first_step_there_is_no_ratio():
    for cost in (Cost(()), Cost((LayerCost("layer", True, 0.0, 0.0, 0.0, 0.0),))):
        assert (cost.is_counted, cost.macs, cost.bitops_train) == (True, 0.0, 0.0)
        for ratio in ("relative_to_fp32", "effective_bits"):
            with pytest.raises(ValueError, match=r"no ratio before.*Received: 0 MACs"):
                getattr(cost, ratio)
        with pytest.raises(ValueError, match="no ratio before"):
            cost.relative_to_static(8)
        summary = json.loads(json.dumps(cost.summary(), allow_nan=False))
        for part in ("all_layers", "quantized_layers"):
            assert (summary[part]["macs"], summary[part]["relative_to_fp32"]) == (0.0, None)


def test_where_nothing_could_be_counted_there_is_no_number():
    """Neither with no layer counted, nor with one that multiplies nothing."""
    for layers in ((), (LayerCost("table", True, 0.0, 0.0, 0.0, 0.0),)):
        cost = Cost(layers, ("model/own", "model/other"))
        assert not cost.is_counted
        numbers = ("macs", "bitops_forward", "bitops_train", "relative_to_fp32", "effective_bits")
        asks = [functools.partial(getattr, cost, name) for name in numbers]
        for ask in (*asks, functools.partial(cost.relative_to_static, 8), cost.summary):
            with pytest.raises(
                ValueError, match=r"Received: model/own, model/other\. Say how many"
            ):
                ask()
        assert shown(cost).count("not counted") == 4


def test_a_summary_has_no_numbers_of_a_part_that_could_not_be_counted():
    cost = Cost((layer_cost("a", 500, 32, 32, 32, False),), ("own",))
    summary = json.loads(json.dumps(cost.summary(), allow_nan=False))
    assert summary["uncounted"] == ["own"] and summary["all_layers"]["macs"] == 500
    assert set(summary["quantized_layers"].values()) == {None}


@pytest.mark.parametrize(
    ("bits", "error"), [(1, ValueError), (33, ValueError), (7.5, ValueError), ("8", TypeError)]
)
def test_a_width_that_is_none_is_refused(bits, error):
    cost = Cost((layer_cost("layer", 10, 8, 8, 8),))
    with pytest.raises(error, match="`bits` must be"):
        cost.relative_to_static(bits)
    with pytest.raises(error, match="`gradient_bits` must be"):
        cost.relative_to_static(8, gradient_bits=bits)


# --- what is shown --------------------------------------------------------------------------------


def shown(cost, width=200):
    console = rich.console.Console(file=io.StringIO(), width=width)
    console.print(cost.table())
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 60, 40])
def test_a_narrow_table_loses_no_text(width):
    path = "a_model_with_a_name/stage_3/block_12/multi_head_attention/query"
    cost = Cost((layer_cost(path, 123456789, 4, 4, 8),), (f"{path}/scores",))
    lines = shown(cost, width).splitlines()
    assert max(map(len, lines)) <= width
    bars = [line.replace("┃", "│").strip("│").split("│") for line in lines]
    rows = [cells for cells in bars if len(cells) == 5]
    columns = ["".join(column).replace(" ", "") for column in zip(*rows, strict=True)]
    assert columns == [
        f"layer{path}quantizedlayersall{path}/scores",
        "MACs" + "1.23e+08" * 3 + "notcounted",
        "BitOPsforward" + "1.98e+09" * 3,
        "BitOPstraining" + "9.88e+09" * 3,
        "offloat32" + "2.6%" * 3,
    ]


def test_a_table_says_what_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.table", None)
    with pytest.raises(ImportError, match=r"pip install 'keras_sched\[trainers\]'"):
        Cost(()).table()


def test_the_table_has_a_row_for_each_layer_and_says_that_it_is_emulated():
    quantized, full = layer_cost("a", 2000, 4, 4, 8), layer_cost("b", 500, 32, 32, 32, False)
    table = Cost((quantized, full), ("c",)).table()
    columns = [list(column.cells) for column in table.columns]
    assert [column.header for column in table.columns] == [
        "layer",
        "MACs",
        "BitOPs forward",
        "BitOPs training",
        "of float32",
    ]
    # 2000 (16 + 2 32) and 500 3 32^2; a share of 80 / 3072, and of both 1,696,000 / 7,680,000.
    assert list(zip(*columns, strict=True)) == [
        ("a", "2e+03", "3.2e+04", "1.6e+05", "2.6 %"),
        ("b", "500", "5.12e+05", "1.54e+06", "100.0 %"),
        ("quantized layers", "2e+03", "3.2e+04", "1.6e+05", "2.6 %"),
        ("all", "2.5e+03", "5.44e+05", "1.7e+06", "22.1 %"),
        ("c", "not counted", "", "", ""),
    ]
    assert "Emulated" in EMULATED
    assert EMULATED in " ".join(shown(Cost((quantized, full))).split())
    assert "nan" not in shown(Cost((LayerCost("layer", True, 0.0, 0.0, 0.0, 0.0),)))


def test_the_summary_is_of_json_and_says_that_it_is_emulated():
    cost = Cost((layer_cost("a", 2000, 4, 4, 8), layer_cost("b", 500, 32, 32, 32, False)), ("c",))
    summary = json.loads(json.dumps(cost.summary()))
    assert summary["note"] == EMULATED
    assert summary["uncounted"] == ["c"]
    assert summary["quantized_layers"] == {
        "macs": 2000.0,
        "bitops_forward": 32_000.0,
        "bitops_train": 160_000.0,
        "relative_to_fp32": 80 / 3072,
        "effective_bits": pytest.approx(math.sqrt(80 / 3)),
    }
    assert summary["all_layers"]["bitops_train"] == 160_000 + 500 * 3072


# --- predicted and measured -----------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.lists(st.tuples(BITS, BITS), min_size=1, max_size=6),
    st.integers(1, 4),
)
def test_a_prediction_is_the_mean_over_steps(bits, each):
    """Piecewise constant schedules of weights and of gradients, in rational numbers."""
    at = [each * index for index in range(1, len(bits))]
    steps = each * len(bits)
    columns = zip(*bits, strict=True)
    forward, gradients = (ks.PiecewiseConstant(column, boundaries=at) for column in columns)
    spent = sum(Fraction(q * q + 2 * q * g, len(bits)) for q, g in bits)
    top, top_g = (max(column) for column in zip(*bits, strict=True))
    found = predicted_cost(forward, gradients=gradients, steps=steps)
    assert found["relative_to_fp32"] == pytest.approx(float(spent / 3072), rel=1e-13)
    static = float(spent / (top**2 + 2 * top * top_g))
    assert found["relative_to_static"] == pytest.approx(static, rel=1e-13)
    assert found["effective_bits"] == pytest.approx(math.sqrt(spent / 3), rel=1e-13)


def test_a_prediction_without_quantized_gradients_takes_32_bits():
    assert (
        predicted_cost(8, gradients=None, steps=5)["relative_to_fp32"] == (64 + 2 * 8 * 32) / 3072
    )
    assert predicted_cost(8, gradients=None, steps=5e0) == predicted_cost(
        8, gradients=None, steps=5
    )
    assert predicted_cost(8, gradients=8, steps=5)["effective_bits"] == 8.0
    assert predicted_cost(8, gradients=8, steps=5)["relative_to_static"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((1, 8, 10), ValueError, "`forward` must be a whole number of bits"),
        ((8, 17, 10), ValueError, "`gradients` must be a whole number of bits"),
        (("8", 8, 10), TypeError, "forward"),
        ((None, 8, 10), TypeError, "forward"),
        ((8, 8, 0), ValueError, "`steps` must be"),
        ((8, 8, 2.5), ValueError, "`steps` must be"),
        ((ks.Linear(3, end=8), 8, 10), ValueError, "whole number of bits"),
        ((ks.Constant(20), 8, 10), ValueError, "whole number of bits"),
    ],
)
def test_a_prediction_refuses_what_is_no_number_of_bits(arguments, error, message):
    with pytest.raises(error, match=message):
        forward, gradients, steps = arguments
        predicted_cost(forward, gradients=gradients, steps=steps)


STEPS = 46
SCHEDULES = {
    **{name: precision.get(name, 3, bits_max=8, cycles=4) for name in precision.CYCLIC},
    "static": precision.static(6),
    "rungs": precision.rungs(),
    "deficit": precision.deficit(3, bits_max=8, length="0.25dur", start="0.5dur"),
}


def test_what_a_real_training_costs_is_what_was_predicted():
    """Thirteen schedules, one trace, 46 steps each; the last layer stays in full precision."""
    model = convolved()
    model.compile(ks.optimizers.SGD(0.01), "mse", jit_compile=False)
    first = SCHEDULES["cr"].resolve(STEPS)
    handle = quantize(model, weights=first, activations=first, gradients=8)
    plain, traces = model.train_step, []
    model.train_step = lambda data: traces.append(1) or plain(data)
    data = tf.data.Dataset.from_tensors((X[:2], Y[:2])).repeat(STEPS)
    relative = {}
    for name, schedule in SCHEDULES.items():
        resolved = schedule.resolve(STEPS)
        handle.replace({"weight_bits": resolved, "activation_bits": resolved}, steps=STEPS)
        model.optimizer.iterations.assign(0)
        handle.variables[-1].assign(np.zeros(handle.variables[-1].shape))
        model.fit(data, shuffle=False, verbose=0)
        cost, predicted = handle.cost(), predicted_cost(schedule, gradients=8, steps=STEPS)
        quantized = cost.quantized_only()
        relative[name] = quantized.relative_to_fp32
        assert cost.macs == 2 * STEPS * sum(MACS.values())
        assert quantized.macs == 2 * STEPS * (MACS["first"] + MACS["second"])
        assert relative[name] == pytest.approx(predicted["relative_to_fp32"], rel=1e-12), name
        assert quantized.effective_bits == pytest.approx(predicted["effective_bits"], rel=1e-12)
        most = int(resolved(np.arange(STEPS)).max())
        static = quantized.relative_to_static(most, gradient_bits=8)
        assert static == pytest.approx(predicted["relative_to_static"], rel=1e-12), name
        # Over all layers the logits weigh in with 32 bits, in the training and in its baseline.
        both = 2 * STEPS * MACS["logits"] * 3 * FULL**2
        each = quantized.macs * (most**2 + 2 * most * 8)
        expected = (quantized.bitops_train + both) / (each + both)
        assert cost.relative_to_static(most, gradient_bits=8) == pytest.approx(expected, rel=1e-12)
    assert traces == [1]
    # The order of the papers: REX saves most, exponentials least, the others lie between.
    assert max(relative["rr"], relative["rth"]) < min(relative[x] for x in ("lr", "cr", "ct"))
    assert min(relative["er"], relative["eth"]) > max(relative[x] for x in ("lr", "cr", "ct"))


def test_a_schedule_of_fit_costs_what_was_predicted():
    """As users do it: `ks.Scheduler` reads the length of the training from `fit`."""
    model = convolved()
    model.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=False, steps_per_execution=3)
    handle = quantize(model, weights=8, activations=8, gradients=6, layers="all")
    schedule = precision.cr(3, bits_max=8, cycles=2)
    scheduler = ks.Scheduler(bits=schedule)
    model.fit(X, Y, batch_size=1, epochs=3, verbose=0, callbacks=[scheduler])
    predicted = predicted_cost(schedule, gradients=6, steps=24)
    assert handle.cost().relative_to_fp32 == pytest.approx(predicted["relative_to_fp32"], rel=1e-12)
    model.fit(X, Y, batch_size=4, verbose=0)
    later = handle.cost().bitops_train - predicted["relative_to_fp32"] * 3072 * 24 * sum(
        MACS.values()
    )
    assert later == pytest.approx(8 * sum(MACS.values()) * (8**2 + 2 * 8 * 6), rel=1e-9)
