"""Options that are files of weights."""

from __future__ import annotations

import hashlib
from typing import Any

from trainers.options.fields import shown

__all__ = ["check_weights", "digests"]

_ENDINGS = (".weights.h5", ".keras")


def check_weights(name: str, value: Any) -> None:
    """Check an option that is the path of a file of weights, or empty; see `option(check=)`.

    Raises:
        ValueError: If its name is not that of such a file.
    """
    if value and not value.endswith(_ENDINGS):
        raise ValueError(
            f"`{name}` must be a file whose name ends with {' or '.join(_ENDINGS)}. "
            f"Received: {name}={shown(value)}"
        )


def digests(config: Any) -> dict[str, str]:
    """Return a digest of each file of weights of a configuration, by "NAME_digest".

    Raises:
        OSError: If a file cannot be read.
    """
    found, values = {}, config.flat()
    for name, leaf in config.leaves().items():
        if leaf.declared.check is check_weights and values[name]:
            with open(values[name], "rb") as file:
                digest = hashlib.file_digest(file, "sha256")
            found[f"{name}_digest"] = digest.hexdigest()[:10]
    return found
