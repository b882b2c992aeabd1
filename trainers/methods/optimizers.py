"""The optimizer of a configuration, the schedules that drive it, and what it does to weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_sched as ks
from trainers.methods.naming import naming
from trainers.methods.networks import matching
from trainers.options.fields import check_known, shown
from trainers.options.optimization import MOST_MOMENTUM, PLATEAU, Optimization

__all__ = ["callbacks", "check", "optimizer", "penalty", "schedules"]

# Added to the root of the mean square: PyTorch's number, and Demon Adam's; Keras' is 1e-7.
_EPSILON = 1e-8
# What a schedule calls the number that a configuration gives it; the first that it has.
_PEAK = ("peak", "start", "value")
_START = ("start", "value", "peak")
# Weights that biases and normalisation have, whatever their shape.
_NO_MATRICES = ("bias", "beta", "gamma")
# Steps at which a schedule is read for its highest value, and how much float32 may round it up.
_READINGS = 10_000
_ROUNDED = np.float32(1.0 + 1e-6)

Make = Callable[..., keras.optimizers.Optimizer]


def _sgd(options: Optimization, rate: Any, momentum: Any, **shared: Any) -> Any:
    return ks.optimizers.SGD(rate, momentum=momentum, form=options.form, **shared)


def _nesterov(options: Optimization, rate: Any, momentum: Any, **shared: Any) -> Any:
    return _sgd(options, rate, momentum, nesterov=True, **shared)


def _adam(options: Optimization, rate: Any, momentum: Any, **shared: Any) -> Any:
    return ks.optimizers.Adam(rate, beta_1=momentum, epsilon=_EPSILON, **shared)


def _amsgrad(options: Optimization, rate: Any, momentum: Any, **shared: Any) -> Any:
    return _adam(options, rate, momentum, amsgrad=True, **shared)


def _adamw(options: Optimization, rate: Any, momentum: Any, **shared: Any) -> Any:
    return ks.optimizers.AdamW(rate, beta_1=momentum, epsilon=_EPSILON, **shared)


def _demon_adam(options: Optimization, rate: Any, momentum: Any, **shared: Any) -> Any:
    return ks.optimizers.DemonAdam(rate, beta_1=momentum, epsilon=_EPSILON, **shared)


_BY_NAME: dict[str, Make] = {
    "adam": _adam,
    "adamw": _adamw,
    "amsgrad": _amsgrad,
    "demon_adam": _demon_adam,
    "nesterov": _nesterov,
    "sgd": _sgd,
}


def check(options: Optimization, run: ks.Run, followed: Mapping[str, str]) -> None:
    """Check that the options make an optimizer and callbacks for a run.

    Args:
        options: The options.
        run: How long it is.
        followed: "max" or "min" by the metrics that a learning rate may follow.

    Raises:
        ValueError: If a name or an option is unknown, a schedule does not fit into the run or
            leaves its range in it, or the learning rate would follow test data.
    """
    rate, momentum = schedules(options, run)
    with naming(options, "learning_rate", "momentum", "schedule", "momentum_schedule"):
        _made(options, rate, momentum)
    callbacks(options, followed)


def schedules(options: Optimization, run: ks.Run) -> tuple[ks.Schedule, ks.Schedule]:
    """Return the schedules of learning rate and momentum for a run.

    Raises:
        ValueError: If a name or an option is unknown, or a schedule does not fit into the run or
            rises above what the configuration allows it.
    """
    with naming(options, "momentum_schedule", "momentum_options"):
        check_known(
            "momentum_schedule", options.momentum_schedule, ks.schedules.names(), "a schedule"
        )
        momentum = _with_number(
            options.momentum_schedule, _START, options.momentum, options.momentum_options
        ).resolve(run)
        _check_length(momentum, run)
        _check_highest(momentum, run, MOST_MOMENTUM)
    return _rate(options, run), momentum


def _rate(options: Optimization, run: ks.Run) -> ks.Schedule:
    """Return the schedule of the learning rate: read rarely, delayed and warmed up as is asked."""
    with naming(options, "schedule", "schedule_options"):
        if options.schedule == PLATEAU:
            plain: ks.Schedule = ks.Constant(options.learning_rate)
        else:
            check_known(
                "schedule", options.schedule, [*ks.schedules.names(), PLATEAU], "a schedule"
            )
            plain = _with_number(
                options.schedule, _PEAK, options.learning_rate, options.schedule_options
            )
        _check_length(plain.resolve(run), run)
        _check_highest(plain.resolve(run), run, options.learning_rate)
    rate = plain
    with naming(options, "sampled_every"):
        if options.sampled_every:
            _check_steps(ks.Duration.parse(options.sampled_every).steps(run), run)
            rate = plain.sampled(every=options.sampled_every)
    with naming(options, "sampled_at"):
        if options.sampled_at:
            for point in options.sampled_at:
                _check_steps(ks.Duration.parse(point).steps(run), run)
            rate = plain.sampled(at=options.sampled_at)
    with naming(options, "schedule_delay", "schedule"):
        if ks.Duration.parse(options.schedule_delay).value:
            plain, rate = (each.shift(options.schedule_delay) for each in (plain, rate))
            _check_length(plain.resolve(run), run)
    if options.warmup_start and not ks.Duration.parse(options.warmup).value:
        raise ValueError(
            f"`warmup_start` must be 0 without a warmup. Received: "
            f"warmup_start={options.warmup_start}, warmup={options.warmup!r}"
        )
    with naming(options, "warmup", "warmup_start", "schedule_delay", "schedule"):
        start = options.warmup_start * options.learning_rate
        plain, rate = (each.warmup(options.warmup, start=start) for each in (plain, rate))
        _check_length(plain.resolve(run), run)
        return rate.resolve(run)


def _with_number(
    name: str, called: Sequence[str], number: float, options: Mapping[str, Any]
) -> ks.Schedule:
    """Return a schedule that has a number by its name there, whichever place it stands in."""
    known = ks.schedules.arguments(name)
    its = next((each for each in called if each in known), None)
    if its is None:
        raise ValueError(
            f"{name!r} has none of {', '.join(called)}, so that the configuration's number has no "
            f"place in it. Expected a schedule that has one, as 'rex'"
        )
    if its in options:
        raise ValueError(
            f"{its!r} must be left to the configuration, which has {number} for it. "
            f"Received: {its}={shown(options[its])}"
        )
    return ks.get(name, **{its: number}, **options)


def _check_length(schedule: ks.Schedule, run: ks.Run) -> None:
    """Check that a resolved schedule is within the run: what is beyond is never reached."""
    for steps in (schedule.span or 0, *_lengths(schedule)):
        _check_steps(steps, run)


def _check_steps(steps: int, run: ks.Run) -> None:
    if steps > run.total:
        raise ValueError(
            f"a length of {steps} steps is beyond the run, which has {run.total} of them"
        )


def _lengths(part: Any) -> Iterator[int]:
    """Give the steps of every length that a resolved schedule is made of."""
    if isinstance(part, ks.Duration):
        yield int(part.value)
    elif isinstance(part, ks.Schedule):
        for field in dataclasses.fields(part):
            yield from _lengths(getattr(part, field.name))
    elif isinstance(part, tuple):
        for each in part:
            yield from _lengths(each)


def _check_highest(schedule: ks.Schedule, run: ks.Run, highest: float) -> None:
    """Check that a resolved schedule rises at no step of the run above what is its highest."""
    steps = np.unique(np.linspace(0, run.total - 1, min(run.total, _READINGS)).astype(np.int64))
    values = schedule(steps)
    at = int(np.argmax(values))
    if not values[at] <= np.float32(highest) * _ROUNDED:
        raise ValueError(
            f"its highest value must be {highest:g}, and it has {values[at]:g} at step {steps[at]}"
        )


def optimizer(
    options: Optimization, rate: ks.Schedule, momentum: ks.Schedule, model: keras.Model
) -> keras.optimizers.Optimizer:
    """Return a new optimizer of a model that follows the schedules.

    Raises:
        ValueError: If a group of `rate_factors` has no weight.
    """
    weights = model.trainable_variables
    spared = [weight for weight in weights if not _decays(options, weight)]
    if not options.rate_factors:
        return _made(options, rate, momentum, spared)
    factors = {weight.path: 1.0 for weight in weights}
    for pattern, factor in reversed(list(options.rate_factors.items())):  # The first decides.
        for weight in matching("rate_factors", pattern, weights):
            factors[weight.path] = float(factor)
    # Names of their own: those that Keras gives count what was made in the process before.
    groups = {
        factor: _made(options, rate * factor, momentum, spared, name=f"x{factor!r}")
        for factor in dict.fromkeys(factors.values())
    }
    return keras.optimizers.MultiOptimizer(lambda weight: groups[factors[weight.path]])


def _made(
    options: Optimization,
    rate: ks.Schedule,
    momentum: ks.Schedule,
    spared: Sequence[Any] = (),
    **shared: Any,
) -> keras.optimizers.Optimizer:
    """Return an optimizer; `spared` are weights that its own weight decay leaves alone."""
    shared["weight_decay"] = options.weight_decay or None
    if options.clip_norm:
        shared["global_clipnorm"] = options.clip_norm
    if options.clip_value:
        shared["clipvalue"] = options.clip_value
    if options.average:
        shared |= {"use_ema": True, "ema_momentum": options.average}
    made = _BY_NAME[options.optimizer](options, rate, momentum, **shared)
    if spared and options.weight_decay:
        made.exclude_from_weight_decay(var_list=list(spared))
    return made


def _decays(options: Optimization, weight: Any) -> bool:
    """Return whether a weight decays; the biases of an attention have two dimensions too."""
    is_matrix = len(weight.shape) > 1 and weight.name not in _NO_MATRICES
    return options.decayed == "all" or is_matrix


def penalty(options: Optimization, model: keras.Model) -> tf.Tensor | None:
    """Return what coupled weight decay adds to the objective: ``l2 |w|^2 / 2``; None for none."""
    if not options.l2:
        return None
    weights = [weight for weight in model.trainable_variables if _decays(options, weight)]
    if not weights:
        return None
    return options.l2 * tf.add_n([tf.nn.l2_loss(weight.value) for weight in weights])


def callbacks(
    options: Optimization, followed: Mapping[str, str]
) -> tuple[keras.callbacks.Callback, ...]:
    """Return the callbacks that the schedule "plateau" needs.

    Args:
        options: The options.
        followed: "max" or "min" by the metrics that a learning rate may follow.

    Raises:
        ValueError: If an option is wrong or unknown, or the learning rate would follow a metric
            that it must not follow, or the wrong way round.
    """
    if options.schedule != PLATEAU:
        return ()
    given = {"monitor": "loss", **options.schedule_options}
    known = followed.get(given["monitor"]) if isinstance(given["monitor"], str) else None
    with naming(options, "schedule_options"):
        plateau = ks.Plateau(**{"mode": known or "min", **given})
    if known is not None and plateau.mode != known:
        raise ValueError(
            f"The `mode` of {plateau.monitor!r} must be {known!r}. Received: "
            f"mode={plateau.mode!r} in `schedule_options`"
        )
    if plateau.monitor not in followed:
        raise ValueError(
            f"The learning rate must follow a metric of training or of validation, never of test "
            f"data. Received: monitor={plateau.monitor!r} in `schedule_options`. "
            f"Expected one of {', '.join(followed)}"
        )
    return (plateau,)
