"""What `quantize` refuses before anything is touched, and the number that stands for evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from keras_sched import _validate
from keras_sched.precision._replaced import Replaced
from keras_sched.precision.bits import highest_of, verify_schedule, whole_bits
from keras_sched.precision.rules import verify_built, walk
from keras_sched.schedules import Schedule

__all__ = [
    "BITS",
    "CURRENT",
    "MAXIMUM",
    "evaluated_bits",
    "evaluation_code",
    "verified_bits",
    "verify_model",
    "verify_optimizer",
]

BITS = ("weight_bits", "activation_bits", "gradient_bits")
# Evaluation at the bits of the present step, and at the highest; above 0 it is the bits.
CURRENT, MAXIMUM = 0.0, -1.0


def verify_model(model: Any) -> None:
    """Raise a TypeError or ValueError if a model cannot be quantized as it is."""
    verify_built(model)
    for layer in walk(model):
        if isinstance(vars(layer).get("call"), Replaced):
            raise ValueError(
                f"`model` is quantized already, at {layer.path!r}. Detach that handle first: "
                f"`ks.precision.find(model).detach()`."
            )
        if getattr(layer, "quantization_mode", None) is not None:
            raise ValueError(
                f"Keras has quantized {layer.path!r} already, to "
                f"{layer.quantization_mode!r}: its weights are no longer trained. Expected a model "
                f"without `Model.quantize`."
            )


def verify_optimizer(optimizer: Any) -> None:
    """Raise a TypeError if something is neither None nor an optimizer."""
    if optimizer is not None and not isinstance(optimizer, keras.optimizers.Optimizer):
        raise TypeError(f"`optimizer` must be a Keras optimizer. Received: optimizer={optimizer!r}")


def verified_bits(plan: Mapping[str, Any]) -> dict[str, int | None]:
    """Return the most bits of schedules and numbers by name; raise an error for anything else."""
    most: dict[str, int | None] = {}
    for name, value in plan.items():
        if isinstance(value, Schedule):
            verify_schedule(name, value)
            most[name] = highest_of(value)
        else:
            most[name] = None if value is None else whole_bits(name, value)
    return most


def evaluation_code(bits: Any) -> float:
    """Return the number of "current", "max" or bits; raise an error for anything else."""
    if isinstance(bits, str):
        _validate.choice("evaluation", bits, ("current", "max"))
        return CURRENT if bits == "current" else MAXIMUM
    return float(whole_bits("evaluation", bits))


def evaluated_bits(code: float, widths: Mapping[str, Any]) -> dict[str, int]:
    """Return the bits of evaluation by name, if they are a number."""
    return {name: int(code) for name in BITS[:2] if code > 0 and widths[name] is not None}
