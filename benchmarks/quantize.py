"""What emulated precision costs: the time of a training step, side by side in one process.

    python -m benchmarks.quantize [--rounds=60]

ResNet-20 at batch 32 in graph mode, without XLA; the bits change at every step. The sides take
turns, one step each, in an order that alternates:
  plain          the model as it is
  forward        weights and activations quantized
  all            weights, activations, and gradients with stochastic rounding
  qkeras         weights and activations at 8 fixed bits by qkeras-v3, if it is installed
in two makes of the network: of stock Keras layers ("stock"), and with the fused normalisation of
the trainers ("fused"), whose plain step is a third faster, so that the same quantizers weigh more.
Reported are ratios of median CPU seconds, as wall time depends on how many cores wait, and of wall
seconds beside them, with the quartiles of the ratio within each round. qkeras' layers take the
place of the stock convolutions.
"""

from __future__ import annotations

import trainers  # isort: skip  # noqa: F401  # sets what TensorFlow reads when it is imported

import argparse
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import keras_sched as ks
from trainers import models
from trainers.models.layers import BatchNorm

BATCH = 32


def fused() -> keras.Model:
    """Return ResNet-20 as the trainers have it."""
    keras.utils.set_random_seed(0)
    return models.get("resnet20", (32, 32, 3), 10)


def stock() -> keras.Model:
    """Return ResNet-20 with Keras' own normalisation."""
    return _remade(lambda layer, config: None)


def _remade(make: Callable[[keras.layers.Layer, dict[str, Any]], Any]) -> keras.Model:
    """Return ResNet-20 with stock normalisation and, where `make` gives one, another layer."""

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if isinstance(layer, BatchNorm):
            return keras.layers.BatchNormalization(
                momentum=layer.momentum, epsilon=layer.epsilon, name=layer.name
            )
        return make(layer, config) or type(layer).from_config(config)

    return keras.models.clone_model(fused(), clone_function=clone)


def qkeras_model() -> keras.Model | None:
    """Return ResNet-20 with 8-bit layers of qkeras-v3, or None if it is not installed."""
    try:
        import qkeras
    except ImportError:
        return None

    class Convolution(qkeras.QConv2D):
        """Also quantizes its input, as `keras_sched` does, rather than needing a layer for it."""

        def call(self, inputs: Any) -> Any:
            return super().call(qkeras.quantized_bits(8, 3, 1, alpha=1.0)(inputs))

    def make(layer: keras.layers.Layer, config: dict[str, Any]) -> Any:
        if not isinstance(layer, keras.layers.Conv2D):
            return None
        return Convolution(
            layer.filters,
            layer.kernel_size,
            strides=layer.strides,
            padding=layer.padding,
            use_bias=False,
            kernel_quantizer=qkeras.quantized_bits(8, 0, 1, alpha=1.0),
            name=layer.name,
        )

    return _remade(make)


class Side:
    """A model that is trained step by step, and the times its steps took."""

    def __init__(self, model: keras.Model, bits: dict[str, int] | None = None) -> None:
        self.handle = None if bits is None else ks.precision.quantize(model, **bits)
        self.model = model
        self.times: list[tuple[float, float]] = []
        model.compile(
            keras.optimizers.SGD(0.05, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=False,
        )

    def step(self, x: np.ndarray, y: np.ndarray, bits: int) -> None:
        """Train one step and note its wall and CPU seconds."""
        if self.handle is not None:
            self.handle.weights.assign(bits)
            self.handle.activations.assign(bits)
        wall, cpu = time.perf_counter(), time.process_time()
        self.model.train_on_batch(x, y)
        self.times.append((time.perf_counter() - wall, time.process_time() - cpu))


def sides() -> dict[str, Side]:
    """Return the contestants by name."""
    forward = {"weights": 8, "activations": 8}
    found = {}
    for name, make in (("stock", stock), ("fused", fused)):
        found[f"{name}_plain"] = Side(make())
        found[f"{name}_forward"] = Side(make(), forward)
        found[f"{name}_all"] = Side(make(), {**forward, "gradients": 8})
    qkeras = qkeras_model()
    if qkeras is not None:
        found["stock_qkeras"] = Side(qkeras)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60, help="steps of each side")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH, 32, 32, 3)).astype("float32")
    y = rng.integers(0, 10, BATCH)
    contestants = sides()
    for side in contestants.values():
        for _ in range(4):  # tracing, and the first touch of memory
            side.step(x, y, 8)
        side.times.clear()
    for number in range(options.rounds):
        order = list(contestants)
        for name in order if number % 2 else reversed(order):
            contestants[name].step(x, y, 3 + number % 6)
    show(contestants)


def show(contestants: dict[str, Side]) -> None:
    """Print the medians and their spread, and the ratios last."""
    times = {name: np.array(side.times) for name, side in contestants.items()}
    medians = {name: np.median(each, axis=0) for name, each in times.items()}
    ratios = []
    for name, (wall, cpu) in medians.items():
        make, _, side = name.partition("_")
        said = (
            f"{name}: median of {len(times[name])}: {1e3 * wall:.1f} ms wall, {1e3 * cpu:.1f} CPU"
        )
        if side != "plain":
            base = f"{make}_plain"
            low, high = np.quantile(times[name][:, 1] / times[base][:, 1], [0.25, 0.75])
            said += f"; CPU over plain, quartiles of the rounds: {low:.3f} to {high:.3f}"
            wall, cpu = medians[name] / medians[base]
            ratios += [f"{name}_over_plain_wall: {wall:.3f}", f"{name}_over_plain_cpu: {cpu:.3f}"]
        print(said)
    print("\n".join(ratios))


if __name__ == "__main__":
    main()
