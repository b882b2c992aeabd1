"""Which optimizer a callback acts on, and whether the training step uses it at all.

Models that override `compile` (GANs, for one) train with optimizers of their own, and
`model.optimizer` is then one that nobody uses: to schedule it would change nothing, in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_sched._patch import wrap
from keras_sched._training import Training
from keras_sched.hyperparameters import driver_of, groups

__all__ = ["Use", "check_optimizer", "mark_numbers", "optimizer_of"]


def check_optimizer(optimizer: Any) -> None:
    """Raise a TypeError if an argument is neither None nor a Keras optimizer."""
    if optimizer is not None and not isinstance(optimizer, keras.optimizers.Optimizer):
        raise TypeError(f"`optimizer` must be a Keras optimizer. Received: optimizer={optimizer!r}")


def optimizer_of(callback: Any, given: keras.optimizers.Optimizer | None) -> Any:
    """Return the optimizer that is given, or that of the model.

    Raises:
        ValueError: If there is none.
    """
    optimizer = given if given is not None else getattr(callback.model, "optimizer", None)
    if optimizer is None:
        name = type(callback).__name__
        raise ValueError(
            f"`{name}` needs an optimizer. Received: the model {callback.model.name!r}, which is "
            f"not compiled. Call `model.compile(optimizer, loss)`, or give the one that trains: "
            f"`{name}(..., optimizer=optimizer)`."
        )
    return optimizer


def mark_numbers(training: Training, optimizer: keras.optimizers.Optimizer) -> None:
    """Have the step traced anew if a number of an optimizer is another than the last time.

    Keras has them in the trace, all but the learning rate, which is a variable.
    """
    numbers: list[Any] = [optimizer]
    for part in {id(each): each for each in [optimizer, *groups(optimizer).values()]}.values():
        with driver_of(part).paused():
            numbers += [
                (name, value)
                for name, value in sorted(vars(part).items())
                if isinstance(value, int | float | str) and name[0] != "_" and name != "built"
            ]
            rate = vars(part).get("_learning_rate")
            numbers.append(None if isinstance(rate, keras.Variable) else rate)
        for name in sorted(driver_of(part).scheduled):  # also what `attach` has driven by hand
            source = driver_of(part).source(name)
            first = None if source is None else source.first_step
            numbers += [name, source and (source.schedule, source.per)]
            numbers.append(first if isinstance(first, int) else None)
    training.mark(f"numbers of {id(optimizer)}", tuple(numbers))


class Use:
    """Watches the first batch of a training for updates of an optimizer.

    Args:
        call: What acts on the optimizer and takes one as `optimizer`, for the message.
        training: The training.
        optimizer: The optimizer.
        every_batch: Whether it must be called in the first batch; else it is enough that the step
            reads what is driven.
        drives: Whether the callback drives anything that the step must read.
    """

    def __init__(
        self,
        call: str,
        training: Training,
        optimizer: Any,
        *,
        every_batch: bool = True,
        drives: bool = True,
    ) -> None:
        self._name = call
        self._optimizer = optimizer
        self._scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        self._every_batch = every_batch and not self._scaled  # An overflow makes no update.
        self._drives = drives
        self._before = self._counts("micro")
        self._updates = self._counts("update")
        self._parts = list(groups(optimizer).values())
        self._training = training
        # Those that the step was seen to call: perhaps under a condition, so not in every batch.
        self._called: set[int] = training.keep("called", optimizer, set)
        self._unwrap = [wrap(part, "apply", self._noting(part)) for part in self._parts]
        training.on_undo(self, self._unwatch)

    def check(self) -> bool:
        """Raise a ValueError after a batch that shows that the optimizer is not used.

        Returns:
            Whether this is decided; if not, ask again after the next batch.
        """
        # A step that was traced before was checked then; only an update reads where nothing is.
        is_fresh, eager = self._training.is_fresh, self._training.is_eager
        is_idle = self._every_batch and self._counts("micro") == self._before
        if is_idle and not any(id(part) in self._called for part in self._parts):
            raise ValueError(
                f"{self._text()} has made no update in the first batch, so `{self._name}` acts on "
                f"an optimizer that the training step does not use. Give the one that it uses: "
                f"`{self._name}(..., optimizer=optimizer)`."
            )
        if not self._drives:
            self._unwatch()
            return True
        if eager and self._counts("update") == self._updates:
            return False  # The gradients are still accumulated, or the update was skipped.
        unread = [
            f"{group}/{name}" if group else name
            for group, part in groups(self._optimizer).items()
            for name in sorted(driver_of(part).unread())
        ]
        if unread and (is_fresh or eager):
            raise ValueError(
                f"{self._text()} never reads what `{self._name}` changes, so the change has no "
                f"effect. Received: {', '.join(unread)}. Schedule what its updates read, or give "
                f"the optimizer that makes them: `{self._name}(..., optimizer=optimizer)`."
            )
        self._unwatch()
        return True

    def calls(self) -> int:
        """Return how often the optimizer was called since the training began."""
        return max(
            now - then for now, then in zip(self._counts("micro"), self._before, strict=True)
        )

    @property
    def is_scaled(self) -> bool:
        """Whether a batch may make no update because it overflows."""
        return self._scaled

    def _noting(self, part: Any) -> Callable[..., Any]:
        """Return a wrapper of `apply` that notes that it is called, also while a step is traced."""

        def apply(inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            self._called.add(id(part))
            return inner(*args, **kwargs)

        return apply

    def _unwatch(self) -> None:
        for unwrap in self._unwrap:
            unwrap()

    def _counts(self, per: str) -> list[int]:
        parts = groups(self._optimizer).values()
        return [int(keras.ops.convert_to_numpy(driver_of(part).count(per))) for part in parts]

    def _text(self) -> str:
        return f"The optimizer {self._optimizer.name!r} ({type(self._optimizer).__name__})"
