"""Tables that stay short however long a run is: when one is full, every two rows become one."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tensorboard_plugins.schedules.layout import MOST_ROWS

__all__ = ["Rows"]


class Rows:
    """Rows over the steps of a run, about so many at most.

    A row stands for some steps, one after another: it has what was there at the first of them, and
    of what is averaged the mean over all. When there are so many every two become one, and from
    then on a row stands for twice as many additions. What was added since the last whole row is
    shown as one more, and the last addition as it was.

    Args:
        columns: Names of the columns, the step first.
        averaged: Those of them that are averaged.
        most: Rows that are whole at most; even, at least 2.
    """

    def __init__(
        self, columns: Sequence[str], averaged: Collection[str] = (), most: int = MOST_ROWS
    ) -> None:
        if most < 2 or most % 2:
            raise ValueError(f"`most` must be even, at least 2. Received: most={most}")
        self.columns = tuple(columns)
        self._averaged = [name in averaged for name in self.columns]
        self._most = most
        # Additions that make a row.
        self._each = 1
        self._whole: list[list[float]] = []
        self._open: list[list[float]] = []
        self._last: list[float] | None = None

    def __len__(self) -> int:
        return len(self._whole) + bool(self._open)

    @property
    def each(self) -> int:
        """Additions that make a row."""
        return self._each

    def last(self, name: str) -> float:
        """Return what was added last to a column; NaN before the first addition."""
        return math.nan if self._last is None else self._last[self.columns.index(name)]

    def add(self, values: Sequence[float], weight: float = 1.0) -> None:
        """Add what was there at some steps.

        Args:
            values: By column; NaN for what was not measured.
            weight: How many steps they stand for.
        """
        if len(values) != len(self.columns):
            raise ValueError(
                f"There must be a value for each of {len(self.columns)} columns. "
                f"Received: {len(values)}"
            )
        self._last = [*map(float, values)]
        self._open.append([*self._last, float(weight)])
        if len(self._open) == self._each:
            self._whole.append(self._joined(self._open))
            self._open = []
            if len(self._whole) >= self._most:
                pairs = [self._whole[at : at + 2] for at in range(0, len(self._whole), 2)]
                self._whole = [self._joined(pair) for pair in pairs]
                self._each *= 2

    def with_columns(self, names: Sequence[str]) -> Rows:
        """Return the same rows with more columns, in which nothing was measured yet."""
        found = Rows([*self.columns, *names], most=self._most)
        found._averaged = [*self._averaged, *(False for _ in names)]
        found._each = self._each
        more = [math.nan] * len(names)
        for mine, its in ((self._whole, found._whole), (self._open, found._open)):
            its += [[*row[:-1], *more, row[-1]] for row in mine]
        found._last = None if self._last is None else [*self._last, *more]
        return found

    def table(self) -> np.ndarray:
        """Return the rows and, if it is of another step, the last addition; float64."""
        rows = [row[:-1] for row in self._whole]
        if self._open:
            rows.append(self._joined(self._open)[:-1])
        if self._last is not None and rows and self._last[0] > rows[-1][0]:
            rows.append(self._last)
        return np.array(rows, np.float64).reshape(-1, len(self.columns))

    def _joined(self, rows: Sequence[Sequence[float]]) -> list[float]:
        """Return one row for several."""
        first, *others = rows
        if not others:
            return [*first]
        found = [*first]
        found[-1] = math.fsum(row[-1] for row in rows)
        for place, is_averaged in enumerate(self._averaged):
            if is_averaged:
                known = [(row[place], row[-1]) for row in rows if not math.isnan(row[place])]
                total = math.fsum(weight for _, weight in known)
                found[place] = (
                    math.fsum(value * weight for value, weight in known) / total
                    if total
                    else math.nan
                )
        return found

    def get_state(self) -> dict[str, Any]:
        """Return what it takes to go on, for JSON that knows no NaN."""

        def known(rows: Sequence[Sequence[float]]) -> list[list[float | None]]:
            return [[x if math.isfinite(x) else None for x in row] for row in rows]

        return {
            "columns": list(self.columns),
            "each": self._each,
            "whole": known(self._whole),
            "open": known(self._open),
            "last": known([self._last])[0] if self._last is not None else None,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, which may have been JSON.

        Raises:
            ValueError: If it is of other columns.
        """
        if tuple(state["columns"]) != self.columns:
            raise ValueError(
                f"The state must be of the columns {', '.join(self.columns)}. Received: "
                f"{', '.join(state['columns'])}"
            )

        def numbers(row: Sequence[float | None]) -> list[float]:
            return [math.nan if x is None else float(x) for x in row]

        self._each = int(state["each"])
        self._whole = [numbers(row) for row in state["whole"]]
        self._open = [numbers(row) for row in state["open"]]
        self._last = None if state["last"] is None else numbers(state["last"])
