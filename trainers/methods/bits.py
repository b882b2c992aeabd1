"""The quantizers, the dtype policy and the loss scaling of a configuration."""

from __future__ import annotations

from collections.abc import Collection

import keras

import keras_sched as ks
from keras_sched.precision.checks import MOST_BITS, check_schedule, highest_of
from keras_sched.precision.phases import Lengths
from trainers.methods.naming import naming
from trainers.options.fields import check_known
from trainers.options.precision import NONE, Precision

__all__ = ["bits", "callbacks", "check", "phases", "quantized", "scaled", "unread"]


def check(options: Precision, run: ks.Run) -> None:
    """Check that the options make quantizers and a policy for a run.

    Raises:
        ValueError: If a name is unknown, cycles or phases do not fit into the run, or a dtype has
            fewer bits than are asked for.
    """
    if options.quantized_layers not in ks.precision.PRESETS:
        raise ValueError(
            f"`quantized_layers` must be one of {', '.join(ks.precision.PRESETS)}. "
            f"Received: quantized_layers={options.quantized_layers!r}"
        )
    most = 0
    with naming(options, "precision_schedule", "precision_options", "bits_min", "bits_max"):
        schedule = bits(options)
        if schedule is not None:
            resolved = schedule.resolve(run)
            check_schedule("precision_schedule", resolved)
            fixed = options.evaluation_bits
            numbers = (options.gradient_bits, fixed if isinstance(fixed, int) else 0)
            most = max(highest_of(resolved), *numbers)
    with naming(options, "policies", "policy_lengths"):
        found = Lengths(phases(options)).phases(run) if options.policies else ()
    for phase in found:
        dtype = phase.policy.removeprefix("mixed_")
        if most > MOST_BITS.get(dtype, most):
            raise ValueError(
                f"`policies` has a dtype that holds levels of at most {MOST_BITS[dtype]} bits. "
                f"Received: policies={options.policies} with up to {most} bits of "
                f"precision_schedule={options.precision_schedule!r}. Expected fewer, or 'float32'"
            )


def bits(options: Precision) -> ks.Schedule | None:
    """Return the schedule of the bits of weights and activations; None for full precision."""
    name, others = options.precision_schedule, dict(options.precision_options)
    if name == NONE:
        return None
    check_known("precision_schedule", name, [NONE, *ks.precision.names()], "a schedule")
    if name == "deficit" and "length" not in others:
        raise ValueError(
            f"A deficit must have a length. Received: precision_options={others}. Expected one, "
            f"as {{'length': '0.1dur'}}; see configs/rn74_cifar10_critical.py"
        )
    if name in ks.precision.CYCLIC:
        others = {"cycles": options.cycles, **others}
    given = {argument: getattr(options, key) for argument, key in _range(name).items()}
    return ks.precision.get(name, **given, **others)


def unread(options: Precision, given: Collection[str]) -> list[str]:
    """Return which of some options are about bits, and not read by the schedule."""
    name = options.precision_schedule
    read = {*_range(name).values()}
    if name in ks.precision.CYCLIC and "cycles" not in options.precision_options:
        read.add("cycles")
    if name != NONE:
        read.add("gradient_bits")
    return sorted({"bits_min", "bits_max", "cycles", "gradient_bits"} & set(given) - read)


def _range(name: str) -> dict[str, str]:
    """Return the arguments of a schedule that there are options for."""
    if name in ks.precision.CYCLIC or name == "deficit":
        return {"bits_min": "bits_min", "bits_max": "bits_max"}
    return {"bits": "bits_max"} if name == "static" else {}


def phases(options: Precision) -> list[tuple[str, str | None]]:
    """Return the phases of the dtype policy, as `ks.PrecisionPolicy` takes them."""
    lengths = [*options.policy_lengths, None]
    return list(zip(options.policies, lengths, strict=False))


def quantized(model: keras.Model, options: Precision, run: ks.Run, seed: int) -> keras.Model:
    """Quantize a new model as the options say, with the schedule resolved for a run."""
    schedule = bits(options)
    if schedule is not None:
        resolved = schedule.resolve(run)
        ks.precision.quantize(
            model,
            weights=resolved,
            activations=resolved,
            gradients=options.gradient_bits or None,
            layers=options.quantized_layers,
            evaluation=options.evaluation_bits,
            products=options.products,
            seed=seed,
        )
    return model


def scaled(optimizer: keras.optimizers.Optimizer, options: Precision) -> keras.optimizers.Optimizer:
    """Scale the loss where float16 needs it."""
    if "mixed_float16" in options.policies:
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def callbacks(options: Precision) -> tuple[keras.callbacks.Callback, ...]:
    """Return the callbacks that precision needs."""
    found: list[keras.callbacks.Callback] = []
    if options.policies:
        found.append(ks.PrecisionPolicy(phases(options)))
    if options.precision_schedule != NONE:
        found.append(ks.CostLogger())
    return tuple(found)
