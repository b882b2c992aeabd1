"""What is to be said of numeric precision: of cyclic bits, and of policies."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Sequence

from keras_sched.advice.effects import band
from keras_sched.advice.evidence import Evidence

__all__ = ["advice", "cyclic"]

# As "CPT 3-8/8": fewest and most bits forward, and bits backward; and "static 8/8".
_CYCLIC = re.compile(r"\w+ \d+-\d+(?:/(?P<backward>\d+))?")
_STATIC = re.compile(r"static \d+(?:/(?P<backward>\d+))?")
_WHO = {"authors": "by the method's authors", "here": "here", "others": "by others"}


def advice(budget: float, fear: str | None, rows: Sequence[Evidence]) -> str:
    """Return advice on numeric precision, in a sentence or two.

    Args:
        budget: Share of the usual epochs.
        fear: What is feared; "cost" for arithmetic.
        rows: The evidence.
    """
    text = "Precision: for speed, the policy mixed_bfloat16."
    if band(budget) == "low":
        return (
            f"{text} No cyclic bits at a short budget: a reduced run here lost 0.8 to 2.8 points "
            f"of accuracy with them in two epochs."
        )
    found = cyclic(rows)
    parts = []
    for who, values in sorted(found.items()):
        mean = 100.0 * statistics.fmean(values)
        side = "lower" if mean < 0.0 else "higher"
        times = "1 comparison" if len(values) == 1 else f"{len(values)} comparisons"
        parts.append(f"{abs(mean):.1f} % {side} in {times} {_WHO[who]}")
    known = f"beside static ones their loss was {' and '.join(parts)}"
    if fear != "cost":
        return f"{text} Cyclic bits are emulated here, and slower."
    return (
        f"{text} Cyclic bits, as `ks.precision.cr(3, bits_max=8)`, take about 30 % fewer bit "
        f"operations, on hardware that has them; {known if parts else 'no loss is known here'}."
    )


def cyclic(rows: Sequence[Evidence]) -> dict[str, list[float]]:
    """Return by how much the loss of cyclic bits is above that of static ones, by who measured it.

    They are compared within a setting, of equal bits backward, as differences of logarithms.
    """
    static = {_alike(row, match[1]): row for row in rows if (match := _matched(_STATIC, row))}
    found: dict[str, list[float]] = {}
    for row in rows:
        match = _matched(_CYCLIC, row)
        other = static.get(_alike(row, match[1])) if match else None
        if other is not None:
            found.setdefault(row.measured_by, []).append(math.log(row.loss / other.loss))
    return found


def _matched(pattern: re.Pattern[str], row: Evidence) -> re.Match[str] | None:
    return pattern.fullmatch(row.precision)


def _alike(row: Evidence, backward: str | None) -> tuple[object, ...]:
    """Return what rows have in common that are compared."""
    asked = (row.source, row.setting, row.optimizer, row.budget, row.schedule, row.metric)
    return (*asked, backward)
