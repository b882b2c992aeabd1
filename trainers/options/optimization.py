"""What every configuration says of its optimizer and of the schedules that drive it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from trainers.options.fields import Options, option, shown

__all__ = ["DECAYED", "MOST_MOMENTUM", "OPTIMIZERS", "PLATEAU", "Optimization"]

OPTIMIZERS = ("adam", "adamw", "amsgrad", "demon_adam", "nesterov", "sgd")
PLATEAU = "plateau"
DECAYED = ("all", "matrices")
# Near 1 a velocity forgets nothing of a training that is shorter than 1 / (1 - momentum) updates.
MOST_MOMENTUM = 0.9999
_MOST_FACTOR = 1e6
_LEAST = 1e-30


def _check_tiny(name: str, value: Any) -> None:
    if 0.0 < value < _LEAST:
        raise ValueError(
            f"`{name}` must be 0 or at least {_LEAST:g}: float32, in which is computed, would have "
            f"0 for it. Received: {name}={value}"
        )


def _check_factors(name: str, value: Any) -> None:
    for pattern, factor in value.items():
        is_number = isinstance(factor, int | float) and not isinstance(factor, bool)
        if not is_number or not _LEAST <= factor <= _MOST_FACTOR:
            raise ValueError(
                f"`{name}` must give each group a factor of at least {_LEAST:g}, at most "
                f"{_MOST_FACTOR:g}. Received: {name}={{{shown(pattern)}: {shown(factor)}}}"
            )


@dataclasses.dataclass(frozen=True)
class Optimization(Options):
    """Optimizer, learning rate, momentum, weight decay, and the schedules of the first two.

    `frozen` and `rate_factors` name layers and weights by patterns of their whole path, in which
    ``*`` stands for any characters, ``?`` for one, and ``[ab]`` for a or b, as ``block1/*``.
    """

    optimizer: str = option("sgd", "Optimizer.", choices=OPTIMIZERS, flag=True)
    learning_rate: float = option(
        0.1, "Peak of the learning rate.", low=_LEAST, high=1e6, traced=False, flag=True
    )
    schedule: str = option(
        "rex",
        "Schedule of the learning rate, as 'rex'; 'plateau' for a constant one that falls when a "
        "metric stops improving.",
        traced=False,
        flag=True,
    )
    schedule_options: Mapping[str, Any] = option(
        {}, "Options of that schedule, or those of `ks.Plateau`.", traced=False
    )
    sampled_every: str = option(
        "",
        "How often the schedule is read, as '0.1dur'; empty for each step.",
        traced=False,
        flag=True,
    )
    sampled_at: tuple[str, ...] = option(
        (), "When it is read, as '0.5dur', '0.75dur'; none for each step.", traced=False, flag=True
    )
    schedule_delay: str = option(
        "0ep", "How long its first value is held before it begins, as '10ep'.", traced=False
    )
    warmup: str = option("0ep", "Length of a warmup before it, as '1ep'.", traced=False, flag=True)
    warmup_start: float = option(
        0.0,
        "Share of the learning rate that the warmup begins at.",
        low=0.0,
        high=1.0,
        traced=False,
    )
    momentum: float = option(
        0.9,
        "Start of the momentum; beta_1 of Adam and its kin.",
        low=0.0,
        high=MOST_MOMENTUM,
        traced=False,
        flag=True,
    )
    momentum_schedule: str = option(
        "constant", "Schedule of the momentum, as 'demon'.", traced=False, flag=True
    )
    momentum_options: Mapping[str, Any] = option({}, "Options of that schedule.", traced=False)
    form: str = option("pytorch", "Form of momentum of SGD.", choices=("keras", "pytorch"))
    l2: float = option(
        1e-4,
        "Coupled weight decay: this times a weight is added to its gradient.",
        low=0.0,
        high=1e6,
        check=_check_tiny,
        flag=True,
    )
    weight_decay: float = option(
        0.0,
        "Decoupled weight decay, as of AdamW: this times the learning rate is taken off a weight.",
        low=0.0,
        high=1e6,
        check=_check_tiny,
        flag=True,
    )
    decayed: str = option(
        "all",
        "Which weights decay, in both forms: all, or the matrices, that is those of two or more "
        "dimensions, without biases and normalisation.",
        choices=DECAYED,
    )
    clip_norm: float = option(
        0.0,
        "Most that the norm of the whole gradient may be, coupled decay included; 0 for no limit.",
        low=0.0,
        high=1e12,
        check=_check_tiny,
        flag=True,
    )
    clip_value: float = option(
        0.0,
        "Most that a component of the gradient may be, in either direction; 0 for no limit.",
        low=0.0,
        high=1e12,
        check=_check_tiny,
    )
    average: float = option(
        0.0,
        "Evaluate an exponential moving average of the weights that keeps this share of itself at "
        "each update; 0 for the weights themselves.",
        low=0.0,
        high=0.999999,
        flag=True,
    )
    frozen: tuple[str, ...] = option(
        (), "Layers that are not trained: patterns of their paths, as 'block1/*'."
    )
    rate_factors: Mapping[str, float] = option(
        {},
        "Factors on the learning rate of groups of weights: the first pattern that the path of a "
        "weight has, as 'block1/*', decides; others have factor 1.",
        check=_check_factors,
    )

    def check(self) -> None:
        if self.optimizer == "adamw" and self.weight_decay == 0.0:
            raise ValueError(
                "AdamW must have a `weight_decay` above 0. Received: weight_decay=0.0. "
                "Without one it is the optimizer 'adam'"
            )
        if self.clip_norm and self.clip_value:
            raise ValueError(
                f"Only one of `clip_norm` and `clip_value` can be given. "
                f"Received: clip_norm={self.clip_norm}, clip_value={self.clip_value}"
            )
        if self.clip_norm and self.rate_factors:
            raise ValueError(
                f"`clip_norm` must be 0 with `rate_factors`: Keras clips the norm of each group by "
                f"itself, and not that of the whole gradient. Received: "
                f"clip_norm={self.clip_norm}, rate_factors={shown(self.rate_factors)}. "
                f"--clip_norm=0 leaves it out, and `clip_value` goes with them"
            )
        if self.sampled_every and self.sampled_at:
            raise ValueError(
                f"Only one of `sampled_every` and `sampled_at` can be given. Received: "
                f"sampled_every={self.sampled_every!r}, sampled_at={shown(self.sampled_at)}"
            )
