"""Under JAX and PyTorch schedules are learning rates, and all else says what it needs.

The backend of Keras is chosen once in a process, so each has a process of its own.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_sched as ks
from tests.backends.cases import OPTIMIZERS, SCHEDULES, START, STEPS, TRAINED, gradient
from tests.optimizers import reference

ROOT = pathlib.Path(__file__).parents[2]


@functools.cache
def run(backend):
    done = subprocess.run(
        [sys.executable, "-m", "tests.backends.program"],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["backend"] == backend
    return found


@pytest.fixture(params=["jax", "torch"])
def result(request):
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed: `pip install -e '.[backends]'`")
    return run(request.param)


def expected(optimizer, schedule):
    _, options, rule = OPTIMIZERS[optimizer]
    schedules = {
        "learning_rate": schedule,
        **{name: lambda t, number=number: number for name, number in options.items()},
    }
    return reference.run(rule, schedules, START, gradient, STEPS)[-1]


@pytest.mark.parametrize(("optimizer", "schedule"), TRAINED)
def test_a_schedule_is_the_learning_rate_of_a_stock_optimizer(result, optimizer, schedule):
    got = result["weights"][f"{optimizer} {schedule}"]
    np.testing.assert_allclose(got, expected(optimizer, SCHEDULES[schedule]), rtol=2e-5, atol=2e-5)


def test_a_number_is_no_schedule(result):
    """The negative control: the rate of step 0, kept, does not pass the test above."""
    got = result["weights"]["sgd number"]
    np.testing.assert_allclose(got, expected("sgd", lambda t: 0.2), rtol=2e-5, atol=2e-5)
    assert np.abs(np.subtract(got, expected("sgd", SCHEDULES["linear"]))).max() > 1e-3


def test_saved_and_loaded_in_the_middle_it_goes_on(result):
    got = result["continued"]
    np.testing.assert_allclose(got, expected("sgd", SCHEDULES["warmup"]), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_values_are_those_of_numpy(result, schedule):
    values = SCHEDULES[schedule](np.arange(STEPS + 2))
    np.testing.assert_allclose(result["values"][schedule], values, rtol=3e-7, atol=3e-8)


def test_all_else_says_that_it_needs_tensorflow(result):
    backend = result["backend"]
    for name, message in result["refusals"].items():
        assert name.rpartition(".")[2] in message, name
        assert f"needs the TensorFlow backend of Keras. Received: backend='{backend}'" in message
        assert "`keras.optimizers.SGD(ks.REX(0.1, steps=1000))`" in message
        assert "KERAS_BACKEND=tensorflow" in message


def test_nothing_that_needs_tensorflow_is_left_out():
    """A new callback, range test or optimizer must be in the program."""
    from tests.backends.program import refusals

    needy = {
        name
        for name in ks.__all__
        if inspect.isclass(kind := getattr(ks, name))
        and (issubclass(kind, keras.callbacks.Callback) or name.endswith("RangeTest"))
    }
    assert needy <= refusals().keys()
    assert set(refusals().values()) == {"no error"}, "under TensorFlow each of them works"
