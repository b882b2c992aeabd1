"""Files that are there whole or not at all, and are on the disk when the function returns."""

from __future__ import annotations

import os
import pathlib
import uuid
from typing import Any

__all__ = ["sync", "sync_directory", "write_once"]


def write_once(path: pathlib.Path, text: str, beside: pathlib.Path | None = None) -> None:
    """Write a file: all of it or nothing, and only where none is.

    Args:
        path: Its name, in a directory that exists.
        text: Its contents.
        beside: A directory on the same disk for the file until it is whole; by default its own.

    Raises:
        FileExistsError: If `path` exists.
    """
    # A name of its own: of processes on two machines, or in two containers, the numbers can agree.
    temporary = (beside or path.parent) / f".writing_{path.name}_{uuid.uuid4().hex}"
    try:
        with open(temporary, "x") as file:
            file.write(text)
            sync(file)
        # A link, unlike a rename, refuses to replace.
        os.link(temporary, path)
    finally:
        temporary.unlink()
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
