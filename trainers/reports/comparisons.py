"""Whether methods differ, by how much, and what each factor changes: tests and intervals."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

from tensorboard_plugins.schedules.columns import LEFT_ALONE
from trainers.loop.progress import counted
from trainers.reports.blocks import by_seed, by_workload, paired
from trainers.reports.document import (
    NOTHING,
    Entry,
    Section,
    Table,
    digits_of,
    p_value,
    percent,
    signed,
)
from trainers.reports.ratings import by_budget
from trainers.reports.results import Cell, Measure, Results
from trainers.reports.statistics import (
    PERMUTATIONS,
    Difference,
    Friedman,
    critical_difference,
    difference,
    friedman,
    holm,
    least_p_value,
    nemenyi,
    telling,
)
from trainers.sweeps.methods import AXES

__all__ = ["ALPHA", "differences", "factors", "over_workloads", "tests", "what_is_trained"]

ALPHA = 0.05
# What others are compared with, where it is there.
_BASELINES = {"schedule": ("none", "constant"), "optimizer": ("sgd",)}


# --- several methods -----------------------------------------------------------------------------


def over_workloads(results: Results) -> tuple[Friedman | None, float]:
    """Test the methods over workloads.

    Returns:
        Friedman's test, or None where it could not find anything, and how far average ranks must be
        apart by Nemenyi's.
    """
    blocks = list(by_workload(results).values())
    k = len(results.methods)
    if len(blocks) < 2 or k < 3 or least_p_value(k, len(blocks)) >= ALPHA:
        return None, math.inf
    return friedman(blocks), critical_difference(k, len(blocks), ALPHA)


def tests(results: Results) -> Section:
    """Return Friedman tests over seeds and over workloads, and after the latter Nemenyi's."""
    title = "Do the methods differ?"
    k = len(results.methods)
    seeds, workloads = by_seed(results), by_workload(results)
    what = what_is_trained(results)
    if k < 3 or not workloads:
        return Section(
            title,
            [
                f"A Friedman test needs 3 methods and a complete column of them; there are {k} and "
                f"{len(results.full_columns)}."
            ],
        )
    notes = [
        "A block is what is independent: its ranks are averaged over its columns. P-values are by "
        "permutation of methods within blocks."
    ]
    notes.append(
        _told(friedman(list(seeds.values())), "with other seeds in these settings")
        if len(seeds) > 1
        else f"{counted(len(seeds), 'seed')} that all methods have: nothing is known of others."
    )
    if results.lacking:
        notes.append(results.lacking)
    (test, apart), count = over_workloads(results), len(workloads)
    if test is None:
        least = p_value(least_p_value(k, count)).removeprefix("= ")
        notes.append(
            f"In other settings: no power. {counted(count, what)} can tell nothing of "
            f"{k} methods: {'its' if count == 1 else 'their'} least p-value is {least}."
        )
        return Section(title, notes)
    notes.append(
        _told(
            test,
            f"in other {what}s, if these {count} are a random sample of them",
        )
    )
    if test.p_value >= ALPHA:
        return Section(title, notes)
    if apart >= k - 1:
        notes.append(
            f"No power for pairs: by Nemenyi's test average ranks over {count} {what}s "
            f"would have to be {apart:.2f} apart, and {k - 1} is the most there is."
        )
        return Section(title, notes)
    notes.append(
        f"By Nemenyi's test, which corrects for all pairs, two methods differ at level {ALPHA:g} "
        f"if their average ranks over {what}s are {apart:.2f} apart; such pairs are "
        f"marked."
    )
    return Section(title, notes, [_pairs_table(test, nemenyi(list(workloads.values())))])


def what_is_trained(results: Results) -> str:
    """Return what a workload is called: a setting, unless several train the same."""
    is_shared = len(set(results.workloads.values())) < len(results.workloads)
    return "workload" if is_shared else "setting"


def _told(test: Friedman, where: str) -> str:
    """Say what a test says."""
    kind = "all" if test.is_exact else f"{PERMUTATIONS:,}"
    verdict = "differ" if test.p_value < ALPHA else "are not shown to differ"
    return (
        f"The methods {verdict} {where}: Friedman's χ² = {test.statistic:.2f} over "
        f"{counted(test.blocks, 'block')}, p {p_value(test.p_value)} by {kind} permutations."
    )


def _pairs_table(test: Friedman, pairs: Mapping[tuple[str, str], float]) -> Table:
    names = sorted(test.ranks, key=lambda each: test.ranks[each])
    rows = []
    for row, method in enumerate(names[1:], start=1):
        fields = []
        for column, other in enumerate(names[:-1]):
            value = pairs.get((method, other), pairs.get((other, method), math.nan))
            text = p_value(value).removeprefix("= ") if column < row else ""
            fields.append(Entry(text, column < row and value < ALPHA))
        rows.append([Entry(f"{method} ({test.ranks[method]:.2f})"), *fields])
    head = ["average rank", *(f"{name} ({test.ranks[name]:.2f})" for name in names[:-1])]
    return Table("p-values of Nemenyi's test", head, rows)


# --- two methods ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Compared:
    """A difference, and over how many columns it is of how many.

    Where some are left out, as a training failed there, or there was one seed, it is shown, and is
    no finding: what is left does not speak for the method.
    """

    found: Difference
    columns: int
    of: int

    @property
    def is_whole(self) -> bool:
        return self.columns == self.of


@dataclasses.dataclass(frozen=True)
class _Family:
    """The comparisons of one table, which Holm's method corrects together.

    Attributes:
        title: The title of the table.
        head: Names of its columns, without that of the names of rows.
        rows: For each row what each column has: a difference, or an entry in its place.
    """

    title: str
    head: list[str]
    rows: dict[str, list[_Compared | Entry]]

    def table(self, measure: Measure, digits: int) -> Table:
        """Return the table."""
        made = {
            (row, column): each
            for row, fields in self.rows.items()
            for column, each in enumerate(fields)
            if isinstance(each, _Compared)
        }
        corrected = holm({place: c.found.p_value for place, c in made.items() if c.is_whole})
        numbers = {each.found.blocks for each in made.values()}
        # Said once, where it is the same everywhere.
        title = self.title + (f", n = {min(numbers)}" if len(numbers) == 1 else "")

        def entry(row: str, column: int, field: _Compared | Entry) -> Entry:
            if isinstance(field, Entry):
                return field
            n = f" n={field.found.blocks}" if len(numbers) > 1 else ""
            differs = corrected.get((row, column), math.nan) < ALPHA
            return _entry(field, n, differs, digits, measure)

        rows = [
            [Entry(row), *(entry(row, *each) for each in enumerate(fields))]
            for row, fields in self.rows.items()
        ]
        return Table(title, ["", *self.head], rows)


def _entry(compared: _Compared, n: str, differs: bool, digits: int, measure: Measure) -> Entry:
    found = compared.found
    text = signed(found.mean, digits)
    if not math.isnan(found.low):
        text += f" [{signed(found.low, digits)}, {signed(found.high, digits)}]"
    is_near = found.p_apart < ALPHA and compared.is_whole
    text += n + " *" * differs + " ≈" * is_near
    if not compared.is_whole:
        text += f" ({compared.columns}/{compared.of} columns)"
    is_better = differs and (found.mean > 0.0) == (measure.mode == "max")
    return Entry(text, is_better, not compared.is_whole)


def _difference(
    results: Results, pairs: Sequence[tuple[Cell | None, Cell | None]]
) -> _Compared | Entry:
    """Return a mean difference over the blocks of pairs of cells."""
    kept = [(one, other) for one, other in pairs if one is not None and other is not None]
    found = paired(kept)
    if not found:
        return Entry(NOTHING, is_quiet=True)
    used = telling(found)
    counted_pairs = sum(
        one.workload in used and not one.failed and not other.failed for one, other in kept
    )
    values = [value for pair in kept for cell in pair for value in cell.values.values()]
    made = difference(
        [list(found[workload].values()) for workload in used],
        # Of two values, each of which is known no better.
        resolution=2.0 * results.measure.resolution(values),
        margin=results.grid.margin,
    )
    return _Compared(made, counted_pairs, len(pairs))


def differences(results: Results, baseline: str | None) -> Section:
    """Return differences to a method, or to the best of each column, with intervals."""
    to = baseline or "the best of the column"
    good = "Above" if results.measure.mode == "max" else "Below"
    what = what_is_trained(results)
    notes = [
        f"Mean difference of {results.measure.label} to {to}, over n seeds that both have, with "
        f"Student's 95 % interval. {good} 0 is better. A star: it differs from 0 at level "
        f"{ALPHA:g} by the paired t-test, corrected by Holm's method for all comparisons of the "
        f"table; such differences of the better method are marked. Intervals are not corrected. "
        f"One seed, and equal differences, have none.",
        *_margin_note(results),
    ]
    if any(cell.failed for cell in results.cells):
        notes.append("Where a training of one of the two failed there is no difference.")
    if baseline is None:
        notes.append("The best of a column was chosen by the same numbers: it owes them some luck.")
    tables = []
    digits = digits_of([cell.mean for cell in results.cells], results.measure)
    if baseline is not None and results.columns:
        tables.append(_overall(results, baseline).table(results.measure, digits))
        notes.append(
            f"Over columns a block is a seed in a {what}: its differences are averaged "
            f"over the columns, and n is the number of such blocks. Each {what} has the same "
            f"weight. Where columns are left out, as a training failed or there is one seed, their "
            f"number is said, and nothing is found."
        )
        notes += _interval_note(results)
    for setting in results.settings:
        cells = [cell for cell in results.cells if cell.setting == setting]
        budgets = sorted({cell.budget for cell in cells})
        rows: dict[str, list[_Compared | Entry]] = {}
        for method in results.methods:
            fields: list[_Compared | Entry] = []
            for budget in budgets:
                reference = baseline or _leader(results, setting, budget)
                if reference == method:
                    fields.append(Entry("reference", is_quiet=True))
                else:
                    one = results.at.get((setting, method, budget))
                    other = results.at.get((setting, reference or "", budget))
                    fields.append(_difference(results, [(one, other)]))
            if any(not isinstance(each, Entry) or each.text != NOTHING for each in fields):
                rows[method] = fields
        family = _Family(f"{setting}: difference to {to}", [*map(percent, budgets)], rows)
        tables.append(
            family.table(results.measure, digits_of([c.mean for c in cells], results.measure))
        )
    return Section("How much do they differ?", notes, tables)


def _rates_note(results: Results) -> list[str]:
    if not any(len(cell.candidates) > 1 for cell in results.cells):
        return []
    return ["Each training has the learning rate that was chosen for its cell: rates differ too."]


def _interval_note(results: Results) -> list[str]:
    """Say what an interval over several workloads is of, where there are any."""
    if len(set(results.workloads.values())) < 2:
        return []
    what = what_is_trained(results)
    return [
        f"Over several {what}s g with n_g seeds the standard error is sqrt(sum_g s_g² / n_g) / G, "
        f"s_g being the spread of seeds within one: intervals are of other seeds in these "
        f"{what}s, not of others. Degrees of freedom are Welch and Satterthwaite's, or the least "
        f"n_g - 1 where numbers of seeds differ."
    ]


def _margin_note(results: Results) -> list[str]:
    margin = results.grid.margin
    if margin is None:
        return []
    unit = " points" if results.measure.is_share else ""
    return [
        f"≈: nearer to 0 than {margin:g}{unit}, the margin of the sweep, at level {ALPHA:g} by two "
        f"one-sided t-tests, not corrected."
    ]


def _leader(results: Results, setting: str, budget: float) -> str | None:
    """Return the best method of a column; None while it is incomplete, or if all failed."""
    for column in results.columns:
        if (column.setting, column.budget) == (setting, budget):
            return next((m for m, place in column.places().items() if place == 1), None)
    return None


def _overall(results: Results, baseline: str) -> _Family:
    groups = by_budget(results)
    rows: dict[str, list[_Compared | Entry]] = {}
    for method in results.methods:
        if method != baseline:
            rows[method] = [
                _difference(
                    results,
                    [
                        (
                            results.at.get((c.setting, method, c.budget)),
                            results.at.get((c.setting, baseline, c.budget)),
                        )
                        for c in columns
                    ],
                )
                for columns in groups.values()
            ]
    head = [f"{name} budgets" if name != "all" else name for name in groups]
    return _Family(f"Mean difference to {baseline} over complete columns", head, rows)


# --- factors -------------------------------------------------------------------------------------


def factors(results: Results) -> Section | None:
    """Return what each momentum schedule, precision and optimizer changes; None if none differs.

    Two trainings are compared that differ in that factor alone.
    """
    kinds: dict[str, Callable[[Cell], str]] = {
        "schedule": lambda cell: cell.place["schedule"],
        "momentum": lambda cell: cell.place["momentum"],
        "precision": lambda cell: cell.place["precision"],
    }
    if len(set(results.workloads.values())) < len(results.workloads):
        kinds["optimizer"] = lambda cell: cell.optimizer
    tables = []
    digits = digits_of([cell.mean for cell in results.cells], results.measure)
    found = {factor: _factor(results, factor, level) for factor, level in kinds.items()}
    if not any(family is not None for factor, family in found.items() if factor != "schedule"):
        return None  # Schedules alone are the methods, which are compared above.
    for family in found.values():
        if family is not None:
            tables.append(family.table(results.measure, digits))
    good = "above" if results.measure.mode == "max" else "below"
    what = what_is_trained(results)
    notes = [
        f"Mean difference of {results.measure.label} of trainings that differ in one axis of the "
        f"sweep alone, and have the same seed; {good} 0 is better. A block is a seed in a {what}, "
        f"its differences are averaged over budgets and what else there is, and n is the number of "
        f"blocks; stars are those of the differences above.",
        *_rates_note(results),
        *_interval_note(results),
        *_margin_note(results),
    ]
    return Section("What does each factor change?", notes, tables)


def _factor(results: Results, factor: str, level: Callable[[Cell], str]) -> _Family | None:
    levels = list(dict.fromkeys(map(level, results.cells)))
    if len(levels) < 2:
        return None
    plain = _BASELINES.get(factor) or LEFT_ALONE[factor]
    reference = next((each for each in levels if each.casefold() in plain), levels[0])

    def rest(cell: Cell) -> tuple[object, ...]:
        """Return all but the factor."""
        where = (cell.workload, cell.rest) if factor == "optimizer" else (cell.setting,)
        others = [cell.place[axis] for axis in AXES if axis != factor]
        return *where, cell.budget, *others

    at: dict[tuple[object, ...], Cell] = {}
    twice = set()
    for cell in results.cells:
        key = level(cell), rest(cell)
        if key in at:
            twice.add(key)  # Nothing says which of them is meant.
        at[key] = cell
    schedules = [] if factor == "schedule" else results.schedules
    rows: dict[str, list[_Compared | Entry]] = {}
    for name in levels:
        if name != reference:
            pairs = [
                (cell, other)
                for cell in results.cells
                if level(cell) == name
                and (other := at.get((reference, rest(cell)))) is not None
                and not {(name, rest(cell)), (reference, rest(cell))} & twice
            ]
            parts = [pairs]
            if len(schedules) > 1:
                parts += [[p for p in pairs if p[0].place["schedule"] == s] for s in schedules]
            rows[name] = [_difference(results, part) for part in parts]
    if not any(isinstance(each, _Compared) for fields in rows.values() for each in fields):
        return None
    head = ["all", *schedules] if len(schedules) > 1 else ["all"]
    return _Family(f"{factor.capitalize()}: difference to {reference}", head, rows)
