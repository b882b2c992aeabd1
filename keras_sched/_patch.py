"""The one way to wrap a method of a model, a layer or an optimizer, and to put it back.

Wrappers of one method form a list, so that they come off in any order and leave nothing behind. A
patch that somebody else has laid over them keeps working: with no wrapper left, what stands below
it only calls on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

__all__ = ["FUNCTIONS", "forget_functions", "wrap"]

FUNCTIONS = ("train_function", "test_function", "predict_function")
"""The attributes in which Keras keeps the compiled functions of a model."""


class _Wrapped:
    """Stands in the place of a method: the wrappers, the latest outermost, and the method."""

    def __init__(self, target: Any, name: str) -> None:
        self._target = target
        self._name = name
        self._had_own = name in vars(target)
        self._inner = getattr(target, name)
        self._wrappers: list[Callable[..., Any]] = []
        functools.update_wrapper(self, self._inner, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = self._inner
        for wrapper in self._wrappers:
            call = functools.partial(wrapper, call)
        return call(*args, **kwargs)

    def add(self, wrapper: Callable[..., Any]) -> None:
        # A new list: a call that is on its way keeps the wrappers that it began with.
        self._wrappers = [*self._wrappers, wrapper]

    def remove(self, wrapper: Callable[..., Any]) -> None:
        self._wrappers = [other for other in self._wrappers if other is not wrapper]
        attributes = vars(self._target)
        if self._wrappers or attributes.get(self._name) is not self:
            return
        if self._had_own:
            attributes[self._name] = self._inner
        else:
            del attributes[self._name]


def wrap(target: Any, name: str, wrapper: Callable[..., Any]) -> Callable[[], None]:
    """Wrap a method of one object.

    Args:
        target: A model, layer, metric or optimizer.
        name: The name of its method.
        wrapper: Is called in its place, with the method as the first argument before its own.

    Returns:
        What takes the wrapper off again; doing so twice is allowed.
    """
    # Past Keras' tracking, so that nothing new is saved.
    attributes = vars(target)
    wrapped = attributes.get(name)
    if not isinstance(wrapped, _Wrapped):
        wrapped = attributes[name] = _Wrapped(target, name)
    wrapped.add(wrapper)
    return functools.partial(wrapped.remove, wrapper)


def forget_functions(model: Any) -> None:
    """Have the compiled functions of a model, or of a part that is one, made anew."""
    for name in FUNCTIONS:
        function = getattr(model, name, None)
        if function is None:
            continue
        # While the model is trained, something stands in the place of the step.
        forget = getattr(function, "forget", None)
        if forget is not None:
            forget()
        else:
            setattr(model, name, None)
