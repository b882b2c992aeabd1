"""The migration table of docs/conventions.md, for the recorder and for the test of it."""

from __future__ import annotations

import dataclasses
import pathlib
import re

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "conventions.md"

# What the names in the table stand for; a row must hold for both. N is the length of the records.
SETTINGS = (
    {"lr": 0.5, "end": 0.05, "low": 0.1, "T": 60, "w": 10, "k": 15, "j": 9, "a": 20, "b": 35}
    | {"r": 0.3, "m": 0.5, "g": 0.97, "p": 3.0, "c": 1.5, "N": 80},
    {"lr": 0.02, "end": 0.004, "low": 0.001, "T": 47, "w": 6, "k": 11, "j": 17, "a": 9, "b": 31}
    | {"r": 0.8, "m": 0.75, "g": 0.99, "p": 0.7, "c": 0.8, "N": 70},
)
PEERS = {
    "Keras": "keras",
    "optax": "optax",
    "PyTorch": "torch",
    "timm": "timm",
    "Hugging Face": "transformers",
}
_ROW = re.compile(r"\| (?P<call>`[^`|]+`(?:, momentum)?) \| `(?P<ours>[^`|]+)` \|")


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table: the peer, its call as the key of the record, and ours."""

    peer: str
    call: str
    ours: str


def read(text: str | None = None) -> list[Row]:
    """Return the rows of the sections "From ...", in order.

    Raises:
        ValueError: If a line of such a table is no row.
    """
    rows, peer = [], None
    for line in (DOCUMENT.read_text() if text is None else text).splitlines():
        if line.startswith("## "):
            peer = PEERS[line.removeprefix("## From ")] if line.startswith("## From ") else None
        elif peer and line.startswith("|") and not line.startswith(("|--", "| there")):
            found = _ROW.fullmatch(line)
            if found is None:
                raise ValueError(f"A row must be `their call` and `our call`. Received: {line!r}")
            rows.append(Row(peer, found["call"].replace("`", ""), found["ours"]))
    return rows
