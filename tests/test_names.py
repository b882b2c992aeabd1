"""Schedules by name, and what the house keeps apart."""

import pathlib
import re

import pytest

import keras_sched as ks
from keras_sched.schedules import Schedule

NEEDED = {
    "piecewise_constant": {"values": [1.0, 0.1], "boundaries": [5]},
    "piecewise_linear": {"points": [(0, 1.0), (5, 0.0)]},
    "inverse_sqrt": {"start": 0.1, "timescale": 5},
    "inverse_power": {"start": 0.1, "timescale": 5},
    "power": {"peak": 0.1, "batch_size": 8, "tokens_per_step": 800},
    "polynomial_restarts": {"start": 0.1, "period": 5},
    "noam": {"dim": 8, "warmup_length": 5},
    "step": {"start": 0.1, "every": 5},
    "cosine_restarts": {"start": 0.1, "period": 5},
    "one_cycle": {"peak": 0.1},
    "one_cycle_triangle": {"peak": 0.1},
    "one_cycle_momentum": {},
    "wsd": {"peak": 0.1},
    "constant": {"value": 0.1},
    "triangular": {"start": 0.01, "peak": 0.1, "half_period": 5},
    "triangular2": {"start": 0.01, "peak": 0.1, "half_period": 5},
    "exp_range": {"start": 0.01, "peak": 0.1, "half_period": 5},
}


@pytest.mark.parametrize("name", ks.names())
def test_every_name_gives_a_schedule_and_refuses_unknown_options(name):
    options = NEEDED.get(name, {"start": 0.1})
    assert isinstance(ks.get(name, **options), Schedule)
    with pytest.raises(ValueError, match="Unknown options"):
        ks.get(name, **options, nonsense=1)


def test_every_public_name_is_there():
    for name in ks.__all__:
        assert hasattr(ks, name), name


def test_arrows_run_one_way():
    """profiles <- duration, schedules <- hyperparameters <- optimizers, callbacks; no trainers."""
    root = pathlib.Path(ks.__file__).parent
    order = [
        "_arrays",
        "_validate",
        "profiles",
        "duration",
        "schedules",
        "_reading",
        "_driver",
        "hyperparameters",
    ]
    for path in root.rglob("*.py"):
        text = path.read_text()
        assert "import trainers" not in text and "from trainers" not in text, path
        own = path.relative_to(root).parts[0].removesuffix(".py")
        if own in order:
            for used in re.findall(r"^from keras_sched\.?(\w*) import", text, re.MULTILINE):
                assert used == "" or order.index(used) <= order.index(own), (path, used)
