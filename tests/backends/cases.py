"""What is trained under every backend; the formulas are those of tests/optimizers."""

from __future__ import annotations

import numpy as np

import keras_sched as ks
from tests.optimizers import reference

STEPS = 6
START = np.linspace(-1.0, 1.5, 6).reshape(3, 2).astype("float32")
X = np.linspace(-1.0, 1.2, 15).reshape(5, 3).astype("float32") ** 2
TARGET = (X @ np.array([[1.0, 0.3], [-2.0, 0.1], [0.5, -0.4]])).astype("float32")

SCHEDULES = {
    "linear": ks.Linear(0.2, steps=STEPS),
    "warmup": ks.REX(0.2, steps=STEPS).warmup(2),
    "one_cycle": ks.OneCycle(0.2, steps=STEPS),
    "restarts": ks.CosineRestarts(0.2, period=2),
    "pieces": ks.PiecewiseConstant([0.2, 0.05, 0.1], boundaries=[2, 4]),
}
BETAS = {"beta_1": 0.9, "beta_2": 0.999}
OPTIMIZERS = {
    "sgd": ("SGD", {"momentum": 0.9}, reference.sgd),
    "rmsprop": ("RMSprop", {"momentum": 0.5, "rho": 0.9}, reference.rmsprop),
    "adam": ("Adam", BETAS, reference.adam),
    "adamw": ("AdamW", {**BETAS, "weight_decay": 0.1}, reference.adam),
    "lion": ("Lion", {"beta_1": 0.9, "beta_2": 0.99}, reference.lion),
}

TRAINED = [
    *[("sgd", schedule) for schedule in SCHEDULES],
    *[(optimizer, "warmup") for optimizer in OPTIMIZERS if optimizer != "sgd"],
]


def gradient(w):
    """The gradient of the mean square over examples and outputs."""
    x, y = X.astype(np.float64), TARGET.astype(np.float64)
    return 2.0 * x.T @ (x @ w - y) / y.size
