"""A sweep of the test program, as a file for `--config`; `GRID` in the environment changes it."""

import json
import os

from ml_collections import ConfigDict

from configs.sweeps.base import setting, sweep

BASE = {"epochs": 4, "learning_rate": 0.1, "momentum": 0.9, "trouble": "", "forget": False}


def make(settings=("a",), rates=(0.1, 1.0), changes=None, **facts):
    """Return the configuration of a sweep of the test program.

    Args:
        settings: Names of settings.
        rates: Learning rates.
        changes: What is changed in settings, by name.
        **facts: What else a sweep says.
    """
    made = {}
    for name in settings:
        base = ConfigDict(BASE)
        made[name] = setting(base, rates, **(changes or {}).get(name, {}))
    return sweep(
        "toy",
        **{
            "settings": made,
            "schedules": {name: {"schedule": name} for name in ("linear", "rex")},
            "budgets": [0.5, 1.0],
            "seeds": [0, 1],
            "tuning_seeds": [100],
            "program": "tests.sweeps.program:Logistic",
            **facts,
        },
    )


def get_config():
    return make(**json.loads(os.environ.get("GRID", "{}")))
