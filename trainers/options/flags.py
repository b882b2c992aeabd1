"""The flags and the configuration files of programs, made from the options: the one table of both.

Options that are changed often have a flag of their own; every option can be changed as
``--config.NAME=VALUE``. Flags go before the configuration file, and that before the defaults.
"""

from __future__ import annotations

import pathlib
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags
from ml_collections.config_dict import FieldReference

from trainers.options.fields import Leaf, Options

__all__ = ["BAD_USAGE", "Flags", "config_dict_of", "parse"]

BAD_USAGE = 2
CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
# How a traceback within an error begins, and what is no file of the user's.
_IN_FILE = "Error whilst parsing config file"
_LIBRARIES = ("<frozen ", "/absl/", "/ml_collections/", __file__)
_LONGEST = 1_000
# What a run is of: where flags change it, its directory has another name.
_SUBJECT = ("dataset", "model")
_LONGEST_NAME = 64
_DEFINE = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
    tuple: flags.DEFINE_list,
}


def config_dict_of(options: type[Options], changes: Mapping[str, Any]) -> ConfigDict:
    """Return all options as a locked `ConfigDict`: the defaults, with changes.

    Raises:
        ValueError: If a change is of no option, an option that must be given is not, or a value is
            wrong.
    """
    config = ConfigDict(convert_dict=False)
    for name, value in options.of(changes).flat().items():
        leaf = options.leaves()[name]
        if len(leaf.kinds) > 1:
            # Without a type of its own: any of the option's may be put in its place.
            config[name] = FieldReference(value, field_type=object)
        else:
            config[name] = ConfigDict(value) if isinstance(value, dict) else leaf.checked(value)
    return config.lock()


class Flags:
    """The flags of a program.

    Args:
        options: The class of its configurations.
        config: The file in `configs/` that is taken where no other is given.
    """

    def __init__(self, options: type[Options], config: str) -> None:
        self._options = options
        self._default = str(CONFIGS / config)
        self._arguments: list[str] = []
        # Without a default, which would be read when the flag is defined, and fail there.
        self._file = config_flags.DEFINE_config_file(
            "config",
            None,
            f"The setting; configs/{config} without one. Its values can be changed, as "
            f"--config.batch_size=64.",
            lock_config=True,
            sys_argv=self._arguments,
        )
        self._flags = {
            name: _define(leaf) for name, leaf in options.leaves().items() if leaf.is_flag
        }

    @property
    def names(self) -> list[str]:
        """The names of the flags."""
        return ["config", *self._flags]

    @property
    def given(self) -> dict[str, Any]:
        """The options that have been given as flags of their own."""
        return {name: flag.value for name, flag in self._flags.items() if flag.value is not None}

    def parse(self, arguments: Sequence[str]) -> list[str]:
        """Read the flags, as `parse` does, with the default of the configuration file."""
        given = any(each.partition("=")[0] in ("--config", "-config") for each in arguments)
        added = [] if given else [f"--config={self._default}"]
        self._arguments[:] = [arguments[0], *added, *arguments[1:]]
        return parse(self._arguments)

    def configuration(self) -> Any:
        """Return the configuration that the flags say.

        Raises:
            ValueError: If it is wrong, or the file cannot be read.
        """
        try:
            values = self._file.value.to_dict()
        except (AttributeError, OSError, flags.Error) as error:
            cause = " ".join(str(error.__cause__ or error).split())
            raise ValueError(
                f"`--config` must be a file with a function `get_config` that returns a "
                f"`ConfigDict`, as those in configs/. Received: {cause}"
            ) from error
        # Given by hand it stays.
        if "name" in values and "name" not in config_flags.get_override_values(
            flags.FLAGS["config"]
        ):
            values["name"] = _named(values, self.given)
        return self._options.of({**values, **self.given})


def _named(values: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """Return the name of a setting whose data or network flags have changed: it says so."""
    changed = [
        given[each] for each in _SUBJECT if given.get(each, values.get(each)) != values.get(each)
    ]
    parts = [re.sub(r"[^A-Za-z0-9_.+]+", "_", pathlib.Path(each).name) for each in changed]
    return "-".join([values["name"], *parts])[:_LONGEST_NAME]


def _define(leaf: Leaf) -> Any:
    """Define the flag of an option; without a value it leaves the option alone."""
    if len(leaf.kinds) > 1 or leaf.kinds[0] not in _DEFINE:
        raise TypeError(f"An option of this type has no flag. Received: {leaf.name}")
    if leaf.declared.choices:
        return flags.DEFINE_enum(leaf.name, None, list(leaf.declared.choices), leaf.help)
    return _DEFINE[leaf.kinds[0]](leaf.name, None, leaf.help)


def parse(arguments: Sequence[str]) -> list[str]:
    """Read the flags; wrong ones end the process with the code of all bad usage, and a line."""
    try:
        return flags.FLAGS(arguments)
    except Exception as error:  # noqa: BLE001  # A configuration file can raise anything.
        name = pathlib.Path(arguments[0]).stem
        sys.stderr.write(f"{_line(error)}\nFor help: python -m trainers.{name} --help\n")
        sys.exit(BAD_USAGE)


def _line(error: BaseException) -> str:
    """Return an error as one line: what is wrong, and where in a file of the user's."""
    while _IN_FILE in str(error) and error.__context__ is not None:
        error = error.__context__  # Their texts have the traceback in them.
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    line = " ".join(str(text).split())[:_LONGEST]
    frames = traceback.extract_tb(error.__traceback__)
    mine = [f for f in frames if not any(part in f.filename for part in _LIBRARIES)]
    if mine:
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        return f"{mine[0].filename}, line {mine[0].lineno}: {kind}{line}"
    if isinstance(error, KeyError | AttributeError | IndexError):
        return (
            f"--config has no such option: {line} What a mapping has not yet is given with the "
            f"whole of it, as --config.schedule_options=\"{{'d': 0.9}}\""
        )
    return line
