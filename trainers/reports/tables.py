"""What the results of a sweep say, in tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from trainers.loop.progress import counted
from trainers.reports import published
from trainers.reports.comparisons import differences, factors, tests
from trainers.reports.document import (
    NOTHING,
    Entry,
    Report,
    Section,
    Table,
    digits_of,
    percent,
    plus_minus,
    signed,
)
from trainers.reports.ratings import rates
from trainers.reports.results import Cell, Measure, Results, paper_name

__all__ = ["build", "comparable"]

# A budget whose whole epochs are further from it than this share is told of.
_ROUNDING = 0.1


def build(results: Results, baseline: str | None = None) -> Report:
    """Return the report on a sweep.

    Args:
        results: Its results.
        baseline: The method that others are compared with; the best of each column if None.

    Raises:
        ValueError: If `baseline` is none of its methods.
    """
    if baseline is not None:
        baseline = _named(results, baseline)
    sections = [_measured(results)]
    if any(len(cell.candidates) > 1 for cell in results.cells):
        sections.append(_chosen(results))
    source = published.parse_source(results.grid.source)
    if source is not None:
        sections.append(_beside(results, source))
    if results.has_costs:
        sections.append(_cost(results))
    if len(results.methods) > 1:
        sections += [rates(results, source), tests(results), differences(results, baseline)]
        if (found := factors(results)) is not None:
            sections.append(found)
    return Report(_title(results), _facts(results), sections)


def _named(results: Results, baseline: str) -> str:
    for method in results.methods:
        if method.casefold() == baseline.casefold():
            return method
    raise ValueError(
        f"`baseline` must be one of {', '.join(results.methods)}. Received: baseline={baseline!r}"
    )


def _title(results: Results) -> str:
    if results.is_complete:
        return f"Sweep {results.grid.name}"
    said = ", ".join(
        f"{results.recorded[phase]} of {results.planned[phase]} trials of {phase}"
        for phase in results.planned
    )
    return f"Sweep {results.grid.name}: INCOMPLETE, {said}"


def _facts(results: Results) -> list[str]:
    grid, measure = results.grid, results.measure
    good = "higher" if measure.mode == "max" else "lower"
    how = {
        "tuned": f"The learning rate of each cell was chosen on validation data, with "
        f"{_tuning_seeds(results)}.",
        "halving": f"The learning rate of each cell was chosen on validation data, with "
        f"{_tuning_seeds(results)}: of all in a quarter of the epochs, and of the best two in all "
        f"of them.",
        "shared": "All cells of a setting were trained with the same learning rate.",
    }[grid.protocol]
    numbers = [len(cell.candidates) for cell in results.cells]
    if grid.protocol == "tuned" and max(numbers) < 2:
        how = "Each cell had one learning rate: none was chosen."
    when = {"final": "at the end of training", "best": "at its best epoch"}[grid.judged]
    said = [f"Judged by {measure.label}, {when}; {good} is better. {how}"]
    if grid.source:
        said.append(f"Settings: {grid.source}.")
    if len(results.columns) < results.planned_columns:
        said.append(
            f"Ranks and tests are over the {len(results.columns)} of {results.planned_columns} "
            f"pairs of setting and budget that are complete."
        )
    failed: dict[str, int] = {}
    for cell in results.cells:
        for status in cell.failed.values():
            failed[status] = failed.get(status, 0) + 1
    if failed:
        count = " and ".join(f"{number} {status}" for status, number in sorted(failed.items()))
        said.append(
            f"{count} of {counted(results.recorded['measurement'], 'measured training')}. A mean "
            f"is over the others; a cell with one of them is ranked behind all cells without."
        )
    chosen = [cell for cell in results.cells if len(cell.candidates) > 1 and cell.rate > 0.0]
    if edges := [cell for cell in chosen if cell.is_at_edge]:
        said.append(
            f"{len(edges)} of {len(chosen)} chosen learning rates lie at an edge of their grid, so "
            f"that better ones may lie beyond: widen it, as with --extend_rates."
        )
    if few := numbers.count(2):
        said.append(
            f"{few} of {len(numbers)} learning rates were chosen from two, which does not tell "
            f"where the best one lies: more are added with --extend_rates."
        )
    if results.strange:
        said.append(
            f"{counted(len(results.strange), 'file')} among the results not used: "
            f"{'; '.join(results.strange)}."
        )
    return said


def _tuning_seeds(results: Results) -> str:
    counts = {len(values) for cell in results.cells for values in cell.tuned.values()}
    if counts in (set(), {1}):
        return "one other seed" if counts else "other seeds"
    return f"{' or '.join(map(str, sorted(counts)))} other seeds"


# --- what was measured ---------------------------------------------------------------------------


def _measured(results: Results) -> Section:
    counts = {len(cell.seeds) for cell in results.cells}
    seeds = " or ".join(map(str, sorted(counts)))
    if counts == {1}:
        spread = "One seed: no standard deviation."
    else:
        spread = (
            f"Mean ± standard deviation (over n - 1) of n = {seeds} seeds; m/n where only m "
            f"finished."
        )
    which = "complete column" + " that has all methods" * bool(
        results.lacking and results.full_columns
    )
    notes = [spread, f"The best of each {which} is marked."]
    for cell in results.cells:
        planned = cell.budget * cell.full_epochs
        note = (
            f"{percent(cell.budget)} of {cell.full_epochs:g} epochs is {cell.epochs:g}, as epochs "
            f"are trained whole and at least one."
        )
        if abs(cell.epochs - planned) > _ROUNDING * planned and note not in notes:
            notes.append(note)
    tables = []
    for setting in results.settings:
        cells = [cell for cell in results.cells if cell.setting == setting]
        digits = digits_of([cell.mean for cell in cells], results.measure)
        budgets = sorted({cell.budget for cell in cells})
        best = _best(results, setting)
        rows = [
            [Entry(method), *(_entry(results, setting, method, b, digits, best) for b in budgets)]
            for method in results.methods
            if any(cell.method == method for cell in cells)
        ]
        missing = sum(cell.missing for cell in cells)
        title = f"{setting}: {results.measure.label} by share of {cells[0].full_epochs:g} epochs"
        if missing:
            title += f" (incomplete: {missing} of {sum(len(c.seeds) for c in cells)} missing)"
        tables.append(Table(title, ["", *map(percent, budgets)], rows))
    return Section("Schedules and budgets", notes, tables)


def _chosen(results: Results) -> Section:
    """Return the learning rates that were chosen."""
    notes = [
        "The rate with the best mean on validation data. A star: the lowest or the highest of "
        "three or more, so that a better one may lie beyond it."
    ]
    tables = []
    for setting in results.settings:
        cells = [cell for cell in results.cells if cell.setting == setting]
        budgets = sorted({cell.budget for cell in cells})
        rows = []
        for method in results.methods:
            found = [results.at.get((setting, method, budget)) for budget in budgets]
            if any(cell is not None for cell in found):
                rows.append([Entry(method), *map(_rate, found)])
        candidates = sorted({rate for cell in cells for rate in cell.candidates})
        title = f"{setting}: learning rate, of {', '.join(f'{rate:g}' for rate in candidates)}"
        tables.append(Table(title, ["", *map(percent, budgets)], rows))
    return Section("Learning rates", notes, tables)


def _cost(results: Results) -> Section:
    """Return the bit operations of each precision."""
    notes = [
        "Bit operations of the quantized layers in training, in % of those of as many steps in "
        "float32: mean over seeds and all else. They are counted; the arithmetic is emulated in "
        "float32, so that nothing is faster here."
    ]
    tables = []
    for setting in results.settings:
        cells = [cell for cell in results.cells if cell.setting == setting]
        budgets = sorted({cell.budget for cell in cells})
        costs: dict[str, dict[float, list[float]]] = {}
        for cell in cells:
            if not math.isnan(cell.cost):
                found = costs.setdefault(cell.place["precision"], {})
                found.setdefault(cell.budget, []).append(cell.cost)
        rows = [
            [Entry(name), *(_percent(found.get(budget, [])) for budget in budgets)]
            for name, found in costs.items()
        ]
        if rows:
            tables.append(Table(f"{setting}: cost (%)", ["", *map(percent, budgets)], rows))
    return Section("What does precision cost?", notes, tables)


def _percent(shares: Sequence[float]) -> Entry:
    if not shares:
        return Entry(NOTHING, is_quiet=True)
    return Entry(f"{100.0 * math.fsum(shares) / len(shares):.1f}")


def _rate(cell: Cell | None) -> Entry:
    if cell is None or math.isnan(cell.rate):
        return Entry(NOTHING, is_quiet=True)
    return Entry(f"{cell.rate:g}" + " *" * cell.is_at_edge)


def _entry(
    results: Results,
    setting: str,
    method: str,
    budget: float,
    digits: int,
    best: set[tuple[str, float]],
) -> Entry:
    cell = results.at.get((setting, method, budget))
    if cell is None:
        return Entry(NOTHING, is_quiet=True)
    text = plus_minus(cell.mean, cell.std, digits) if cell.n else NOTHING
    remarks = [f"{cell.n}/{len(cell.seeds)}"] if cell.n < len(cell.seeds) else []
    for status in sorted(set(cell.failed.values())):
        remarks.append(f"{list(cell.failed.values()).count(status)} {status}")
    if remarks:
        text += f" ({', '.join(remarks)})"
    return Entry(text, (method, budget) in best, bool(remarks))


def _best(results: Results, setting: str) -> set[tuple[str, float]]:
    return {
        (method, column.budget)
        for column in results.ranked_columns
        if column.setting == setting and len(column.scores) > 1
        for method, place in column.places().items()
        if place == 1
    }


# --- beside the paper ----------------------------------------------------------------------------


def comparable(value: published.Value, measure: Measure) -> tuple[float, float | None] | None:
    """Return a printed mean and deviation in the units of a measure; None if it is another thing.

    It is the same thing if the paper has the measure's own name, or the one under which papers
    print it. A share that is printed the other way round, as an error, is subtracted from 100.
    """
    words = set(value.metric.casefold().split())
    names = [measure.goal.replace("_", " "), *filter(None, [measure.printed])]
    is_same = any(set(name.casefold().split()) <= words for name in names)
    if not is_same or "above" in words:  # A difference to another method.
        return None
    if not measure.is_share:
        return (value.mean, value.std) if value.direction == measure.mode else None
    # Some print shares of 1.
    scale = 1.0 if "%" in words or value.mean > 1.0 else 100.0
    mean, std = scale * value.mean, None if value.std is None else scale * value.std
    return (mean if value.direction == measure.mode else 100.0 - mean), std


def _beside(results: Results, source: published.Source) -> Section:
    tables, notes, is_turned = [], [], False
    for setting in results.settings:
        if not source.knows(setting):
            notes.append(f"{setting} is no setting of {results.grid.source}: no numbers beside it.")
            continue
        cells = [cell for cell in results.cells if cell.setting == setting]
        found = {
            (cell.method, cell.budget): value
            for cell in cells
            if (value := source.find(setting, paper_name(cell), cell.budget)) is not None
        }
        shorter = [
            cell
            for cell in cells
            if (value := found.get((cell.method, cell.budget))) is not None
            and not value.is_as_long_as(cell.epochs)
        ]
        if shorter:
            cell = shorter[0]
            epochs = found[cell.method, cell.budget].epochs
            theirs = "does not say for how many" if epochs is None else f"trained for {epochs:g}"
            notes.append(
                f"{setting} was trained for {counted(round(cell.epochs), 'epoch')} where the paper "
                f"{theirs}: it is not known to be the paper's, and no numbers are beside it."
            )
            continue
        values = {place: comparable(value, results.measure) for place, value in found.items()}
        if not any(values.values()):
            metric = next((value.metric for value in found.values()), "nothing for its schedules")
            notes.append(
                f"{setting}: the paper has {metric}, which does not compare with "
                f"{results.measure.label}."
            )
            continue
        is_turned |= any(
            value.direction != results.measure.mode
            for place, value in found.items()
            if values[place]
        )
        tables.append(_beside_table(results, setting, cells, values))
        notes += sorted(
            {f"{value.source}. {value.note}." for value in found.values() if value.note}
        )
    if is_turned and tables:
        goal, printed = results.measure.goal.replace("_", " "), results.measure.printed
        notes.append(f"What the paper printed as {printed} is shown as {goal}: 100 - {printed}.")
    return Section(f"Beside {results.grid.source}", notes, tables)


def _beside_table(
    results: Results,
    setting: str,
    cells: Sequence[Cell],
    values: Mapping[tuple[str, float], tuple[float, float | None] | None],
) -> Table:
    digits = digits_of([cell.mean for cell in cells], results.measure)
    budgets = sorted({cell.budget for cell in cells})
    rows = []
    for method in results.methods:
        theirs = [values.get((method, budget)) for budget in budgets]
        if not any(theirs):
            continue
        ours = [_entry(results, setting, method, budget, digits, set()) for budget in budgets]
        apart = []
        for budget, printed in zip(budgets, theirs, strict=True):
            cell = results.at.get((setting, method, budget))
            text = NOTHING
            if printed is not None and cell is not None and cell.n:
                text = signed(cell.mean - printed[0], digits)
            apart.append(Entry(text, is_quiet=True))
        printed_entries = [
            Entry(
                NOTHING
                if p is None
                else plus_minus(p[0], math.nan if p[1] is None else p[1], digits)
            )
            for p in theirs
        ]
        rows += [
            [Entry(method), Entry("here"), *ours],
            [Entry(""), Entry("paper"), *printed_entries],
            [Entry(""), Entry("difference", is_quiet=True), *apart],
        ]
    title = f"{setting}: {results.measure.label}, here and in the paper"
    return Table(title, ["", "", *map(percent, budgets)], rows, labels=2)
