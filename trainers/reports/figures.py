"""What the results of a sweep say, in pictures: the same colour for a schedule in all of them."""

from __future__ import annotations

import dataclasses
import io
import itertools
import math
import pathlib
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tensorboard_plugins.schedules.columns import average_ranks
from trainers.loop.progress import counted
from trainers.reports import panels
from trainers.reports.comparisons import ALPHA, over_workloads, what_is_trained
from trainers.reports.document import percent
from trainers.reports.looks import GREY, INK, STYLE, Look, looks, spread
from trainers.reports.results import Results
from trainers.reports.statistics import Friedman

__all__ = ["Picture", "draw", "pictures", "save"]

_COLUMNS = 3
_PANEL = (3.9, 3.1)
_RESOLUTION = 160
_NAMES = ("budget", "behind", "ranks", "seeds", "cost", "rates", "critical_difference")
_ENDS = (".png", ".svg", ".pdf")
# As many lines are told apart in a panel, at most.
_MOST_IN_PANEL = 9
_LEGEND_LINE = 0.24
_LETTERS_PER_INCH = 11


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure: its name, what it shows, and the picture as SVG."""

    name: str
    caption: str
    svg: str


def save(results: Results, directory: pathlib.Path) -> dict[str, pathlib.Path]:
    """Draw all figures into a directory, as PNG, SVG and PDF; what is drawn no more is removed.

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
            figure.savefig(path.with_suffix(".pdf"), metadata={"CreationDate": None})
            saved[caption] = path
    drawn = {path.stem for path in saved.values()}
    for name, end in itertools.product(_NAMES, _ENDS):
        if name not in drawn:
            (directory / f"{name}{end}").unlink(missing_ok=True)
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
    facets = _facets(results, look)
    if len(results.budgets) > 1:
        yield (
            "budget",
            f"{_capital(label)} against budget{band}.",
            _panels(results, look, panels.budget, label, facets),
        )
        if results.columns and len(results.methods) > 1:
            points = results.measure.difference_label
            yield (
                "behind",
                f"How far each is behind the best at its budget, in {points}, on a square-root "
                f"scale; only complete columns{band}{', cut off at 0' * (n > 1)}.",
                _panels(results, look, panels.behind, f"{points} behind the best", facets),
            )
            yield (
                "ranks",
                f"Average rank against budget, 1 is best, over the "
                f"{counted(len(results.ranked_columns), 'complete column')}.",
                _ranks(results, look),
            )
    else:
        yield (
            "seeds",
            f"{_capital(label)} at {percent(results.budgets[0])} of the epochs: seeds, their mean "
            f"and standard deviation.",
            _panels(results, look, panels.seeds, "", facets, legend=False),
        )
    if results.has_costs:
        yield (
            "cost",
            f"Bit operations over those of the full budget in float32, against {label}"
            f"{band.replace('bands', 'bars')}. They are those of the quantized layers. The line "
            f"joins what nothing beats in both.",
            _panels(results, look, panels.cost, label, [_Facet("", results.methods)]),
        )
    if any(len(cell.tuned) > 1 for cell in results.cells):
        shares = _shown_budgets(results.budgets, len(facets))
        of_budgets = [
            _Facet(
                ", ".join(filter(None, [facet.name, percent(share)])),
                facet.methods,
                {"share": share},
            )
            for share in shares
            for facet in facets
        ]
        held_out = results.measure.tuned_label
        yield (
            "rates",
            f"{_capital(held_out)} against learning rate, at {', '.join(map(percent, shares))} of "
            f"the epochs: means over tuning seeds; the chosen rate is large."
            + " Each budget has a scale of its own."
            * (len(shares) > 1),
            _panels(results, look, panels.rates, held_out, of_budgets),
        )
    test, apart = over_workloads(results)
    # As the text has it: where the methods differ, and ranks can be as far apart.
    if test is not None and test.p_value < ALPHA and apart < len(test.ranks) - 1:
        yield (
            "critical_difference",
            f"Average ranks over {counted(test.blocks, what_is_trained(results))}. Bars join "
            f"methods that do not differ at level {ALPHA:g} by Nemenyi's test.",
            _critical(test, apart, look),
        )


# --- panels by setting ---------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Facet:
    """Which part of the methods a panel of a setting shows, and what its title adds."""

    name: str
    methods: Sequence[str]
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def _facets(results: Results, look: dict[str, Look]) -> list[_Facet]:
    """Return all methods, or if they are many those of each momentum and precision."""
    variants: dict[str, list[str]] = {}
    for method in results.methods:
        variants.setdefault(look[method].variant, []).append(method)
    if len(results.methods) <= _MOST_IN_PANEL or len(variants) == 1:
        return [_Facet("", results.methods)]
    return [_Facet(name, methods) for name, methods in variants.items()]


def _panels(
    results: Results,
    look: dict[str, Look],
    panel: Callable[..., str],
    label: str,
    facets: Sequence[_Facet],
    legend: bool = True,
) -> Figure:
    """Return a figure with a panel for each setting and facet, and one legend."""
    places = [(setting, facet) for setting in results.settings for facet in facets]
    columns = min(len(facets) if len(facets) > 1 else len(places), _COLUMNS)
    columns = 2 if len(facets) == 4 else columns  # Two rows of two, not of three and one.
    rows = math.ceil(len(places) / columns)
    width, height = _PANEL
    if len(places) == 1:
        width, height = 1.5 * width, 1.25 * height
    if _is_apart(facets):
        look = _plain(look)
    handles = _handles(results, look, facets) if legend else []
    lines = math.ceil(len(handles) / _fitting(handles, width * columns)) if handles else 0
    size = (width * columns, height * rows + _LEGEND_LINE * lines + 0.15 * bool(lines))
    figure = Figure(figsize=size, layout="constrained")
    is_row = _is_apart(facets) and len(facets) == columns  # One row for each setting.
    axes = figure.subplots(rows, columns, squeeze=False, sharey="row" if is_row else "none")
    said = ""
    firsts: dict[str, Any] = {}
    for index, ax in enumerate(axes.flat):
        if index >= len(places):
            ax.set_visible(False)
            continue
        setting, facet = places[index]
        if _is_apart(facets) and not is_row:  # Panels of one setting can be compared by eye.
            first = firsts.setdefault(setting, ax)
            if first is not ax:
                ax.sharey(first)
        scale = panel(ax, results, setting, look, facet.methods, **facet.options)
        ax.set_title(" | ".join(filter(None, [setting, facet.name])), loc="left")
        is_first = index % columns == 0
        if label and (is_first or scale != said):
            text = f"{label}, {scale}" if scale else label
            ax.set_ylabel(textwrap.fill(text, int(_LETTERS_PER_INCH * height)))
        said = scale if is_first else said
    if handles:
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=math.ceil(len(handles) / lines),
            handlelength=3.4,  # As long as the longest dashes.
        )
    return figure


def _handles(results: Results, look: dict[str, Look], facets: Sequence[_Facet]) -> list[Line2D]:
    """Return what a legend has: with facets by variant one entry for the same in all of them."""
    entries: dict[str, Line2D] = {}
    for method in dict.fromkeys(name for facet in facets for name in facet.methods):
        name = look[method].name if _is_apart(facets) else method
        entries.setdefault(name, Line2D([], [], label=name, **look[method].line))
    found = list(entries.values())
    if any(cell.failed for cell in results.cells):
        mark: dict[str, Any] = {"marker": "x", "linestyle": "", "color": INK, "markersize": 7}
        found.append(Line2D([], [], label="a training failed", **mark))
    return found


def _is_apart(facets: Sequence[_Facet]) -> bool:
    """Return whether facets show unlike methods."""
    return len({facet.methods[0] for facet in facets}) > 1


def _plain(look: Mapping[str, Look]) -> dict[str, Look]:
    """Return looks of which those of one colour are the same: what is in panels of its own."""
    first: dict[str, Look] = {}
    return {method: first.setdefault(each.name, each) for method, each in look.items()}


def _fitting(handles: Sequence[Line2D], width: float) -> int:
    """Return how many entries of a legend fit beside each other."""
    widest = max(len(str(handle.get_label())) for handle in handles)
    return max(1, int(width / (0.085 * widest + 0.85)))


# --- ranks ---------------------------------------------------------------------------------------


def _ranks(results: Results, look: dict[str, Look]) -> Figure:
    """Return average ranks against budgets, a panel for each optimizer, as in REX, figure 1."""
    groups: dict[str, list[str]] = {}
    for setting in results.settings:
        optimizer = setting.rpartition("-")[2]
        groups.setdefault(optimizer if optimizer in ("SGDM", "Adam", "AdamW") else "", []).append(
            setting
        )
    height = max(4.3, 0.24 * len(results.methods) + 0.9)
    figure = Figure(figsize=(5.4 * len(groups) + 0.4, height), layout="constrained")
    axes = figure.subplots(1, len(groups), squeeze=False)[0]
    for ax, (optimizer, settings) in zip(axes, groups.items(), strict=True):
        mine = [column for column in results.ranked_columns if column.setting in settings]
        budgets = sorted({column.budget for column in mine})
        lines: dict[str, list[tuple[int, float]]] = {}
        for index, budget in enumerate(budgets):
            here = [c for c in mine if c.budget == budget]
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


def _shown_budgets(budgets: Sequence[float], facets: int) -> list[float]:
    """Return budgets that fit beside each other: the lowest, the middle and the highest one."""
    if facets > 1:
        return [budgets[-1]]
    return list(dict.fromkeys([budgets[0], budgets[len(budgets) // 2], budgets[-1]]))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
