"""What was asked: a task, its optimizer, its length, and what is feared."""

from __future__ import annotations

import dataclasses
import inspect
import numbers
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_sched import _validate
from keras_sched.advice.evidence import kind_of

__all__ = ["FEARS", "Optimizer", "Question", "attends", "of_norms", "of_optimizer", "recurs"]

FEARS = ("cost", "divergence", "open end", "tuning")
_FEARED = {
    "cost": "where arithmetic is dear",
    "divergence": "where training may diverge",
    "tuning": "where the rate is not tuned",
}
# Norms that rise by so much may have been measured while the rate fell.
_RISE = 1.25
# A rate that is lower at the end than so much of its highest has decayed.
_CONSTANT = 0.8
# Norms that are needed.
_LEAST = 10
_NEEDED = "Measure norms at a constant rate: while a rate falls they change because of that."
_NAMES = (
    *("adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "ftrl", "lamb", "lion"),
    *("muon", "nadam", "rmsprop", "sgd", "sgdm"),
)


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """What advice looks at in an optimizer.

    Attributes:
        name: Its name; that of SGD for what derives from it.
        learning_rate: Its rate; None if it is not known, or follows a schedule.
        momentum: What its momentum is called; None if it has none.
        clips: Whether it clips gradients.
    """

    name: str
    learning_rate: float | None
    momentum: str | None
    clips: bool = False


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
        ValueError: If the name is unknown.
    """
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    if isinstance(optimizer, keras.optimizers.Optimizer):
        return _of_object(optimizer)
    if not isinstance(optimizer, str):
        a_class = ", not a class" if inspect.isclass(optimizer) else ""
        raise TypeError(
            f"`optimizer` must be an optimizer of Keras or its name{a_class}. Received: "
            f"optimizer={_validate.shown(optimizer)}"
        )
    name = _validate.choice("optimizer", optimizer.casefold(), _NAMES)
    return Optimizer(name, None, "momentum" if kind_of(name) == "sgd" else "beta_1")


def _of_object(optimizer: Any) -> Optimizer:
    is_sgd = isinstance(optimizer, keras.optimizers.SGD)
    name = "sgd" if is_sgd else type(optimizer).__name__.casefold()
    rate: Any = None
    given = getattr(optimizer, "_learning_rate", None)
    if isinstance(given, keras.Variable):
        rate = float(keras.ops.convert_to_numpy(given))
    momentum = None
    for each in ("momentum", "beta_1"):
        value = getattr(optimizer, each, None)
        # A number of 0 has no state that a schedule could fill.
        if value is not None and not (isinstance(value, numbers.Real) and value == 0):
            momentum = each
            break
    clips = any(
        getattr(optimizer, each, None) for each in ("clipnorm", "global_clipnorm", "clipvalue")
    )
    return Optimizer(name, rate if rate and rate > 0.0 else None, momentum, clips)


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
    tenth = len(found) // 10
    if rates is not None:
        rates = np.asarray(rates, np.float64)
        fall = float(np.median(rates[-tenth:]) / rates.max())
        if fall < _CONSTANT:
            warnings.warn(
                f"`norms` are of a run whose learning rate fell to {fall:.2g} of its highest. "
                f"{_NEEDED}",
                stacklevel=3,
            )
        return found
    rise = float(np.median(found[-tenth:]) / np.median(found[:tenth]))
    if rise > _RISE:
        warnings.warn(
            f"`norms` rise by a factor of {rise:.2f}, as they often do while a learning rate "
            f"falls. {_NEEDED} If it was constant, all is well.",
            stacklevel=3,
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
