"""How often methods are among the best, as papers count it."""

from __future__ import annotations

from tensorboard_plugins.schedules.columns import Column, average_ranks, is_low, merged, top_rates
from trainers.reports import published
from trainers.reports.document import NOTHING, Entry, Section, Table
from trainers.reports.results import Results, paper_name

__all__ = ["by_budget", "rates"]


def rates(results: Results, source: published.Source | None) -> Section:
    """Return average ranks, and how often each method is among the best, as papers count it."""
    title = "Ranks and rates"
    if not results.columns:
        return Section(title, ["No column is complete yet: nothing can be ranked."])
    groups = by_budget(results)
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
    ranks = average_ranks(results.ranked_columns)
    lowest = min(ranks.values())
    rows = []
    for method in sorted(ranks, key=lambda each: (ranks[each], results.methods.index(each))):
        rank = Entry(f"{ranks[method]:.2f}", ranks[method] == lowest)
        fields = [Entry(column.get(method, NOTHING)) for column in columns]
        if counted[method] != method:
            fields = [Entry(f"as {counted[method]}", is_quiet=True) for _ in columns]
        rows.append([Entry(method), rank, *fields])
    notes = [
        "A column is a setting at a budget"
        + "; low budgets are those below 25 %" * (len(groups) > 1)
        + ". Equal methods count all, so that rates can add up to more than 100 %; a method of "
        "which a training failed is never among the best. Average rank: 1 is best; equal methods "
        "share the mean of theirs.",
    ]
    if results.lacking:
        notes.append(
            f"{results.lacking} Where a method was not run it is not among the best, as papers "
            f"count."
        )
    if any(name != method for method, name in counted.items()):
        notes.append("As in REX, table 1, the better of Step and Plateau counts as Step.")
    table = Table("How often among the best", [head[0], "average rank", *head[1:]], rows)
    return Section(title, notes, [table])


def by_budget(results: Results) -> dict[str, list[Column]]:
    """Return the complete columns of low, of high and of all budgets; of all if one has none."""
    low = [column for column in results.columns if is_low(column.budget)]
    high = [column for column in results.columns if not is_low(column.budget)]
    if low and high:
        return {"low": low, "high": high, "all": results.columns}
    return {"all": results.columns}


def _alone(results: Results, method: str) -> str:
    """Return the paper's name of a method, in lower case."""
    return next(paper_name(cell) for cell in results.cells if cell.method == method).casefold()
