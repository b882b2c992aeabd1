"""Trains with schedules under the backend of KERAS_BACKEND, and prints what came out as JSON."""

from __future__ import annotations

import json
import pathlib
import sys
import tempfile
import warnings

import keras
import numpy as np

import keras_sched as ks
from tests.backends.cases import OPTIMIZERS, SCHEDULES, START, STEPS, TARGET, TRAINED, X

warnings.simplefilter("error", UserWarning)


def network(optimizer):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, use_bias=False)])
    model.compile(optimizer, "mse")
    model.set_weights([START])
    return model


def trained(optimizer):
    model = network(optimizer)
    model.fit(X, TARGET, batch_size=len(X), epochs=STEPS, shuffle=False, verbose=0)
    return model


def weights():
    found = {}
    for name, schedule in TRAINED:
        kind, options, _ = OPTIMIZERS[name]
        optimizer = getattr(keras.optimizers, kind)(SCHEDULES[schedule], **options)
        found[f"{name} {schedule}"] = trained(optimizer).get_weights()[0].tolist()
    number = keras.optimizers.SGD(0.2, momentum=0.9)
    found["sgd number"] = trained(number).get_weights()[0].tolist()
    return found


def continued():
    """Train for half of the steps, save, load, and train for the other half."""
    model = network(keras.optimizers.SGD(SCHEDULES["warmup"], momentum=0.9))
    fitted = {"batch_size": len(X), "epochs": STEPS // 2, "shuffle": False, "verbose": 0}
    model.fit(X, TARGET, **fitted)
    with tempfile.TemporaryDirectory() as place:
        path = pathlib.Path(place) / "model.keras"
        model.save(path)
        model = keras.models.load_model(path)
    model.fit(X, TARGET, **fitted)
    return model.get_weights()[0].tolist()


def values():
    steps = range(STEPS + 2)
    return {
        name: [float(schedule(keras.ops.convert_to_tensor(t))) for t in steps]
        for name, schedule in SCHEDULES.items()
    }


def refusals():
    """What needs TensorFlow, each built so that nothing else is wrong with it."""
    schedule = ks.Linear(0.1, steps=4)
    model = network(keras.optimizers.SGD(0.1))
    optimizer = model.optimizer
    found = {}
    for name, make in {
        "Scheduler": lambda: ks.Scheduler(ks.REX(0.1)),
        "Plateau": ks.Plateau,
        "StepLogger": ks.StepLogger,
        "CostLogger": ks.CostLogger,
        "ProgressivePrecision": ks.ProgressivePrecision,
        "PrecisionPolicy": lambda: ks.PrecisionPolicy([("mixed_bfloat16", "4ep")]),
        "LRRangeTest": ks.LRRangeTest,
        "PrecisionRangeTest": ks.PrecisionRangeTest,
        "quantize": lambda: ks.precision.quantize(model, layers="all"),
        "attach": lambda: ks.hyperparameters.attach(
            keras.optimizers.SGD(0.1), schedules={"learning_rate": schedule}
        ),
        "begin": lambda: ks.hyperparameters.begin(optimizer, step=0),
        "replace": lambda: ks.hyperparameters.replace(optimizer, schedules={}, steps=4),
        **{
            f"optimizers.{each}": lambda each=each: getattr(ks.optimizers, each)(schedule)
            for each in ks.optimizers.__all__
        },
    }.items():
        try:
            make()
        except RuntimeError as error:
            found[name] = str(error)
        else:
            found[name] = "no error"
    return found


def main():
    result = {
        "backend": keras.backend.backend(),
        "weights": weights(),
        "continued": continued(),
        "values": values(),
        "refusals": refusals(),
    }
    sys.stdout.write(f"\n{json.dumps(result, default=np.ndarray.tolist)}\n")


if __name__ == "__main__":
    main()
