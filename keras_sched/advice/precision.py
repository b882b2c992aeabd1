"""What is to be said of numeric precision: of cyclic bits, and of policies."""

from __future__ import annotations

import math
import statistics

from keras_sched.advice.effects import band
from keras_sched.advice.evidence import Evidence, load

__all__ = ["advice", "cyclic"]


def advice(budget: float, fear: str | None) -> str:
    """Return advice on numeric precision, in a sentence or two.

    Args:
        budget: Share of the usual epochs.
        fear: What is feared; "cost" for arithmetic.
    """
    if band(budget) == "low":
        return (
            "Precision: no cyclic bits at a short budget: a reduced run here lost 0.8 to 2.8 "
            "points with two epochs. For speed, the policy mixed_bfloat16."
        )
    found = cyclic(load())
    if not found:
        return "Precision: nothing is known here of cyclic bits; for speed, mixed_bfloat16."
    mean = 100.0 * statistics.fmean(found)
    side = "lower" if mean < 0.0 else "higher"
    text = (
        f"Precision: for speed, mixed_bfloat16. Cyclic bits (CPT) are emulated, and slower "
        f"here; their loss was {abs(mean):.1f} % {side} than that of static ones in {len(found)} "
        f"comparisons, all by the method's authors"
    )
    if fear == "cost":
        return f"{text}, at about 30 % fewer bit operations; try `ks.precision.cr(3, bits_max=8)`."
    return f"{text}."


def cyclic(rows: tuple[Evidence, ...]) -> list[float]:
    """Return by how much the loss of cyclic bits is above that of static ones, one by one.

    They are compared within a setting, of equal bits backwards.
    """
    static = {
        (row.source, row.setting, row.metric, _backwards(row)): row
        for row in rows
        if row.precision.startswith("static")
    }
    found = []
    for row in rows:
        other = static.get((row.source, row.setting, row.metric, _backwards(row)))
        if row.precision.startswith("CPT") and other is not None:
            found.append(math.log(row.loss / other.loss))
    return found


def _backwards(row: Evidence) -> str:
    return row.precision.rpartition("/")[2]
