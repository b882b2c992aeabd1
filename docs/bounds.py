"""Draw what theory says of schedules, beside what was measured: `python docs/bounds.py`.

The bound of a schedule over that of linear decay, the rate that goes with it, and the mean
difference of the loss from Linear in all columns of the evidence that have both.
"""

from __future__ import annotations

import math
import pathlib

import numpy as np
from matplotlib.figure import Figure

from keras_sched.advice.evidence import load
from keras_sched.advice.methods import METHODS


def measured(name: str) -> tuple[float, int]:
    """Return the mean difference of the loss from Linear, in %, and the number of columns."""
    columns: dict[object, dict[str, float]] = {}
    for row in load():
        if row.precision == "float32":
            columns.setdefault(row.column, {})[row.method] = math.log(row.loss)
    found = [
        losses[name] - losses["Linear"]
        for losses in columns.values()
        if name in losses and "Linear" in losses
    ]
    return 100.0 * float(np.expm1(np.mean(found))) if found else math.nan, len(found)


def main() -> None:
    """Write docs/bounds.png."""
    methods = sorted(METHODS.values(), key=lambda each: -each.bound.value)
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    seen = [measured(each.name) for each in methods]
    names = [each.name for each in methods]
    bars = [
        ("bound over that of linear decay, %", [100.0 * (m.bound.value - 1.0) for m in methods]),
        ("loss measured over that of Linear, %", [mean for mean, _ in seen]),
        ("best peak over that of linear decay", [m.bound.base_rate for m in methods]),
    ]
    for ax, (title, values) in zip(panels, bars, strict=True):
        ax.barh(names, values, color="#2563eb" if "measured" not in title else "#d97706")
        for place, value in enumerate(values):
            count = f" ({seen[place][1]})" if "measured" in title and seen[place][1] else ""
            text = "not measured" if math.isnan(value) else f"{value:.2g}{count}"
            ax.annotate(
                text,
                (0.0 if math.isnan(value) else max(value, 0.0), place),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        ax.set_title(title, fontsize=10)
        ax.margins(x=0.22)
        ax.spines[["top", "right"]].set_visible(False)
        ax.axvline(0.0, color="black", linewidth=0.8)
    figure.savefig(pathlib.Path(__file__).with_name("bounds.png"), dpi=110)


if __name__ == "__main__":
    main()
