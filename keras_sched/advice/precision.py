"""What is to be said of numeric precision: of cyclic bits, and of policies."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Sequence

from keras_sched.advice.effects import band
from keras_sched.advice.evidence import Evidence
from keras_sched.advice.question import Question

__all__ = ["advice", "cyclic"]

# As "CPT 3-8/8" and "static 8/8": bits forward, fewest and most if they are cyclic, and backward.
_BITS = re.compile(r"(?P<schedule>\w+) (?:\d+-)?(?P<most>\d+(?:/\d+)?)")
# The schedule that is advised: in the papers' rows, and in ours.
_CR = ("CPT", "CR")
_WHO = {"authors": "by the method's authors", "here": "here", "others": "by others"}


def advice(asked: Question, rows: Sequence[Evidence]) -> str:
    """Return advice on numeric precision, in a sentence or two.

    Args:
        asked: The question.
        rows: The evidence.
    """
    text = "Precision: for speed, the policy mixed_bfloat16."
    if band(asked.share) == "low":
        return (
            f"{text} No cyclic bits at a short budget: a reduced run here lost 0.8 to 2.8 points "
            f"of accuracy with them in two epochs."
        )
    if asked.fear != "cost":
        return f"{text} Cyclic bits are emulated here, and slower."
    mine = cyclic([row for row in rows if row.family == asked.family])
    found, where = (mine, "in this family of tasks") if mine else (cyclic(rows), "elsewhere")
    parts = []
    for who, values in sorted(found.items()):
        mean = 100.0 * statistics.fmean(values)
        side = "lower" if mean < 0.0 else "higher"
        times = "1 comparison" if len(values) == 1 else f"{len(values)} comparisons"
        parts.append(f"{abs(mean):.1f} % {side} in {times} {_WHO[who]}")
    known = f"{where} their loss was {' and '.join(parts)}" if parts else "no loss is known here"
    return (
        f"{text} Cyclic bits, as `ks.precision.cr(3, bits_max=8)`, take about 40 % fewer bit "
        f"operations than 8 static ones, on hardware that has them; {known}."
    )


def cyclic(rows: Sequence[Evidence]) -> dict[str, list[float]]:
    """Return by how much the loss of CR is above that of static bits, by who measured it.

    They are compared in all else alike, with as many bits at most, as differences of logarithms.
    """
    pairs = [(row, match) for row in rows if (match := _BITS.fullmatch(row.precision))]
    static = {_alike(row, match): row for row, match in pairs if match["schedule"] == "static"}
    found: dict[str, list[float]] = {}
    for row, match in pairs:
        other = static.get(_alike(row, match))
        if other is not None and match["schedule"] in _CR:
            found.setdefault(row.measured_by, []).append(math.log(row.loss / other.loss))
    return found


def _alike(row: Evidence, bits: re.Match[str]) -> tuple[object, ...]:
    """Return what rows have in common that are compared."""
    *column, _ = row.column
    return (*column, row.schedule, row.momentum, bits["most"])
