"""What one panel of a figure shows: the methods of a setting, against budget, rate or cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from trainers.reports.document import percent
from trainers.reports.looks import PALE, Look
from trainers.reports.results import Cell, Measure, Results

__all__ = ["behind", "budget", "cost", "rates", "seeds"]

_SHARES = (0, 20, 40, 50, 60, 70, 80, 85, 90, 92, 94, 95, 96, 97, 98, 99, 99.5, 99.8, 99.9)
# Ticks are at least this part of an axis apart.
_GAP = 0.075


def _cells(results: Results, setting: str, method: str) -> list[Cell]:
    found = (results.at.get((setting, method, budget)) for budget in results.budgets)
    return [cell for cell in found if cell is not None]


def _budget_axis(ax: Axes, budgets: Sequence[float]) -> None:
    ax.set_xscale("log")
    ax.set_xticks(budgets, [percent(budget) for budget in budgets])
    ax.minorticks_off()
    ax.set_xlim(budgets[0] / 1.25, budgets[-1] * 1.25)
    ax.set_xlabel("share of the epochs")


def budget(
    ax: Axes, results: Results, setting: str, look: dict[str, Look], methods: Sequence[str]
) -> str:
    """Draw the mean of each method against the budget.

    Returns:
        What is said of the scale; empty for a plain one. So do the others.
    """
    highest = 100.0 if results.measure.is_share else math.inf
    for method in methods:
        cells = [cell for cell in _cells(results, setting, method) if cell.n]
        _line(ax, look[method], cells, [cell.mean for cell in cells], 0.0, highest)
        for cell in _cells(results, setting, method):
            if cell.failed and cell.n:
                ax.plot(cell.budget, cell.mean, **look[method].failed)
            elif cell.failed:
                _at_the_bottom(ax, cell.budget, look[method])
    _budget_axis(ax, results.budgets)
    means = [c.mean for c in results.cells if c.setting == setting and c.n]
    return _wide_range(ax, results.measure, means)


def _at_the_bottom(ax: Axes, x: float, look: Look) -> None:
    """Mark a cell of which a training failed, and which has no place on the other axis."""
    ax.plot(x, 0.03, transform=ax.get_xaxis_transform(), **look.failed)


def _wide_range(ax: Axes, measure: Measure, means: Sequence[float]) -> str:
    """Show what differs by factors on a logarithmic scale: a loss, or what a share lacks of 100.

    Returns:
        What is said of the scale; empty for a plain one.
    """
    errors = [100.0 - mean if measure.has_rest else mean for mean in means]
    if not errors or min(errors) <= 0 or max(errors) < 3 * min(errors):
        return ""
    if measure.has_rest:
        ends = 100.0 - 1.12 * max(errors), 100.0 - 0.9 * min(errors)
        ax.set_yscale("function", functions=(_from_share, _to_share))
        ax.set_yticks(_apart(_SHARES, _from_share, *ends))
        ax.set_ylim(ends)
        return f"log scale of the {measure.printed or 'rest to 100'}"
    if measure.mode == "min":
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
        return "log scale"
    return ""


def _apart(ticks: Iterable[float], place: Any, low: float, high: float) -> list[float]:
    """Return the ticks within the ends of an axis that do not overprint each other."""
    width = abs(float(place(high)) - float(place(low)))
    found: list[float] = []
    for tick in ticks:
        if low <= tick <= high and all(
            abs(float(place(tick)) - float(place(other))) >= _GAP * width for other in found
        ):
            found.append(tick)
    return found


def _from_share(share: Any) -> Any:
    return -np.log(np.maximum(100.0 - np.asarray(share, float), 1e-3))


def _to_share(place: Any) -> Any:
    return 100.0 - np.exp(-np.asarray(place, float))


def behind(
    ax: Axes, results: Results, setting: str, look: dict[str, Look], methods: Sequence[str]
) -> str:
    """Draw how far each method is behind the best at its budget; return what its scale is."""
    sign = -1.0 if results.measure.mode == "max" else 1.0
    best = {
        column.budget: min(
            (sign * score for score in column.scores.values() if not math.isnan(score)),
            default=math.nan,
        )
        for column in results.columns
        if column.setting == setting
    }
    for method in methods:
        cells = [c for c in _cells(results, setting, method) if c.budget in best]
        whole = [c for c in cells if c.n and not c.failed]
        apart = [sign * cell.mean - best[cell.budget] for cell in whole]
        _line(ax, look[method], whole, apart, 0.0)
        for cell in cells:
            if cell.failed:
                _at_the_bottom(ax, cell.budget, look[method])
    ax.set_yscale("function", functions=(_root, lambda y: np.sign(y) * np.square(y)))
    # Of all methods: panels of some of them have one axis.
    highest = max(
        (
            sign * cell.mean - best[cell.budget] + (0.0 if math.isnan(cell.std) else cell.std)
            for cell in results.cells
            if cell.setting == setting and cell.budget in best and cell.n and not cell.failed
        ),
        default=1.0,
    )
    highest = max(highest, 1e-6)
    ax.set_yticks(_apart(_round_ticks(highest), _root, 0.0, highest))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_ylim(1.06 * highest, -0.001 * highest)
    _budget_axis(ax, results.budgets)
    return "square-root scale"


def _root(y: Any) -> Any:
    return np.sign(y) * np.sqrt(np.abs(y))


def _round_ticks(highest: float) -> list[float]:
    """Return 0, and 1, 2 and 5 times powers of ten, from the highest downwards."""
    exponent = math.floor(math.log10(highest))
    steps = [
        step * 10.0**power for power in range(exponent - 3, exponent + 1) for step in (1, 2, 5)
    ]
    return [0.0, *reversed([step for step in steps if step <= highest])]


def rates(
    ax: Axes,
    results: Results,
    setting: str,
    look: dict[str, Look],
    methods: Sequence[str],
    share: float,
) -> str:
    """Draw what each learning rate gave where it was tuned, at a budget; the chosen is large."""
    for method in methods:
        cell = results.at.get((setting, method, share))
        if cell is None or not cell.tuned:
            continue
        found = {
            rate: math.fsum(values) / len(values)
            for rate, values in sorted(cell.tuned.items())
            if values and not any(math.isnan(value) for value in values)
        }
        ax.plot(list(found), list(found.values()), zorder=look[method].order, **look[method].line)
        if cell.rate in found:
            large = {**look[method].line, "markersize": 10}
            ax.plot(cell.rate, found[cell.rate], zorder=look[method].order + 1, **large)
        for rate in cell.tuned:
            if rate not in found:
                _at_the_bottom(ax, rate, look[method])
    every = sorted({rate for c in results.cells if c.setting == setting for rate in c.tuned})
    ax.set_xscale("log")
    ax.set_xticks(_apart(every, math.log, every[0], every[-1]) if len(every) > 1 else every)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.minorticks_off()
    ax.set_xlabel("learning rate")
    return ""


def _line(
    ax: Axes,
    look: Look,
    cells: Sequence[Cell],
    values: Sequence[float],
    low: float,
    high: float = math.inf,
) -> None:
    """Draw a line, and a band of the standard deviation that stays between two ends."""
    x = [cell.budget for cell in cells]
    ax.plot(x, values, zorder=look.order, **look.line)
    if any(cell.n > 1 for cell in cells):
        stds = [0.0 if math.isnan(cell.std) else cell.std for cell in cells]
        below = [max(v - s, low) for v, s in zip(values, stds, strict=True)]
        above = [min(v + s, high) for v, s in zip(values, stds, strict=True)]
        ax.fill_between(x, below, above, color=look.colour, alpha=0.11, linewidth=0)


def seeds(
    ax: Axes, results: Results, setting: str, look: dict[str, Look], methods: Sequence[str]
) -> str:
    """Draw what each seed gave at the one budget."""
    for row, method in enumerate(methods):
        cell = results.at.get((setting, method, results.budgets[0]))
        if cell is None:
            continue
        values = list(cell.values.values())
        shown = look[method]
        ax.plot(values, [row] * len(values), "o", color=shown.colour, alpha=0.4, markersize=5)
        if cell.n:
            error = None if math.isnan(cell.std) else cell.std
            ax.errorbar(
                cell.mean, row, xerr=error, fmt="|", color=shown.colour, markersize=14,
                markeredgewidth=2.5, elinewidth=1.4,
            )  # fmt: skip
        if cell.failed:
            ax.plot(0.02, row, transform=ax.get_yaxis_transform(), **shown.failed)
    ax.set_yticks(range(len(methods)), methods)
    ax.set_ylim(len(methods) - 0.4, -0.6)
    ax.set_xlabel(results.measure.label)
    return ""


def cost(
    ax: Axes, results: Results, setting: str, look: dict[str, Look], methods: Sequence[str]
) -> str:
    """Draw the mean of each cell against its bit operations, and what nothing beats in both."""
    several = len(results.budgets) > 1
    points = []
    for method in methods:
        for cell in _cells(results, setting, method):
            if not cell.n or math.isnan(cell.cost):
                continue
            x = 100 * cell.cost * cell.budget
            if cell.failed:  # What is left of it is no point that others are to be compared with.
                ax.plot(x, cell.mean, **look[method].failed)
                continue
            points.append((x, cell.mean))
            error = None if math.isnan(cell.std) else cell.std
            shown = look[method]
            ax.errorbar(
                x, cell.mean, yerr=error, fmt=shown.marker, color=shown.colour, markersize=7,
                markeredgecolor="white", markeredgewidth=0.8, elinewidth=1.3, zorder=shown.order,
            )  # fmt: skip
    front = _front(points, results.measure.mode)
    if front:
        ax.plot(*zip(*front, strict=True), color=PALE, linewidth=2.5, zorder=1)
    if several or (points and max(points)[0] > 8 * min(points)[0]):
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.xaxis.set_minor_formatter(NullFormatter())
    else:
        ax.set_xlim(left=0)
    ax.xaxis.set_major_formatter("{x:g} %")
    ax.set_xlabel("bit operations, of float32" + (" at the full budget" if several else ""))
    return ""


def _front(points: Sequence[tuple[float, float]], mode: str) -> list[tuple[float, float]]:
    """Return the points that none is both cheaper and better than, from the cheapest."""
    sign = -1.0 if mode == "max" else 1.0
    front: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], sign * point[1])):
        if not front or sign * y < sign * front[-1][1]:
            front.append((x, y))
    return front
