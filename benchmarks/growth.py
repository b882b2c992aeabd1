"""What many trainings in one process add: memory and time of each `fit`, beside a plain one.

    python -m benchmarks.growth [--fits=15] [--steps=50]

In a process each, one model is trained again and again:
  plain       without callbacks
  same        with a new `Scheduler` and a new `StepLogger` each time, of equal schedules
  other       of other schedules each time, which have to be traced
Reported are the resident memory and the seconds that a fit adds, medians over the fits after the
third, and the number of times that the model was traced.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import argparse
import gc
import itertools
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

SIDES = ("plain", "same", "other")
_WARM = 3


def resident() -> float:
    """Return the resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def train(side: str, fits: int, steps: int) -> dict[str, list[float]]:
    """Train again and again; return memory after each fit, its seconds, and how often it traced."""
    import keras
    import numpy as np

    import keras_sched as ks

    traced: list[int] = []

    class Counted(keras.layers.Layer):
        def call(self, x):
            traced.append(1)
            return x

    layers = keras.layers
    model = keras.Sequential(
        [keras.Input([32]), Counted(), layers.Dense(64, "relu"), layers.Dense(1)]
    )
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse")
    x = np.random.default_rng(0).normal(size=(steps * 8, 32)).astype("float32")
    y = x[:, :1]
    found: dict[str, list[float]] = {"megabytes": [], "seconds": [], "traces": []}
    for number in range(fits):
        rate = ks.REX(0.01 if side == "same" else 0.01 + 0.001 * number)
        callbacks = [ks.Scheduler(rate, momentum=ks.Demon(0.9)), ks.StepLogger()]
        begin, before = time.perf_counter(), len(traced)
        model.fit(x, y, 8, verbose=0, callbacks=[] if side == "plain" else callbacks)
        found["seconds"].append(time.perf_counter() - begin)
        found["traces"].append(len(traced) - before)
        gc.collect()
        found["megabytes"].append(resident())
    return found


def main() -> None:
    """Run the sides, each in a process of its own, and print what they add."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--fits", type=int, default=15)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(train(options.side, options.fits, options.steps)))
        return
    seconds = {}
    for side in SIDES:
        command = [sys.executable, "-m", "benchmarks.growth", f"--side={side}"]
        command += [f"--fits={options.fits}", f"--steps={options.steps}"]
        said = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
        )
        found = json.loads(said.stdout.splitlines()[-1])
        memory = found["megabytes"][_WARM:]
        adds = [after - before for before, after in itertools.pairwise(memory)]
        seconds[side] = statistics.median(found["seconds"][_WARM:])
        print(
            f"{side}: {statistics.median(adds):.2f} MB a fit, "
            f"{memory[-1] - memory[0]:.1f} in all, {seconds[side]:.3f} s, "
            f"traced {sum(found['traces'][_WARM:]):.0f} times"
        )
    print(f"same_over_plain: {seconds['same'] / seconds['plain']:.3f}")
    print(f"other_over_plain: {seconds['other'] / seconds['plain']:.3f}")


if __name__ == "__main__":
    main()
