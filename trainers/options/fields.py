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

import contextlib
import dataclasses
import difflib
import functools
import math
import reprlib
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self

import numpy as np

__all__ = ["Leaf", "Options", "check_known", "near", "option", "shown", "tracing"]

_META = "option"
_NOUNS = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    str: "a text",
    type(None): "none",
}
_ITEMS = {int: "whole numbers", float: "finite numbers", str: "texts"}
# What people write is far below; what is above is an accident, and would take long to look at.
_MOST_CHARACTERS = 1_000
_MOST_ITEMS = 1_000
_MOST_LEVELS = 10
# Up to here each whole number is a float.
_MOST_WHOLE = 2**53

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 100
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 5
_SHORT.maxlevel = 3


@dataclasses.dataclass(frozen=True)
class _Declared:
    """What `option` was told of a field."""

    help: str
    low: float | None
    above: float | None
    high: float | None
    below: float | None
    choices: tuple[str, ...]
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
        declared: What `option` was told.
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
        return f"{self.declared.help} Expected: {self._expected()}."

    @property
    def is_traced(self) -> bool:
        """Whether its value is part of the compiled step."""
        return self.declared.is_traced

    @property
    def is_flag(self) -> bool:
        """Whether programs have a flag for it."""
        return self.declared.is_flag

    def checked(self, value: Any) -> Any:
        """Return a value as the configuration holds it.

        Lists are tuples then, mappings are dictionaries, and numbers of NumPy are Python's.

        Raises:
            ValueError: If it has another type, or is out of range.
        """
        try:
            taken = self._taken(value)
        except TypeError as error:
            raise self._error(value) from error
        except ValueError as error:
            raise ValueError(f"{self._error(value)}. {error}") from error
        if not all(map(self._is_within, taken if isinstance(taken, tuple) else (taken,))):
            raise self._error(value)
        if self.declared.check is not None:
            self.declared.check(self.name, taken)
        return taken

    def _taken(self, value: Any) -> Any:
        """Return the value in a type of the option.

        Raises:
            TypeError: If it has none of them.
            ValueError: If it is longer or deeper than anybody writes, or has other than JSON has.
        """
        if isinstance(value, list | tuple) and self.item is not None:
            _count(value, 0)
            return tuple(_converted(each, (self.item,)) for each in value)
        if dict in self.kinds and (isinstance(value, Mapping) or hasattr(value, "to_dict")):
            return _plain(value.to_dict() if hasattr(value, "to_dict") else value)
        if value is None and type(None) in self.kinds:
            return None
        return _converted(value, self.kinds)

    def _is_within(self, value: Any) -> bool:
        """Return whether a value of a right type is within the range."""
        declared = self.declared
        if isinstance(value, str):
            return not declared.choices or value in declared.choices
        if not isinstance(value, int | float) or isinstance(value, bool):
            return True
        return (
            (isinstance(value, int) or math.isfinite(value))
            and (declared.low is None or value >= declared.low)
            and (declared.above is None or value > declared.above)
            and (declared.high is None or value <= declared.high)
            and (declared.below is None or value < declared.below)
        )

    def _expected(self) -> str:
        declared = self.declared
        said = []
        for kind in self.kinds:
            if kind is str and declared.choices:
                said.append(f"one of {', '.join(map(repr, declared.choices))}")
            elif kind is tuple:
                said.append(f"a list of {_ITEMS[self.item or str]}")
            elif kind is dict:
                said.append("a mapping of what JSON can hold, by texts")
            else:
                said.append(_NOUNS[kind])
        bounds = [
            f"{word} {bound if isinstance(bound, int) else format(bound, 'g')}"
            for word, bound in (
                ("at least", declared.low),
                ("above", declared.above),
                ("at most", declared.high),
                ("below", declared.below),
            )
            if bound is not None
        ]
        return ", ".join([" or ".join(said), *bounds])

    def _error(self, value: Any) -> ValueError:
        return ValueError(
            f"`{self.name}` must be {self._expected()}. Received: {self.name}={shown(value)}"
        )


def option(
    default: Any = dataclasses.MISSING,
    help: str = "",
    *,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    below: float | None = None,
    choices: tuple[str, ...] = (),
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


# Whether a step is being traced: a plain global, as replicas are traced in threads of their own.
_is_tracing = False


@contextlib.contextmanager
def tracing() -> Iterator[None]:
    """Refuse, within, to read an option that is not part of the compiled step.

    What is read while a step is traced stays in it. Trials that differ in such an option share a
    step: the second would be trained with the value of the first.
    """
    global _is_tracing
    before, _is_tracing = _is_tracing, True
    try:
        yield
    finally:
        _is_tracing = before


@dataclasses.dataclass(frozen=True)
class Options:
    """A group of options, or a configuration of several groups."""

    def __getattribute__(self, name: str) -> Any:
        if _is_tracing and name in (fields := type(self).__dataclass_fields__):
            declared = fields[name].metadata.get(_META)
            if declared is not None and not declared.is_traced:
                raise ValueError(
                    f"`{name}` must not be read while a step is traced: trials that differ in it "
                    f"share the step. Received: {name} of {type(self).__name__}. Give what depends "
                    f"on it as data or as a variable, or declare an option with traced=True"
                )
        return object.__getattribute__(self, name)

    def __post_init__(self) -> None:
        for name, group in self._groups().items():
            if not isinstance(getattr(self, name), group):
                raise ValueError(
                    f"`{name}` must be a {group.__name__}. "
                    f"Received: {name}={shown(getattr(self, name))}"
                )
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
            group = cls._groups().get(field.name)
            if group is None:
                mine = {field.name: _leaf(field, hints[field.name])}
            else:
                mine = {
                    name: dataclasses.replace(leaf, path=(field.name, *leaf.path))
                    for name, leaf in group.leaves().items()
                }
            if twice := sorted(found.keys() & mine.keys()):
                raise TypeError(f"Two options of {cls.__name__} have the name {twice[0]!r}.")
            found |= mine
        return types.MappingProxyType(found)

    @classmethod
    @functools.cache
    def _groups(cls) -> Mapping[str, type[Options]]:
        """Return the classes of the groups that are fields."""
        hints = typing.get_type_hints(cls)
        own = {field.name: hints[field.name] for field in dataclasses.fields(cls)}
        return {n: h for n, h in own.items() if isinstance(h, type) and issubclass(h, Options)}

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
        if not isinstance(values, Mapping):
            raise ValueError(
                f"A configuration must be a mapping from names to values. Received: {shown(values)}"
            )
        leaves = cls.leaves()
        for name in values:
            if name not in leaves:
                raise ValueError(
                    f"`{_label(name)}` is no option of {cls.__name__}. "
                    f"Received: {_label(name)}={shown(values[name])}.{near(name, leaves)}"
                )
        for name, leaf in leaves.items():
            if name not in values and leaf.default is dataclasses.MISSING:
                raise ValueError(f"`{name}` must be given. Received: no {name}. {leaf.help}")
        return cls._made(values)

    @classmethod
    def _made(cls, values: Mapping[str, Any]) -> Self:
        groups = cls._groups()
        given: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            if field.name in groups:
                given[field.name] = groups[field.name]._made(values)
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


def check_known(option: str, name: Any, known: Iterable[str], what: str) -> None:
    """Check a text of which only what names it knows.

    Raises:
        ValueError: If it is none of them.
    """
    known = sorted(known)
    if name not in known:
        raise ValueError(
            f"`{option}` must be the name of {what}. Received: {option}={shown(name)}."
            f"{near(name, known)}"
        )


def near(name: Any, known: Iterable[str]) -> str:
    """Return what an error adds that has met an unknown name: the nearest one, or all."""
    known = list(known)
    close = difflib.get_close_matches(name[:64], known, n=1) if isinstance(name, str) else []
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" Expected one of: {', '.join(known)}"


def shown(value: Any) -> str:
    """Return a value as an error shows it: whatever it is, and not for pages."""
    try:
        text = _SHORT.repr(value)
    except Exception:  # noqa: BLE001  # An error must be the configuration's, not that of a value's text.
        text = f"a {type(value).__name__}"
    return text if len(text) <= 200 else f"{text[:200]}..."


def _label(name: Any) -> str:
    """Return an unknown name as an error shows it, without quotes where it could be one."""
    return name if isinstance(name, str) and name.isidentifier() and len(name) < 64 else shown(name)


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


def _converted(value: Any, kinds: tuple[type, ...]) -> Any:
    """Return a single value as one of some types of Python: a number of NumPy is the same number.

    Raises:
        TypeError: If it has none of them.
        ValueError: If it is a text that no file can hold.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        if bool in kinds:
            return value
    elif isinstance(value, int):
        if int in kinds:
            return int(value)
        if float in kinds and abs(value) <= _MOST_WHOLE:
            return float(value)
    elif isinstance(value, float):
        if float in kinds:
            return float(value)
    elif isinstance(value, str) and str in kinds:
        return _text(value)
    raise TypeError(f"It has another type: {type(value).__name__}")


def _text(value: str) -> str:
    """Return a text, which must be one that goes into files, paths and logs."""
    if len(value) > _MOST_CHARACTERS or "\0" in value:
        raise ValueError(f"A text has at most {_MOST_CHARACTERS} characters, none of them NUL")
    value.encode()  # Half of a pair of surrogates is no character.
    return str.__str__(value)


def _plain(value: Any, level: int = 0, before: int = 0) -> Any:
    """Return a value as what JSON makes of it, which is part of records: nothing is changed by it.

    Raises:
        TypeError: If something in it has a type that JSON has not.
        ValueError: If a number is not finite, or it is larger or deeper than anybody writes.
    """
    if isinstance(value, Mapping | list | tuple):
        if level > _MOST_LEVELS:
            raise ValueError(f"It must have at most {_MOST_LEVELS} levels")
        before = _count(value, before)
        if isinstance(value, Mapping):
            texts = {_converted(key, (str,)): each for key, each in value.items()}
            return {key: _plain(each, level + 1, before) for key, each in texts.items()}
        return [_plain(each, level + 1, before) for each in value]
    if value is None:
        return None
    single = _converted(value, (bool, int, float, str))
    if isinstance(single, float) and not math.isfinite(single):
        raise ValueError("Its numbers must be finite")
    if isinstance(single, int) and abs(single) > _MOST_WHOLE:
        raise ValueError(f"Its whole numbers must be at most {_MOST_WHOLE}")
    return single


def _count(values: Any, before: int) -> int:
    """Return the product of the lengths down to here: what is shared within is counted often."""
    count = max(before, 1) * max(len(values), 1)
    if count > _MOST_ITEMS:
        raise ValueError(f"It must have at most {_MOST_ITEMS} items")
    return count
