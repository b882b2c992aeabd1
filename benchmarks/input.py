"""Samples a second that each input pipeline gives, over those that its network is trained on.

    python -m benchmarks.input [--settings rn20_cifar10 ...] [--seconds=5]

Of each setting of the papers, with data that are made up in the shape of its own: photographs are
encoded images of 375x500, which are decoded as true ones are. What the network consumes is measured
in the trainers' own loop, which waits for the same pipeline; what the pipeline gives, alone; both
have all cores, and nothing is read from a disk. Below 1 the network would wait. Memory is what the
process grew by while batches were drawn. Each setting is a process of its own.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import argparse
import importlib
import json
import pathlib
import resource
import subprocess
import sys
import time

# The program of each setting, and the size of batches: large ones take long, and change no ratio.
SETTINGS = {
    "rn20_cifar10": ("classification", 128),
    "wrn_stl10": ("classification", 8),
    "rn18_imagenet_cyclic": ("classification", 16),
    "rn50_imagenet": ("classification", 8),
    "rn56_tinyimagenet": ("classification", 64),
    "vae_mnist": ("vae", 100),
    "caps_fmnist": ("capsnet", 32),
    "ncsn_cifar10": ("ncsn", 8),
    "lstm650_ptb": ("lm", 20),
    "bert_base_glue": ("glue", 32),
    "gcn_citations": ("graphs", 1),
    "yolov3_voc": ("detection", 2),
    "retinanet18_voc2012": ("detection", 1),
}
_PLAIN = {"precision_schedule": "none", "precision_options": {}, "samples": 0}
_FEW_BATCHES = 3


def measure(setting: str, seconds: float) -> dict[str, float]:
    """Return samples a second of pipeline and network, and by how many MB memory grew."""
    from trainers.sweeps.programs import TASKS
    from trainers.tasks.configured import experiment

    program, batch_size = SETTINGS[setting]
    module, _, name = TASKS[program].partition(":")
    family = getattr(importlib.import_module(module), name)
    config = importlib.import_module(f"configs.{setting}").get_config().to_dict()
    config |= {key: value for key, value in _PLAIN.items() if key in config}
    task = family.of({**config, "batch_size": batch_size, "steps_per_call": 1})
    task.data = task.stand_in(task.config)
    batches = iter(task.train(0))
    for _ in range(_FEW_BATCHES):
        next(batches)
    before = _memory()
    count, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds or count < _FEW_BATCHES:
        next(batches)
        count += 1
    grown = _memory() - before
    given = count * batch_size / passed
    del batches
    consumed = batch_size / experiment(task, "unused").timed().step
    return {"given": given, "consumed": consumed, "memory": grown / 2**20}


def _memory() -> int:
    """Return the bytes of memory that this process has now (Linux)."""
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main() -> None:
    """Measure all settings and print their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--settings", nargs="*", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--here", action="store_true", help="measure the first in this process")
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measure(given.settings[0], given.seconds)))
        return
    ratios = {}
    for setting in given.settings:
        flags = [f"--seconds={given.seconds}", "--here", "--settings", setting]
        command = [sys.executable, "-m", "benchmarks.input", *flags]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{setting} failed:\n{done.stderr}")
        found = json.loads(done.stdout.splitlines()[-1])
        ratios[setting] = found["given"] / found["consumed"]
        print(
            f"{setting}: {found['given']:.0f} samples/s given, {found['consumed']:.1f} consumed, "
            f"{found['memory']:.0f} MB more memory",
            flush=True,
        )
    for setting, ratio in ratios.items():
        print(f"{setting}_given_over_consumed: {ratio:.2f}")


if __name__ == "__main__":
    main()
