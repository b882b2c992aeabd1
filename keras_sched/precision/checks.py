"""Checks of bits, their schedules and the models that have them, before anything is touched.

Each says what is wrong, what was received and what is expected. Nothing is repaired.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_sched import _validate
from keras_sched._reading import check_length, read
from keras_sched.schedules import Schedule

__all__ = [
    "BITS",
    "CURRENT",
    "HANDLE",
    "HIGHEST",
    "LOWEST",
    "MAXIMUM",
    "MOST_BITS",
    "argument_of",
    "check_built",
    "check_dtypes",
    "check_optimizer",
    "check_schedule",
    "check_some",
    "check_unquantized",
    "evaluated_bits",
    "evaluation_code",
    "highest_of",
    "most_bits",
    "rising_bits",
    "whole_bits",
]

BITS = ("weight_bits", "activation_bits", "gradient_bits")
HANDLE = "_keras_sched_quantized"
"""The attribute of a layer that holds the handle by which it is quantized."""
# Evaluation at the bits of the present step, and at the highest; above 0 it is the bits.
CURRENT, MAXIMUM = 0.0, -1.0
LOWEST, HIGHEST = 2, 16
# More bits than the significand of a dtype can tell apart: levels would coincide.
MOST_BITS = {"bfloat16": 8, "float16": 10}


def whole_bits(name: str, value: Any) -> int:
    """Return `value` as an int in [2, 16].

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is not whole or out of range.
    """
    number = _validate.real(name, value)
    if number != int(number) or not LOWEST <= number <= HIGHEST:
        raise ValueError(
            f"`{name}` must be a whole number of bits in [{LOWEST}, {HIGHEST}]. "
            f"Received: {name}={value!r}"
        )
    return int(number)


def rising_bits(name: str, bits: Any) -> tuple[int, ...]:
    """Return the bits of rungs that are climbed.

    Raises:
        TypeError: If they are no numbers.
        ValueError: If one is not whole or out of [2, 16], or they fall.
    """
    if isinstance(bits, str | bytes) or not isinstance(bits, Sequence) or not bits:
        raise TypeError(f"`{name}` must be numbers of bits. Received: {name}={bits!r}")
    rungs = tuple(whole_bits(name, rung) for rung in bits)
    if list(rungs) != sorted(rungs):
        raise ValueError(f"`{name}` must not fall from rung to rung. Received: {name}={rungs}")
    return rungs


def argument_of(name: str) -> str:
    """Return the argument of `quantize` that sets some bits: "weights" for "weight_bits"."""
    return f"{name.removesuffix('_bits')}s"


def check_schedule(name: str, schedule: Any) -> None:
    """Check that a schedule gives a whole number of bits at every step.

    Raises:
        TypeError: If it is no schedule.
        ValueError: If it has an open length, or leaves the whole numbers in [2, 16].
    """
    check_length(name, schedule)
    wrong, _ = _read(schedule)
    if wrong is not None:
        hint = "" if wrong == int(wrong) else " `.rounded()` makes a schedule whole."
        raise ValueError(
            f"`{name}` must be a whole number of bits in [{LOWEST}, {HIGHEST}] at every step. "
            f"Received: {name}={wrong:g} in {schedule!r}.{hint}"
        )


def highest_of(schedule: Schedule) -> int:
    """Return the most bits that a schedule asks for."""
    return int(_read(schedule)[1])


@functools.lru_cache
def _read(schedule: Schedule) -> tuple[float | None, float]:
    """Return the first value that is no number of bits, or None, and the highest."""
    _, values = read(schedule)
    wrong = (values != np.rint(values)) | (values < LOWEST) | (values > HIGHEST)
    return float(values[np.argmax(wrong)]) if wrong.any() else None, float(values.max())


def check_built(model: Any) -> None:
    """Raise a TypeError if it is no model, or a ValueError if it has no weights yet."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. Received: {model!r}")
    if not model.built:
        raise ValueError(
            f"`model` must be built, so that it has weights. Received: {model.name!r}. Call it on "
            f"a batch, or `model.build(input_shape)`."
        )


def check_unquantized(layers: Iterable[keras.layers.Layer]) -> None:
    """Raise a ValueError if one of the layers of a model is quantized already."""
    for layer in layers:
        if HANDLE in vars(layer):
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


def check_optimizer(optimizer: Any) -> None:
    """Raise a TypeError if something is neither None nor an optimizer."""
    if optimizer is not None and not isinstance(optimizer, keras.optimizers.Optimizer):
        raise TypeError(f"`optimizer` must be a Keras optimizer. Received: optimizer={optimizer!r}")


def most_bits(plan: Mapping[str, Any]) -> dict[str, int | None]:
    """Return the most bits of schedules and numbers by name; raise an error for anything else."""
    most: dict[str, int | None] = {}
    for name, value in plan.items():
        if isinstance(value, Schedule):
            check_schedule(name, value)
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


def check_dtypes(
    layers: Sequence[keras.layers.Layer],
    chosen: Sequence[Any],
    bits: Mapping[str, int | None],
    received: str | None = None,
) -> None:
    """Check that the dtype that a layer computes in can tell so many bits apart.

    Args:
        layers: The targets.
        chosen: What holds in each of them.
        bits: The most bits of the model, by "weight_bits", "activation_bits", "gradient_bits".
        received: What was asked for, for the message; by default the bits.

    Raises:
        ValueError: If there are more.
    """
    for layer, own in zip(layers, chosen, strict=True):
        most = MOST_BITS.get(layer.compute_dtype)
        for name, value in bits.items():
            of = getattr(own, argument_of(name))
            value = value if of == "follow" else of
            if most is not None and value is not None and value > most:
                raise ValueError(
                    f"{layer.path!r} computes in {layer.compute_dtype}, which holds levels of at "
                    f"most {most} bits. Received: {received or f'{name}={value}'}"
                )


def check_some(
    layers: Sequence[keras.layers.Layer],
    chosen: Sequence[Any],
    bits: Mapping[str, Any],
    rules: str | Sequence[tuple[str, Any]],
) -> None:
    """Check that rules leave something of what was asked for.

    Args:
        layers: The targets.
        chosen: What holds in each of them.
        bits: What the model was asked for, by "weight_bits", "activation_bits", "gradient_bits".
        rules: Where that is from, for the message.

    Raises:
        ValueError: If bits are asked for, and every layer is left in full precision.
    """
    asked = {argument_of(name) for name, value in bits.items() if value is not None}
    if not asked or any(_has_any(own, asked) for own in chosen):
        return
    raise ValueError(
        f"`layers` must leave something to quantize. Received: layers={rules!r}, by which all of "
        f"{', '.join(layer.path for layer in layers)} stay in full precision. Expected, for every "
        f"layer: layers='all'"
    )


def _has_any(own: Any, asked: set[str]) -> bool:
    """Whether a layer has bits of its own, or some of the model's."""
    return any(
        of is not None and (of != "follow" or name in asked) for name, of in own._asdict().items()
    )
