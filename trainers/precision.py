"""What a configuration says about numeric precision: bits by schedule, and a dtype policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

import keras_sched as ks

if TYPE_CHECKING:
    from trainers.classification import Config

__all__ = ["bits", "callbacks", "phases", "quantized", "scaled", "verify"]

NONE = "none"


def verify(config: Config) -> None:
    """Refuse what cannot work.

    Raises:
        ValueError: If a name is unknown or a number is out of range.
    """
    schedule = bits(config)
    if schedule is not None:
        schedule.resolve(ks.Run(steps=1_000_000, steps_per_epoch=1000))
        _evaluation(config)
        if config.quantized_layers not in ks.precision.PRESETS:
            raise ValueError(
                f"`quantized_layers` must be one of {', '.join(ks.precision.PRESETS)}. "
                f"Received: {config.quantized_layers!r}"
            )
        if config.gradient_bits:
            ks.precision.static(config.gradient_bits)
    if phases(config):
        ks.PrecisionPolicy(phases(config))


def bits(config: Config) -> ks.Schedule | None:
    """Return the schedule of the bits of weights and activations; None for full precision."""
    name, options = config.precision_schedule, dict(config.precision_options)
    if name == NONE:
        return None
    if name in ks.precision.CYCLIC:
        options = {"cycles": config.cycles, **options}
    if name in ks.precision.CYCLIC or name == "deficit":
        return ks.precision.get(name, config.bits_min, config.bits_max, **options)
    if name == "static":
        return ks.precision.get(name, config.bits_max, **options)
    return ks.precision.get(name, **options)


def phases(config: Config) -> list[tuple[str, float | str | None]]:
    """Return the phases of the dtype policy, "mixed_bfloat16:0.9,float32:0.1" as pairs.

    Raises:
        ValueError: If a phase is no name with a length.
    """
    found: list[tuple[str, float | str | None]] = []
    for phase in filter(None, config.policy.split(",")):
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
            seed=0,
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
        ks.precision.static(int(text))
        return int(text)
    raise ValueError(
        f"`evaluation_bits` must be 'max', 'current' or a number of bits. Received: {text!r}"
    )
