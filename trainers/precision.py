"""What a configuration says about numeric precision: bits by schedule, and a dtype policy."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import keras

import keras_sched as ks
from keras_sched.precision.checks import MOST_BITS, check_schedule, highest_of, whole_bits
from keras_sched.precision.phases import Lengths

if TYPE_CHECKING:
    from trainers.classification import Config

__all__ = ["bits", "callbacks", "phases", "quantized", "scaled", "unread", "verify", "verify_run"]

NONE = "none"


def verify(config: Config) -> None:
    """Refuse what cannot work in any run.

    Raises:
        ValueError: If a name is unknown or a number is out of range.
    """
    for name in ("bits_min", "bits_max"):
        whole_bits(name, getattr(config, name))
    if config.gradient_bits != 0:
        whole_bits("gradient_bits", config.gradient_bits)
    if config.cycles < 1:
        raise ValueError(f"`cycles` must be at least 1. Received: cycles={config.cycles}")
    if config.quantized_layers not in ks.precision.PRESETS:
        raise ValueError(
            f"`quantized_layers` must be one of {', '.join(ks.precision.PRESETS)}. "
            f"Received: {config.quantized_layers!r}"
        )
    _evaluation(config)
    bits(config)
    if phases(config):
        Lengths(phases(config))


def verify_run(config: Config, run: ks.Run) -> None:
    """Refuse what cannot work in a run of this length.

    Raises:
        ValueError: If cycles or phases do not fit into it, or a dtype has fewer bits than asked.
    """
    schedule = bits(config)
    most = 0
    if schedule is not None:
        resolved = schedule.resolve(run)
        check_schedule("precision_schedule", resolved)
        evaluation = _evaluation(config)
        most = max(
            highest_of(resolved),
            config.gradient_bits,
            evaluation if isinstance(evaluation, int) else 0,
        )
    for phase in Lengths(phases(config)).phases(run) if phases(config) else ():
        dtype = phase.policy.removeprefix("mixed_")
        if most > MOST_BITS.get(dtype, most):
            raise ValueError(
                f"`policy` has a dtype that holds levels of at most {MOST_BITS[dtype]} bits. "
                f"Received: policy={config.policy!r} with up to {most} bits of "
                f"precision_schedule={config.precision_schedule!r}. Expected fewer, or 'float32'"
            )


def bits(config: Config) -> ks.Schedule | None:
    """Return the schedule of the bits of weights and activations; None for full precision."""
    name, options = config.precision_schedule, dict(config.precision_options)
    if name == NONE:
        return None
    if name not in ks.precision.names():
        raise ValueError(
            f"`precision_schedule` must be one of {', '.join([NONE, *ks.precision.names()])}. "
            f"Received: {name!r}"
        )
    if name == "deficit" and "length" not in options:
        raise ValueError(
            f"A deficit must have a length. Received: precision_options={options}. Expected one, "
            f"as {{'length': '0.1dur'}}; see configs/rn74_cifar10_critical.py"
        )
    if name in ks.precision.CYCLIC:
        options = {"cycles": config.cycles, **options}
    given = {argument: getattr(config, key) for argument, key in _range(name).items()}
    return ks.precision.get(name, **given, **options)


def unread(config: Config, given: Collection[str]) -> list[str]:
    """Return which of some keys of a configuration are about bits, and not read by its schedule."""
    name = config.precision_schedule
    read = {*_range(name).values()}
    if name in ks.precision.CYCLIC and "cycles" not in config.precision_options:
        read.add("cycles")
    if name != NONE:
        read.add("gradient_bits")
    return sorted({"bits_min", "bits_max", "cycles", "gradient_bits"} & set(given) - read)


def _range(name: str) -> dict[str, str]:
    """Return the arguments of a schedule that a configuration has keys for."""
    if name in ks.precision.CYCLIC or name == "deficit":
        return {"bits_min": "bits_min", "bits_max": "bits_max"}
    return {"bits": "bits_max"} if name == "static" else {}


def phases(config: Config) -> list[tuple[str, float | str | None]]:
    """Return the phases of the dtype policy, "mixed_bfloat16:0.9,float32:0.1" as pairs.

    Raises:
        ValueError: If a phase is no name with a length.
    """
    found: list[tuple[str, float | str | None]] = []
    for phase in config.policy.split(",") if config.policy else ():
        name, _, length = phase.strip().partition(":")
        try:
            found.append((name, float(length) if length else None))
        except ValueError:
            found.append((name, length))
    return found


def quantized(model: keras.Model, config: Config, run: ks.Run) -> keras.Model:
    """Quantize a new model as the configuration says, with its schedule resolved for a run."""
    schedule = bits(config)
    if schedule is not None:
        resolved = schedule.resolve(run)
        ks.precision.quantize(
            model,
            weights=resolved,
            activations=resolved,
            gradients=config.gradient_bits or None,
            layers=config.quantized_layers,
            evaluation=_evaluation(config),
            seed=config.seed,
        )
    return model


def scaled(optimizer: keras.optimizers.Optimizer, config: Config) -> keras.optimizers.Optimizer:
    """Scale the loss where float16 needs it."""
    if any(name == "mixed_float16" for name, _ in phases(config)):
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def callbacks(config: Config) -> tuple[keras.callbacks.Callback, ...]:
    """Return the callbacks that precision needs."""
    found: list[keras.callbacks.Callback] = []
    if phases(config):
        found.append(ks.PrecisionPolicy(phases(config)))
    if bits(config) is not None:
        found.append(ks.CostLogger())
    return tuple(found)


def _evaluation(config: Config) -> str | int:
    text = config.evaluation_bits
    if text in ("max", "current"):
        return text
    if text.isdecimal():
        return whole_bits("evaluation_bits", int(text))
    raise ValueError(
        f"`evaluation_bits` must be 'max', 'current' or a number of bits. Received: {text!r}"
    )
