"""Tables as CSV, JSON, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tensorboard import errors

from tensorboard_plugins.schedules import layout
from tensorboard_plugins.schedules.leaderboard import method_of
from tensorboard_plugins.schedules.log_reader import Log
from tensorboard_plugins.schedules.runs import Run

__all__ = ["ENDINGS", "runs", "table"]

# Ways to write a table, and how their files end.
ENDINGS = {"csv": "csv", "json": "json", "markdown": "md", "latex": "tex"}
# A spreadsheet would compute what begins so.
_COMPUTED = ("=", "+", "-", "@", "\t", "\r")
_LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}
_PLACE = ("sweep", "phase", "setting", "budget", "epochs", "steps", "seed", "learning_rate")


def table(found: Mapping[str, Any], kind: str) -> str:
    """Return a leaderboard.

    Args:
        found: Of `leaderboard`.
        kind: One of `ENDINGS`.

    Raises:
        InvalidArgumentError: If the kind is unknown.
    """
    _check(kind)
    if kind == "json":
        return layout.written(found, indent=1)
    if kind == "csv":
        return _cells(found)
    columns = found["columns"]
    settings = {column["setting"] for column in columns}
    head = ["", *(_column(column, len(settings) > 1) for column in columns), "average rank"]
    rows = []
    for row in found["rows"]:
        rank = "" if row["rank"] is None else f"{row['rank']:.2f}"
        cells = [_cell(cell, kind) for cell in row["cells"]]
        rows.append([row["method"], *cells, rank])
    return _written(head, rows, kind)


def runs(log: Log, chosen: Sequence[Run], what: str, kind: str) -> str:
    """Return a row for each run, or for each row of their curves.

    Args:
        log: The log.
        chosen: The runs.
        what: "runs", "steps" or "evaluations".
        kind: One of `ENDINGS`.

    Raises:
        InvalidArgumentError: If one of them is unknown.
    """
    _check(kind)
    if what not in ("runs", "steps", "evaluations"):
        raise errors.InvalidArgumentError(
            f"`what` must be table, runs, steps or evaluations. Received: what={what!r}"
        )
    found: list[dict[str, Any]] = []
    place: dict[str, Any]
    for run in chosen:
        place = {"run": run.name, "method": method_of(run, log)}
        if what == "runs":
            place |= {name: run.trial.get(name) for name in _PLACE}
            place |= {"status": run.status, "cost": run.state.get("relative_cost")}
            metrics = {f"metric/{k}" if k in place else k: x for k, x in run.final.items()}
            found.append({**place, **metrics})
            continue
        columns = run.columns(what)
        rows = run.steps if what == "steps" else run.evaluations
        found += [{**place, **dict(zip(columns, row.tolist(), strict=True))} for row in rows]
    if kind == "json":
        return layout.written(found, indent=1)
    head = list(dict.fromkeys(name for row in found for name in row))
    return _written(head, [[row.get(name) for name in head] for row in found], kind)


def _cells(found: Mapping[str, Any]) -> str:
    """Return a row for each cell: what a program reads."""
    head = ["method", "setting", "budget", "mean", "std", "n", "planned", "failed", "place"]
    rows = [
        [
            *(row["method"], column["setting"], column["budget"]),
            *(cell[name] for name in ("mean", "std", "n", "planned")),
            *(len(cell["failed"]), cell["place"], row["rank"]),
        ]
        for row in found["rows"]
        for column, cell in zip(found["columns"], row["cells"], strict=True)
        if cell is not None
    ]
    return _written([*head, "average rank"], rows, "csv")


def _check(kind: str) -> None:
    if kind not in ENDINGS:
        raise errors.InvalidArgumentError(
            f"`format` must be one of {', '.join(ENDINGS)}. Received: format={kind!r}"
        )


def _column(column: Mapping[str, Any], has_settings: bool) -> str:
    budget = column["budget"]
    said = "" if budget is None else f"{100 * budget:g} %"
    return f"{column['setting']} {said}".strip() if has_settings else said or column["setting"]


def _cell(cell: Mapping[str, Any] | None, kind: str) -> str:
    if cell is None or not cell["n"]:
        return ""
    between = r" $\pm$ " if kind == "latex" else " ± "
    std = cell["std"]
    is_alone = std is None or math.isnan(std)
    text = f"{cell['mean']:.4g}" if is_alone else f"{cell['mean']:.4g}{between}{std:.2g}"
    return text if cell["n"] == cell["planned"] else f"{text} ({cell['n']}/{cell['planned']})"


def _written(head: Sequence[str], rows: Sequence[Sequence[Any]], kind: str) -> str:
    if kind == "csv":
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([[_safe(field) for field in row] for row in (head, *rows)])
        return file.getvalue()
    texts = [["" if field is None else str(field) for field in row] for row in (head, *rows)]
    if kind == "markdown":
        lines = [[field.replace("|", r"\|") for field in row] for row in texts]
        rule = [":--", *("--:" for _ in head[1:])]
        return "\n".join(f"| {' | '.join(row)} |" for row in (lines[0], rule, *lines[1:])) + "\n"
    lines = [[_escaped(field) for field in row] for row in texts]
    body = [" & ".join(row) + r" \\" for row in lines]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
            r"\toprule",
            body[0],
            r"\midrule",
            *body[1:],
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _safe(field: Any) -> Any:
    """Return a field that no spreadsheet takes for a formula."""
    if isinstance(field, float):
        return repr(field) if math.isfinite(field) else ""
    return f"'{field}" if isinstance(field, str) and field.startswith(_COMPUTED) else field


def _escaped(text: str) -> str:
    math_sign = r" $\pm$ "
    parts = text.split(math_sign)
    return math_sign.join("".join(_LATEX.get(sign, sign) for sign in part) for part in parts)
