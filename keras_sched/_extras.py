"""Packages that only a part of the library needs, and which extra brings them."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["load"]


def load(module: str, *, what: str, extra: str) -> Any:
    """Import a module of a package that may be absent.

    Args:
        module: The module, as "matplotlib.figure".
        what: What needs it, for the message.
        extra: The extra that brings it.

    Raises:
        ImportError: If it is absent; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{what} needs the package {module.partition('.')[0]!r}, which is not installed. "
            f"Install it with `pip install 'keras_sched[{extra}]'`."
        ) from error
