"""The optimizer of a configuration, the schedules that drive it, and what it does to weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

import keras_sched as ks
from trainers.methods.naming import naming
from trainers.options.optimization import PLATEAU, Optimization

__all__ = ["callbacks", "check", "freeze", "optimizer", "penalty", "schedules"]

# Added to the root of the mean square: PyTorch's number, and Demon Adam's; Keras' is 1e-7.
_EPSILON = 1e-8
# What a schedule calls the number that a configuration gives it; the first that it has.
_PEAK = ("peak", "start", "value")
_START = ("start", "value", "peak")

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


def check(options: Optimization, run: ks.Run, followed: Sequence[str]) -> None:
    """Check that the options make an optimizer and callbacks for a run.

    Args:
        options: The options.
        run: How long it is.
        followed: The metrics that a learning rate may follow.

    Raises:
        ValueError: If a name or an option is unknown, a schedule does not fit into the run or
            leaves its range in it, or the learning rate would follow test data.
    """
    rate, momentum = schedules(options, run)
    with naming(options, "learning_rate", "momentum", "schedule", "momentum_schedule"):
        _made(options, rate, momentum)
    callbacks(options, followed)


def schedules(options: Optimization, run: ks.Run) -> tuple[ks.Schedule, ks.Schedule]:
    """Return the schedules of learning rate and momentum for a run."""
    with naming(options, "schedule", "schedule_options"):
        if options.schedule == PLATEAU:
            rate: ks.Schedule = ks.Constant(options.learning_rate)
        else:
            rate = _with_number(
                options.schedule, _PEAK, options.learning_rate, options.schedule_options
            )
        _check_length(rate, run)
    with naming(options, "momentum_schedule", "momentum_options"):
        momentum = _with_number(
            options.momentum_schedule, _START, options.momentum, options.momentum_options
        )
        _check_length(momentum, run)
        momentum = momentum.resolve(run)
    with naming(options, "sampled_every", "sampled_at"):
        if options.sampled_every:
            rate = rate.sampled(every=options.sampled_every)
        if options.sampled_at:
            rate = rate.sampled(at=options.sampled_at)
    with naming(options, "schedule_delay"):
        if ks.Duration.parse(options.schedule_delay).value:
            rate = rate.shift(options.schedule_delay)
    with naming(options, "warmup"):
        rate = rate.warmup(options.warmup)
    with naming(options, "schedule", "schedule_options", "warmup", "schedule_delay"):
        return rate.resolve(run), momentum


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
        raise ValueError(f"{its!r} is given by the configuration itself, as {number}")
    return ks.get(name, **{its: number}, **options)


def _check_length(schedule: ks.Schedule, run: ks.Run) -> None:
    """Check that what is written of a length is within the run: what is beyond is never reached."""
    span = schedule.resolve(run).span
    if span is not None and span > run.total:
        raise ValueError(
            f"its length of {span} steps must be within the run, which has {run.total}"
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
    factors = {weight.path: _factor(options, weight.path) for weight in weights}
    for pattern in options.rate_factors:
        if not any(re.match(pattern, weight.path) for weight in weights):
            raise ValueError(
                f"Each group of `rate_factors` must have a weight. Received: {pattern!r}, which "
                f"none of {len(weights)} matches, as {weights[0].path!r}"
            )
    groups = {
        factor: _made(options, rate * factor, momentum, spared)
        for factor in dict.fromkeys(factors.values())
    }
    return keras.optimizers.MultiOptimizer(lambda weight: groups[factors[weight.path]])


def _factor(options: Optimization, path: str) -> float:
    for pattern, factor in options.rate_factors.items():
        if re.match(pattern, path):
            return float(factor)
    return 1.0


def _made(
    options: Optimization, rate: ks.Schedule, momentum: ks.Schedule, spared: Sequence[Any] = ()
) -> keras.optimizers.Optimizer:
    """Return an optimizer; `spared` are weights that its own weight decay leaves alone."""
    shared: dict[str, Any] = {"weight_decay": options.weight_decay or None}
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
    return options.decayed == "all" or len(weight.shape) > 1


def penalty(options: Optimization, model: keras.Model) -> tf.Tensor | None:
    """Return what coupled weight decay adds to the objective: ``l2 |w|^2 / 2``; None for none."""
    if not options.l2:
        return None
    weights = [weight for weight in model.trainable_variables if _decays(options, weight)]
    squares = [tf.nn.l2_loss(weight.value) for weight in weights]
    return options.l2 * tf.add_n(squares)


def freeze(options: Optimization, model: keras.Model) -> None:
    """Leave the layers that the options name out of training.

    Raises:
        ValueError: If an expression matches no layer, or no weight is left to train.
    """
    layers = [layer for layer in model._flatten_layers(include_self=False) if layer.weights]
    for pattern in options.frozen:
        mine = [layer for layer in layers if re.match(pattern, layer.path)]
        if not mine:
            paths = ", ".join(layer.path for layer in layers[:20])
            raise ValueError(
                f"Each expression of `frozen` must match a layer with weights. Received: "
                f"{pattern!r}. Layers: {paths}"
            )
        for layer in mine:
            layer.trainable = False
    if not model.trainable_variables:
        raise ValueError(
            f"`frozen` must leave something to train. Received: frozen={options.frozen}"
        )


def callbacks(
    options: Optimization, followed: Sequence[str]
) -> tuple[keras.callbacks.Callback, ...]:
    """Return the callbacks that the schedule "plateau" needs.

    Raises:
        ValueError: If an option is wrong or unknown, or the learning rate would follow a metric
            that it must not follow.
    """
    if options.schedule != PLATEAU:
        return ()
    with naming(options, "schedule_options"):
        plateau = ks.Plateau(**{"monitor": "loss", **options.schedule_options})
    if plateau.monitor not in followed:
        raise ValueError(
            f"The learning rate must follow a metric of training or of validation, never of test "
            f"data. Received: monitor={plateau.monitor!r} in `schedule_options`. "
            f"Expected one of {', '.join(followed)}"
        )
    return (plateau,)
