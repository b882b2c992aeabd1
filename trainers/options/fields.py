"""How an option is declared: its default, type, range, unit and help, in one place.

A group of options is a frozen dataclass whose fields are made by `option`; a configuration is a
group that holds others. From these come its defaults, its flags and their help, the checks of type
and range, and which options are part of the compiled step. Names are unique over a configuration,
so that outside, in files, flags and records, it is one flat mapping.

Example:
    >>> import dataclasses
    >>> @dataclasses.dataclass(frozen=True)
    ... class Data(Options):
    ...     batch_size: int = option(128, "Examples of a batch.", low=1)
    >>> Data.of({"batch_size": 64})
    Data(batch_size=64)
    >>> Data(batch_size=0)
    Traceback (most recent call last):
    ...
    ValueError: `batch_size` must be a whole number, at least 1. Received: batch_size=0
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Self

__all__ = ["Leaf", "Options", "option"]

_META = "option"
_NOUNS = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    str: "a text",
    type(None): "none",
}


@dataclasses.dataclass(frozen=True)
class _Declared:
    """What `option` was told of a field."""

    help: str
    low: float | None
    above: float | None
    high: float | None
    below: float | None
    choices: tuple[Any, ...]
    check: Callable[[str, Any], None] | None
    is_traced: bool
    is_flag: bool


@dataclasses.dataclass(frozen=True)
class Leaf:
    """One option of a configuration.

    Attributes:
        name: Its name, which no other option has.
        path: The names of the groups that hold it, from the outermost on.
        kinds: The types that it may have.
        item: The type of the items of a tuple; None for what is none.
        default: What it is where nothing is said; `dataclasses.MISSING` if it must be said.
    """

    name: str
    path: tuple[str, ...]
    kinds: tuple[type, ...]
    item: type | None
    default: Any
    declared: _Declared

    @property
    def help(self) -> str:
        """What it says, and within which range."""
        expected = self._expected()
        return f"{self.declared.help} Expected: {expected}."

    @property
    def is_traced(self) -> bool:
        """Whether its value is part of the compiled step."""
        return self.declared.is_traced

    @property
    def is_flag(self) -> bool:
        """Whether programs have a flag for it."""
        return self.declared.is_flag

    def checked(self, value: Any) -> Any:
        """Return a value as the configuration holds it: lists as tuples, mappings as dictionaries.

        Raises:
            ValueError: If it has another type, or is out of range.
        """
        taken = self._taken(value)
        if taken is None and type(None) in self.kinds:
            return None
        items = taken if self.item is not None and isinstance(taken, tuple) else (taken,)
        if not all(self._is_within(item) for item in items):
            raise self._error(value)
        if self.declared.check is not None:
            self.declared.check(self.name, taken)
        return taken

    def _taken(self, value: Any) -> Any:
        """Return the value in a type of the option."""
        if isinstance(value, bool) and bool not in self.kinds:
            raise self._error(value)
        if tuple in self.kinds and isinstance(value, list | tuple) and self.item is not None:
            if all(isinstance(v, self.item) and not isinstance(v, bool) for v in value):
                return tuple(value)
            if self.item is float and all(type(v) in (int, float) for v in value):
                return tuple(float(v) for v in value)
            raise self._error(value)
        if dict in self.kinds and isinstance(value, Mapping):
            return self._plain(value)
        if isinstance(value, int) and int in self.kinds:
            return int(value)
        if isinstance(value, int) and float in self.kinds and abs(value) < 2**53:
            return float(value)
        if isinstance(value, tuple(kind for kind in self.kinds if kind is not dict)):
            return value
        raise self._error(value)

    def _plain(self, value: Mapping[Any, Any]) -> dict[str, Any]:
        """Return a mapping as what JSON makes of it: it is part of records."""
        to_dict = getattr(value, "to_dict", None)
        try:
            text = json.dumps(dict(value if to_dict is None else to_dict()), allow_nan=False)
            found: dict[str, Any] = json.loads(text)
        except (TypeError, ValueError, RecursionError) as error:
            raise self._error(value) from error
        return found

    def _is_within(self, value: Any) -> bool:
        """Return whether a value of the right type is within its range."""
        declared = self.declared
        if declared.choices and (isinstance(value, str) or len(self.kinds) == 1):
            return value in declared.choices
        if not isinstance(value, int | float) or isinstance(value, bool):
            return True
        return (
            math.isfinite(value)
            and (declared.low is None or value >= declared.low)
            and (declared.above is None or value > declared.above)
            and (declared.high is None or value <= declared.high)
            and (declared.below is None or value < declared.below)
        )

    def _expected(self) -> str:
        declared = self.declared
        said = []
        if declared.choices:
            said.append(f"one of {', '.join(map(repr, declared.choices))}")
        for kind in self.kinds:
            if kind is str and declared.choices:
                continue
            if kind is tuple:
                said.append(f"a list, each item {_NOUNS[self.item or str]}")
            elif kind is dict:
                said.append("a mapping of what JSON can hold")
            else:
                said.append(_NOUNS[kind])
        bounds = [
            text
            for bound, text in (
                (declared.low, f"at least {declared.low}"),
                (declared.above, f"above {declared.above}"),
                (declared.high, f"at most {declared.high}"),
                (declared.below, f"below {declared.below}"),
            )
            if bound is not None
        ]
        return ", ".join([" or ".join(said), *bounds])

    def _error(self, value: Any) -> ValueError:
        return ValueError(
            f"`{self.name}` must be {self._expected()}. Received: {self.name}={_shown(value)}"
        )


def option(
    default: Any = dataclasses.MISSING,
    help: str = "",
    *,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    below: float | None = None,
    choices: tuple[Any, ...] = (),
    check: Callable[[str, Any], None] | None = None,
    traced: bool = True,
    flag: bool = False,
) -> Any:
    """Declare an option as a field of a dataclass.

    Args:
        default: What it is where nothing is said; without one it must be said.
        help: What it means, with its unit, as a sentence.
        low: The least it may be.
        above: What it must be more than.
        high: The most it may be.
        below: What it must be less than.
        choices: The texts that it may be.
        check: Raises a ValueError for a name and a value that is wrong in another way.
        traced: Whether its value is part of the compiled step: trials that differ in it have a
            trace each. False for what reaches the step as data, as the values of schedules do.
        flag: Whether programs have a flag for it; all others are ``--config.NAME=``.
    """
    declared = _Declared(help, low, above, high, below, choices, check, traced, flag)
    metadata = {_META: declared}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Options:
    """A group of options, or a configuration of several groups."""

    def __post_init__(self) -> None:
        for name, leaf in self.leaves().items():
            if not leaf.path:
                object.__setattr__(self, name, leaf.checked(getattr(self, name)))
        self.check()

    def check(self) -> None:
        """Check what depends on several options.

        Raises:
            ValueError: If they do not go together.
        """

    @classmethod
    @functools.cache
    def leaves(cls) -> Mapping[str, Leaf]:
        """Return every option by its name, those of the groups within too.

        Raises:
            TypeError: If two have the same name: outside, the configuration is flat.
        """
        hints = typing.get_type_hints(cls)
        found: dict[str, Leaf] = {}
        for field in dataclasses.fields(cls):
            hint = hints[field.name]
            if isinstance(hint, type) and issubclass(hint, Options):
                mine = {
                    name: dataclasses.replace(leaf, path=(field.name, *leaf.path))
                    for name, leaf in hint.leaves().items()
                }
            else:
                mine = {field.name: _leaf(field, hint)}
            if twice := sorted(found.keys() & mine.keys()):
                raise TypeError(f"Two options of {cls.__name__} have the name {twice[0]!r}.")
            found |= mine
        return types.MappingProxyType(found)

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Return the defaults by name, without those options that must be said."""
        return {
            name: leaf.default
            for name, leaf in cls.leaves().items()
            if leaf.default is not dataclasses.MISSING
        }

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the configuration of a flat mapping; what it does not say has its default.

        Raises:
            ValueError: If a name is unknown, an option is missing, or a value is wrong.
        """
        leaves = cls.leaves()
        for name in values:
            if name not in leaves:
                close = difflib.get_close_matches(str(name), leaves, n=1)
                meant = f" Did you mean {close[0]!r}?" if close else ""
                raise ValueError(
                    f"An option must be one of a configuration of {cls.__name__}. "
                    f"Received: {_shown(name)}.{meant} Expected one of: {', '.join(leaves)}"
                )
        for name, leaf in leaves.items():
            if name not in values and leaf.default is dataclasses.MISSING:
                raise ValueError(f"`{name}` must be given. {leaf.help}")
        return cls._made(values)

    @classmethod
    def _made(cls, values: Mapping[str, Any]) -> Self:
        hints = typing.get_type_hints(cls)
        given: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            hint = hints[field.name]
            if isinstance(hint, type) and issubclass(hint, Options):
                given[field.name] = hint._made(values)
            elif field.name in values:
                given[field.name] = values[field.name]
        return cls(**given)

    def flat(self) -> dict[str, Any]:
        """Return every option by its name: what `of` was given, as JSON has it."""
        found: dict[str, Any] = {}
        for name, leaf in self.leaves().items():
            value: Any = self
            for part in (*leaf.path, name):
                value = getattr(value, part)
            found[name] = list(value) if isinstance(value, tuple) else value
        return found

    @classmethod
    def untraced(cls) -> frozenset[str]:
        """Return the names of the options that are not part of the compiled step."""
        return frozenset(name for name, leaf in cls.leaves().items() if not leaf.is_traced)


def _leaf(field: dataclasses.Field[Any], hint: Any) -> Leaf:
    if _META not in field.metadata:
        raise TypeError(f"The field `{field.name}` must be made by `option`.")
    item = None
    kinds: list[type] = []
    for part in typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,):
        origin = typing.get_origin(part)
        if origin is tuple:
            item = typing.get_args(part)[0]
            kinds.append(tuple)
        else:
            kinds.append(dict if origin is not None and issubclass(origin, Mapping) else part)
    if field.default_factory is not dataclasses.MISSING:
        default: Any = field.default_factory()
    else:
        default = field.default
    return Leaf(field.name, (), tuple(kinds), item, default, field.metadata[_META])


def _shown(value: Any) -> str:
    """Return a value as an error shows it: whatever it is, and not for pages."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # An error must be the configuration's, not that of a value's text.
        text = f"a {type(value).__name__}"
    return text if len(text) <= 200 else f"{text[:200]}..."
