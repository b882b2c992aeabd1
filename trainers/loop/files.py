"""Files that are there whole or not at all, and are on the disk when the function returns."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import shutil
import uuid
from collections.abc import Callable, Iterable
from typing import Any

__all__ = [
    "clear",
    "digest",
    "remove",
    "replace",
    "sync",
    "sync_directory",
    "temporary",
    "write_once",
]

# What is being written has such a name, and is left behind by a process that is killed meanwhile.
WRITING = ".writing_"


def digest(value: Any) -> str:
    """Return ten hexadecimal digits that a JSON-able value has, however its keys are ordered.

    Raises:
        ValueError: If it is not JSON-able.
    """
    text = json.dumps(value, sort_keys=True, allow_nan=False, default=_listed)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _listed(value: Any) -> Any:
    if isinstance(value, Iterable):
        return list(value)
    raise ValueError(f"A configuration must be JSON-able. Received: {value!r}")


def temporary(directory: pathlib.Path, name: str) -> pathlib.Path:
    """Return a path in a directory for what is being written: one that nobody else has or had.

    The number of a process would not do: in containers, and on two machines, the numbers agree.
    """
    return directory / f"{WRITING}{name[:64]}_{uuid.uuid4().hex}"


def clear(directory: pathlib.Path) -> None:
    """Remove what killed processes were writing, in a directory and all below it.

    Only the process that holds the directory may do so: what another writes has such a name too.
    """
    for left in sorted(directory.rglob(f"{WRITING}*")):
        if os.path.lexists(left):  # Not within one that is removed already.
            remove(left)


def remove(path: pathlib.Path) -> None:
    """Remove a file, a link, or a directory and all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def write_once(path: pathlib.Path, text: str, beside: pathlib.Path | None = None) -> None:
    """Write a file: all of it or nothing, and only where none is.

    Args:
        path: Its name, in a directory that exists.
        text: Its contents.
        beside: A directory on the same disk for the file until it is whole; by default its own.

    Raises:
        FileExistsError: If `path` exists.
    """
    written = temporary(beside or path.parent, path.name)
    try:
        with open(written, "x", encoding="utf-8") as file:
            file.write(text)
            sync(file)
        # A link, unlike a rename, refuses to replace.
        os.link(written, path)
    finally:
        written.unlink(missing_ok=True)
    sync_directory(path.parent)


def replace(path: pathlib.Path, write: Callable[[pathlib.Path], Any]) -> None:
    """Write a file in the place of the one that is there: a reader sees the one or the other.

    Args:
        path: Its name, in a directory that exists.
        write: Writes it to the path that it is given, whose name ends as that of `path`.
    """
    suffix = "".join(path.suffixes)
    stem = temporary(path.parent, path.name.removesuffix(suffix))
    written = stem.with_name(stem.name + suffix)
    try:
        write(written)
        with open(written, "rb") as file:
            os.fsync(file.fileno())
        os.replace(written, path)
    finally:
        written.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync(file: Any) -> None:
    """Flush an open file to the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_directory(path: pathlib.Path) -> None:
    """Flush the names in a directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
