"""Options that are names or paths, and digests of what lies at the paths: it is part of a run."""

from __future__ import annotations

import functools
import hashlib
import os
import pathlib
import re
from typing import Any

from trainers.options.fields import shown

__all__ = ["check_dataset", "check_encoder_name", "check_weights", "digests", "is_path"]

_ENDINGS = (".weights.h5", ".keras")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
# Of a folder with more files, as of photographs, names and sizes must do.
_MOST_READ = 1_000


def is_path(name: str) -> bool:
    """Return whether an option that can be a name or a path is a path."""
    return os.sep in name


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


def check_encoder_name(name: str, value: Any) -> None:
    """Check an option that is a name of weights, the path of a folder, or empty.

    Raises:
        ValueError: If it can be neither.
    """
    if value and not is_path(value) and not _NAME.fullmatch(value):
        raise ValueError(
            f"`{name}` must be a name, as 'bert_base_en_uncased', or the path of a folder, as "
            f"'./encoder'. Received: {name}={shown(value)}"
        )


def check_dataset(name: str, value: Any) -> None:
    """Check an option that is a name of data, or the path of a file or a folder of one's own.

    Raises:
        ValueError: If it is empty.
    """
    if not value:
        raise ValueError(f"`{name}` must be a name or a path. Received: {name}={shown(value)}")


def digests(config: Any) -> dict[str, str]:
    """Return a digest of what is at each path of a configuration, by "NAME_digest".

    Raises:
        OSError: If a file cannot be read.
    """
    found, values = {}, config.flat()
    for name, leaf in config.leaves().items():
        value, check = values[name], leaf.declared.check
        if check not in (check_weights, check_encoder_name, check_dataset) or not value:
            continue
        if check is check_weights or is_path(value):  # A name says itself what it stands for.
            found[f"{name}_digest"] = _digest(pathlib.Path(value).expanduser())
    return found


def _digest(place: pathlib.Path) -> str:
    """Return a digest of a file, or of the names and contents of the files of a folder."""
    digest = hashlib.sha256()
    if not place.is_dir():
        digest.update(_contents(place, *_stamp(place)))
        return digest.hexdigest()[:10]
    files = sorted(path for path in place.rglob("*") if path.is_file())
    for path in files:
        digest.update(str(path.relative_to(place)).encode())
        if len(files) > _MOST_READ:
            digest.update(str(path.stat().st_size).encode())
        else:
            digest.update(_contents(path, *_stamp(path)))
    return digest.hexdigest()[:10]


def _stamp(path: pathlib.Path) -> tuple[int, int]:
    said = path.stat()
    return said.st_mtime_ns, said.st_size


@functools.lru_cache(maxsize=10_000)
def _contents(path: pathlib.Path, changed: int, size: int) -> bytes:
    """Return the digest of a file, once for as long as it stays what it is."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
