"""Reports on results that are made up: read, and looked up in."""

from tests.reports import synthetic
from trainers.reports import results


def read(tmp_path, grid, outcome, cost=None):
    return results.read(synthetic.write(tmp_path / "sweep", grid, outcome, cost))


def by_hand(values):
    """Return an outcome that looks values up by schedule, budget and seed."""

    def outcome(trial):
        place = trial.coordinates
        return values[place["schedule"], place["budget"]][place["seed"]]

    return outcome


def field(report, section, title, row, head):
    """Return an entry of a table."""
    found = next(s for s in report.sections if s.title.startswith(section))
    table = next(t for t in found.tables if t.title.startswith(title))
    line = next(r for r in table.rows if r[0].text == row)
    return line[list(table.head).index(head)]


def said(report):
    return "\n".join([report.title, *report.notes, *(n for s in report.sections for n in s.notes)])


def small(**changes):
    given = {"budgets": (0.05, 1.0), "source": "", "schedules": ("Linear", "REX")}
    return synthetic.sweep({"A": 10}, **{**given, **changes})
