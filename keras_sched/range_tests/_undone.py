"""A training that leaves no trace: what it changes is taken down before and put back after."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state  # Keras' global seeds have no public name

from keras_sched._patch import FUNCTIONS
from keras_sched.callbacks.step_logger import StepLogger
from keras_sched.precision.rules import walk

__all__ = ["Before", "check_loss", "check_trainable", "undone"]

_GENERATOR = "global_seed_generator"
_SEED = "global_random_seed"


def check_trainable(
    model: Any,
    optimizer: keras.optimizers.Optimizer | None,
    x: Any,
    train: Callable[..., Any] | None,
) -> None:
    """Raise a ValueError if a model cannot be trained and put back, or without data to train on.

    Every optimizer of the model must be built, so that it has variables to put back; that of
    `compile` can be built here.
    """
    if optimizer is None and getattr(model, "optimizer", None) is None:
        raise ValueError("`model` must be compiled. Call `model.compile(optimizer, loss)` first.")
    own = getattr(model, "optimizer", None)
    for each in _optimizers(model, optimizer):
        if each is not own and not each.built:
            raise ValueError(
                f"Every optimizer of the model must be built, so that it has variables to put "
                f"back. Received: {each.name!r} ({type(each).__name__}), which is not. Call "
                f"`optimizer.build(variables)` with the variables that it trains."
            )
    if not model.built:
        raise ValueError(
            f"`model` must be built, so that it has weights to put back. Received: {model.name!r}. "
            f"Call it on a batch, or `model.build(input_shape)`."
        )
    if (x is None) == (train is None):
        raise ValueError(
            "Give either data, `run(model, x, y)`, or a loop, `run(model, train=...)`."
        )


def check_loss(logger: StepLogger) -> None:
    """Raise a ValueError if a test has no loss to go by."""
    if logger.loss_unknown is not None:
        raise ValueError(
            f"The test needs the loss of each batch, which cannot be known: "
            f'{logger.loss_unknown}. Return it from `train_step`: `return {{"loss": loss}}`.'
        )


class Before:
    """The state of a model and of the random numbers, to put back as often as wanted."""

    def __init__(self, model: Any, optimizer: keras.optimizers.Optimizer | None) -> None:
        self._model = model
        self._optimizers = _optimizers(model, optimizer)
        self._found: list[tuple[Any, np.ndarray]] = []
        self._python = random.getstate()
        self._numpy = np.random.get_state()  # noqa: NPY002  # whoever uses it
        self._generator = global_state.get_global_attribute(_GENERATOR)
        self._global_seed = global_state.get_global_attribute(_SEED)
        self._had_generator = self._generator is not None
        self._seed = _copy(self._generator.state) if self._had_generator else None

    def take(self, *more: keras.Variable) -> None:
        """Take down what the variables hold, the model's and `more`.

        An optimizer that is not built yet is built, and put back as new.

        Raises:
            ValueError: If they were taken down before: training has changed them since.
        """
        if self._found:
            raise ValueError("`train` must begin to train once. Received: a second beginning")
        model = self._model
        for each in self._optimizers:
            if not each.built:
                each.build(model.trainable_variables)
        if self._generator is None:
            # One that the first step made would have been used when it is put back.
            self._generator = keras.random.SeedGenerator()
            self._seed = _copy(self._generator.state)
            global_state.set_global_attribute(_GENERATOR, self._generator)
        variables = [
            *model.variables,
            *model.metrics_variables,
            *(variable for each in self._optimizers for variable in each.variables),
            *more,
        ]
        distinct = {id(item): item for item in variables}.values()
        self._found = [(part, _copy(part)) for item in distinct for part in _parts(item)]

    def put_back(self) -> None:
        """Leave the variables, if they were taken down, and the random states as they were."""
        if self._found:
            # Metrics that training has made since are as new.
            self._model.reset_metrics()
        for variable, value in self._found:
            variable.assign(value)
        random.setstate(self._python)
        np.random.set_state(self._numpy)  # noqa: NPY002
        if self._generator is not None:
            self._generator.state.assign(self._seed)

    def end(self) -> None:
        """Put back for the last time, with the generator of Keras' seeds, or with none again.

        A loop that sets a seed has taken it away.
        """
        self.put_back()
        global_state.set_global_attribute(_SEED, self._global_seed)
        global_state.set_global_attribute(
            _GENERATOR, self._generator if self._had_generator else None
        )


@contextlib.contextmanager
def undone(model: Any, optimizer: keras.optimizers.Optimizer | None = None) -> Iterator[Before]:
    """Let a model be trained within, and leave no trace of it, also if training raises.

    Variables are put back if they were taken down, by `Before.take`; the compiled functions, the
    history and the random states in any case.
    """
    before = Before(model, optimizer)
    attributes = vars(model)
    functions = [
        (part, name, getattr(part, name))
        for part in walk(model)
        for name in FUNCTIONS
        if hasattr(part, name)
    ]
    stop = getattr(model, "stop_training", None)
    had_history, history = "history" in attributes, attributes.get("history")
    try:
        yield before
    finally:
        before.end()
        for part, name, function in functions:
            # A step traced before is still right: everything in it is what it was.
            setattr(part, name, function)
        model.stop_training = stop
        if had_history:
            attributes["history"] = history
        else:
            attributes.pop("history", None)


def _optimizers(
    model: Any, optimizer: keras.optimizers.Optimizer | None
) -> list[keras.optimizers.Optimizer]:
    """Return the optimizers that a model has, with one that is given."""
    kept = [item for part in walk(model) for item in vars(part).values()]
    found = [item for item in [*kept, optimizer] if isinstance(item, keras.optimizers.Optimizer)]
    return list({id(item): item for item in found}.values())


def _parts(variable: keras.Variable) -> tuple[Any, ...]:
    """Return what holds the value: under a distribution strategy, one variable per replica."""
    value = variable.value
    return tuple(getattr(value, "values", (value,)))


def _copy(variable: Any) -> np.ndarray:
    return np.copy(keras.ops.convert_to_numpy(variable))
