"""Samples a second of training: the trainers' loop, `keras.fit` and PyTorch, family by family.

    python -m benchmarks.throughput [--families classification vae ...] [--repeats=5]

Rivals train the same network on random images in memory, with the batches, the augmentation, the
losses and the optimizer of a setting of ours, on the CPU with the threads that each library takes
by itself; see `benchmarks.rivals`. PyTorch reads the loss at each step, the trainers once a call.
`fit` is there for classification alone, and has no weight decay. Every measurement is a
process of its own, so that they do not fight for cores, and the rivals take turns. PyTorch comes
with `pip install -e '.[peers]'`.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import argparse
import importlib
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

# The setting of each family.
SETTINGS = {
    "classification": "rn20_cifar10",
    "vae": "vae_mnist",
    "capsnet": "caps_fmnist_reduced",
    "ncsn": "ncsn_fashion_mnist",
    "detection": "bccd",
    "lm": "lstm650_ptb",
    "glue": "minilm_sst2",
    "graphs": "gcn_citations",
}
_CHANGES = {"ncsn": {"samples": 0}, "vae": {"learning_rate": 1e-5}, "lm": {"learning_rate": 1.0}}
_WARMUP = 10


def task(family: str) -> Any:
    """Return the task of a family, with data that are made up."""
    from trainers.sweeps.programs import TASKS

    module, _, name = TASKS[family].partition(":")
    config = importlib.import_module(f"configs.{SETTINGS[family]}").get_config().to_dict()
    made = getattr(importlib.import_module(module), name).of({**config, **_CHANGES.get(family, {})})
    made.data = made.stand_in(made.config)
    return made


def trainer(family: str) -> Callable[[int], None]:
    """Return the trainers' own loop, by the steps."""
    import tensorflow as tf

    from trainers.loop.compiled import Compiled

    made, compiled = task(family), Compiled()
    compiled.begin(made, 0, made.run.total)
    function = compiled.model.make_train_function()
    batches = iter(made.train(0))
    count = made.config.training.steps_per_call

    def train(steps: int) -> None:
        if steps % count:
            raise ValueError(f"`steps` must be a multiple of {count}. Received: steps={steps}")
        for _ in range(steps // count):
            float(function(batches, tf.constant(count, tf.int64))["loss"])

    return train


def fit(family: str) -> Callable[[int], None]:
    """Return plain `keras.fit` of the same network with Keras' own batch normalisation."""
    import keras

    # By name: the package has a function of the same name.
    resnet = importlib.import_module("trainers.models.resnet")
    resnet.BatchNorm = lambda: keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
    made = task(family)
    model = made.network()
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    batches = made.train(0)
    return lambda steps: model.fit(batches, steps_per_epoch=steps, verbose=0)


def torch(family: str) -> Callable[[int], None]:
    """Return PyTorch's loop."""
    made: Callable[[int], None] = importlib.import_module(f"benchmarks.rivals.{family}").make()
    return made


RIVALS = {"trainer": trainer, "fit": fit, "torch": torch}


def measure(family: str, rival: str, steps: int) -> float:
    """Return samples a second of one rival in this process, after a warmup."""
    batch_size = importlib.import_module(f"configs.{SETTINGS[family]}").get_config().batch_size
    train = RIVALS[rival](family)
    train(_WARMUP)
    began = time.perf_counter()
    train(steps)
    return steps * batch_size / (time.perf_counter() - began)


def compare(family: str, repeats: int, steps: int) -> list[str]:
    """Measure the rivals of a family in turn, print their medians, and return the ratios."""
    rivals = ["trainer", *["fit"] * (family == "classification"), "torch"]
    if importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed here: pip install -e '.[peers]'")
        rivals.remove("torch")
    speeds: dict[str, list[float]] = {rival: [] for rival in rivals}
    for repeat in range(repeats):
        for rival in rivals[repeat % len(rivals) :] + rivals[: repeat % len(rivals)]:
            flags = [f"--rival={rival}", f"--steps={steps}", "--families", family]
            command = [sys.executable, "-m", "benchmarks.throughput", *flags]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{rival} failed:\n{done.stderr}")
            speeds[rival].append(json.loads(done.stdout.splitlines()[-1]))
    for rival, values in speeds.items():
        shown = ", ".join(f"{value:.0f}" for value in values)
        print(f"{family}, {rival}: median {statistics.median(values):.0f} samples/s of {shown}")
    ratios = []
    for rival in rivals[1:]:
        pairs = zip(speeds["trainer"], speeds[rival], strict=True)
        ratio = statistics.median(a / b for a, b in pairs)
        ratios.append(f"{family}_trainer_over_{rival}: {ratio:.3f}")
    return ratios


def main() -> None:
    """Measure all families and print their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", nargs="*", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40, help="a multiple of 10")
    parser.add_argument("--rival", choices=RIVALS, help="measure one, in this process")
    given = parser.parse_args()
    if given.rival:
        print(json.dumps(measure(given.families[0], given.rival, given.steps)))
        return
    ratios = [line for each in given.families for line in compare(each, given.repeats, given.steps)]
    print("\n".join(ratios))


if __name__ == "__main__":
    main()
