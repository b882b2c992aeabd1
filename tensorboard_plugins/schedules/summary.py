"""What is kept of a metric that is measured again and again, however often that is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

__all__ = ["STATISTICS", "Summary"]

# What a run can be judged by.
STATISTICS = ("final", "best", "mean_last")
# Values of "mean_last".
_LAST = 3


class Summary:
    """The last values of a metric, and the highest and the lowest.

    Args:
        values: What was measured, in order.

    Example:
        >>> found = Summary([1.0, 9.0, 8.0, 7.0])
        >>> [found.value(each, "max") for each in STATISTICS]
        [7.0, 9.0, 8.0]
    """

    def __init__(self, values: Iterable[float] = ()) -> None:
        self._last: list[float] = []
        self._low, self._high = math.inf, -math.inf
        for value in values:
            self.add(value)

    def add(self, value: float) -> None:
        """Add a value; NaN for one that is undefined."""
        self._last = [*self._last, float(value)][-_LAST:]
        if math.isfinite(value):
            self._low, self._high = min(self._low, float(value)), max(self._high, float(value))

    def value(self, statistic: str, mode: str) -> float:
        """Return a statistic; NaN where there is none.

        Args:
            statistic: "final", the last value; "best", the best of all, and NaN if the last one is
                not finite: of a training that has failed no earlier epoch speaks; "mean_last", the
                mean of the last three.
            mode: "max" if a high value is good, "min" if a low one is.
        """
        final = self._last[-1] if self._last else math.nan
        if statistic == "final" or not math.isfinite(final):
            return final
        if statistic == "best":
            return self._high if mode == "max" else self._low
        return math.fsum(self._last) / len(self._last)

    def to_json(self) -> dict[str, Any]:
        """Return it for JSON, in which what is not finite becomes null."""
        return {"last": self._last, "low": self._low, "high": self._high}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Return what `to_json` gave.

        Raises:
            ValueError: If it is of another form.
        """
        last, ends = found.get("last"), (found.get("low"), found.get("high"))
        known = [*last, *ends] if isinstance(last, Sequence) else ["none"]
        if not all(x is None or type(x) in (int, float) for x in known):
            raise ValueError(f"A summary must have numbers. Received: {found!r:.100}")
        made = cls()
        made._last = [math.nan if x is None else float(x) for x in last or ()][-_LAST:]
        low, high = ends
        made._low = math.inf if low is None else float(low)
        made._high = -math.inf if high is None else float(high)
        return made
