"""What was asked: a task, its optimizer, its length, and what is feared."""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_sched import _validate
from keras_sched.advice.evidence import kind_of
from keras_sched.advice.methods import MOMENTUM
from keras_sched.hyperparameters import attached, schedulable

__all__ = ["FEARS", "Optimizer", "Question", "attends", "of_norms", "of_optimizer", "recurs"]

FEARS = ("cost", "divergence", "open end", "tuning")
_FEARED = {
    "cost": "where arithmetic is dear",
    "divergence": "where training may diverge",
    "tuning": "where the rate is not tuned",
}
# Norms that rise by so much may have been measured while the rate fell.
_RISE = 1.25
# A rate below so much of its highest, for more than so much of the steps, is not constant.
_CONSTANT, _ALLOWED = 0.8, 0.05
# Norms that are needed.
_LEAST = 10
_NEEDED = "Measure norms at a constant rate: while a rate falls they change because of that."
# What the momentum of an optimizer is called that is given by its name, and what it is; SGD can be
# made with one.
_NAMES: Mapping[str, tuple[str | None, float]] = {
    **dict.fromkeys(("adam", "adamax", "adamw", "lamb", "lion", "nadam"), ("beta_1", 0.9)),
    **dict.fromkeys(("sgd", "sgdm"), ("momentum", MOMENTUM)),
    **dict.fromkeys(("adadelta", "adafactor", "adagrad", "ftrl", "rmsprop"), (None, MOMENTUM)),
    "muon": ("momentum", 0.95),
}


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """What advice looks at in an optimizer.

    Attributes:
        name: Its name; that of SGD for what derives from it.
        learning_rate: Its rate; None if it is not known, or follows a schedule.
        momentum: What its momentum is called; None if it has none that a schedule can move.
        start: The momentum, where it is constant; else a usual one.
        sums: Whether its momentum sums steps, as that of SGD; else it is a mean of gradients.
        clips: Whether it clips gradients.
        is_named: Whether no more is known than its name.
    """

    name: str
    learning_rate: float | None
    momentum: str | None
    start: float = MOMENTUM
    sums: bool = False
    clips: bool = False
    is_named: bool = False


@dataclasses.dataclass(frozen=True)
class Question:
    """What was asked; see `recommend`."""

    family: str
    optimizer: Optimizer
    budget: float | None
    steps: int | None
    batch_size: int | None
    learning_rate: float | None
    fear: str | None
    metric: str
    model: keras.Model | None
    norms: np.ndarray | None
    setting: str | None
    baseline: str

    @property
    def kind(self) -> str:
        """The optimizer's kind, "sgd" or "adam"."""
        return kind_of(self.optimizer.name)

    @property
    def share(self) -> float:
        """The budget; that of a full-length training if none was given."""
        return 1.0 if self.budget is None else self.budget

    @property
    def rate(self) -> float | None:
        """The rate that was tuned for the baseline, as far as is known."""
        return self.optimizer.learning_rate if self.learning_rate is None else self.learning_rate

    @property
    def said(self) -> str:
        """The question, in a line."""
        length = "full length" if self.budget is None else f"{100 * self.budget:g} % of full length"
        if self.fear == "open end":
            length = "an unknown length"
        parts = [self.family, f"with {self.optimizer.name}", f"at {length}"]
        if self.steps is not None:
            parts.append(f"({self.steps:,} steps)")
        if self.fear in _FEARED:
            parts.append(_FEARED[self.fear])
        if self.setting is not None:
            parts.append(f"as in {self.setting}")
        return " ".join(parts)


def of_optimizer(optimizer: Any) -> Optimizer:
    """Return what is known of an optimizer, or of one with a name.

    Raises:
        TypeError: If it is neither.
        ValueError: If the name is unknown, it is several optimizers, or its momentum is 1.
    """
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    if isinstance(optimizer, keras.optimizers.MultiOptimizer):
        raise ValueError(
            "`optimizer` must be one optimizer; of a MultiOptimizer ask for each on its own. "
            "Received: a MultiOptimizer"
        )
    if isinstance(optimizer, keras.optimizers.Optimizer):
        return _of_object(optimizer)
    if not isinstance(optimizer, str):
        a_class = ", not a class" if inspect.isclass(optimizer) else ""
        raise TypeError(
            f"`optimizer` must be an optimizer of Keras or its name{a_class}. Received: "
            f"optimizer={_validate.shown(optimizer)}"
        )
    name = _validate.choice("optimizer", optimizer.casefold(), tuple(_NAMES))
    momentum, start = _NAMES[name]
    sums = kind_of(name) == "sgd"
    return Optimizer(name, None, momentum, start, sums=sums, is_named=True)


def _of_object(optimizer: Any) -> Optimizer:
    is_sgd = isinstance(optimizer, keras.optimizers.SGD)
    rate = getattr(optimizer, "_learning_rate", None)
    driven = schedulable(optimizer)
    momentum = next((each for each in ("momentum", "beta_1") if each in driven), None)
    is_number = momentum is not None and momentum not in attached(optimizer)
    start = float(getattr(optimizer, str(momentum))) if is_number else MOMENTUM
    if start >= 1.0:
        raise ValueError(
            f"`optimizer` must have a momentum below 1. Received: an "
            f"optimizer with {momentum}={start:g}"
        )
    return Optimizer(
        name="sgd" if is_sgd else type(optimizer).__name__.casefold(),
        learning_rate=float(rate) if isinstance(rate, keras.Variable) else None,
        momentum=momentum,
        start=start,
        sums=isinstance(optimizer, keras.optimizers.SGD | keras.optimizers.RMSprop),
        clips=any(
            getattr(optimizer, each, None) for each in ("clipnorm", "global_clipnorm", "clipvalue")
        ),
    )


def of_norms(given: Any, kind: str) -> np.ndarray:
    """Return norms that were measured; warn if it was not at a constant rate.

    Args:
        given: The norms, or the history of a `StepLogger` that logged them.
        kind: "sgd" or "adam", the kind of the optimizer.

    Raises:
        TypeError: If they are no numbers.
        ValueError: If they are none, or the history has none.
    """
    rates = None
    if isinstance(given, Mapping):
        name = "grad_norm" if kind == "sgd" else "grad_l1"
        if name not in given:
            raise ValueError(
                f"`norms` must have the column {name!r}, as the history of "
                f"`StepLogger(norms=True)`. Received: columns {', '.join(map(str, given)) or '-'}"
            )
        rates, given = given.get("learning_rate"), given[name]
    found = _validate.norms(given, least=_LEAST)
    if rates is not None:
        rates = _rates(rates, len(given))
        low = float((rates < _CONSTANT * rates.max()).mean())
        if low > _ALLOWED:
            warnings.warn(
                f"`norms` are of a run whose learning rate was not constant: in {100 * low:.0f} % "
                f"of the steps it was below {_CONSTANT:g} of its highest. {_NEEDED}",
                stacklevel=3,
            )
        return found
    tenth = len(found) // 10
    rise = float(np.median(found[-tenth:]) / np.median(found[:tenth]))
    if rise > _RISE:
        warnings.warn(
            f"`norms` rise by a factor of {rise:.2f}, as they often do while a learning rate "
            f"falls. {_NEEDED} If it was constant, all is well.",
            stacklevel=3,
        )
    return found


def _rates(given: Any, count: int) -> np.ndarray:
    """Return the rates of the steps of norms, checked."""
    try:
        found = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.shape != (count,) or not (np.isfinite(found).all() and (found >= 0.0).all()):
        raise ValueError(
            f"`norms` must have in its column 'learning_rate' a finite number, at least 0, for "
            f"each of its {count} norms. Received: learning_rate={_validate.shown(given)}"
        )
    if found.max() == 0.0:
        raise ValueError(
            "`norms` must be of a run with a learning rate above 0. Received: one of 0 throughout"
        )
    return found


def attends(model: keras.Model) -> bool:
    """Return whether a model has a layer of attention."""
    kinds = (
        keras.layers.AdditiveAttention,
        keras.layers.Attention,
        keras.layers.GroupQueryAttention,
        keras.layers.MultiHeadAttention,
    )
    return any(isinstance(layer, kinds) for layer in _layers(model))


def recurs(model: keras.Model) -> bool:
    """Return whether a model has a recurrent layer."""
    return any(isinstance(layer, keras.layers.RNN) for layer in _layers(model))


def _layers(model: keras.Model) -> list[Any]:
    return list(model._flatten_layers(include_self=False))
