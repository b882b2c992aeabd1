"""keras-hub, for what is made of its parts: it takes seconds to import, and is an extra."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

__all__ = ["check", "imported", "loaded", "safetensors"]

_NEEDED = "keras-hub and safetensors are needed, an extra: pip install -e '.[trainers,hub]'"


def check() -> None:
    """Check that keras-hub is installed; nothing is imported.

    Raises:
        ValueError: If it is not.
    """
    if importlib.util.find_spec("keras_hub") is None:
        raise ValueError(f"{_NEEDED}. Received: no package keras_hub")


def imported() -> Any:
    """Return keras-hub.

    Raises:
        ValueError: If it is not installed, or cannot be imported.
    """
    check()
    try:
        return importlib.import_module("keras_hub")
    except ImportError as error:
        raise ValueError(f"{_NEEDED}. Received: {error}") from error


def safetensors() -> Any:
    """Return the package that reads weights of Hugging Face.

    Raises:
        ValueError: If it is not installed.
    """
    try:
        return importlib.import_module("safetensors")
    except ImportError as error:
        raise ValueError(f"{_NEEDED}. Received: {error}") from error


def loaded(option: str, path: str, load: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what keras-hub loads from a path.

    Args:
        option: What the path is called in errors.
        path: The path.
        load: What loads it, and then its arguments.
        *args: Arguments.
        **kwargs: Arguments.

    Raises:
        ValueError: If it cannot be loaded: each kind of files raises errors of its own.
    """
    try:
        return load(*args, **kwargs)
    except Exception as error:
        raise ValueError(
            f"`{option}` must be a folder that keras-hub can read. Received: {option}={path!r} "
            f"({type(error).__name__}: {str(error).partition(chr(10))[0][:300]})"
        ) from error
