"""Files of texts: plain ones by lines, JSON Lines by objects, and what comes with Python."""

from __future__ import annotations

import gzip
import json
import pathlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

__all__ = ["TENTHS", "documents", "help_topics", "kind_of", "objects", "parts_of", "text_of"]

# Of every ten documents, and of the lines of a plain text.
TENTHS = {"train": range(8), "val": range(8, 9), "test": range(9, 10)}
_ENDINGS = {"train": ("train",), "val": ("valid", "val", "validation", "dev"), "test": ("test",)}
_KINDS = (".txt", ".tokens", ".jsonl", ".text")


def help_topics() -> dict[str, str]:
    """Return the topics of Python's own help by their names, in alphabetical order."""
    import pydoc_data.topics

    return dict(sorted(pydoc_data.topics.topics.items()))


def parts_of(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Return the file of each part in a folder, by names as "ptb.train.txt" and "test.jsonl.gz".

    Raises:
        ValueError: If there is none of a part, or more than one.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and kind_of(path))
    found = {}
    for part, endings in _ENDINGS.items():
        mine = [path for path in files if _stem(path).rpartition(".")[2] in endings]
        if len(mine) != 1:
            raise ValueError(
                f"{folder} must have one file for {part!r}, a text whose name ends with "
                f"{endings[0]!r} before {', '.join(_KINDS)}. Received: "
                f"{', '.join(path.name for path in mine) or 'none'}"
            )
        found[part] = mine[0]
    return found


def _stem(path: pathlib.Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(kind_of(path))


def kind_of(path: pathlib.Path) -> str:
    """Return the ending of a text, without that of its compression; empty for none."""
    ending = pathlib.Path(path.name.removesuffix(".gz")).suffix
    return ending if ending in _KINDS else ""


def documents(path: pathlib.Path) -> Iterator[str]:
    """Give the documents of a file: each text of a JSON Lines file, or each line.

    Raises:
        ValueError: If a line is no UTF-8, or no object with a text.
    """
    if kind_of(path) == ".jsonl":
        for number, found in objects(path):
            yield text_of(found, "text", path, number)
    else:
        yield from (line for _, line in _lines(path))


def objects(path: pathlib.Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Give the objects of a JSON Lines file, each with the number of its line.

    Empty lines are none.

    Raises:
        ValueError: If a line is no UTF-8, or no object.
    """
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except ValueError as error:
            raise ValueError(
                f"Each line of {path} must be a JSON object. Received: line {number} ({error})"
            ) from error
        if not isinstance(found, dict):
            raise ValueError(
                f"Each line of {path} must be a JSON object. Received: {found!r:.50} in line "
                f"{number}"
            )
        yield number, found


def text_of(found: dict[str, Any], key: str, path: pathlib.Path, number: int) -> str:
    """Return a text of an object of a file.

    Raises:
        ValueError: If it has none, or it cannot be written as UTF-8: JSON may have half a
            character, as of an emoji that was cut.
    """
    if not isinstance(text := found.get(key), str):
        raise ValueError(
            f"Each line of {path} must be a JSON object with a {key!r}, a string. Received: "
            f"{text!r:.50} in line {number}"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"The texts of {path} must be Unicode. Received: {text[error.start]!r} in line {number}"
        ) from error
    return text


def _lines(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    """Give the lines of a file with their numbers.

    Raises:
        ValueError: If it is no UTF-8, or a damaged archive.
    """
    try:
        yield from _decoded(path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} must be a whole gzip file. Received: {error}") from error


def _decoded(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    opened: Callable[..., Iterable[bytes]] = gzip.open if path.name.endswith(".gz") else open
    with opened(path, "rb") as file:  # type: ignore[attr-defined]
        for number, line in enumerate(file, start=1):
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{path} must be UTF-8. Received: byte {error.object[error.start]:#x} at "
                    f"place {error.start} of line {number}"
                ) from error
