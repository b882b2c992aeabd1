"""Options that are files of weights, or folders with them."""

from __future__ import annotations

import hashlib
import os
import pathlib
import re
from typing import Any

from trainers.options.fields import shown

__all__ = ["check_encoder", "check_weights", "digests"]

_ENDINGS = (".weights.h5", ".keras")
# Of the files of a folder, those with weights.
_WEIGHTS = ("*.safetensors", "*.h5")
_AT_ONCE = 2**20
_NAME = re.compile(r"[a-z][a-z0-9_]*")


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


def check_encoder(name: str, value: Any) -> None:
    """Check an option that is a name of weights, the path of a folder, or empty.

    Raises:
        ValueError: If it can be neither.
    """
    if value and os.sep not in value and not _NAME.fullmatch(value):
        raise ValueError(
            f"`{name}` must be a name, as 'bert_base_en_uncased', or the path of a folder, as "
            f"'./encoder'. Received: {name}={shown(value)}"
        )


def digests(config: Any) -> dict[str, str]:
    """Return a digest of the weights at each path of a configuration, by "NAME_digest".

    Raises:
        OSError: If a file cannot be read.
    """
    found, values = {}, config.flat()
    for name, leaf in config.leaves().items():
        if leaf.declared.check not in (check_weights, check_encoder) or not values[name]:
            continue
        if leaf.declared.check is check_encoder and os.sep not in values[name]:
            continue  # A name says itself which weights they are.
        digest = hashlib.sha256()
        for path in _files(values[name]):
            with open(path, "rb") as file:
                while part := file.read(_AT_ONCE):
                    digest.update(part)
        found[f"{name}_digest"] = digest.hexdigest()[:10]
    return found


def _files(path: str) -> list[pathlib.Path]:
    place = pathlib.Path(path).expanduser()
    if not place.is_dir():
        return [place]
    return sorted(file for pattern in _WEIGHTS for file in place.glob(pattern))
