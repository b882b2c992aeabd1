"""keras-hub, for what is made of its parts: it takes seconds to import, and is an extra."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

__all__ = ["check", "imported"]

_NEEDED = "keras-hub is needed, an extra: pip install -e '.[trainers,hub]'"


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
