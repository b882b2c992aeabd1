"""What options become is what is trained: through the weights, beside a reference in float64."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from tests.trainers.linear import PER_EPOCH, SHAPES, START, STEPS, X, Y, task
from trainers.loop.compiled import Compiled
from trainers.methods import optimizers
from trainers.options.optimization import OPTIMIZERS, Optimization
from trainers.tasks.classification import ImageClassification
from trainers.tasks.configured import experiment

RUN = ks.Run(steps=STEPS, steps_per_epoch=PER_EPOCH)


# --- schedules ------------------------------------------------------------------------------------


def schedules(steps=100, **changes):
    run = ks.Run(steps=steps, steps_per_epoch=10)
    return optimizers.schedules(Optimization(**changes), run)


@pytest.mark.parametrize(
    ("changes", "read_at"),
    [
        ({}, lambda t: t),
        ({"sampled_every": "0.1dur"}, lambda t: t // 10 * 10),
        ({"sampled_every": "1ep"}, lambda t: t // 10 * 10),
        (
            {"sampled_at": ("0.5dur", "0.75dur")},
            lambda t: 75 if t >= 75 else 50 if t >= 50 else 0,
        ),
    ],
)
def test_a_profile_is_read_at_the_sampling_rate(changes, read_at):
    rate, momentum = schedules(schedule="rex", momentum_schedule="demon", **changes)
    for t in range(100):
        z = 1.0 - read_at(t) / 100
        assert float(rate(t)) == pytest.approx(0.1 * z / (0.5 + 0.5 * z), rel=1e-6)
        z = 1.0 - t / 100
        assert float(momentum(t)) == pytest.approx(0.9 * z / (0.1 + 0.9 * z), rel=1e-6)


# What each schedule needs besides its number.
NEEDED = {
    "cosine_restarts": {"period": "0.25dur"},
    "exp_range": {"start": 0.0, "half_period": "0.25dur"},
    "one_cycle_momentum": {"low": 0.0},
    "inverse_power": {"timescale": "0.1dur"},
    "inverse_sqrt": {"timescale": "0.1dur"},
    "polynomial_restarts": {"period": "0.25dur"},
    "power": {"batch_size": 128, "tokens_per_step": 1},
    "refined": {"profile": (0.5, 1.0, 0.0)},
    "step": {"every": "0.2dur"},
    "triangular": {"start": 0.0, "half_period": "0.25dur"},
    "triangular2": {"start": 0.0, "half_period": "0.25dur"},
}
WITHOUT = {"noam", "piecewise_constant", "piecewise_linear"}


@pytest.mark.parametrize("name", ks.schedules.names())
def test_the_number_of_a_configuration_is_the_peak_of_any_schedule(name):
    changes = {"learning_rate": 0.25, "schedule": name, "schedule_options": NEEDED.get(name, {})}
    if name in WITHOUT:
        with pytest.raises(ValueError, match=r"`schedule`.*has none of peak, start, value"):
            schedules(**changes)
        return
    rate, _ = schedules(**changes)
    highest = float(rate(np.arange(100)).max())
    # Its peaks fall from the first step on; the range of a tangent is not reached at its ends.
    nearly = {"exp_range": 2e-3, "tanh": 1e-5}
    assert highest == pytest.approx(0.25, rel=nearly.get(name, 1e-6))
    with pytest.raises(ValueError, match="must be left to the configuration"):
        given = {"peak", "start", "value"} & set(ks.schedules.arguments(name))
        its = next(each for each in ("peak", "start", "value") if each in given)
        schedules(**changes | {"schedule_options": {**NEEDED.get(name, {}), its: 0.25}})


@pytest.mark.parametrize(
    "name",
    [
        *("constant", "cosine_momentum", "demon", "exponential_momentum", "linear_momentum"),
        "one_cycle_momentum",
    ],
)
def test_the_momentum_of_a_configuration_is_the_start_of_its_schedule(name):
    _, momentum = schedules(
        momentum=0.8, momentum_schedule=name, momentum_options=NEEDED.get(name, {})
    )
    # That of one cycle falls and comes back; the others never rise.
    assert float(momentum(0)) == pytest.approx(0.8, rel=1e-6)
    assert float(momentum(np.arange(100)).max()) == pytest.approx(0.8, rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": "linear", "schedule_options": {"end": 0.2}}, "highest value must be 0.1"),
        ({"schedule_options": {"steps": 101}}, "101 steps is beyond the run"),
        ({"schedule_options": {"length": "2dur"}}, "200 steps is beyond the run"),
        ({"schedule": "step", "schedule_options": {"every": "11ep"}}, "110 steps is beyond"),
        ({"schedule": "multistep", "schedule_options": {"at": ["1ep", "2dur"]}}, "beyond the run"),
        ({"sampled_every": "2dur"}, "`sampled_every`.*beyond"),
        ({"sampled_at": ("0.5dur", "11ep")}, "`sampled_at`.*beyond"),
        ({"schedule_delay": "0.6dur", "schedule_options": {"steps": 50}}, "`schedule_delay`"),
        ({"warmup": "6ep", "schedule_options": {"steps": 50}}, "`warmup`.*110 steps"),
        ({"warmup": "1dur"}, "`warmup`.*leave room"),
        (
            {"momentum_schedule": "linear", "momentum_options": {"end": 0.99995, "steps": 50}},
            "`momentum_schedule`.*highest value must be 0.9999",
        ),
        ({"momentum_options": {"steps": 101}}, "`momentum_schedule`.*beyond the run"),
        ({"schedule": "plato"}, "`schedule` must be the name .*'plato'. Did you mean 'plateau'"),
        ({"schedule": "zzz"}, "schedule='zzz'. Expected one of: .*, plateau, "),
        ({"momentum_schedule": "plateau"}, "`momentum_schedule` must be the name of a schedule"),
        ({"momentum_schedule": "demonn"}, "Did you mean 'demon'"),
    ],
)
def test_a_schedule_that_leaves_its_range_or_the_run_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        schedules(**changes)


def test_a_schedule_as_long_as_the_run_is_not_refused():
    """The negative control of the lengths."""
    schedules(schedule_options={"steps": 100}, sampled_every="1dur", momentum_options={})
    schedules(schedule_options={"steps": 50}, schedule_delay="0.5dur")
    schedules(schedule_options={"steps": 50}, warmup="5ep")
    schedules(schedule="linear", schedule_options={"end": 0.1})


# --- one weight, the formulas of the papers -------------------------------------------------------


class Reference:
    """An optimizer in float64, from the papers' formulas, for weights by name."""

    def __init__(self, kind="sgd", form="pytorch"):
        self.kind, self.form, self.t = kind, form, 0
        self.m, self.v, self.largest = {}, {}, {}

    def step(self, weights, gradients, rates, beta, decays):
        self.t += 1
        beta_2, t, kind = 0.999, self.t, self.kind
        for name, g in gradients.items():
            w, rate = weights[name], rates[name]
            w = w - rate * decays.get(name, 0.0) * w
            m, v = self.m.get(name, 0.0 * g), self.v.get(name, 0.0 * g)
            if kind in ("sgd", "nesterov") and self.form == "pytorch":
                m = beta * m + g
                w = w - rate * (g + beta * m if kind == "nesterov" else m)
            elif kind in ("sgd", "nesterov"):
                m = beta * m - rate * g
                w = w + (beta * m - rate * g if kind == "nesterov" else m)
            elif kind == "demon_adam":
                v = beta_2 * v + (1.0 - beta_2) * g * g
                m = g + beta * m
                w = w - rate * m / np.sqrt(v + 1e-8)
            else:
                m = beta * m + (1.0 - beta) * g
                v = beta_2 * v + (1.0 - beta_2) * g * g
                self.largest[name] = np.maximum(self.largest.get(name, 0.0 * g), v)
                root = np.sqrt(self.largest[name] if kind == "amsgrad" else v)
                w = w - rate * math.sqrt(1.0 - beta_2**t) / (1.0 - beta**t) * m / (root + 1e-8)
            self.m[name], self.v[name], weights[name] = m, v, w


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("form", ["pytorch", "keras"])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_an_optimizer_takes_the_steps_of_its_formula(kind, form, decay):
    """The momentum schedule drives beta_1 of Adam's kin; gradients shrink, so AMSGrad differs."""
    if form == "keras" and kind not in ("sgd", "nesterov"):
        return
    if kind == "adamw" and not decay:
        with pytest.raises(ValueError, match="weight_decay"):
            Optimization(optimizer=kind, weight_decay=decay)
        return
    made = Optimization(
        optimizer=kind,
        form=form,
        weight_decay=decay,
        momentum_schedule="demon",
        schedule="linear",
    )
    weight = keras.Variable(np.ones([1], np.float32))
    model = type("Model", (), {"trainable_variables": [weight]})()
    optimizer = optimizers.optimizer(made, *optimizers.schedules(made, RUN), model)
    optimizer.build([weight])
    gradients = [1.0, -0.5, 0.25, 2.0, 0.01, 0.02]
    got = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(np.float32([gradient]))], [weight])
        got.append(float(weight[0]))

    def wanted(betas):
        weights, reference, found = {"w": np.ones(1)}, Reference(kind, form), []
        for rate, beta, gradient in zip(0.1 * z, betas, gradients, strict=True):
            reference.step(weights, {"w": np.array([gradient])}, {"w": rate}, beta, {"w": decay})
            found.append(float(weights["w"][0]))
        return found

    z = 1.0 - np.arange(len(gradients)) / STEPS
    np.testing.assert_allclose(got, wanted(0.9 * z / (0.1 + 0.9 * z)), rtol=2e-5)
    assert not np.allclose(got, wanted(np.full(len(z), 0.9)), rtol=1e-3)


# --- a network of two layers, through the compiled step -------------------------------------------


def trained(**changes):
    """The weights after a run, and those that are evaluated."""
    made, compiled = task(**changes), Compiled()
    compiled.begin(made, 0, STEPS)
    compiled.model.make_train_function()(iter(made.train(0)), tf.constant(STEPS, tf.int64))
    return weights_of(compiled)


def weights_of(compiled):
    def read():
        return {weight.path: weight.numpy() for weight in compiled.model.weights}

    plain = read()
    with compiled.evaluated():
        averaged = read()
    again = read()
    assert all((again[name] == plain[name]).all() for name in plain)
    return plain, averaged


def slopes(weights, x, y):
    """The gradients of the mean over examples of the sum of squares."""
    hidden = x @ weights["dense/kernel"] + weights["dense/bias"]
    out = 2.0 * (hidden @ weights["dense_1/kernel"] + weights["dense_1/bias"] - y) / len(x)
    back = out @ weights["dense_1/kernel"].T
    return {
        "dense/kernel": x.T @ back,
        "dense/bias": back.sum(0),
        "dense_1/kernel": hidden.T @ out,
        "dense_1/bias": out.sum(0),
    }


def expected(
    optimizer="sgd",
    l2=0.0,
    weight_decay=0.0,
    decayed="all",
    clip_norm=0.0,
    clip_value=0.0,
    average=0.0,
    frozen=(),
    factors=None,
):
    """What the weights of `trained` must be, in float64."""
    weights = {name: value.copy() for name, value in START.items()}
    held = {name for name in weights if any(name.startswith(f"{layer}/") for layer in frozen)}
    matrices = {name for name in weights if name.endswith("kernel")}
    decaying = set(weights) if decayed == "all" else matrices
    reference, averages = Reference(optimizer), {}
    for t in range(STEPS):
        rate = 0.1 * (1.0 - t / STEPS)
        gradients = slopes(weights, X[t], Y[t])
        gradients = {name: g for name, g in gradients.items() if name not in held}
        for name in gradients.keys() & decaying:
            gradients[name] = gradients[name] + l2 * weights[name]
        if clip_norm:
            norm = math.sqrt(sum((g**2).sum() for g in gradients.values()))
            gradients = {n: g * min(1.0, clip_norm / norm) for n, g in gradients.items()}
        if clip_value:
            gradients = {n: np.clip(g, -clip_value, clip_value) for n, g in gradients.items()}
        rates = {name: rate * (factors or {}).get(name, 1.0) for name in gradients}
        decays = dict.fromkeys(decaying, weight_decay)
        reference.step(weights, gradients, rates, 0.9, decays)
        keep = average if t else 0.0
        for name, weight in weights.items():
            averages[name] = keep * averages.get(name, 0.0) + (1.0 - keep) * weight
    return weights, averages if average else weights


MATRICES = {"decayed": "matrices"}
GROUPS = {"dense/*": 0.25, "*/bias": 3.0}
FACTORS = {"dense/kernel": 0.25, "dense/bias": 0.25, "dense_1/bias": 3.0}
CASES = {
    "plain": {},
    "l2": {"l2": 0.5},
    "l2 of matrices": {"l2": 0.5, **MATRICES},
    "decay": {"weight_decay": 0.5},
    "decay of matrices": {"weight_decay": 0.5, **MATRICES},
    "adamw of matrices": {"optimizer": "adamw", "weight_decay": 0.5, **MATRICES},
    "demon adam of matrices": {"optimizer": "demon_adam", "weight_decay": 0.5, **MATRICES},
    "norm": {"clip_norm": 0.5, "l2": 0.5},
    "value": {"clip_value": 0.125, "l2": 0.5},
    "average": {"average": 0.75},
    "frozen": {"frozen": ["dense_1"], "l2": 0.5, "weight_decay": 0.5},
    "factors": {"rate_factors": GROUPS},
    "all": {
        "optimizer": "adam",
        "l2": 0.5,
        "weight_decay": 0.5,
        "clip_value": 0.125,
        "average": 0.75,
        "rate_factors": GROUPS,
        **MATRICES,
    },
}


def reference_of(changes):
    arguments = dict(changes)
    if arguments.pop("rate_factors", None):
        arguments["factors"] = FACTORS
    return expected(**arguments)


def assert_near(found, wanted, **tolerance):
    for mine, theirs in zip(found, wanted, strict=True):
        assert mine.keys() == theirs.keys()
        for name in mine:
            np.testing.assert_allclose(mine[name], theirs[name], err_msg=name, **tolerance)


@pytest.mark.parametrize("name", CASES)
def test_the_weights_are_those_of_the_reference(name):
    found = trained(**CASES[name])
    assert_near(found, reference_of(CASES[name]), rtol=1e-4, atol=2e-5)
    if name != "plain":  # It does something.
        with pytest.raises(AssertionError):
            assert_near(found, expected(), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", ["norm", "average", "frozen", "factors", "all"])
def test_they_go_together_with_loss_scaling(name, tmp_path):
    """Scaled gradients are clipped and averaged as they are without a scale, in every group."""
    changes = {**CASES[name], "policies": ["mixed_float16"]}
    run = experiment(task(**changes), tmp_path)
    record = run.run()
    assert isinstance(run.compiled.optimizer, keras.optimizers.LossScaleOptimizer)
    assert (record.status, record.skipped_updates) == ("finished", 0)
    found = weights_of(run.compiled)
    assert_near(found, reference_of(CASES[name]), rtol=2e-2, atol=1e-2)
    with pytest.raises(AssertionError):
        assert_near(found, reference_of(CASES[name]), rtol=2e-5, atol=1e-6)


def test_quantized_weights_decay_as_they_are():
    """What decays is the weight in full precision, whichever bits it is computed with."""
    found, _ = trained(
        precision_schedule="static",
        quantized_layers="all",
        optimizer="demon_adam",
        weight_decay=1e4,
        learning_rate=1e-6,
        **MATRICES,
    )
    share = math.prod(1.0 - 1e-2 * (1.0 - t / STEPS) for t in range(STEPS))
    for name in SHAPES:
        factor = share if name.endswith("kernel") else 1.0
        np.testing.assert_allclose(found[name], factor * START[name], atol=1e-3)
    assert share < 0.97  # A tolerance is far below what decays.


def test_clipping_of_the_whole_norm_and_groups_are_refused_together():
    """Keras clips each group by itself, which is something else."""
    with pytest.raises(ValueError, match="`clip_norm` must be 0 with `rate_factors`"):
        task(clip_norm=0.5, rate_factors=GROUPS)
    parts = [keras.optimizers.SGD(1.0, global_clipnorm=1.0) for _ in range(2)]
    weights = [keras.Variable(np.zeros(1, np.float32)) for _ in range(2)]
    chosen = dict(zip([w.path for w in weights], parts, strict=True))
    multi = keras.optimizers.MultiOptimizer(lambda weight: chosen[weight.path])
    multi.build(weights)
    multi.apply([tf.constant([3.0]), tf.constant([4.0])], weights)
    assert [float(w[0]) for w in weights] == [-1.0, -1.0]  # And not -0.6 and -0.8.


def test_groups_have_names_that_every_training_gives_them(tmp_path):
    """A second training in one trace finds the schedules of its groups."""
    shared = Compiled(reusable=True)
    alone = experiment(task(rate_factors=GROUPS, learning_rate=0.05), tmp_path / "alone").run()
    experiment(task(rate_factors=GROUPS), tmp_path / "first", compiled=shared).run()
    second = task(rate_factors=GROUPS, learning_rate=0.05)
    record = experiment(second, tmp_path / "second", compiled=shared).run()
    assert record.epochs == alone.epochs
    assert {"x0.25/learning_rate", "x1.0/learning_rate", "x3.0/learning_rate"} <= set(record.final)


def test_the_average_is_what_is_evaluated_and_kept(tmp_path):
    """At the end of the first epoch, before any update, and in the file."""
    run = experiment(task(average=0.75, keep_weights="final"), tmp_path)
    record = run.run()
    _, averages = expected(average=0.75)
    hidden = X[0] @ averages["dense/kernel"] + averages["dense/bias"]
    off = hidden @ averages["dense_1/kernel"] + averages["dense_1/bias"] - Y[0]
    assert record.final["val_loss"] == pytest.approx((off**2).sum(1).mean(), rel=1e-4)
    again = task(initial_weights=str(run.plan.directory / "final.weights.h5")).model()
    for weight in again.weights:
        np.testing.assert_allclose(weight.numpy(), averages[weight.path], rtol=1e-4, atol=1e-6)


def test_without_an_update_the_weights_are_evaluated():
    compiled = Compiled()
    compiled.begin(task(average=0.75), 0, STEPS)
    assert_near(weights_of(compiled), (START, START), rtol=0, atol=0)


def test_a_warmup_begins_at_its_start_and_uncounted_epochs_are_trained_besides():
    """As YOLO's in REX: two epochs from 1e-5 to 1e-4, and then the schedule over the budget."""
    values = {
        "name": "warmed",
        "dataset": "digits8",
        "model": "cnn2",
        "batch_size": 137,
        "epochs": 10,
        "budget": 0.25,
        "uncounted_epochs": 2,
        "warmup": "2ep",
        "warmup_start": 0.1,
        "learning_rate": 1e-4,
        "schedule": "linear",
    }
    made = ImageClassification.of(values)
    assert made.config.training.trained_epochs == 3 + 2
    assert made.run.total == 5 * 10
    rate, _ = optimizers.schedules(made.config.optimization, made.run)
    warm = [float(rate(step)) for step in range(21)]
    np.testing.assert_allclose(np.diff(warm[:20]), (1e-4 - 1e-5) / 20, rtol=1e-3)
    assert warm[20] == pytest.approx(1e-4)
    after = [float(rate(step)) for step in range(20, 50)]
    np.testing.assert_allclose(after, 1e-4 * (1 - np.arange(30) / 30), rtol=1e-4, atol=1e-10)
    for changes in ({"warmup": "0ep"}, {"warmup_start": 1.5}):
        with pytest.raises(ValueError, match="`warmup_start` must be"):
            ImageClassification.of({**values, **changes})
