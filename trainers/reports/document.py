"""What a report is made of, whatever it is written in: parts, tables, and how numbers look."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from trainers.reports.results import Measure

__all__ = [
    "NOTHING",
    "Entry",
    "Report",
    "Section",
    "Table",
    "digits_of",
    "p_value",
    "percent",
    "plus_minus",
    "signed",
]

NOTHING = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One field of a table.

    Attributes:
        text: What it says.
        is_best: Whether it is marked: the best, or better than what it is compared with.
        is_quiet: Whether it is less important than others.
    """

    text: str
    is_best: bool = False
    is_quiet: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: Its title.
        head: Names of columns; the first `labels` of them hold names, the others numbers.
        rows: Its rows.
        labels: How many columns hold names.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Entry]]
    labels: int = 1


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a report: its title, what it says in words, and tables."""

    title: str
    notes: Sequence[str] = ()
    tables: Sequence[Table] = ()


@dataclasses.dataclass(frozen=True)
class Report:
    """A report: its title, what it says in words, and parts."""

    title: str
    notes: Sequence[str]
    sections: Sequence[Section]


def digits_of(values: Sequence[float], measure: Measure) -> int:
    """Return how many decimals numbers need: two for per cent, else about four digits."""
    if measure.is_share:
        return 2
    highest = max((abs(value) for value in values if math.isfinite(value)), default=1.0)
    return 2 if highest >= 10.0 else 3 if highest >= 1.0 else 4


def plus_minus(mean: float, std: float, digits: int) -> str:
    """Return "8.21 ± 0.12"; without the deviation if it is NaN."""
    text = f"{mean:.{digits}f}".replace("-", _MINUS)
    return text if math.isnan(std) else f"{text} ± {std:.{digits}f}"


def signed(value: float, digits: int) -> str:
    """Return a number with its sign; one that rounds to 0 has none."""
    text = f"{value:+.{digits}f}"
    return text.replace("-", _MINUS) if text.strip("+-0.") else text[1:]


def percent(budget: float) -> str:
    """Return "25 %"."""
    return f"{100 * budget:g} %"


def p_value(value: float) -> str:
    """Return "= 0.012" or "< 0.001"."""
    return f"= {value:.3f}" if value >= 0.001 else "< 0.001"
