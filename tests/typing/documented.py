"""A user's file: each documented form once. mypy checks it, and a test runs it."""

from __future__ import annotations

import keras
import numpy as np

import keras_sched as ks


def schedules() -> list[ks.Schedule]:
    """Return schedules made in each way that the documents name."""
    run = ks.Run(steps=1000, steps_per_epoch=15 / 8, batch_size=32, seconds_per_step=0.1)
    named: list[ks.Schedule] = [
        # lengths: open, and in each unit
        ks.REX(0.1),
        ks.REX(0.1, steps=100),
        ks.REX(0.1, length=100),
        ks.REX(0.1, length="30ep"),
        ks.REX(0.1, length=ks.Duration(30, unit="epochs")),
        ks.REX(0.1, epochs=1.5),
        ks.REX(0.1, fraction=0.5),
        ks.REX(0.1, samples=1e6),
        ks.REX(0.1, seconds=90),
        # each schedule
        ks.Constant(0.1),
        ks.Linear(0.1, end=0.01),
        ks.Cosine(1, end=0),
        ks.Polynomial(0.1, power=2),
        ks.Exponential(0.1, rate=4.0),
        ks.InverseTime(0.1, rate=2.0),
        ks.DelayedLinear(0.1, delay=0.75),
        ks.InverseSqrt(0.1, timescale="1ep"),
        ks.InversePower(0.1, timescale=100, power=0.6),
        ks.Noam(512, warmup_length=4000),
        ks.Step(0.1, every="30ep", factor=0.5),
        ks.MultiStep(0.1, at=["50%", "75%"], epochs=90),
        ks.MultiStep(0.1, at=(500, "0.75dur")),
        ks.PiecewiseConstant([1, 0.1], boundaries=[5]),
        ks.PiecewiseConstant((1.0, 0.5, 0.1), boundaries=("1ep", "2ep")),
        ks.PiecewiseLinear([(0, 0.0), ("5ep", 1.0), ("100%", 0)]),
        ks.CosineRestarts(0.1, period="10ep", stretch=2.0),
        ks.Triangular(0.01, peak=0.1, half_period=2000),
        ks.Triangular2(0.01, peak=0.1, half_period="2ep"),
        ks.ExpRange(0.01, peak=0.1, half_period=2000, gamma=0.999),
        ks.OneCycle(0.1, three_phase=True, profile="linear"),
        ks.OneCycle.triangle(0.1, epochs=30),
        ks.OneCycle(0.1).momentum(low=0.8),
        ks.OneCycleMomentum(steps=100),
        ks.WSD(0.1, warmup_length="1ep", cooldown_length="20%"),
        ks.Demon(0.9),
        ks.CosineMomentum(),
        ks.LinearMomentum(0.9),
        ks.ExponentialMomentum(0.9, rate=5.0),
        ks.Lambda(lambda t: 0.1 / (1 + t)),
        ks.get("rex", 0.1, d=0.9),
        # schedules of schedules
        ks.REX(0.1).warmup("1ep"),
        ks.REX(0.1).warmup(100, start=0.01, profile="cosine", offset=0),
        ks.Constant(0.1).cooldown("20%", end=0.001, profile="sqrt"),
        ks.Linear(0.0, end=1.0, length="5ep").then(ks.Cosine(1.0, epochs=5), ks.Constant(0.1)),
        ks.join(ks.Linear(0.1, steps=5), ks.Constant(0.1)),
        ks.REX(0.1).shift("1ep"),
        ks.REX(0.1).skip(10),
        ks.REX(0.1).until("5ep"),
        ks.Cosine(3, end=8).repeat(8, triangular=True, mirror="value").rounded(),
        ks.REX(0.1).mirrored(),
        ks.REX(0.1).sampled(every="1ep"),
        ks.REX(0.1).sampled(at=["50%", 750]),
        ks.REX(0.1) * 0.5,
        2 * ks.REX(0.1) * ks.Demon(0.9),
        ks.REX(0.1) + 0.01,
        ks.REX(0.1).at_most(0.05).at_least(0.01),
        ks.Warmup(ks.REX(0.1), length="1ep", offset=0),
        ks.Cooldown(ks.Constant(0.1), cooldown_length=5, steps=100),
        ks.precision.cr(3, bits_max=8, cycles=8),
        ks.precision.rungs([3, 4, 6, 8]),
    ]
    named[3] = named[3].resolve(run)
    named[0] = named[0].resolve(1000)
    return named


def numbers() -> list[float]:
    """Return what is read of schedules, as what it is."""
    rex = ks.REX(0.1, steps=100)
    steps: int | None = rex.steps
    epochs: float | None = ks.REX(0.1, length="30ep").epochs
    start: float = rex.start
    curve: np.ndarray = ks.simulate(rex, n=100)
    report = rex.check(low=0.0, high=1.0)
    return [steps or 0, epochs or 0, start, float(rex(5)), float(curve[0]), report.high]


@ks.register_schedule
class Hold(ks.schedules.Profiled):
    """A schedule of the user's own."""

    peak: float

    def _at(self, s: object, xp: object) -> object:
        return self.peak * xp.minimum(1.0, 2.0 * (1.0 - s))  # type: ignore[attr-defined,operator]


def optimizers() -> list[keras.optimizers.Optimizer]:
    """Return optimizers in each way that they take schedules."""
    stock = keras.optimizers.SGD(0.1, momentum=0.9)
    ks.hyperparameters.attach(stock, schedules={"momentum": ks.Demon(0.9, steps=10)})
    return [
        stock,
        keras.optimizers.Adam(ks.REX(0.1, steps=100)),
        ks.optimizers.SGD(ks.REX(0.1, steps=100)),
        ks.optimizers.SGD(learning_rate=0.1, momentum=ks.Demon(0.9, steps=100), nesterov=True),
        ks.optimizers.Adam(1e-3, beta_1=ks.Demon(0.9, steps=100), weight_decay=0.01),
        ks.optimizers.AdamW(Hold(0.1, steps=100).warmup(5), weight_decay=ks.Linear(0.1, steps=9)),
        ks.optimizers.DemonAdam(1e-3, beta_1=ks.Demon(0.9, steps=100)),
    ]


def callbacks() -> list[keras.callbacks.Callback]:
    """Return the callbacks as they are given to `fit`."""
    return [
        ks.Scheduler(ks.REX(0.1)),
        ks.Scheduler(learning_rate=ks.REX(0.1).warmup("1ep"), momentum=ks.Demon(0.9)),
        ks.Scheduler(bits=ks.precision.cr(3, bits_max=8), per="micro", batch_size=32),
        ks.Plateau(monitor="val_loss", factor=0.1, patience=5),
        ks.StepLogger(),
        ks.CostLogger(),
        ks.PrecisionPolicy([("mixed_bfloat16", 0.9), ("float32", 0.1)]),
    ]


def quantized(model: keras.Model) -> list[object]:
    """Quantize a model in each way, and put it back."""
    found: list[object] = []
    with ks.precision.quantize(model, weights=4, activations=4, layers=[(".*/stem", None)]):
        found.append(ks.precision.macs(model))
    bits = ks.precision.cr(3, bits_max=8, cycles=8, steps=100)
    handle = ks.precision.quantize(model, weights=bits, activations=8, gradients=8, layers="all")
    handle.detach()
    return found
