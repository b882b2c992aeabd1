"""The results of a sweep, read from its directory; nothing in it is changed."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tensorboard_plugins.schedules.columns import LEFT_ALONE, Column, Seeds, resolution
from trainers.options.optimization import Optimization
from trainers.sweeps.grid import EVALUATIONS, MEASUREMENT, TUNING, Grid, Trial
from trainers.sweeps.methods import AXES, methods
from trainers.sweeps.results import Result
from trainers.sweeps.store import Store

__all__ = [
    "Cell",
    "Measure",
    "Results",
    "paper_name",
    "read",
]

# Costs that are no further apart are equal.
_SAME_COST = 1e-9


@dataclasses.dataclass(frozen=True)
class Measure:
    """What is judged, and how it is shown: as the records say, whatever it is called.

    Attributes:
        goal: The metric, as "accuracy".
        mode: "max" or "min".
        is_share: Whether it is a share, which is shown in per cent.
        printed: The name under which papers print it, as "error"; empty for its own.
        is_count: Whether it is how many are right of how many, which is known exactly.
    """

    goal: str
    mode: str
    is_share: bool
    printed: str = ""
    is_count: bool = False

    @property
    def label(self) -> str:
        """What people call it: the trials that are measured are judged on test data."""
        # Of a share that is better higher, papers may print what it lacks: that has its own column.
        own = self.printed if self.printed and not self.has_rest else self.goal.replace("_", " ")
        words = f"{EVALUATIONS[MEASUREMENT]} {own}"
        return f"{words} (%)" if self.is_share else words

    @property
    def difference_label(self) -> str:
        """What people call a difference of two: of per cent, points."""
        return f"points of {self.label.removesuffix(' (%)')}" if self.is_share else self.label

    @property
    def tuned_label(self) -> str:
        """What people call it where learning rates are tuned."""
        measured, tuned = (EVALUATIONS[phase] for phase in (MEASUREMENT, TUNING))
        return f"{tuned}{self.label.removeprefix(measured)}"

    @property
    def scale(self) -> float:
        """What a value is multiplied by."""
        return 100.0 if self.is_share else 1.0

    def resolution(self, values: Iterable[float]) -> float:
        """Return how far values must be apart to differ: what is no count is a mean in float32."""
        largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
        return resolution(self.is_count) * largest

    @property
    def has_rest(self) -> bool:
        """Whether what it lacks of 100 % is what people look at, as the error of an accuracy."""
        return self.is_share and self.mode == "max"


@dataclasses.dataclass(frozen=True)
class Cell(Seeds):
    """What a table has a number for.

    Attributes:
        sweep: Its sweep.
        id: The id that its trials have in common.
        setting: Setting.
        workload: What is trained, by whatever optimizer: settings that share it share their seeds.
        optimizer: The optimizer of the setting; empty if its configuration has none.
        rest: All of its configuration that says nothing of how it is optimized, as JSON.
        method: What is compared, by its name in tables.
        place: "schedule", "momentum" and "precision" by their names in the grid.
        budget: Share of the setting's epochs.
        epochs: Epochs trained.
        full_epochs: Epochs of the full budget.
        values: The measure, scaled, by the seeds that finished.
        failed: "diverged", "stalled" or "undefined" by the seeds that did not.
        costs: Bit operations over those in float32, by seed, as far as they were counted.
        rate: Learning rate of what was measured; NaN without results.
        candidates: Learning rates that it was chosen from; none if it was not.
        tuned: The measure of each tuning seed by learning rate, scaled; NaN where it failed.
    """

    sweep: str
    id: str
    setting: str
    workload: str
    optimizer: str
    rest: str
    method: str
    place: Mapping[str, str]
    budget: float
    epochs: float
    full_epochs: float
    costs: Mapping[int, float]
    rate: float
    candidates: tuple[float, ...]
    tuned: Mapping[float, Sequence[float]] = dataclasses.field(default_factory=dict)

    @property
    def is_at_edge(self) -> bool:
        """Whether the rate is the lowest or highest of those it was chosen from, at least three."""
        return len(self.candidates) > 2 and self.rate in (self.candidates[0], self.candidates[-1])

    @property
    def cost(self) -> float:
        """Mean cost over that of float32; NaN where none is known."""
        return math.fsum(self.costs.values()) / len(self.costs) if self.costs else math.nan


@dataclasses.dataclass(frozen=True)
class Results:
    """All results of a sweep, or of several.

    Attributes:
        grid: Its grid; of several one with the trials of all.
        measure: What is judged.
        cells: Its cells, in the order of the configuration.
        recorded: How many trials of each phase have a result.
        planned: How many there are.
        strange: What files in the directory of results were not used, and why.
    """

    grid: Grid
    measure: Measure
    cells: tuple[Cell, ...]
    recorded: Mapping[str, int]
    planned: Mapping[str, int]
    strange: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every trial has a result."""
        return dict(self.recorded) == dict(self.planned)

    @functools.cached_property
    def settings(self) -> list[str]:
        """Settings, in the order of tables."""
        return list(dict.fromkeys(cell.setting for cell in self.cells))

    @functools.cached_property
    def methods(self) -> list[str]:
        """Methods, in the order of tables."""
        return list(dict.fromkeys(cell.method for cell in self.cells))

    @property
    def has_costs(self) -> bool:
        """Whether any training cost another number of bit operations than in float32."""
        return any(abs(cell.cost - 1.0) > _SAME_COST for cell in self.cells)

    @functools.cached_property
    def schedules(self) -> list[str]:
        """Names of learning-rate schedules, in the order of tables."""
        return list(dict.fromkeys(cell.place["schedule"] for cell in self.cells))

    @functools.cached_property
    def budgets(self) -> list[float]:
        """Budgets, from the lowest."""
        return sorted({cell.budget for cell in self.cells})

    @functools.cached_property
    def at(self) -> dict[tuple[str, str, float], Cell]:
        """Cells by setting, method and budget."""
        return {(cell.setting, cell.method, cell.budget): cell for cell in self.cells}

    def column(self, setting: str, budget: float) -> list[Cell]:
        """Return the cells of a column, in the order of methods."""
        found = (self.at.get((setting, method, budget)) for method in self.methods)
        return [cell for cell in found if cell is not None]

    @functools.cached_property
    def columns(self) -> list[Column]:
        """The columns in which no result is missing: what can be ranked."""
        found = []
        for setting in self.settings:
            for budget in self.budgets:
                cells = self.column(setting, budget)
                if cells and not any(cell.missing for cell in cells):
                    scores = {cell.method: cell.score for cell in cells}
                    resolution = self.measure.resolution(scores.values())
                    found.append(Column(setting, budget, self.measure.mode, scores, resolution))
        return found

    @functools.cached_property
    def full_columns(self) -> list[Column]:
        """Those of them that have every method."""
        return [column for column in self.columns if len(column.scores) == len(self.methods)]

    @functools.cached_property
    def ranked_columns(self) -> list[Column]:
        """The columns over which ranks are averaged: full ones, so that none is among fewer.

        Where no column has every method they are all complete ones.
        """
        return self.full_columns or self.columns

    @property
    def lacking(self) -> str:
        """What columns lack methods of others, as a sentence; empty if none does."""
        left = [column for column in self.columns if column not in self.full_columns]
        if not left:
            return ""
        names = ", ".join(dict.fromkeys(column.setting for column in left))
        what = f"{len(left)} of {len(self.columns)} complete columns lack methods ({names})"
        return f"{what}: " + (
            "ranks and tests are over the others."
            if self.full_columns
            else "ranks are over unlike columns, and there is no Friedman test."
        )

    @functools.cached_property
    def workloads(self) -> dict[str, str]:
        """What is trained, by setting."""
        return {cell.setting: cell.workload for cell in self.cells}

    @functools.cached_property
    def planned_columns(self) -> int:
        """How many columns there will be."""
        return len({(cell.setting, cell.budget) for cell in self.cells})


def paper_name(cell: Cell) -> str:
    """Return what papers call a method: "REX", "None", "Demon", "CPT 3-8/8"."""
    schedule, *others = (cell.place[axis] for axis in ("schedule", "momentum", "precision"))
    said = [
        name
        for axis, name in zip(("momentum", "precision"), others, strict=True)
        if name.casefold() not in LEFT_ALONE[axis]
    ]
    if schedule.casefold() in ("none", "constant"):
        return " ".join(said) or "None"
    return " ".join([schedule, *said])


def read(*directories: pathlib.Path) -> Results:
    """Read the grid and the results of a sweep, or of several as one.

    Args:
        *directories: What `trainers.sweep` was given as `--results`.

    Raises:
        ValueError: If one is no directory of a sweep, there is no result of a measurement yet, or
            several do not go together.
    """
    stores = []
    for directory in directories:
        if not directory.is_dir():
            raise ValueError(
                f"`results` must be the directory of a sweep. Received: {directory}, which is no "
                f"directory"
            )
        stores.append(Store.open(directory))
    grid = _together(stores)
    known: dict[str, Result] = {}
    strange: list[str] = []
    for store in stores:
        found, torn, unreadable = store.sound(store.grid.trials)
        known |= found
        strange += [*torn, *unreadable.values(), *store.foreign()]
    measured = [trial for trial in grid.trials if trial.phase == MEASUREMENT]
    if not any(trial.id in known for trial in measured):
        names = ", ".join(map(str, directories))
        raise ValueError(
            f"{names} has no results to report yet: 0 of {len(measured)} measurements. Where it "
            f"stands says python -m trainers.sweep --results={directories[0]} --status"
            + (f"; not used: {'; '.join(sorted(strange))}" if strange else "")
        )
    measure = _measure(grid, (known[trial.id] for trial in measured if trial.id in known))
    phases = sorted({trial.phase for trial in grid.trials})
    return Results(
        grid=grid,
        measure=measure,
        cells=_cells(grid, known, measure),
        recorded={p: sum(t.phase == p and t.id in known for t in grid.trials) for p in phases},
        planned={p: sum(t.phase == p for t in grid.trials) for p in phases},
        strange=tuple(sorted(strange)),
    )


# What sweeps must have in common to be one report: what a number means.
_COMMON = ("goal", "goal_mode", "judged", "protocol", "margin", "program")


def _together(stores: Sequence[Store]) -> Grid:
    """Return the grid of one sweep, or one with the trials of several."""
    first, *others = [store.grid for store in stores]
    seen = {_spot(trial): stores[0] for trial in first.trials}
    settings = {name: (_setting(first, name), stores[0]) for name in first.settings}
    for store, grid in zip(stores[1:], others, strict=True):
        for name in _COMMON:
            if getattr(grid, name) != getattr(first, name):
                raise ValueError(
                    f"Sweeps must have the same `{name}` to be one report. Received: "
                    f"{getattr(first, name)!r} in {stores[0].directory}, "
                    f"{getattr(grid, name)!r} in {store.directory}"
                )
        for spot in dict.fromkeys(map(_spot, grid.trials)):
            if spot in seen:
                raise ValueError(
                    f"Sweeps must have no cell in common to be one report. Received: "
                    f"{' '.join(map(str, spot))} in {seen[spot].directory} and {store.directory}"
                )
        seen |= {_spot(trial): store for trial in grid.trials}
        for name in grid.settings:
            known, where = settings.setdefault(name, (_setting(grid, name), store))
            if _setting(grid, name) != known:
                raise ValueError(
                    f"Settings of one name must be the same to be one report. Received: {name!r} "
                    f"of one configuration or workload in {where.directory}, of another in "
                    f"{store.directory}"
                )
    if not others:
        return first
    sources = {grid.source for grid in (first, *others)}
    return dataclasses.replace(
        first,
        name=" and ".join(dict.fromkeys(grid.name for grid in (first, *others))),
        source=sources.pop() if len(sources) == 1 else "",
        trials=tuple(trial for grid in (first, *others) for trial in grid.trials),
        workloads={k: v for grid in (first, *others) for k, v in grid.workloads.items()},
    )


def _setting(grid: Grid, name: str) -> tuple[str, str]:
    """Return what makes a setting what it is: its configuration, and what it trains."""
    return grid.settings[name], grid.workloads.get(name, name)


def _spot(trial: Trial) -> tuple[Any, ...]:
    place = trial.coordinates
    return (place["setting"], *(place[axis] for axis in AXES), place["budget"])


def _measure(grid: Grid, results: Iterable[Result]) -> Measure:
    """Return how the goal is shown, as the first result says; a loss is shown as it is."""
    records = [result.record for result in results]
    shown = records[0].metrics.get(grid.goal, {})
    metric = grid.metric(MEASUREMENT)
    return Measure(
        grid.goal,
        grid.goal_mode,
        shown.get("is_share", False),
        shown.get("printed", ""),
        # Of one that did not finish nothing is counted.
        all(metric in record.counted for record in records if record.status == "finished"),
    )


def _cells(grid: Grid, known: Mapping[str, Result], measure: Measure) -> tuple[Cell, ...]:
    trials = [trial for trial in grid.trials if trial.phase == MEASUREMENT]
    tuned: dict[str, dict[float, list[float]]] = {}
    for trial in grid.trials:
        # Of rates that are trained again only the first look is one at all of them.
        if trial.phase == TUNING and trial.id in known and "rank" not in trial.coordinates:
            value = known[trial.id].value
            found = tuned.setdefault(trial.cell, {}).setdefault(known[trial.id].learning_rate, [])
            found.append(math.nan if value is None else measure.scale * value)
    rates: dict[str, set[float]] = {}
    for trial in grid.trials:
        if trial.phase == TUNING and trial.coordinates["learning_rate"] is not None:
            rates.setdefault(trial.cell, set()).add(float(trial.coordinates["learning_rate"]))
    called = methods(trials)
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.cell, []).append(trial)
    cells = []
    for members in groups.values():
        place = members[0].coordinates
        results = {t.coordinates["seed"]: known[t.id] for t in members if t.id in known}
        cells.append(
            Cell(
                sweep=members[0].config.get("name", grid.name),
                id=members[0].cell,
                setting=place["setting"],
                workload=grid.workloads.get(place["setting"], place["setting"]),
                optimizer=str(members[0].config.get("optimizer", "")),
                rest=_rest(members[0].config),
                method=called[members[0].cell],
                place={axis: place[axis] for axis in AXES},
                budget=place["budget"],
                epochs=members[0].epochs,
                full_epochs=float(members[0].config["epochs"]),
                seeds=tuple(trial.coordinates["seed"] for trial in members),
                values={
                    s: measure.scale * r.value for s, r in results.items() if r.value is not None
                },
                failed={s: r.status for s, r in results.items() if r.status != "finished"},
                costs={
                    s: cost for s, r in results.items() if (cost := r.relative_cost) is not None
                },
                rate=next((r.learning_rate for r in results.values()), math.nan),
                candidates=tuple(sorted(rates.get(members[0].cell, ()))),
                tuned=tuned.get(members[0].cell, {}),
            )
        )
    settings, names = (
        list(dict.fromkeys(each))
        for each in zip(*((cell.setting, cell.method) for cell in cells), strict=True)
    )
    cells.sort(
        key=lambda cell: (settings.index(cell.setting), names.index(cell.method), cell.budget)
    )
    return tuple(cells)


def _rest(config: Mapping[str, Any]) -> str:
    """Return what a configuration says besides its optimization, and the name of its run."""
    left_out = {*Optimization.leaves(), "name", "seed", "split"}
    return json.dumps({k: v for k, v in config.items() if k not in left_out}, sort_keys=True)
