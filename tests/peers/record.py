"""Record the curves of other libraries: `python -m tests.peers.record`, with them installed.

Writes `values.json` beside itself, with the versions: "curves" by name, and "calls", a curve for
each setting, for every row of the migration table in docs/conventions.md. The tests compare our
schedules with them, so that the comparison runs everywhere. Needs `pip install -e '.[peers]'`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import pathlib
import re
import sys
import types
from typing import Any

from tests.peers import table

N = 60


def torch_curves():
    import torch
    from torch.optim import lr_scheduler as lr

    def curve(make, key="lr", **options):
        parameter = torch.nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([parameter], lr=0.5, momentum=0.9)
        scheduler = make(optimizer)
        values = []
        for _ in range(N):
            values.append(float(optimizer.param_groups[0][key]))
            optimizer.step()
            scheduler.step()
        return values

    def one_cycle(**options):
        return lambda o: lr.OneCycleLR(o, 1.0, total_steps=N + 1, **options)

    return {
        "multistep": curve(lambda o: lr.MultiStepLR(o, [20, 35], gamma=0.1)),
        "step": curve(lambda o: lr.StepLR(o, 15, gamma=0.3)),
        "exponential": curve(lambda o: lr.ExponentialLR(o, 0.95)),
        "cosine": curve(lambda o: lr.CosineAnnealingLR(o, N, eta_min=0.05)),
        "linear": curve(lambda o: lr.LinearLR(o, 1.0, 0.2, total_iters=N)),
        "polynomial": curve(lambda o: lr.PolynomialLR(o, N, power=2.0)),
        "restarts": curve(lambda o: lr.CosineAnnealingWarmRestarts(o, 8, T_mult=2)),
        "one_cycle": curve(one_cycle()),
        "one_cycle_momentum": curve(one_cycle(), key="momentum"),
        "one_cycle_three": curve(one_cycle(three_phase=True, anneal_strategy="linear")),
        "triangular": curve(lambda o: lr.CyclicLR(o, 0.1, 1.0, step_size_up=8)),
        "triangular2": curve(
            lambda o: lr.CyclicLR(o, 0.1, 1.0, step_size_up=8, mode="triangular2")
        ),
        "exp_range": curve(
            lambda o: lr.CyclicLR(o, 0.1, 1.0, step_size_up=8, mode="exp_range", gamma=0.97)
        ),
    }


def optax_curves():
    import optax

    schedules = {
        "linear": optax.linear_schedule(0.5, 0.1, N),
        "polynomial": optax.polynomial_schedule(0.5, 0.1, 3.0, N),
        "cosine": optax.cosine_decay_schedule(0.5, N, alpha=0.2),
        "warmup_cosine": optax.warmup_cosine_decay_schedule(0.0, 0.5, 10, N, end_value=0.1),
        "exponential_stairs": optax.exponential_decay(0.5, 12, 0.5, staircase=True),
        "piecewise": optax.piecewise_constant_schedule(0.5, {20: 0.1, 35: 0.5}),
        "join": optax.join_schedules(
            [optax.linear_schedule(0.0, 0.5, 10), optax.cosine_decay_schedule(0.5, N - 10)], [10]
        ),
    }
    return {name: [float(s(t)) for t in range(N)] for name, s in schedules.items()}


def transformers_curves():
    import torch
    import transformers as hf

    def curve(make):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
        scheduler = make(optimizer)
        values = []
        for _ in range(N):
            values.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            scheduler.step()
        return values

    return {
        "linear": curve(lambda o: hf.get_linear_schedule_with_warmup(o, 10, N)),
        "cosine": curve(lambda o: hf.get_cosine_schedule_with_warmup(o, 10, N)),
        "inverse_sqrt": curve(lambda o: hf.get_inverse_sqrt_schedule(o, 10)),
        "wsd": curve(
            lambda o: hf.get_wsd_schedule(
                o, num_warmup_steps=10, num_decay_steps=20, num_stable_steps=30, decay_type="linear"
            )
        ),
    }


# --- the calls of the migration table, in float64 -----------------------------------------------


def keras_schedules() -> Any:
    # With TensorFlow some stay in float32.
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    keras.config.set_floatx("float64")
    return keras.optimizers.schedules


def optax_schedules() -> Any:
    import jax
    import optax

    jax.config.update("jax_enable_x64", True)
    return optax.schedules


def torch_schedules() -> Any:
    from torch.optim import lr_scheduler

    return lr_scheduler


def timm_schedules() -> Any:
    """Import the schedules alone: the package around them needs torchvision, they do not."""
    parent = types.ModuleType("timm")
    parent.__path__ = list(importlib.util.find_spec("timm").submodule_search_locations)
    sys.modules["timm"] = parent
    import timm.scheduler

    return timm.scheduler


def transformers_schedules() -> Any:
    import transformers.optimization

    return transformers.optimization


def by_step(schedule: Any, names: dict[str, Any], key: str) -> list[float]:
    """Read a function of the step."""
    return [float(schedule(t)) for t in range(names["N"])]


def by_optimizer(scheduler: Any, names: dict[str, Any], key: str) -> list[float]:
    """Read what a schedule writes into the optimizer."""
    values = []
    # OneCycleLR has no values after its last step: the next is negative, the one after that raises.
    for _ in range(getattr(scheduler, "total_steps", names["N"])):
        values.append(float(names["opt"].param_groups[0][key]))
        names["opt"].step()
        scheduler.step()
    return values


def by_epoch(scheduler: Any, names: dict[str, Any], key: str) -> list[float]:
    """Read what a schedule that is told the step writes into the optimizer."""
    values = []
    for t in range(names["N"]):
        scheduler.step(t)
        values.append(float(names["opt"].param_groups[0][key]))
    return values


# Where a peer's schedules are, how they are named, and how they are read.
SCHEDULES = {
    "keras": (keras_schedules, r"\w+(Decay|Restarts)", by_step),
    "optax": (optax_schedules, r"(?!Stateful)\w+_(schedules?|decay)", by_step),
    "torch": (torch_schedules, r"\w+(LR|dScheduler|Restarts|Plateau)", by_optimizer),
    "timm": (timm_schedules, r"\w+LRScheduler", by_epoch),
    "transformers": (transformers_schedules, r"get_\w+schedule\w*", by_optimizer),
}


def calls(peer: str) -> dict[str, Any]:
    """Return the names of the peer's schedules, and the curves of its calls in the table."""
    load, named, read = SCHEDULES[peer]
    module = load()
    exported = {name: getattr(module, name) for name in dir(module) if not name.startswith("_")}
    rows = [row for row in table.read() if row.peer == peer]
    return {
        "schedules": sorted(name for name in exported if re.fullmatch(named, name)),
        "calls": {
            row.call: [curve(row.call, exported, read, s) for s in table.SETTINGS] for row in rows
        },
    }


def curve(call: str, exported: dict[str, Any], read: Any, setting: dict[str, Any]) -> list[float]:
    """Evaluate a call with the numbers of a setting, and read its values."""
    import torch

    weights = torch.nn.Parameter(torch.zeros(1))
    names = setting | {"opt": torch.optim.SGD([weights], lr=setting["lr"], momentum=0.9)}
    text, momentum, _ = call.partition(", momentum")
    values = read(eval(text, exported | names), names, "momentum" if momentum else "lr")
    return [float(f"{value:.10g}") for value in values]


def main():
    named = {"torch": torch_curves, "optax": optax_curves, "transformers": transformers_curves}
    curves = {peer: {"curves": read()} for peer, read in named.items()}
    recorded = {
        peer: {"version": importlib.metadata.version(peer)} | curves.get(peer, {}) | calls(peer)
        for peer in SCHEDULES
    }
    path = pathlib.Path(__file__).with_name("values.json")
    text = json.dumps(recorded, indent=1, sort_keys=True)
    # One curve is one line.
    text = re.sub(r"\[\s+([-\d.e,\s]+?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text)
    path.write_text(text + "\n")


if __name__ == "__main__":
    main()
