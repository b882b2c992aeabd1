"""Record the curves of other libraries: `python tests/peers/record.py`, with them installed.

Writes `values.json` beside itself, with the versions; `test_peers.py` compares our schedules with
it, so that the comparison runs everywhere. Needs `pip install -e '.[peers]'`.
"""

from __future__ import annotations

import importlib.metadata
import json
import pathlib

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


def main():
    peers = {
        "torch": torch_curves,
        "optax": optax_curves,
        "transformers": transformers_curves,
    }
    recorded = {
        name: {"version": importlib.metadata.version(name), "curves": curves()}
        for name, curves in peers.items()
    }
    path = pathlib.Path(__file__).with_name("values.json")
    path.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
