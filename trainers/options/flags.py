"""The flags and the configuration files of programs, made from the options: the one table of both.

Options that are changed often have a flag of their own; every option can be changed as
``--config.NAME=VALUE``. Flags go before the configuration file, and that before the defaults.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_dict, config_flags

from trainers.options.fields import Leaf, Options

__all__ = ["BAD_USAGE", "Flags", "config_dict_of", "parse"]

BAD_USAGE = 2
CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


def config_dict_of(options: type[Options], changes: Mapping[str, Any]) -> ConfigDict:
    """Return all options as a locked `ConfigDict`: the defaults, with changes.

    Raises:
        ValueError: If a change is of no option, an option that must be given is not, or a value is
            wrong.
    """
    config = ConfigDict(convert_dict=False)
    for name, leaf in options.leaves().items():
        default = None if leaf.default is dataclasses.MISSING else leaf.default
        if default is None:
            config[name] = config_dict.placeholder(leaf.kinds[0])
        else:
            config[name] = ConfigDict(default) if isinstance(default, dict) else default
    for name, value in options.of(changes).flat().items():
        if name in changes:
            leaf = options.leaves()[name]
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
        self._file = config_flags.DEFINE_config_file(
            "config",
            str(CONFIGS / config),
            "The setting; its values can be changed, as --config.batch_size=64.",
            lock_config=True,
        )
        self._flags = {
            name: _define(leaf) for name, leaf in options.leaves().items() if leaf.is_flag
        }

    @property
    def given(self) -> dict[str, Any]:
        """The options that have been given as flags of their own."""
        return {name: flag.value for name, flag in self._flags.items() if flag.value is not None}

    def configuration(self) -> Any:
        """Return the configuration that the flags say.

        Raises:
            ValueError: If it is wrong.
        """
        return self._options.of({**self._file.value.to_dict(), **self.given})


def _define(leaf: Leaf) -> Any:
    """Define the flag of an option; without a value it leaves the option alone."""
    name, text = leaf.name, leaf.help
    if leaf.declared.choices and leaf.kinds == (str,):
        return flags.DEFINE_enum(name, None, list(leaf.declared.choices), text)
    if leaf.kinds == (bool,):
        return flags.DEFINE_bool(name, None, text)
    if leaf.kinds == (int,):
        return flags.DEFINE_integer(name, None, text)
    if leaf.kinds == (float,):
        return flags.DEFINE_float(name, None, text)
    if leaf.kinds == (tuple,):
        return flags.DEFINE_list(name, None, text)
    if leaf.kinds == (str,):
        return flags.DEFINE_string(name, None, text)
    raise TypeError(f"An option of this type has no flag. Received: {name}")


def parse(arguments: Sequence[str]) -> list[str]:
    """Read the flags; wrong ones end the process with the code of all bad usage."""
    try:
        return flags.FLAGS(arguments)
    except flags.Error as error:
        name = pathlib.Path(arguments[0]).stem
        sys.stderr.write(f"{error}\nFor help: python -m trainers.{name} --help\n")
        sys.exit(BAD_USAGE)
