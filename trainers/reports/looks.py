"""How methods look in figures: a colour and a marker for each schedule, wherever it appears."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping
from typing import Any

from trainers.reports.results import Results
from trainers.sweeps.methods import AXES

__all__ = ["GREY", "INK", "PALE", "PALETTE", "STYLE", "Look", "looks", "spread"]

INK, GREY, PALE = "#1f2430", "#6b7280", "#d5dae3"

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.labelcolor": INK,
    "axes.edgecolor": "#9aa3b2",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#eceff4",
    "grid.linewidth": 0.9,
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # The same results give the same file.
    "svg.hashsalt": "trainers.report",
    # Text stays text.
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}

# Apart for who sees all colours, none, or two of three kinds, and each of another lightness.
PALETTE = {
    "none": "#242424",
    "cosine": "#69025c",
    "demon": "#1511ec",
    "plateau": "#6d5912",
    "onecycle": "#187e50",
    "linear": "#367bff",
    "rex": "#ea7911",
    "step": "#55bfd2",
    "exp": "#dcc39b",
}
_KNOWN = {
    "none": (PALETTE["none"], "o"),
    "constant": (PALETTE["none"], "o"),
    "float32": (PALETTE["none"], "o"),
    "exp": (PALETTE["exp"], "v"),
    "step": (PALETTE["step"], "s"),
    "plateau": (PALETTE["plateau"], "P"),
    "onecycle": (PALETTE["onecycle"], "^"),
    "linear": (PALETTE["linear"], "D"),
    "cosine": (PALETTE["cosine"], "h"),
    "rex": (PALETTE["rex"], "o"),
    "demon": (PALETTE["demon"], "X"),
}
_OTHERS = tuple(PALETTE[name] for name in ("rex", "linear", "onecycle", "cosine", "step", "demon"))
_OTHERS += tuple(PALETTE[name] for name in ("plateau", "exp"))
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "h", "*", "<", ">", "p")
_LINES = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))


@dataclasses.dataclass(frozen=True)
class Look:
    """How a method looks.

    Attributes:
        colour: Its colour.
        marker: Its marker.
        dashes: Style of its line.
        order: Higher ones are drawn over lower ones.
        name: What its colour stands for.
        variant: What its line stands for; empty if that is nothing.
    """

    colour: str
    marker: str
    dashes: Any
    order: float
    name: str
    variant: str

    @property
    def line(self) -> dict[str, Any]:
        """What `Axes.plot` takes."""
        return {
            "color": self.colour,
            "marker": self.marker,
            "linestyle": self.dashes,
            "linewidth": 1.8,
            "markersize": 5.5,
            "markeredgecolor": "white",
            "markeredgewidth": 0.7,
        }

    @property
    def failed(self) -> dict[str, Any]:
        """What `Axes.plot` takes for a cell with a failed training."""
        return {
            "color": self.colour,
            "marker": "x",
            "linestyle": "",
            "markersize": 9,
            "markeredgewidth": 2,
            "zorder": 30,
        }


def looks(results: Results) -> dict[str, Look]:
    """Return the look of each method: its colour by what differs most, its line by the rest."""
    places = {cell.method: cell.place for cell in results.cells}
    varied = [axis for axis in AXES if len({place[axis] for place in places.values()}) > 1]
    first, *rest = varied or ["schedule"]
    names = sorted({place[first] for place in places.values()}, key=str.casefold)
    known = {name: _KNOWN[name.casefold()] for name in names if name.casefold() in _KNOWN}
    times = collections.Counter(colour for colour, _ in known.values())
    bends = dict.fromkeys(known, 0)
    for name in names:
        if name in known:
            continue
        # What is around a schedule has its colour, as "Warmup REX"; others have one that is rare.
        inner = _KNOWN.get(name.casefold().split()[-1])
        colour = inner[0] if inner else min(_OTHERS, key=lambda each: times[each])
        taken = {marker for _, marker in known.values()}
        marker = next(
            (each for each in _MARKERS if each not in taken), _MARKERS[len(known) % len(_MARKERS)]
        )
        known[name], bends[name] = (colour, marker), times[colour]
        times[colour] += 1
    variants = list(dict.fromkeys(tuple(places[m][axis] for axis in rest) for m in results.methods))
    found = {}
    used = {marker for _, marker in known.values()}
    for index, method in enumerate(results.methods):
        variant = variants.index(tuple(places[method][axis] for axis in rest))
        colour, marker = known[places[method][first]]
        if variant:
            start = (_MARKERS.index(marker) + variant) % len(_MARKERS)
            turned = _MARKERS[start:] + _MARKERS[:start]
            marker = next((each for each in turned if each not in used), turned[0])
            used.add(marker)
        said = ", ".join(places[method][axis] for axis in rest)
        # Where lines stand for what else differs, markers alone tell names of one colour apart.
        line = variant if rest else bends[places[method][first]]
        dashes = _LINES[line % len(_LINES)]
        found[method] = Look(colour, marker, dashes, 3 + 0.1 * index, places[method][first], said)
    return found


def spread(places: Mapping[str, float], gap: float) -> dict[str, float]:
    """Return places on a line that are at least `gap` apart, near those given."""
    names = sorted(places, key=lambda name: places[name])
    found = [places[name] for name in names]
    for _ in range(200):
        moved = False
        for index in range(len(found) - 1):
            lack = gap - (found[index + 1] - found[index])
            if lack > 1e-6:
                found[index] -= lack / 2
                found[index + 1] += lack / 2
                moved = True
        if not moved:
            break
    return dict(zip(names, found, strict=True))
