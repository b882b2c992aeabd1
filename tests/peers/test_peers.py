"""Our curves beside those of PyTorch, optax, Hugging Face and Keras, convention by convention."""

from __future__ import annotations

import json
import math
import pathlib

import keras
import numpy as np
import pytest

import keras_sched as ks

RECORDED = json.loads(pathlib.Path(__file__).with_name("values.json").read_text())
N = 60
STEPS = np.arange(N)

PEERS = {
    # A boundary holds the new value, as ours.
    "torch/multistep": ks.MultiStep(0.5, at=[20, 35], steps=N),
    "torch/step": ks.Step(0.5, every=15, factor=0.3),
    # A factor per step is a rate over the length.
    "torch/exponential": ks.Exponential(0.5, rate=-math.log(0.95) * N, steps=N),
    "torch/cosine": ks.Cosine(0.5, end=0.05, steps=N),
    "torch/linear": ks.Linear(0.5, end=0.1, steps=N),
    "torch/polynomial": ks.Polynomial(0.5, power=2.0, steps=N),
    "torch/restarts": ks.CosineRestarts(0.5, period=8, stretch=2.0),
    # The end is reached at the last of N + 1 steps: a length of N, and a climb that ends early.
    "torch/one_cycle": ks.OneCycle(1.0, rise=(0.3 * (N + 1) - 1) / N, steps=N),
    "torch/one_cycle_momentum": ks.OneCycleMomentum(rise=(0.3 * (N + 1) - 1) / N, steps=N),
    "torch/one_cycle_three": ks.OneCycle(
        1.0, rise=(0.3 * (N + 1) - 1) / N, three_phase=True, profile="linear", steps=N
    ),
    "torch/triangular": ks.Triangular(0.1, peak=1.0, half_period=8),
    "torch/triangular2": ks.Triangular2(0.1, peak=1.0, half_period=8),
    "torch/exp_range": ks.ExpRange(0.1, peak=1.0, half_period=8, gamma=0.97),
    "optax/linear": ks.Linear(0.5, end=0.1, steps=N),
    "optax/polynomial": ks.Polynomial(0.5, end=0.1, power=3.0, steps=N),
    "optax/cosine": ks.Cosine(0.5, end=0.1, steps=N),
    # A warmup there begins at its start: offset 0.
    "optax/warmup_cosine": ks.Warmup(ks.Cosine(0.5, end=0.1, steps=N - 10), length=10, offset=0),
    "optax/exponential_stairs": ks.Step(0.5, every=12, factor=0.5),
    "optax/piecewise": ks.PiecewiseConstant([0.5, 0.05, 0.025], boundaries=[20, 35]),
    "optax/join": ks.Linear(0.0, end=0.5, steps=10).then(ks.Cosine(0.5, steps=N - 10)),
    "transformers/linear": ks.Warmup(ks.Linear(0.5, steps=N - 10), length=10, offset=0),
    "transformers/cosine": ks.Warmup(ks.Cosine(0.5, steps=N - 10), length=10, offset=0),
    "transformers/inverse_sqrt": ks.Warmup(ks.InverseSqrt(0.5, timescale=10), length=10, offset=0),
    "transformers/wsd": ks.Warmup(ks.Constant(0.5, steps=30), length=10, offset=0).then(
        ks.Linear(0.5, steps=20)
    ),
}


@pytest.mark.parametrize("name", PEERS)
def test_the_same_curve(name):
    peer, curve = name.split("/")
    expected = RECORDED[peer]["curves"][curve]
    np.testing.assert_allclose(PEERS[name](STEPS), expected, rtol=2e-6, atol=1e-7)


def test_every_recorded_curve_is_compared():
    curves = {peer: held.get("curves", {}) for peer, held in RECORDED.items()}
    recorded = {f"{peer}/{curve}" for peer, held in curves.items() for curve in held}
    assert recorded == set(PEERS)


@pytest.mark.parametrize("name", ["torch/one_cycle", "optax/warmup_cosine", "transformers/linear"])
def test_without_the_convention_the_curve_is_another(name):
    """The negative control: our own defaults are not these curves."""
    ours = {
        "torch/one_cycle": ks.OneCycle(1.0, steps=N + 1),
        "optax/warmup_cosine": ks.Cosine(0.5, end=0.1, steps=N - 10).warmup(10),
        "transformers/linear": ks.Linear(0.5, steps=N - 10).warmup(10),
    }[name]
    peer, curve = name.split("/")
    assert np.abs(ours(STEPS) - RECORDED[peer]["curves"][curve]).max() > 1e-3


schedules = keras.optimizers.schedules
KERAS = {
    "exponential": (
        schedules.ExponentialDecay(0.5, 12, 0.5),
        ks.Exponential(0.5, rate=-math.log(0.5) * N / 12, steps=N),
    ),
    "stairs": (
        schedules.ExponentialDecay(0.5, 12, 0.5, staircase=True),
        ks.Step(0.5, every=12, factor=0.5),
    ),
    "inverse_time": (
        schedules.InverseTimeDecay(0.5, 10, 0.3),
        ks.InverseTime(0.5, rate=0.3 * N / 10, steps=N),
    ),
    "polynomial": (
        schedules.PolynomialDecay(0.5, N, 0.1, power=2.0),
        ks.Polynomial(0.5, end=0.1, power=2.0, steps=N),
    ),
    "cosine": (schedules.CosineDecay(0.5, N, alpha=0.2), ks.Cosine(0.5, end=0.1, steps=N)),
    "warmup": (
        schedules.CosineDecay(0.0, N - 10, warmup_target=0.5, warmup_steps=10),
        ks.Warmup(ks.Cosine(0.5, steps=N - 10), length=10, offset=0),
    ),
    "restarts": (
        schedules.CosineDecayRestarts(0.5, 8, t_mul=2.0, m_mul=0.5, alpha=0.1),
        None,
    ),
    "piecewise": (
        schedules.PiecewiseConstantDecay([20, 35], [0.5, 0.05, 0.025]),
        ks.PiecewiseConstant([0.5, 0.05, 0.025], boundaries=[21, 36]),
    ),
}


@pytest.mark.parametrize("name", [name for name, (_, ours) in KERAS.items() if ours])
def test_the_same_curve_as_keras(name):
    peer, ours = KERAS[name]
    expected = [float(peer(float(t))) for t in STEPS]
    np.testing.assert_allclose(ours(STEPS), expected, rtol=3e-6, atol=1e-7)


def test_restarts_of_keras_scale_the_floor_too():
    """Keras' floor is a share of the first height; the height above it shrinks as ours does."""
    peer = KERAS["restarts"][0]
    ours = ks.CosineRestarts(0.5, period=8, stretch=2.0, scale=0.5, end=0.05)
    expected = np.array([float(peer(float(t))) for t in STEPS])
    heights = (expected - 0.05) / 0.45
    np.testing.assert_allclose((ours(STEPS) - 0.05) / 0.45, heights, rtol=3e-5, atol=1e-6)
