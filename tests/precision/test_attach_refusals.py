"""What cannot be quantized is refused before anything is touched, and the error says what to do."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from keras_sched.precision import quantize, rules
from tests.precision.networks import HALF, SCALED, X, Y, compiled, fit, network, numbers

SCHEDULE = ks.Linear(2, end=8, steps=6).rounded()


class OwnCall(keras.layers.Layer):
    """Sets its own matrix while it is called."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 3), name="kernel")

    def call(self, x):
        self.kernel.assign(self.kernel * 0.5)
        return keras.ops.matmul(x, self.kernel)


def snapshot(model):
    """What an attachment would change: weights, calls and compiled functions, by identity."""
    layers = list(rules.walk(model))
    found = [(id(layer), {k: id(v) for k, v in vars(layer).items()}) for layer in layers]
    calls = [vars(layer).get("call") for layer in layers]
    weights = [value.tobytes() for value in numbers(model.variables)]
    return found, calls, weights


@pytest.fixture(scope="module")
def trained():
    """A model with a compiled step, that no refusal may touch."""
    model = compiled(model=network(spy=False), jit_compile=False)
    fit(model, epochs=1)
    model.predict(X[:8], verbose=0)
    return model


ARGUMENTS = {
    "one_bit": ({"weights": 1}, ValueError, r"`weight_bits` must be a whole number.*weight_bits=1"),
    "too_many": ({"activations": 17}, ValueError, r"\[2, 16\]. Received: activation_bits=17"),
    "no_bits": ({"gradients": 0}, ValueError, r"Received: gradient_bits=0"),
    "half_a_bit": ({"weights": 2.5}, ValueError, r"whole number of bits.*weight_bits=2.5"),
    "not_finite": ({"weights": float("nan")}, ValueError, "weight_bits"),
    "text": ({"weights": "8"}, TypeError, "weight_bits"),
    "a_truth": ({"gradients": True}, TypeError, "gradient_bits"),
    "a_schedule_without_length": (
        {"weights": ks.Linear(2, end=8).rounded()},
        ValueError,
        r"must have its length in steps.*Give one, as `steps=1000`",
    ),
    "a_schedule_of_fractions": (
        {"activations": ks.Linear(2, end=8, steps=9)},
        ValueError,
        r"at every step.*`.rounded\(\)` makes",
    ),
    "a_schedule_out_of_range": (
        {"gradients": ks.Linear(8, end=1, steps=9).rounded()},
        ValueError,
        r"Received: gradient_bits=1 in",
    ),
    "an_unknown_preset": ({"layers": "cpt"}, ValueError, "`layers` must be.*cpt_cifar.*'cpt'"),
    "an_unknown_layer": (
        {"layers": [("hiden", None)]},
        ValueError,
        r"names none that could be quantized. Received: 'hiden'.*one of: .*hidden",
    ),
    "no_expression": ({"layers": [("(", None)]}, ValueError, "regular expressions"),
    "no_pairs": ({"layers": ["hidden"]}, TypeError, r"pairs \(pattern, bits\).*'hidden'"),
    "no_rules": ({"layers": 3}, TypeError, "must be a preset.*Received: 3"),
    "a_rule_of_numbers": ({"layers": [(".*", 8)]}, TypeError, "must be None or a mapping"),
    "an_unknown_key": (
        {"layers": [(".*", {"weight": 8})]},
        ValueError,
        "keys weights, activations, gradients. Received: weight",
    ),
    "a_rule_out_of_range": ({"layers": [(".*", {"weights": 1})]}, ValueError, "weights=1"),
    "nothing_left": (
        {"layers": [(".*", None)]},
        ValueError,
        r"must leave something to quantize. Received: layers=\[\('\.\*', None\)\].*hidden",
    ),
    "nothing_of_what_was_asked_for": (
        {"activations": None, "layers": [(".*", {"weights": None, "gradients": None})]},
        ValueError,
        "stay in full precision",
    ),
    "an_unknown_evaluation": ({"evaluation": "min"}, ValueError, "`evaluation` must be.*'min'"),
    "evaluation_out_of_range": ({"evaluation": 32}, ValueError, "evaluation=32"),
    "evaluation_of_none": ({"evaluation": None}, TypeError, "evaluation"),
    "symmetric": ({"symmetric": 1}, TypeError, "`symmetric` must be True or False. Received: 1"),
    "a_seed": ({"seed": -1}, ValueError, "seed"),
    "an_optimizer_by_name": ({"optimizer": "sgd"}, TypeError, "must be a Keras optimizer.*'sgd'"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_wrong_argument_is_refused_and_touches_nothing(trained, name):
    options, error, message = ARGUMENTS[name]
    before = snapshot(trained)
    with pytest.raises(error, match=message):
        quantize(trained, **options)
    assert snapshot(trained) == before


def test_the_snapshot_would_tell(trained):
    """The negative control."""
    before = snapshot(trained)
    with quantize(trained):
        assert snapshot(trained) != before


def test_a_preset_that_leaves_out_the_only_layer_is_refused():
    model = keras.Sequential([keras.Input([4]), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match=r"layers='all_but_last'.*for every layer: layers='all'"):
        quantize(model)
    quantize(model, layers="all").detach()
    quantize(
        model, weights=None, activations=None, gradients=None
    ).detach()  # Nothing is asked for but the count of operations.


def test_models_that_cannot_be_quantized():
    with pytest.raises(TypeError, match=r"must be a Keras model. Received: .*Dense"):
        quantize(keras.layers.Dense(3))
    with pytest.raises(ValueError, match=r"must be built.*Call it on a batch"):
        quantize(keras.Sequential([keras.layers.Dense(3)]))
    with pytest.raises(ValueError, match="has no layer to quantize"):
        quantize(keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization()]))


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have a `quantize`")
def test_what_keras_has_quantized_is_refused():
    model = network(spy=False)
    model.quantize("int8")
    before = snapshot(model)
    with pytest.raises(ValueError, match=r"Keras has quantized '.*hidden' already, to 'int8'"):
        quantize(model)
    assert snapshot(model) == before


@pytest.mark.parametrize("part", [None, "hidden", "out"])
def test_keras_is_kept_from_quantizing_what_is_quantized(trained, part):
    """The whole, or a layer of it, quantized too or left out; later it may again."""
    before = snapshot(trained)
    target = trained if part is None else trained.get_layer(part)
    own = vars(target)["quantize"]  # Keras puts one into every layer.
    with quantize(trained):
        with pytest.raises(ValueError, match=r"by Keras as well.*find\(model\).detach\(\)"):
            target.quantize("int8")
        assert all(v.dtype == "float32" for v in trained.variables)
    assert snapshot(trained)[1:] == before[1:]
    assert vars(target)["quantize"] is own


def test_a_model_is_quantized_once():
    """Neither it, nor a part of it, nor one that holds it, nor by a handle put aside."""
    inner = network(spy=False)
    x = keras.Input((4,))
    outer = keras.Model(x, keras.layers.Dense(1, name="last")(inner(x)))
    old = quantize(inner, layers="all")
    old.detach()
    with quantize(inner, layers="all"):
        before = snapshot(outer)
        for model in (inner, outer):
            with pytest.raises(ValueError, match=r"quantized already.*find\(model\).detach\(\)"):
                quantize(model)
        with pytest.raises(ValueError, match="quantized already"):
            old.enable()
        assert snapshot(outer) == before
    with quantize(outer), pytest.raises(ValueError, match="quantized already, at"):
        quantize(inner)
    with old:
        assert ks.precision.find(outer) is old


def test_parts_quantized_apart_are_not_taken_for_one():
    x = keras.Input((4,))
    parts = [keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)]) for _ in range(2)]
    outer = keras.Model(x, parts[1](parts[0](x)))
    handles = [quantize(part, layers="all") for part in parts]
    with pytest.raises(ValueError, match="2 parts quantized apart"):
        ks.precision.find(outer)
    handles[0].detach()
    assert ks.precision.find(outer) is handles[1]


@pytest.mark.parametrize(("policy", "most"), [(HALF, 8), (SCALED, 10)], ids=["bfloat16", "float16"])
def test_more_bits_than_a_dtype_can_tell_apart(policy, most):
    """In an argument, a schedule, a rule, an evaluation, and whatever sets them later."""
    model = compiled(model=network(policy, spy=False))
    dtype = policy.removeprefix("mixed_")
    message = rf"hidden' computes in {dtype}, which holds levels of at most {most} bits. Received"
    too_many = ks.Linear(2, end=most + 1, steps=9).rounded()
    before = snapshot(model)
    for options in (
        {"weights": most + 1},
        {"activations": too_many},
        {"gradients": most + 1},
        {"weights": 4, "layers": [(".*hidden", {"activations": most + 1})]},
        {"weights": 4, "evaluation": most + 1},
    ):
        with pytest.raises(ValueError, match=message):
            quantize(model, **{"activations": 4, **options})
    assert snapshot(model) == before
    with quantize(
        model, weights=most, activations=4, gradients=4
    ) as handle:  # the last layer, in float32, is left out
        fit(model, epochs=1)
        before = snapshot(model)
        with pytest.raises(ValueError, match=message):
            handle.weights.assign(most + 1)
        with pytest.raises(ValueError, match=message):
            handle.evaluation = most + 1
        with pytest.raises(ValueError, match=message):
            handle.attach({"bits": too_many})
        assert (handle.weights.most, handle.evaluation, handle.attached()) == (most, "max", {})
        assert snapshot(model) == before
    assert all(v.dtype == "float32" for v in model.trainable_variables)
    assert np.isfinite(model.predict(X, verbose=0)).all()


def test_schedules_that_cannot_be_followed(trained):
    with quantize(trained, weights=8, activations=8, gradients=None) as handle:
        for schedules, error, message in (
            ({"weights": SCHEDULE}, ValueError, "`name` must be.*'weights'"),
            ({"gradient_bits": SCHEDULE}, ValueError, r"full precision.*\(\.\.\., gradients=8\)"),
            ({"bits": 8}, TypeError, "must be a keras_sched schedule.*=8"),
            ({"bits": ks.Linear(2, end=8).rounded()}, ValueError, "length in steps"),
            ({"bits": ks.Linear(2, end=8, steps=5)}, ValueError, "rounded"),
            ({"bits": SCHEDULE, "weight_bits": SCHEDULE}, ValueError, "scheduled already"),
        ):
            with pytest.raises(error, match=message):
                handle.attach(schedules)
        for options in ({"per": "epoch"}, {"first_step": -1}):
            with pytest.raises(ValueError, match=next(iter(options))):
                handle.attach({"bits": SCHEDULE}, **options)
        with pytest.raises(TypeError, match="optimizer"):
            handle.attach({"bits": SCHEDULE}, optimizer="sgd")
        assert handle.attached() == {}
        attachment = handle.attach({"weight_bits": SCHEDULE})
        with pytest.raises(ValueError, match=r"follows a schedule and cannot be set. Received: 4"):
            handle.weights.assign(4)
        with pytest.raises(ValueError, match=r"`weight_bits` is scheduled already, by .*Linear"):
            handle.attach({"bits": SCHEDULE})
        assert list(handle.attached()) == ["weight_bits"]
        with pytest.raises(ValueError, match="not compiled"):
            quantize(network(spy=False), weights=SCHEDULE, activations=8).attach(
                {"activation_bits": SCHEDULE}, first_step=None
            )
        other = handle.attach({"activation_bits": SCHEDULE})
        other.detach()
        other.detach()
        assert list(handle.attached()) == ["weight_bits"]
        attachment.detach()
        handle.weights.assign(4)
        assert handle.weights.most == 4


def test_the_scheduler_says_what_is_missing(trained):
    before = snapshot(trained)[1:]
    with pytest.raises(ValueError, match=r"Only a quantized model.*ks.precision.quantize\(model\)"):
        fit(trained, ks.Scheduler(bits=ks.precision.cpt(2, bits_max=6, cycles=3), first_step=10**6))
    assert snapshot(trained)[1:] == before
    with (
        quantize(trained, weights=8, activations=8, gradients=None),
        pytest.raises(ValueError, match="left in full precision"),
    ):
        rate = ks.REX(0.1)
        scheduler = ks.Scheduler(
            rate, gradient_bits=ks.precision.cpt(2, bits_max=6, cycles=3), first_step=10**6
        )
        fit(trained, scheduler)
    assert ks.hyperparameters.attached(trained.optimizer) == {}


def test_steps_are_counted_by_an_optimizer():
    model = network(spy=False)
    with quantize(model, weights=SCHEDULE, activations=8, gradients=None) as handle:
        message = r"not compiled. Compile it, or give `quantize\(\.\.\."
        with pytest.raises(ValueError, match=message):
            model(X[:4], training=True)
        assert np.isfinite(model(X[:4])).all()  # "max" counts no steps
        handle.evaluation = "current"
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            model(X[:4])
        optimizer = keras.optimizers.SGD(0.1)
        optimizer.build(model.trainable_variables)
        handle.detach()
    with quantize(
        model, weights=SCHEDULE, activations=8, gradients=None, optimizer=optimizer
    ) as handle:
        optimizer.iterations.assign(3)
        assert float(handle.current()["weight_bits"]) == SCHEDULE(3)


def test_a_layer_that_sets_its_own_weights_is_refused_and_can_be_left_out():
    model = keras.Sequential([keras.Input((4,)), OwnCall(name="own"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    first = numbers(model.variables)
    with quantize(model), pytest.raises(ValueError, match=r"cannot set its own weights.*/own'"):
        model(X[:4], training=True)
    for value, expected in zip(numbers(model.variables), first, strict=True):
        np.testing.assert_array_equal(value, expected)
    with quantize(model, layers=[(".*/own", None)]):
        model.fit(X, Y, verbose=0)


def test_training_must_be_known_while_the_graph_is_made(trained):
    @tf.function(autograph=False)
    def step(training):
        return trained(X[:4], training=training)

    with quantize(trained), pytest.raises(ValueError, match="Expected True or False"):
        step(tf.constant(True))
    assert np.isfinite(trained(X[:4])).all()


def test_bits_are_assigned_not_replaced(trained):
    with quantize(trained, weights=8, activations=None) as handle:
        with pytest.raises(AttributeError, match=r"Received: 5.*`handle.weights.assign\(8\)`"):
            handle.weights = 5
        with pytest.raises(AttributeError, match=r"`quantize\(..., activations=8\)`"):
            handle.activations = 5
        assert handle.weights.most == 8 and handle.activations is None
    assert type(handle).weights is not handle.weights
