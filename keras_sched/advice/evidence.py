"""What was measured of schedules: a long table, a row for each method in a setting at a budget."""

from __future__ import annotations

import csv
import dataclasses
import functools
import importlib.resources
import io
import math
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from keras_sched import _validate

__all__ = [
    "FAMILIES",
    "METRICS",
    "OPTIMIZERS",
    "Evidence",
    "checked",
    "distinct",
    "kind_of",
    "load",
    "read",
    "written",
]

FAMILIES = (
    "detection",
    "graph",
    "image classification",
    "image generation",
    "language model",
    "segmentation",
    "tabular",
    "text classification",
    "video classification",
    "other",
)
OPTIMIZERS = ("sgd", "adam")
MEASURED_BY = ("authors", "others", "here")
# What a metric's value is to be a loss: itself if low is good, else what it lacks of its most.
METRICS = {"error %": 0.0, "score of 100": 100.0, "loss": 0.0, "perplexity": 0.0}
# Larger numbers cannot be losses, nor can smaller ones than their inverse.
_MOST = 1e30
_RANGES = {
    "error %": "an error above 0 and at most 100",
    "score of 100": "a score of at least 0 and below 100",
    "loss": f"a loss from {1.0 / _MOST:g} to {_MOST:g}",
    "perplexity": f"a perplexity from {1.0 / _MOST:g} to {_MOST:g}",
}


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What came out of one method in one setting at one budget.

    Attributes:
        source: Where it is printed, or the sweep that it is of.
        measured_by: "authors" of the method, "others" who compared it with their own, or "here".
        setting: Task, network and data, as "RN20-CIFAR10".
        family: One of `FAMILIES`.
        optimizer: "sgd" or "adam", with its kin.
        budget: Share of the usual number of epochs, in (0, 1].
        schedule: Of the learning rate, as "REX"; "None" for a constant one.
        momentum: Of the momentum, as "Demon"; "constant" for none.
        precision: Of the numeric precision, as "CR 3-8"; "float32" for none.
        metric: One of `METRICS`.
        value: Its mean over seeds.
        std: Standard deviation over seeds; None if it is not known.
        n: Seeds; None if that is not known.

    Raises:
        TypeError: If a field is not of its type.
        ValueError: If a field is out of range.
    """

    source: str
    measured_by: str
    setting: str
    family: str
    optimizer: str
    budget: float
    schedule: str
    momentum: str
    precision: str
    metric: str
    value: float
    std: float | None
    n: int | None

    def __post_init__(self) -> None:
        for name in ("source", "setting", "schedule", "momentum", "precision"):
            given = getattr(self, name)
            if not isinstance(given, str) or not given:
                raise TypeError(f"`{name}` must be a text. Received: {name}={given!r}")
        _validate.choice("measured_by", self.measured_by, MEASURED_BY)
        _validate.choice("family", self.family, FAMILIES)
        _validate.choice("optimizer", self.optimizer, OPTIMIZERS)
        _validate.choice("metric", self.metric, tuple(METRICS))
        _validate.real("budget", self.budget, low=0.0, high=1.0, open_low=True)
        _validate.real("value", self.value)
        if self.std is not None:
            _validate.real("std", self.std, low=0.0, high=_MOST)
        if self.n is not None:
            _validate.integer("n", self.n, low=1)
        highest = _MOST if self.metric in ("loss", "perplexity") else 100.0
        if not 1.0 / _MOST <= self.loss <= highest:
            raise ValueError(
                f"`value` must be {_RANGES[self.metric]}. Received: value={self.value}, "
                f"metric={self.metric!r}"
            )

    @property
    def method(self) -> str:
        """What is compared, as "REX", "Demon" or "Demon REX"."""
        if self.momentum == "constant":
            return self.schedule
        return self.momentum if self.schedule == "None" else f"{self.momentum} {self.schedule}"

    @property
    def loss(self) -> float:
        """What is low if the method is good: 100 less a score, or the value itself."""
        most = METRICS[self.metric]
        return most - self.value if most else self.value

    @property
    def column(self) -> tuple[str, str, str, float, str, str]:
        """What it is compared within: one who measures, a setting, an optimizer and a budget."""
        return (
            *(self.source, self.setting, self.optimizer, self.budget),
            *(self.metric, self.precision),
        )


def kind_of(optimizer: str) -> str:
    """Return "sgd" or "adam" for the name of an optimizer.

    What divides each weight's step by the size of its gradients is kin to Adam.

    Example:
        >>> [kind_of(name) for name in ("SGDM", "AdamW", "RMSprop", "Lion")]
        ['sgd', 'adam', 'adam', 'adam']
    """
    return "sgd" if optimizer.casefold().startswith("sgd") else "adam"


_MADE = "of a sweep `python -m trainers.evidence SWEEP --out=FILE` makes one"
_NAMES = tuple(field.name for field in dataclasses.fields(Evidence))


@functools.cache
def load() -> tuple[Evidence, ...]:
    """Return the table that is in the package: the papers' numbers, and those measured here."""
    place = importlib.resources.files("keras_sched.advice") / "evidence.csv"
    return tuple(_parsed(place.read_text("utf-8"), "evidence.csv"))


def read(path: str | os.PathLike[str]) -> list[Evidence]:
    """Return the rows of a file: what `python -m trainers.evidence` makes of a sweep.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it has other columns, or a row that cannot be.
    """
    place = pathlib.Path(path)
    if not place.is_file():
        raise FileNotFoundError(
            f"`evidence` must be files that are there: {_MADE}. Received: {path}"
        )
    try:
        text = place.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"`evidence` must be files of evidence: {_MADE}. Received: {path}, which is no text"
        ) from error
    return _parsed(text, str(path))


def written(rows: Iterable[Evidence]) -> str:
    """Return rows as a CSV file, sorted, so that equal rows are an equal file."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_NAMES)
    fields = [["" if v is None else v for v in dataclasses.astuple(row)] for row in rows]
    writer.writerows(sorted(fields, key=lambda row: [str(value) for value in row]))
    return file.getvalue()


def _parsed(text: str, name: str) -> list[Evidence]:
    reader = csv.DictReader(io.StringIO(text))
    if tuple(reader.fieldnames or ()) != _NAMES:
        raise ValueError(
            f"`evidence` must have the columns {', '.join(_NAMES)}. Received: {name} with "
            f"{', '.join(reader.fieldnames or ['nothing'])}"
        )
    found = []
    for number, row in enumerate(reader, start=2):
        try:
            found.append(_row(row))
        except (TypeError, ValueError) as error:
            raise ValueError(f"Line {number} of {name} is no evidence: {error}") from error
    if not found:
        raise ValueError(f"`evidence` must have rows. Received: {name} without any")
    return found


def _row(given: Mapping[Any, Any]) -> Evidence:
    if None in given or None in given.values():
        raise ValueError(f"it must have {len(_NAMES)} fields")
    numbers: dict[str, Any] = {
        "budget": _number("budget", given["budget"]),
        "value": _number("value", given["value"]),
        "std": _number("std", given["std"]) if given["std"] else None,
        "n": None,
    }
    if given["n"]:
        seeds = _number("n", given["n"])
        if seeds != int(seeds):
            raise ValueError(f"`n` must be a whole number. Received: n={given['n']}")
        numbers["n"] = int(seeds)
    return Evidence(**{**given, **numbers})


def _number(name: str, given: str) -> float:
    try:
        found = float(given)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"`{name}` must be a finite number. Received: {name}={given!r}")
    return found


def checked(evidence: Sequence[Any]) -> list[Evidence]:
    """Return the rows of what a user adds: files and rows.

    Raises:
        TypeError: If an item is neither.
        FileNotFoundError: If a file is not there.
        ValueError: If a file is none of evidence.
    """
    found: list[Evidence] = []
    for each in _validate.sequence("evidence", evidence):
        if isinstance(each, Evidence):
            found.append(each)
        elif isinstance(each, str | os.PathLike):
            found += read(each)
        else:
            raise TypeError(
                f"`evidence` must have paths of files and `ks.Evidence`. Received: {each!r:.100}"
            )
    return distinct(found)


def distinct(rows: Iterable[Evidence], hint: str = "") -> list[Evidence]:
    """Return rows, each once.

    Args:
        rows: The rows.
        hint: What to say where they were met.

    Raises:
        ValueError: If two of one method in one column are not the same.
    """
    found: dict[Any, Evidence] = {}
    for row in rows:
        if found.setdefault((row.column, row.method), row) != row:
            raise ValueError(
                f"Evidence must have one row for each method in a column. Received: two of "
                f"{row.method} in {row.setting} ({row.source}) at {100 * row.budget:g} %{hint}"
            )
    return list(found.values())
