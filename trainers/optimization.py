"""What a configuration says about its optimizer, and the schedules that drive it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras

import keras_sched as ks

if TYPE_CHECKING:
    from trainers.classification import Config

__all__ = ["OPTIMIZERS", "PLATEAU", "callbacks", "optimizer", "schedules", "verify"]

PLATEAU = "plateau"
# Added to the root of the mean square: PyTorch's number, and Demon Adam's; Keras' is 1e-7.
_EPSILON = 1e-8
# Options that have another name by now than in the configurations of trials.
_RENAMED = {"anneal": "profile", "shape": "profile"}


def _sgd(rate: ks.Schedule, momentum: ks.Schedule, config: Config, nesterov: bool = False) -> Any:
    return ks.optimizers.SGD(
        rate, momentum=momentum, nesterov=nesterov, form=config.form, weight_decay=_decay(config)
    )


def _adam(rate: ks.Schedule, momentum: ks.Schedule, config: Config, **options: Any) -> Any:
    return ks.optimizers.Adam(
        rate, beta_1=momentum, epsilon=_EPSILON, weight_decay=_decay(config), **options
    )


def _adamw(rate: ks.Schedule, momentum: ks.Schedule, config: Config) -> Any:
    return ks.optimizers.AdamW(
        rate, beta_1=momentum, epsilon=_EPSILON, weight_decay=config.weight_decay
    )


def _demon_adam(rate: ks.Schedule, momentum: ks.Schedule, config: Config) -> Any:
    return ks.optimizers.DemonAdam(
        rate, beta_1=momentum, epsilon=_EPSILON, weight_decay=_decay(config)
    )


def _decay(config: Config) -> float | None:
    return config.weight_decay or None


OPTIMIZERS: dict[str, Callable[[ks.Schedule, ks.Schedule, Config], Any]] = {
    "adam": _adam,
    "adamw": _adamw,
    "amsgrad": lambda rate, momentum, config: _adam(rate, momentum, config, amsgrad=True),
    "demon_adam": _demon_adam,
    "nesterov": lambda rate, momentum, config: _sgd(rate, momentum, config, nesterov=True),
    "sgd": _sgd,
}


def verify(config: Config) -> None:
    """Refuse what cannot work in any run.

    Raises:
        ValueError: If a name is unknown or a number is out of range.
    """
    if config.optimizer not in OPTIMIZERS:
        raise ValueError(
            f"`optimizer` must be one of {', '.join(OPTIMIZERS)}. Received: {config.optimizer!r}"
        )
    if not 0.0 <= config.weight_decay < float("inf"):
        raise ValueError(
            f"`weight_decay` must be a number of at least 0. Received: {config.weight_decay}"
        )
    if config.optimizer == "adamw" and config.weight_decay == 0.0:
        raise ValueError(
            "AdamW must have a weight decay above 0. Received: weight_decay=0.0. "
            "Without one it is the optimizer 'adam'"
        )
    if not 0.0 <= config.momentum < 1.0:
        raise ValueError(f"`momentum` must be in [0, 1). Received: momentum={config.momentum}")
    if config.form not in ("keras", "pytorch"):
        raise ValueError(f"`form` must be 'keras' or 'pytorch'. Received: {config.form!r}")
    schedules(config, ks.Run(steps=1_000_000, steps_per_epoch=1000))
    callbacks(config)


def schedules(config: Config, run: ks.Run) -> tuple[ks.Schedule, ks.Schedule]:
    """Return the schedules of learning rate and momentum for a run."""
    if config.schedule == PLATEAU:
        rate: ks.Schedule = ks.Constant(config.learning_rate)
    else:
        options = _renamed(config.schedule_options)
        rate = ks.get(config.schedule, config.learning_rate, **options)
    options = _renamed(config.momentum_options)
    momentum = ks.get(config.momentum_schedule, config.momentum, **options)
    if config.sampling:
        rate = rate.sampled(**_sampling(config.sampling))
    if ks.Duration.parse(config.schedule_delay).value:
        rate = rate.shift(config.schedule_delay)
    return rate.warmup(config.warmup).resolve(run), momentum.resolve(run)


def _renamed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options by the names of today; those of trials, which are in their ids, stay."""
    return {_RENAMED.get(name, name): value for name, value in options.items()}


def optimizer(
    config: Config, rate: ks.Schedule, momentum: ks.Schedule
) -> keras.optimizers.Optimizer:
    """Return a new optimizer that follows the schedules."""
    return OPTIMIZERS[config.optimizer](rate, momentum, config)


def callbacks(config: Config) -> tuple[keras.callbacks.Callback, ...]:
    """Return the callbacks that the schedule "plateau" needs.

    Raises:
        ValueError: If an option is wrong, or the learning rate would follow the test images.
        TypeError: If an option is unknown.
    """
    if config.schedule != PLATEAU:
        return ()
    plateau = ks.Plateau(**{"monitor": "loss", **config.schedule_options})
    if config.split == "test" and plateau.monitor.startswith("val_"):
        raise ValueError(
            f"The learning rate must not follow test images. Received: monitor="
            f"{plateau.monitor!r} with split='test'. Expected 'loss' or 'accuracy', which are of "
            f"training, or split='validation'"
        )
    return (plateau,)


def _sampling(text: str) -> dict[str, Any]:
    """Return what "every:0.1dur" or "at:0.5dur,0.75dur" says, for `ks.Schedule.sampled`."""
    name, _, lengths = text.partition(":")
    if name == "every" and lengths:
        return {"every": lengths}
    if name == "at" and lengths:
        return {"at": tuple(lengths.split(","))}
    raise ValueError(
        f"`sampling` must be '', 'every:LENGTH' or 'at:LENGTH,LENGTH'. Received: {text!r}. "
        f"Expected a text as 'every:0.1dur' or 'at:0.5dur,0.75dur'"
    )
