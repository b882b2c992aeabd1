"""Images a second of ResNet-20 training, batch 128: the trainers' loop, `keras.fit` and PyTorch.

    python -m benchmarks.throughput [--repeats=5] [--steps=40] [--torch_python=PYTHON]

All three train the same network on the same 12,800 random images of 32x32, held in memory, with
padding, cropping, mirroring and normalisation of every batch included, on the CPU with the threads
that each library takes by itself. Every measurement is a process of its own, so that they do not
fight for cores, and the rivals take turns. PyTorch comes with `pip install -e '.[peers]'`, or from
another environment by --torch_python.
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

BATCH, COUNT, DEPTH = 128, 12_800, 20
RIVALS = ("trainer", "fit", "torch")


def images() -> tuple:
    """Return random images and labels, the same for everyone."""
    import numpy as np

    draw = np.random.default_rng(0)
    return (
        draw.integers(0, 256, (COUNT, 32, 32, 3), dtype=np.uint8),
        draw.integers(0, 10, COUNT),
    )


def data():
    """Return them as the data set that the trainers use."""
    from trainers.datasets import Images

    x, y = images()
    return Images("random", x, y, x[:BATCH], y[:BATCH], 10, flip=True)


def trainer() -> Callable[[int], None]:
    """Return the trainers' own loop, by the call."""
    import tensorflow as tf

    from configs.rn20_cifar10 import get_config
    from trainers.loop.compiled import Compiled
    from trainers.tasks.classification import ImageClassification

    task = ImageClassification.of(get_config().to_dict(), data())
    compiled = Compiled()
    compiled.begin(task, 0, task.run.total)
    function = compiled.model.make_train_function()
    batches = iter(task.train(0))
    count = task.config.training.steps_per_call

    def train(steps: int) -> None:
        for _ in range(steps // count):
            float(function(batches, tf.constant(count, tf.int64))["loss"])

    return train


def fit() -> Callable[[int], None]:
    """Return plain `keras.fit` of the same network with Keras' own batch normalisation."""
    import keras

    # By name: the package has a function of the same name.
    resnet = importlib.import_module("trainers.models.resnet")
    resnet.BatchNorm = lambda: keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
    model = resnet.resnet(DEPTH, (32, 32, 3), 10)
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    batches = data().train(BATCH, seed=0)
    return lambda steps: model.fit(batches, steps_per_epoch=steps, verbose=0)


def torch() -> Callable[[int], None]:
    """Return the usual loop of PyTorch, its augmentation vectorised over the batch as ours is."""
    import torch as t
    from torch import nn
    from torch.nn import functional as f

    class Block(nn.Module):
        def __init__(self, before: int, width: int, stride: int) -> None:
            super().__init__()
            self.one = nn.Conv2d(before, width, 3, stride, 1, bias=False)
            self.two = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            self.norm_one, self.norm_two = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
            self.stride, self.added = stride, width - before

        def forward(self, x):
            short = x
            if self.stride != 1:
                half = self.added // 2
                short = f.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, self.added - half))
            x = f.relu(self.norm_one(self.one(x)))
            return f.relu(self.norm_two(self.two(x)) + short)

    widths = [(16, 16, 1)] * 3 + [(16, 32, 2)] + [(32, 32, 1)] * 2 + [(32, 64, 2)]
    blocks = [Block(*width) for width in [*widths, *[(64, 64, 1)] * 2]]
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    ends = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    model = nn.Sequential(*stem, *blocks, *ends).to(memory_format=t.channels_last)
    optimizer = t.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    x, y = (t.from_numpy(part) for part in images())
    x = x.permute(0, 3, 1, 2).contiguous()
    order = t.randperm(COUNT)

    def batch(step: int):
        index = order[(step * BATCH) % COUNT :][:BATCH]
        padded = f.pad(x[index], (4, 4, 4, 4))
        rows = t.arange(32)[None] + t.randint(0, 9, (BATCH, 1))
        columns = t.arange(32)[None] + t.randint(0, 9, (BATCH, 1))
        columns = t.where(t.rand(BATCH, 1) < 0.5, columns.flip(1), columns)
        every = t.arange(BATCH)[:, None, None]
        cropped = padded[every, :, rows[:, :, None], columns[:, None, :]]
        pixels = cropped.permute(0, 3, 1, 2).float()
        return (pixels / 255.0 - 0.5) / 0.29, y[index]

    def train(steps: int) -> None:
        for step in range(steps):
            pixels, labels = batch(step)
            loss = f.cross_entropy(model(pixels.to(memory_format=t.channels_last)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()

    return train


def measure(rival: str, steps: int) -> float:
    """Return images a second of one rival in this process, after a warmup."""
    train = {"trainer": trainer, "fit": fit, "torch": torch}[rival]()
    train(10)
    began = time.perf_counter()
    train(steps)
    return steps * BATCH / (time.perf_counter() - began)


def main() -> None:
    """Measure all rivals in turn and print their medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40, help="a multiple of 10")
    parser.add_argument("--torch_python", default=sys.executable)
    parser.add_argument("--rival", choices=RIVALS, help="measure one, in this process")
    arguments = parser.parse_args()
    if arguments.rival:
        print(json.dumps(measure(arguments.rival, arguments.steps)))
        return
    rivals = list(RIVALS)
    own = arguments.torch_python == sys.executable
    if own and importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed here: pip install -e '.[peers]', or --torch_python=PYTHON")
        rivals.remove("torch")
    speeds: dict[str, list[float]] = {rival: [] for rival in rivals}
    for repeat in range(arguments.repeats):
        for rival in rivals[repeat % len(rivals) :] + rivals[: repeat % len(rivals)]:
            python = arguments.torch_python if rival == "torch" else sys.executable
            flags = [f"--rival={rival}", f"--steps={arguments.steps}"]
            # As a file where nothing of this repository is installed.
            program = [__file__] if rival == "torch" else ["-m", "benchmarks.throughput"]
            done = subprocess.run(
                [python, *program, *flags],
                capture_output=True,
                text=True,
            )
            if done.returncode:
                raise SystemExit(f"{rival} failed:\n{done.stderr}")
            speeds[rival].append(json.loads(done.stdout.splitlines()[-1]))
    for rival, values in speeds.items():
        shown = ", ".join(f"{value:.0f}" for value in values)
        print(f"{rival}: median {statistics.median(values):.0f} images/s of {shown}")
    for rival in rivals[1:]:
        pairs = zip(speeds["trainer"], speeds[rival], strict=True)
        print(f"trainer_over_{rival}: {statistics.median(a / b for a, b in pairs):.3f}")


if __name__ == "__main__":
    main()
