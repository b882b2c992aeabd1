"""How methods compare: ranks, rates, tests and differences, in tables."""

from __future__ import annotations

import math

from trainers.reports import published
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
from trainers.reports.results import Measure, Results, paper_name
from trainers.reports.statistics import (
    Column,
    Interval,
    average_ranks,
    critical_difference,
    friedman,
    is_low,
    merged,
    nemenyi,
    paired_interval,
    top_rates,
)

__all__ = ["ALPHA", "differences", "rates", "tests"]

ALPHA = 0.05


# --- ranks and rates -----------------------------------------------------------------------------


def rates(results: Results, source: published.Source | None) -> Section:
    """Return average ranks, and how often each method is among the best, as papers count it."""
    title = "Ranks and rates"
    if not results.columns:
        return Section(title, ["No column is complete yet: nothing can be ranked."])
    groups = _groups(results)
    counted = {method: method for method in results.methods}
    if source is not None and source.paper == "REX":
        names = {method.casefold(): method for method in results.methods}
        for part, whole in published.AS_STEP.items():
            if {part.casefold(), whole.casefold()} <= names.keys():
                counted[names[part.casefold()]] = names[whole.casefold()]
    printed = published.printed_rates(source.paper) if source is not None else {}
    head = [""]
    columns: list[dict[str, str]] = []
    for name, members in groups.items():
        kept = [merged(column, counted) for column in members]
        for top in (1, 3):
            found = top_rates(kept, results.methods, top)
            head.append(f"{name}: Top-{top}")
            columns.append(
                {m: f"{r.times}/{r.columns} ({r.percent:.0f} %)" for m, r in found.items()}
            )
    for top in (1, 3) if printed else ():
        theirs = {
            method: f"{value:g} %"
            for method in results.methods
            for (name, budgets, at), value in printed.items()
            if budgets == "all" and at == top and name.casefold() == _alone(results, method)
        }
        if theirs:
            head.append(f"paper, all: Top-{top}")
            columns.append(theirs)
    ranks = average_ranks(results.columns)
    lowest = min(ranks.values())
    rows = []
    for method in sorted(ranks, key=lambda each: (ranks[each], results.methods.index(each))):
        rank = Entry(f"{ranks[method]:.2f}", ranks[method] == lowest)
        fields = [Entry(column.get(method, NOTHING)) for column in columns]
        if counted[method] != method:
            fields = [Entry(f"as {counted[method]}", is_quiet=True) for _ in columns]
        rows.append([Entry(method), rank, *fields])
    notes = [
        "A column is a setting at a budget; low budgets are those below 25 %. Equal methods count "
        "all, so that rates can add up to more than 100 %; a method of which a training failed is "
        "never among the best. Average rank: 1 is best; equal methods share the mean of theirs.",
    ]
    if any(name != method for method, name in counted.items()):
        notes.append("As in REX, table 1, the better of Step and Plateau counts as Step.")
    table = Table("How often among the best", [head[0], "average rank", *head[1:]], rows)
    return Section(title, notes, [table])


def _groups(results: Results) -> dict[str, list[Column]]:
    low = [column for column in results.columns if is_low(column.budget)]
    high = [column for column in results.columns if not is_low(column.budget)]
    if low and high:
        return {"low": low, "high": high, "all": results.columns}
    return {"all": results.columns}


def _alone(results: Results, method: str) -> str:
    """Return the paper's name of a method, in lower case."""
    return next(paper_name(cell) for cell in results.cells if cell.method == method).casefold()


# --- tests ---------------------------------------------------------------------------------------


def tests(results: Results) -> Section:
    """Return a Friedman test over complete columns, and if it finds something, Nemenyi's."""
    title = "Do the methods differ?"
    columns = [c for c in results.columns if len(c.scores) == len(results.methods)]
    if len(columns) < 2 or len(results.methods) < 3:
        return Section(
            title,
            [
                f"A Friedman test needs 2 complete columns and 3 methods; there are {len(columns)} "
                f"and {len(results.methods)}."
            ],
        )
    test = friedman(columns)
    k = len(test.ranks)
    notes = [
        f"Friedman test over {test.columns} columns and {k} methods: χ² = {test.statistic:.2f} "
        f"with {k - 1} degrees of freedom, p {p_value(test.p_value)}; Iman and Davenport's F = "
        f"{test.f_statistic:.2f}, p {p_value(test.f_p_value)}.",
    ]
    if len({column.setting for column in columns}) < len(columns):
        notes.append(
            "Budgets of one setting are counted as if they were independent, which they are not "
            "quite: p-values are somewhat too small."
        )
    if test.f_p_value >= ALPHA:
        notes.append(f"The methods do not differ at level {ALPHA:g}: pairs are not compared.")
        return Section(title, notes)
    apart = critical_difference(k, test.columns, ALPHA)
    notes.append(
        f"By Nemenyi's test two methods differ at level {ALPHA:g} if their average ranks are "
        f"{apart:.2f} apart; such pairs are marked."
    )
    pairs = nemenyi(columns)
    names = sorted(test.ranks, key=lambda each: test.ranks[each])
    rows = []
    for method in names[1:]:
        fields = []
        for other in names[:-1]:
            value = pairs.get((method, other), pairs.get((other, method)))
            if value is None or names.index(other) >= names.index(method):
                fields.append(Entry(""))
            else:
                fields.append(Entry(p_value(value).removeprefix("= "), value < ALPHA))
        rows.append([Entry(f"{method} ({test.ranks[method]:.2f})"), *fields])
    head = ["average rank", *(f"{name} ({test.ranks[name]:.2f})" for name in names[:-1])]
    return Section(title, notes, [Table("p-values of Nemenyi's test", head, rows)])


# --- differences ---------------------------------------------------------------------------------


def differences(results: Results, baseline: str | None) -> Section:
    """Return differences to a method, or to the best of each column, with bootstrap intervals."""
    to = baseline or "the best of the column"
    good = "Above" if results.measure.mode == "max" else "Below"
    notes = [
        f"Mean difference of {results.measure.label} to {to}, over n pairs of equal seeds, with a "
        f"95 % bootstrap interval, widened for how few they are; one pair, and equal differences, "
        f"have none. {good} 0 is better. "
        f"Intervals without 0 have a star, those of the better method are marked; they are not "
        f"corrected for how many there are.",
    ]
    if any(cell.failed for cell in results.cells):
        notes.append("Where a training of one of the two failed there is no difference.")
    if baseline is None:
        notes.append("The best of a column was chosen by the same numbers: it owes them some luck.")
    tables = []
    if baseline is not None and results.columns:
        tables.append(_overall(results, baseline))
    for setting in results.settings:
        cells = [cell for cell in results.cells if cell.setting == setting]
        digits = digits_of([cell.mean for cell in cells], results.measure)
        budgets = sorted({cell.budget for cell in cells})
        rows = []
        for method in results.methods:
            fields = []
            for budget in budgets:
                reference = baseline or _leader(results, setting, budget)
                fields.append(_difference(results, setting, budget, method, reference, digits))
            if any(entry.text != NOTHING for entry in fields):
                rows.append([Entry(method), *fields])
        tables.append(Table(f"{setting}: difference to {to}", ["", *map(percent, budgets)], rows))
    return Section("How much do they differ?", notes, tables)


def _leader(results: Results, setting: str, budget: float) -> str | None:
    """Return the best method of a column; None while it is incomplete, or if all failed."""
    for column in results.columns:
        if (column.setting, column.budget) == (setting, budget):
            return next((m for m, place in column.places().items() if place == 1), None)
    return None


def _pairs(results: Results, setting: str, budget: float, method: str, other: str) -> list[float]:
    cells = [results.at.get((setting, name, budget)) for name in (method, other)]
    if cells[0] is None or cells[1] is None or cells[0].failed or cells[1].failed:
        return []  # Seeds that are left of a method that failed do not speak for it.
    a, b = cells[0].values, cells[1].values
    return [a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())]


def _difference(
    results: Results, setting: str, budget: float, method: str, reference: str | None, digits: int
) -> Entry:
    if reference == method:
        return Entry("reference", is_quiet=True)
    pairs = _pairs(results, setting, budget, method, reference) if reference else []
    if not pairs:
        return Entry(NOTHING, is_quiet=True)
    return _interval(paired_interval([pairs]), digits, results.measure)


def _overall(results: Results, baseline: str) -> Table:
    digits = digits_of([cell.mean for cell in results.cells], results.measure)
    groups = _groups(results)
    rows = []
    for method in results.methods:
        if method == baseline:
            continue
        fields = []
        for members in groups.values():
            found = [_pairs(results, c.setting, c.budget, method, baseline) for c in members]
            kept = [pairs for pairs in found if pairs]
            if kept:
                fields.append(_interval(paired_interval(kept), digits, results.measure))
            else:
                fields.append(Entry(NOTHING, is_quiet=True))
        rows.append([Entry(method), *fields])
    head = ["", *(f"{name} budgets" if name != "all" else name for name in groups)]
    return Table(f"Mean difference to {baseline} over complete columns", head, rows)


def _interval(interval: Interval, digits: int, measure: Measure) -> Entry:
    text = signed(interval.mean, digits)
    if not math.isnan(interval.low):
        text += f" [{signed(interval.low, digits)}, {signed(interval.high, digits)}]"
    excludes = interval.low > 0.0 or interval.high < 0.0
    is_better = excludes and (interval.mean > 0.0) == (measure.mode == "max")
    return Entry(f"{text} n={interval.pairs}" + " *" * excludes, is_better)
