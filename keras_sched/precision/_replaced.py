"""A layer's `call` replaced for a while, past Keras' tracking: nothing new is saved with it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras

__all__ = ["Replaced"]


class Replaced:
    """Stands in the place of a layer's `call` until it is removed."""

    def __init__(self, layer: keras.layers.Layer) -> None:
        self.layer = layer
        self._own = vars(layer).get("call")
        self.inner: Callable[..., Any] = layer.call
        self._first = next(iter(inspect.signature(layer.call).parameters), "inputs")
        vars(layer)["call"] = self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do what stands in the place of the call."""
        raise NotImplementedError

    def remove(self) -> None:
        """Leave the layer as it was found."""
        if self._own is None:
            del vars(self.layer)["call"]
        else:
            vars(self.layer)["call"] = self._own

    def split(self, args: Any, kwargs: Any) -> tuple[Any, Callable[[Any], Any]]:
        """Return the layer's first argument, however it was given, and a call with another one."""
        if args:
            return args[0], lambda first: self.inner(first, *args[1:], **kwargs)
        if not kwargs:
            return None, lambda first: self.inner()
        # A layer may name none, or be called without it.
        name = self._first if self._first in kwargs else next(iter(kwargs))
        return kwargs[name], lambda first: self.inner(**{**kwargs, name: first})
