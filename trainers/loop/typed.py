"""Dataclasses that are read back from JSON, with the types that their fields say."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

__all__ = ["typed"]

_T = TypeVar("_T")


def typed(cls: type[_T], found: Any, what: str) -> _T:
    """Return an object of a dataclass from what was read.

    Args:
        cls: A dataclass whose fields are of the types of JSON: text, numbers, None, and mappings
            and sequences of these.
        found: What was read.
        what: What it is called in an error, as "A record".

    Raises:
        ValueError: If it is no mapping, a field is unknown, missing, or of another type.
    """
    if not isinstance(found, dict):
        raise ValueError(f"{what} must be a mapping. Received: {_shown(found)}")
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, cls))}
    unknown = sorted(map(str, found.keys() - fields.keys()))
    missing = sorted({name for name, f in fields.items() if _is_needed(f)} - found.keys())
    if unknown or missing:
        raise ValueError(
            f"{what} must have its fields and no others. Missing: {', '.join(missing) or 'none'}; "
            f"unknown: {', '.join(unknown) or 'none'}"
        )
    hints = typing.get_type_hints(cls)
    for name, value in found.items():
        if not _fits(value, hints[name]):
            raise ValueError(
                f"`{name}` of {what[0].lower()}{what[1:]} must be {fields[name].type}. "
                f"Received: {_shown(value)}"
            )
    return cls(**found)


def _is_needed(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value is of a type; True and False are no numbers."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Mapping:
        return isinstance(value, dict) and all(
            _fits(key, parts[0]) and _fits(each, parts[1]) for key, each in value.items()
        )
    if origin is Sequence:
        return isinstance(value, list | tuple) and all(_fits(each, parts[0]) for each in value)
    if hint in (int, float):
        kinds = (int, float) if hint is float else (int,)
        return isinstance(value, kinds) and not isinstance(value, bool)
    return isinstance(value, hint)


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 80 else text[:77] + '...'}"
