"""The papers' own tables, to set beside ours: `published.csv`, a row for each printed number.

The columns are paper, table, setting, optimizer, schedule, sampling (where the paper read the
profile less often than at every step), budget (share of the paper's longest training), epochs,
metric, direction, mean, std (as printed, or empty), trials, source and note (where the print is in
error, or needs a word). Left out are REX table 11 (GLUE by task: 24 of the paper's 82 columns) and
what other papers say of these.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import importlib.resources
import math
import re
from collections.abc import Iterable
from typing import Any

from tensorboard_plugins.schedules.columns import Column

__all__ = [
    "AS_STEP",
    "Source",
    "Value",
    "columns",
    "load",
    "parse_source",
    "printed_rates",
]

# REX counts the better of the two as one schedule.
AS_STEP = {"Plateau": "Step"}
_RATES = {"Top-1 rate %": 1, "Top-3 rate %": 3}


@dataclasses.dataclass(frozen=True)
class Value:
    """One printed number.

    Attributes:
        paper: "REX", "Demon", "CPT" or "Budgeted Training".
        table: Number of its table; empty if it is in a figure, or the number is not known.
        setting: Setting, with the optimizer at its end.
        optimizer: Optimizer.
        schedule: Schedule.
        sampling: How often the profile is read, where the table is about that.
        budget: Share of the longest training; None if the paper has no such thing.
        epochs: Epochs trained; None if not printed.
        metric: What was measured.
        direction: "max" or "min": what is good.
        mean: The number.
        std: What is printed behind its plus-minus; None if nothing is.
        trials: Trainings behind it; None if not printed.
        source: Where it is printed.
        note: What to know of it.
    """

    paper: str
    table: str
    setting: str
    optimizer: str
    schedule: str
    sampling: str
    budget: float | None
    epochs: float | None
    metric: str
    direction: str
    mean: float
    std: float | None
    trials: int | None
    source: str
    note: str

    @property
    def method(self) -> str:
        """The schedule, and how often it is read if the table is about that."""
        return f"{self.schedule} {self.sampling}".strip()

    def is_as_long_as(self, epochs: float) -> bool:
        """Return whether its training had so many epochs; not if the paper does not say how many.

        Papers round fractions up.
        """
        if self.epochs is None:
            return False
        return math.ceil(round(epochs, 6)) == math.ceil(round(self.epochs, 6))


@functools.cache
def load() -> tuple[Value, ...]:
    """Return all printed numbers."""
    text = importlib.resources.files(__package__).joinpath("published.csv").read_text("utf-8")
    return tuple(_value(row) for row in csv.DictReader(text.splitlines()))


def _value(row: dict[str, str]) -> Value:
    numbers: dict[str, Any] = {
        key: float(row[key]) if row[key] else None for key in ("budget", "epochs", "std")
    }
    numbers["mean"] = float(row["mean"])
    numbers["trials"] = int(row["trials"]) if row["trials"] else None
    return Value(**{**row, **numbers})


@dataclasses.dataclass(frozen=True)
class Source:
    """What a sweep says that its settings are from.

    Attributes:
        paper: The paper.
        tables: Numbers of its tables; empty for all.
    """

    paper: str
    tables: frozenset[str]

    def find(self, setting: str, method: str, budget: float) -> Value | None:
        """Return the paper's number for a method in a setting at a budget; None if it has none."""
        wanted = {method.casefold(), f"{method} every iteration".casefold()}
        for value in self.values():
            if (
                value.setting.casefold() == setting.casefold()
                and value.method.casefold() in wanted
                and value.budget is not None
                and math.isclose(value.budget, budget, rel_tol=1e-3)
            ):
                return value
        return None

    def values(self) -> Iterable[Value]:
        """Return the numbers of its tables, rates excepted."""
        return (
            value
            for value in load()
            if value.paper == self.paper
            and value.metric not in _RATES
            and (value.table in self.tables or not self.tables)
        )

    def knows(self, setting: str) -> bool:
        """Return whether its tables have a setting of this name."""
        return any(value.setting.casefold() == setting.casefold() for value in self.values())


def parse_source(text: str) -> Source | None:
    """Return the paper and tables that a sweep's `source` begins with; None if it names no paper.

    Example:
        >>> sorted(parse_source("REX tables 4-6 and 8").tables)
        ['4', '5', '6', '8']
    """
    for paper in sorted({value.paper for value in load()}):
        if not re.match(rf"{re.escape(paper)}\b", text, re.IGNORECASE):
            continue
        found = re.search(r"\btables?\s+(\d[\d\s,and-]*)", text, re.IGNORECASE)
        tables: set[str] = set()
        for first, last in re.findall(r"(\d+)(?:\s*-\s*(\d+))?", found[1] if found else ""):
            tables |= set(map(str, range(int(first), int(last or first) + 1)))
        return Source(paper, frozenset(tables))
    return None


def columns(paper: str, tables: Iterable[str]) -> list[Column]:
    """Return the columns of a paper's tables: a setting and an epoch count each, in their order."""
    wanted = frozenset(tables)
    found: dict[tuple[object, ...], dict[str, Value]] = {}
    for value in load():
        if value.paper == paper and value.table in wanted:
            place = (value.table, value.setting, value.epochs, value.metric)
            found.setdefault(place, {})[value.method] = value
    return [
        Column(
            setting=next(iter(values.values())).setting,
            budget=next(iter(values.values())).budget or math.nan,
            mode=next(iter(values.values())).direction,
            scores={method: value.mean for method, value in values.items()},
        )
        for values in found.values()
    ]


def printed_rates(paper: str) -> dict[tuple[str, str, int], float]:
    """Return the rates in table 1 of a paper: per cent by method, budgets ("low", ...) and top."""
    return {
        (value.method, value.setting.split()[0], _RATES[value.metric]): value.mean
        for value in load()
        if value.paper == paper and value.metric in _RATES
    }
