"""What the results of the tests share: a file of JSON that is never overwritten, and axes."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, Self

from keras_sched._files import replace_file

__all__ = ["Result"]


@dataclasses.dataclass(frozen=True)
class Result:
    """A result of numbers, names and tuples of them."""

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write the result.

        Raises:
            FileExistsError: If `path` exists: a result is never overwritten.
        """
        target = Path(path)
        if target.exists():
            raise FileExistsError(f"`path` must not exist yet. Received: path='{target}'")
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, json.dumps(dataclasses.asdict(self), allow_nan=False, indent=1) + "\n")

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `to_json` wrote.

        Raises:
            TypeError: If a key is missing or unknown.
        """
        found = json.loads(Path(path).read_text())
        return cls(**{key: _tuples(value) for key, value in found.items()})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
