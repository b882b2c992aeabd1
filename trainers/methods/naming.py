"""Errors of what is made from options, told by the names of the options."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from trainers.options.fields import Options, shown

__all__ = ["naming"]

_LONGEST = 1_000


@contextlib.contextmanager
def naming(options: Options, *names: str) -> Iterator[None]:
    """Turn an error of what is made within into one that names the options it is made from."""
    try:
        yield
    except (TypeError, ValueError, ArithmeticError, RecursionError, KeyError) as error:
        said = str(error)
        if len(said) > _LONGEST:  # It shows a value that is longer than anybody writes.
            said = f"{said[:_LONGEST]}..."
        if said.startswith(f"`{names[0]}`"):
            raise ValueError(said) from error
        received = ", ".join(f"{name}={shown(getattr(options, name))}" for name in names)
        said = said if said.endswith((".", "?")) else f"{said}."
        # Of two things received nobody knows which to change.
        link = "That comes from" if "Received:" in said else "Received:"
        raise ValueError(f"`{names[0]}` is wrong: {said} {link} {received}") from error
