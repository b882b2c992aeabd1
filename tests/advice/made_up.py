"""Evidence that was never measured."""

from __future__ import annotations

import numpy as np

import keras_sched as ks

METHODS = ("None", "Linear", "Cosine", "REX", "Step", "Exp", "OneCycle")


def row(method="REX", loss=10.0, setting="A", **changes):
    values = {
        "source": "made up",
        "measured_by": "here",
        "setting": setting,
        "family": "graph",
        "optimizer": "sgd",
        "budget": 1.0,
        "schedule": method,
        "momentum": "constant",
        "precision": "float32",
        "metric": "error %",
        "value": loss,
        "std": 0.1,
        "n": 3,
    }
    return ks.Evidence(**{**values, **changes})


def rows(effects, settings=8, budgets=(0.1, 1.0), noise=0.02, seed=0, **changes):
    """Rows in which a method does what `effects` says to the logarithm of the loss."""
    draw = np.random.default_rng(seed)
    return [
        row(
            method,
            10.0 * float(np.exp(effects[method] + noise * draw.normal())),
            f"made {number}",
            budget=budget,
            optimizer=("sgd", "adam")[number % 2],
            **changes,
        )
        for number in range(settings)
        for budget in budgets
        for method in effects
    ]
