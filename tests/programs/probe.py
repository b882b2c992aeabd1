"""What every program is checked with: a weight whose gradient is known, and one training.

`Probe` passes its input on, and its weight has the gradient 1 whatever the model, the data and the
loss are. So the weight is a witness: a rule of `tests.optimizers.reference`, in float64, says where
it is after each update if that used the scheduled values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks


@tf.custom_gradient
def _passed(x, value):
    return tf.identity(x), lambda dy: (dy, tf.ones_like(value))


@keras.saving.register_keras_serializable("tests")
class Probe(keras.layers.Layer):
    """Passes its input on; the gradient of its weight is 1 for each use."""

    def __init__(self, **options):
        super().__init__(**options)
        self.supports_masking = True

    def build(self, shape):
        self.value = self.add_weight(shape=(1,), initializer="zeros", name="value")

    def call(self, x):
        return _passed(x, keras.ops.convert_to_tensor(self.value))


def probe_of(model):
    """Return the weight of the probe in a model."""
    return next(v for v in model.trainable_variables if v.path.endswith("probe/value"))


@dataclasses.dataclass
class Part:
    """An optimizer of a program, what is scheduled of it, and the weight that shows it.

    Args:
        optimizer: The optimizer.
        probe: The weight.
        rule: Its update in float64, from `tests.optimizers.reference`.
        schedules: Schedules by the name of the hyperparameter.
        found: The numbers that the rule needs, as they are without schedules.
        gradient: The gradient of the weight: how often the step uses the layer.
        calls: Calls of the optimizer in a batch; 0.5 for one in every second.
        options: Further arguments of `ks.Scheduler`.
        owner: The optimizer that the model has, if this one is a part of it.
    """

    optimizer: Any
    probe: Any
    rule: Callable[..., Any]
    schedules: dict[str, ks.Schedule]
    found: dict[str, float]
    gradient: float = 1.0
    calls: float = 1
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    owner: Any = None

    @property
    def whole(self):
        return self.optimizer if self.owner is None else self.owner

    @property
    def prefix(self):
        return "" if self.owner is None else f"{self.optimizer.name}/"

    @property
    def accumulated(self):
        return self.optimizer.gradient_accumulation_steps or 1

    @property
    def is_micro(self):
        return self.options.get("per") == "micro"

    def values(self, batches, steps):
        """Return the scheduled values of a training by step of the schedules' clock."""
        pace = self.calls / (1 if self.is_micro else self.accumulated)
        run = ks.Run(steps=int(batches * pace), steps_per_epoch=steps * pace)
        return {name: ks.simulate(schedule, n=run) for name, schedule in self.schedules.items()}

    def logged(self, batches):
        """Return the step of the clock that each batch begins at."""
        micro = 1 if self.is_micro else self.accumulated
        return (np.arange(batches) * self.calls // micro).astype(int)

    def used(self, batches):
        """Return the step of the clock that each update reads."""
        updates = np.arange(int(batches * self.calls // self.accumulated))
        return (updates + 1) * self.accumulated - 1 if self.is_micro else updates

    def path(self, scheduled, batches, plain):
        """Return where the weight is after each batch, by the rule, in float64."""
        values = self.values(scheduled, batches)
        used = [{n: float(v[s]) for n, v in values.items()} for s in self.used(scheduled)]
        end = len(used)
        used += [{}] * int(plain * self.calls // self.accumulated)
        weight, state, weights = np.zeros(1), {}, [np.zeros(1)]
        for step, numbers in enumerate(used):
            if step == end and self.optimizer.use_ema:
                weight = state["average"]  # what `fit` leaves in the place of the weights
            numbers = {**self.found, **numbers}
            weight = weight * (1 - numbers["learning_rate"] * numbers.get("weight_decay", 0.0))
            weight = self.rule(weight, np.full(1, self.gradient), step, numbers, state)
            kept = numbers.get("ema_momentum", 0.0) if step else 0.0
            state["average"] = kept * state.get("average", 0.0) + (1 - kept) * weight
            weights.append(weight)
        done = np.arange(1, scheduled + plain + 1) * self.calls // self.accumulated
        return np.array(weights)[done.astype(int), 0]


@dataclasses.dataclass
class Program:
    """A training as its author wrote it, with what `fit` is given.

    Args:
        model: The model, compiled.
        fit: What `fit` is given, without `epochs`.
        steps: Batches of an epoch.
        parts: Its optimizers.
        schedulers: The callbacks that schedule it; by default one for each part.
        has_loss: Whether the loss of a batch can be known.
    """

    model: Any
    fit: dict[str, Any]
    steps: int
    parts: list[Part]
    schedulers: Callable[[], list[ks.Scheduler]] | None = None
    has_loss: bool = True
    epochs: int = 2


class Watch(keras.callbacks.Callback):
    """Writes down a weight after each batch."""

    def __init__(self, probe):
        super().__init__()
        self.probe = probe
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(float(self.probe.numpy()[0]))


def as_found(model, optimizer):
    """Return what a training must leave as it is."""
    return {
        "config": {k: v for k, v in optimizer.get_config().items() if k != "learning_rate"},
        "rate": float(keras.ops.convert_to_numpy(optimizer.learning_rate)),
        "class": type(optimizer),
        "patches": sorted(n for n in vars(optimizer) if "keras_sched" in n or n == "apply"),
        "steps": [n for n in ("fit", "compile", "evaluate", "train_step") if n in vars(model)],
        "trainings": sorted(n for n in vars(model) if "keras_sched" in n),
        "attached": ks.hyperparameters.attached(optimizer),
    }


def check(program, has_log=True):
    """Train a program with schedules and once more without, and check each of its steps."""
    model, parts = program.model, program.parts
    batches = program.epochs * program.steps
    before = [as_found(model, part.optimizer) for part in parts]
    if program.schedulers is None:
        schedulers = [
            ks.Scheduler(
                **part.schedules,
                **part.options,
                optimizer=part.whole if len(parts) > 1 else None,
            )
            for part in parts
        ]
    else:
        schedulers = program.schedulers()
    loggers = {id(part.whole): ks.StepLogger(optimizer=part.whole) for part in parts if has_log}
    watches = [Watch(part.probe) for part in parts]
    callbacks = [*schedulers, *loggers.values(), *watches]
    options = {"verbose": 0, "shuffle": False, **program.fit}
    if program.has_loss:
        model.fit(**options, epochs=program.epochs, callbacks=callbacks)
    else:
        with pytest.warns(UserWarning, match="logs no loss"):
            model.fit(**options, epochs=program.epochs, callbacks=callbacks)
    for part, found in zip(parts, before, strict=True):
        calls = batches * part.calls
        assert int(part.optimizer.iterations) == calls // part.accumulated
        assert as_found(model, part.optimizer) == found
        if not has_log:
            continue
        log = loggers[id(part.whole)].history
        assert ("loss" in log) == program.has_loss
        for name, values in part.values(batches, program.steps).items():
            np.testing.assert_array_equal(log[part.prefix + name], values[part.logged(batches)])
    model.fit(**options, epochs=1, callbacks=watches)
    for part, watch in zip(parts, watches, strict=True):
        assert len(watch.values) == batches + program.steps
        expected = part.path(batches, program.steps, program.steps)
        np.testing.assert_allclose(watch.values, expected, rtol=2e-5, atol=1e-7)
