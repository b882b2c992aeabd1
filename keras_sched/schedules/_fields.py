"""The lengths and schedules in the fields of a schedule, and the saved form of the fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_sched.duration import Duration

__all__ = ["from_config", "leaves", "levels", "map_leaves", "to_config"]

# What stands in a field of a schedule and is one itself; its own class needs this module.
_Part = keras.optimizers.schedules.LearningRateSchedule


def leaves(value: Any) -> list[Any]:
    """Return the lengths and schedules in a value, which may be a tuple or a mapping of them."""
    if isinstance(value, Duration | _Part):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, tuple):
        return []
    return [leaf for item in value for leaf in leaves(item)]


def map_leaves(
    value: Any, on_length: Callable[[Duration], Any], on_part: Callable[[Any], Any]
) -> Any:
    """Return a value whose lengths and schedules are replaced, wherever they stand in it."""
    if isinstance(value, Duration):
        return on_length(value)
    if isinstance(value, _Part):
        return on_part(value)
    if isinstance(value, tuple):
        return tuple(map_leaves(item, on_length, on_part) for item in value)
    return value


def to_config(value: Any) -> Any:
    """Return a field as what JSON can hold."""
    if isinstance(value, Duration):
        return str(value)
    if isinstance(value, _Part):
        return keras.saving.serialize_keras_object(value)
    if isinstance(value, tuple):
        return [to_config(item) for item in value]
    return value


def levels(config: Any) -> int:
    """Count the levels of saved schedules in a configuration, however deep it is."""
    deepest, waiting = 0, [(config, 0)]
    while waiting:
        value, level = waiting.pop()
        if isinstance(value, dict):
            level += "class_name" in value
            value = list(value.values())
        if isinstance(value, list | tuple):
            waiting += [(item, level) for item in value]
        deepest = max(deepest, level)
    return deepest


def from_config(value: Any) -> Any:
    """Return the field that `to_config` was given."""
    if isinstance(value, list):
        return tuple(from_config(item) for item in value)
    if isinstance(value, dict):
        return keras.saving.deserialize_keras_object(value)
    return value
