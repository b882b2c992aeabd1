"""What the results of a sweep say, in pictures: the same colour for a schedule in all of them."""

from __future__ import annotations

import dataclasses
import io
import math
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from trainers.loop.progress import counted
from trainers.reports.columns import average_ranks
from trainers.reports.comparisons import ALPHA, over_workloads
from trainers.reports.document import percent
from trainers.reports.looks import GREY, INK, PALE, STYLE, Look, looks, spread
from trainers.reports.results import Cell, Measure, Results
from trainers.reports.statistics import Friedman

__all__ = ["Picture", "draw", "pictures", "save"]

_COLUMNS = 3
_PANEL = (3.9, 3.1)
_RESOLUTION = 160
_SHARES = (0, 20, 40, 50, 60, 70, 80, 85, 90, 92, 94, 95, 96, 97, 98, 99, 99.5, 99.8)


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure: its name, what it shows, and the picture as SVG."""

    name: str
    caption: str
    svg: str


def save(results: Results, directory: pathlib.Path) -> dict[str, pathlib.Path]:
    """Draw all figures into a directory, as PNG and SVG, in place of those of an earlier report.

    Returns:
        Paths of the PNG files by caption.

    Raises:
        FileExistsError: If `directory` is a file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    saved = {}
    with matplotlib.rc_context(STYLE):
        for name, caption, figure in draw(results):
            path = directory / f"{name}.png"
            figure.savefig(path, dpi=_RESOLUTION)
            figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
            saved[caption] = path
    return saved


def pictures(results: Results) -> list[Picture]:
    """Return all figures as SVG, to be put into a page."""
    found = []
    with matplotlib.rc_context(STYLE):
        for name, caption, figure in draw(results):
            text = io.StringIO()
            figure.savefig(text, format="svg", metadata={"Date": None})
            svg = text.getvalue()
            found.append(Picture(name, caption, svg[svg.index("<svg") :].rstrip()))
    return found


def draw(results: Results) -> Iterator[tuple[str, str, Figure]]:
    """Yield the name, caption and figure of all that these results have something for."""
    look = looks(results)
    label, n = results.measure.label, max(len(cell.seeds) for cell in results.cells)
    band = f"; bands: standard deviation over {n} seeds" if n > 1 else "; one seed"
    if len(results.budgets) > 1:
        yield (
            "budget",
            f"{_capital(label)} against budget{band}.",
            _panels(results, look, _budget, label),
        )
        if results.columns and len(results.methods) > 1:
            yield (
                "behind",
                f"How far each is behind the best at its budget, in {label}, on a square-root "
                f"scale; only complete columns{band}.",
                _panels(results, look, _behind, f"behind the best: {label}"),
            )
            yield (
                "ranks",
                f"Average rank against budget, 1 is best, over the "
                f"{counted(len(results.columns), 'complete column')}.",
                _ranks(results, look),
            )
    else:
        yield (
            "seeds",
            f"{_capital(label)} at {percent(results.budgets[0])} of the epochs: seeds, their mean "
            f"and standard deviation.",
            _panels(results, look, _seeds, "", legend=False),
        )
    if any(not math.isnan(c.cost) and abs(c.cost - 1) > 1e-9 for c in results.cells):
        yield (
            "cost",
            f"Bit operations over those of the full budget in float32, against {label}{band}. The "
            f"line joins what nothing beats in both.",
            _panels(results, look, _cost, label),
        )
    test, apart = over_workloads(results)
    if test is not None and apart < len(test.ranks) - 1:  # The most that ranks can differ.
        yield (
            "critical_difference",
            f"Average ranks over {test.blocks} settings. Bars join methods that do not differ at "
            f"level {ALPHA:g} by Nemenyi's test.",
            _critical(test, apart, look),
        )


# --- panels by setting ---------------------------------------------------------------------------

Panel = Callable[[Axes, Results, str, dict[str, Look]], None]


def _panels(
    results: Results, look: dict[str, Look], panel: Panel, label: str, legend: bool = True
) -> Figure:
    """Return a figure with a panel for each setting, and one legend."""
    count = len(results.settings)
    columns = min(count, _COLUMNS)
    rows = math.ceil(count / columns)
    width, height = _PANEL
    if count == 1:
        width *= 1.5
        height *= 1.25
    size = (width * columns, height * rows + (0.6 if legend else 0.0))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for index, ax in enumerate(axes.flat):
        if index >= count:
            ax.set_visible(False)
            continue
        panel(ax, results, results.settings[index], look)
        ax.set_title(results.settings[index], loc="left")
        if index % columns == 0 and label:
            ax.set_ylabel(label)
    if legend:
        _legend(figure, results, look)
    return figure


def _legend(figure: Figure, results: Results, look: dict[str, Look]) -> None:
    handles = [Line2D([], [], label=method, **look[method].line) for method in results.methods]
    if any(cell.failed for cell in results.cells):
        mark: dict[str, Any] = {"marker": "x", "linestyle": "", "color": INK, "markersize": 7}
        handles.append(Line2D([], [], label="a training failed", **mark))
    widest = max(len(str(handle.get_label())) for handle in handles)
    fitting = max(1, int(figure.get_figwidth() / (0.085 * widest + 0.65)))
    rows = math.ceil(len(handles) / fitting)
    figure.legend(handles=handles, loc="outside lower center", ncols=math.ceil(len(handles) / rows))


def _cells(results: Results, setting: str, method: str) -> list[Cell]:
    found = (results.at.get((setting, method, budget)) for budget in results.budgets)
    return [cell for cell in found if cell is not None]


def _budget_axis(ax: Axes, budgets: Sequence[float]) -> None:
    ax.set_xscale("log")
    ax.set_xticks(budgets, [percent(budget) for budget in budgets])
    ax.minorticks_off()
    ax.set_xlim(budgets[0] / 1.25, budgets[-1] * 1.25)
    ax.set_xlabel("share of the epochs")


def _budget(ax: Axes, results: Results, setting: str, look: dict[str, Look]) -> None:
    for method in results.methods:
        cells = [cell for cell in _cells(results, setting, method) if cell.n]
        _line(ax, look[method], cells, [cell.mean for cell in cells])
        for cell in _cells(results, setting, method):
            if cell.failed and cell.n:
                ax.plot(cell.budget, cell.mean, **look[method].failed)
            elif cell.failed:
                _at_the_bottom(ax, cell.budget, look[method])
    _budget_axis(ax, results.budgets)
    means = [c.mean for c in results.cells if c.setting == setting and c.n]
    _wide_range(ax, results.measure, means)


def _at_the_bottom(ax: Axes, x: float, look: Look) -> None:
    """Mark a cell of which a training failed, and which has no place on the other axis."""
    ax.plot(x, 0.03, transform=ax.get_xaxis_transform(), **look.failed)


def _wide_range(ax: Axes, measure: Measure, means: Sequence[float]) -> None:
    """Show what differs by factors on a logarithmic scale: a loss, or what a share lacks of 100."""
    errors = [100.0 - mean if measure.has_rest else mean for mean in means]
    if not errors or min(errors) <= 0 or max(errors) < 3 * min(errors):
        return
    if measure.has_rest:
        ends = 100.0 - 1.12 * max(errors), 100.0 - 0.9 * min(errors)
        ax.set_yscale("function", functions=(_from_share, _to_share))
        ax.set_yticks([tick for tick in _SHARES if ends[0] <= tick <= ends[1]])
        ax.set_ylim(ends)
    elif measure.mode == "min":
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())


def _from_share(share: Any) -> Any:
    return -np.log(np.maximum(100.0 - np.asarray(share, float), 1e-3))


def _to_share(place: Any) -> Any:
    return 100.0 - np.exp(-np.asarray(place, float))


def _behind(ax: Axes, results: Results, setting: str, look: dict[str, Look]) -> None:
    sign = -1.0 if results.measure.mode == "max" else 1.0
    best = {
        column.budget: min(
            (sign * score for score in column.scores.values() if not math.isnan(score)),
            default=math.nan,
        )
        for column in results.columns
        if column.setting == setting
    }
    for method in results.methods:
        cells = [c for c in _cells(results, setting, method) if c.budget in best]
        whole = [c for c in cells if c.n and not c.failed]
        _line(ax, look[method], whole, [sign * cell.mean - best[cell.budget] for cell in whole], 0)
        for cell in cells:
            if cell.failed:
                _at_the_bottom(ax, cell.budget, look[method])
    ax.set_yscale(
        "function",
        functions=(
            lambda y: np.sign(y) * np.sqrt(np.abs(y)),
            lambda y: np.sign(y) * np.square(y),
        ),
    )
    highest = ax.dataLim.ymax
    highest = max(highest, 1e-6) if math.isfinite(highest) else 1.0  # If all failed there is none.
    ax.set_yticks(_round_ticks(highest))
    ax.set_ylim(1.06 * highest, -0.001 * highest)
    _budget_axis(ax, results.budgets)


def _round_ticks(highest: float) -> list[float]:
    """Return ticks that are about evenly spread on a square-root scale."""
    found = [0.0]
    for share in (0.02, 0.08, 0.2, 0.4, 0.7, 1.0):
        exponent = math.floor(math.log10(share * highest))
        steps = [
            step * 10.0**exponent for step in (1, 2, 5) if step * 10.0**exponent <= share * highest
        ]
        if steps[-1] > found[-1]:
            found.append(steps[-1])
    return found


def _line(
    ax: Axes, look: Look, cells: Sequence[Cell], values: Sequence[float], low: float = -math.inf
) -> None:
    x = [cell.budget for cell in cells]
    ax.plot(x, values, zorder=look.order, **look.line)
    if any(cell.n > 1 for cell in cells):
        stds = [0.0 if math.isnan(cell.std) else cell.std for cell in cells]
        below = [max(v - s, low) for v, s in zip(values, stds, strict=True)]
        above = [v + s for v, s in zip(values, stds, strict=True)]
        ax.fill_between(x, below, above, color=look.colour, alpha=0.11, linewidth=0)


def _seeds(ax: Axes, results: Results, setting: str, look: dict[str, Look]) -> None:
    budget = results.budgets[0]
    for row, method in enumerate(results.methods):
        cell = results.at.get((setting, method, budget))
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
    ax.set_yticks(range(len(results.methods)), results.methods)
    ax.set_ylim(len(results.methods) - 0.4, -0.6)
    ax.set_xlabel(results.measure.label)


def _cost(ax: Axes, results: Results, setting: str, look: dict[str, Look]) -> None:
    several = len(results.budgets) > 1
    points = []
    for method in results.methods:
        for cell in _cells(results, setting, method):
            if not cell.n:
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


def _front(points: Sequence[tuple[float, float]], mode: str) -> list[tuple[float, float]]:
    """Return the points that none is both cheaper and better than, from the cheapest."""
    sign = -1.0 if mode == "max" else 1.0
    front: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], sign * point[1])):
        if not front or sign * y < sign * front[-1][1]:
            front.append((x, y))
    return front


# --- ranks ---------------------------------------------------------------------------------------


def _ranks(results: Results, look: dict[str, Look]) -> Figure:
    """Return average ranks against budgets, a panel for each optimizer, as in REX, figure 1."""
    groups: dict[str, list[str]] = {}
    for setting in results.settings:
        optimizer = setting.rpartition("-")[2]
        groups.setdefault(optimizer if optimizer in ("SGDM", "Adam", "AdamW") else "", []).append(
            setting
        )
    figure = Figure(figsize=(5.4 * len(groups) + 0.4, 4.3), layout="constrained")
    axes = figure.subplots(1, len(groups), squeeze=False)[0]
    for ax, (optimizer, settings) in zip(axes, groups.items(), strict=True):
        budgets = sorted({c.budget for c in results.columns if c.setting in settings})
        lines: dict[str, list[tuple[int, float]]] = {}
        for index, budget in enumerate(budgets):
            here = [c for c in results.columns if c.setting in settings and c.budget == budget]
            for method, rank in average_ranks(here).items():
                lines.setdefault(method, []).append((index, rank))
        ends = {}
        for method, points in lines.items():
            ax.plot(*zip(*points, strict=True), zorder=look[method].order, **look[method].line)
            if points[-1][0] == len(budgets) - 1:
                ends[method] = points[-1][1]
        count = len(results.methods)
        ax.set_ylim(count + 0.4, 0.6)
        ax.set_yticks(range(1, count + 1))
        ax.set_xticks(range(len(budgets)), [percent(budget) for budget in budgets])
        ax.set_xlim(-0.25, max(len(budgets) - 1, 0.5) + 0.25)
        for method, y in spread(ends, gap=count / 19).items():
            ax.annotate(
                method,
                (1.015, y),
                xycoords=("axes fraction", "data"),
                va="center",
                color=look[method].colour,
                fontweight="bold",
                fontsize=9,
            )
        ax.set_xlabel("share of the epochs")
        names = counted(len(settings), "setting")
        ax.set_title(f"{optimizer}, {names}" if optimizer else _capital(names), loc="left")
    axes[0].set_ylabel("average rank")
    return figure


def _critical(test: Friedman, apart: float, look: dict[str, Look]) -> Figure:
    """Return Demsar's diagram: ranks on a line, and bars over groups that do not differ."""
    names = sorted(test.ranks, key=lambda each: test.ranks[each])
    half = math.ceil(len(names) / 2)
    groups = _cliques([test.ranks[name] for name in names], apart)
    top = 0.3 + 0.16 * len(groups)
    height = top + 0.3 * half
    figure = Figure(figsize=(8.6, height + 0.8), layout="constrained")
    ax = figure.subplots()
    count = len(names)
    ax.set_xlim(1 - 0.32 * count, count + 0.32 * count)
    ax.set_ylim(height - 0.1, -0.6)
    ax.axis("off")
    ax.plot([1, count], [0, 0], color=INK, linewidth=1.2)
    for tick in range(1, count + 1):
        ax.plot([tick, tick], [0, -0.09], color=INK, linewidth=1.2)
        ax.text(tick, -0.14, str(tick), ha="center", va="bottom", fontsize=9)
    shown = min(apart, count - 1)
    ax.plot([1, 1 + shown], [-0.43, -0.43], color=GREY, linewidth=1.5, marker="|", markersize=7)
    ax.text(
        1 + shown + 0.08, -0.43, f"critical difference {apart:.2f}",
        va="center", color=GREY, fontsize=9,
    )  # fmt: skip
    for level, (first, last) in enumerate(groups):
        y = 0.16 + 0.16 * level
        ends = [test.ranks[names[first]] - 0.04, test.ranks[names[last]] + 0.04]
        ax.plot(ends, [y, y], color=INK, linewidth=3.5, solid_capstyle="round")
    for index, name in enumerate(names):
        on_left = index < half
        row = index if on_left else len(names) - 1 - index
        y, rank = top + 0.3 * row, test.ranks[name]
        edge = 1 - 0.06 * count if on_left else count + 0.06 * count
        colour = look[name].colour
        ax.plot([rank, rank, edge], [0, y, y], color=colour, linewidth=1.3, zorder=0)
        ax.plot(rank, 0, marker=look[name].marker, color=colour, markersize=6, clip_on=False)
        ax.text(
            edge + (-0.06 if on_left else 0.06), y, f"{name}  {rank:.2f}",
            ha="right" if on_left else "left", va="center", color=colour,
            fontweight="bold", fontsize=9.5,
        )  # fmt: skip
    return figure


def _cliques(ranks: Sequence[float], apart: float) -> list[tuple[int, int]]:
    """Return the longest runs of sorted ranks that are within a critical difference."""
    found: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(i for i in range(first, len(ranks)) if ranks[i] - ranks[first] < apart)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
