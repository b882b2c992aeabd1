"""Reports written down: for GitHub, LaTeX, spreadsheets, browsers and terminals.

Tables are written by pandas, those of terminals by rich. What they do not know is here: what text
means something to a format, which pandas escapes in fields but in no title, and the best in
Markdown. pandas is loaded where it writes: a report on a terminal starts faster without it.
"""

from __future__ import annotations

import dataclasses
import html
import itertools
import pathlib
import re
import typing
import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence

import rich.console
import rich.markup
import rich.table

from trainers.loop.progress import screen
from trainers.reports import published
from trainers.reports.document import Entry, Report, Table
from trainers.reports.figures import Picture
from trainers.reports.results import Cell, Results, paper_name
from trainers.reports.tables import comparable
from trainers.sweeps.columns import CELLS
from trainers.sweeps.grid import MEASUREMENT
from trainers.sweeps.results import ENDS

if typing.TYPE_CHECKING:
    import pandas
    from pandas.io.formats.style import Styler

__all__ = ["FORMATS", "to_csv", "to_html", "to_markdown", "to_screen", "to_tex", "written"]

FORMATS = ("screen", "md", "tex", "csv", "html")
_FAILED = [end for end in ENDS if end != "finished"]


def written(
    form: str,
    results: Results,
    report: Report,
    saved: Mapping[str, pathlib.Path],
    pictures: Sequence[Picture],
) -> str:
    """Return a report as text.

    Args:
        form: One of `FORMATS`, other than "screen".
        results: Results, which "csv" writes down.
        report: Report, which the others do.
        saved: Paths of saved figures by caption, which "md" and "tex" refer to.
        pictures: Figures, which "html" contains.
    """
    if form == "csv":
        return to_csv(results)
    if form == "html":
        return to_html(report, pictures)
    return {"md": to_markdown, "tex": to_tex}[form](report, saved)


# --- tables --------------------------------------------------------------------------------------


def _frame(table: Table, said: Callable[[Entry], str]) -> pandas.DataFrame:
    """Return what is said of each entry; columns have numbers, as their names may repeat."""
    import pandas

    rows = [[said(entry) for entry in row] for row in table.rows]
    return pandas.DataFrame(rows, columns=range(len(table.head)), dtype=object)


def _styler(table: Table, escape: Callable[[str], str]) -> Styler:
    """Return a table of texts that is to be styled."""
    from pandas.io.formats.style import Styler

    # Names by number, as braces in those that `relabel_index` takes are fields to be filled in.
    head = [escape(name) for name in table.head]
    texts = _frame(table, lambda entry: escape(entry.text))
    styler = Styler(texts, caption=escape(table.title), cell_ids=False).hide(axis="index")
    return styler.format_index(head.__getitem__, axis="columns")


# --- csv -----------------------------------------------------------------------------------------


def to_csv(results: Results) -> str:
    """Return a line for each cell, complete or not; see `trainers.sweeps.columns`."""
    import pandas

    source = published.parse_source(results.grid.source)
    places = {(c.setting, c.budget): (c.places(), c.ranks()) for c in results.columns}
    unit = results.measure.scale
    rows = []
    for cell in results.cells:
        place, rank = places.get((cell.setting, cell.budget), ({}, {}))
        failed = list(cell.failed.values())
        paper_mean, paper_std = _paper(results, source, cell)
        found = {
            "sweep": cell.sweep,
            "cell": cell.id,
            "setting": cell.setting,
            "workload": cell.workload,
            "method": cell.method,
            **cell.place,
            "budget": cell.budget,
            "epochs": round(cell.epochs),
            "learning_rate": _short(cell.rate),
            "goal": results.grid.metric(MEASUREMENT),
            "goal_mode": results.measure.mode,
            "mean": _short(cell.mean, unit),
            "std": _short(cell.std, unit),
            "n": cell.n,
            "seeds": len(cell.seeds),
            **{end: failed.count(end) for end in _FAILED},
            "missing": cell.missing,
            "place": place.get(cell.method),
            "rank": rank.get(cell.method),
            "relative_to_fp32": _short(cell.cost),
            "paper_mean": _short(paper_mean, unit),
            "paper_std": _short(paper_std, unit),
        }
        rows.append([found[name] for name in CELLS])
    # As objects whole numbers stay whole, also in a column where one is missing.
    frame = pandas.DataFrame(rows, columns=list(CELLS), dtype=object)
    return frame.to_csv(index=False, lineterminator="\n")


def _paper(
    results: Results, source: published.Source | None, cell: Cell
) -> tuple[float | None, float | None]:
    found = source and source.find(cell.setting, paper_name(cell), cell.budget)
    if not found or not found.is_as_long_as(cell.epochs):
        return None, None
    return comparable(found, results.measure) or (None, None)


def _short(value: float | None, unit: float = 1.0) -> float | None:
    return None if value is None else round(value / unit, 12)


# --- Markdown ------------------------------------------------------------------------------------

# What has a meaning within a line; a sign that makes its first word a heading or a list; and "&"
# where it begins the name of a character.
_MD_PATTERN = re.compile(r"[\\|*_<>\[\]`~$]|^(?:#+|[+-])(?=\s)|&(?=[#\w])")


def to_markdown(report: Report, saved: Mapping[str, pathlib.Path]) -> str:
    """Return tables as GitHub has them; the best is bold."""
    lines = [f"# {_md(report.title)}", "", *_paragraphs(map(_md, report.notes))]
    for section in report.sections:
        lines += [f"## {_md(section.title)}", "", *_paragraphs(map(_md, section.notes))]
        for table in section.tables:
            lines += [f"**{_md(table.title)}**", "", _md_table(table), ""]
    if saved:
        lines += ["## Figures", ""]
        lines += _paragraphs(
            f"![{_md(text)}]({urllib.parse.quote(path.as_posix())})" for text, path in saved.items()
        )
    return "\n".join(lines).rstrip() + "\n"


def _paragraphs(texts: Iterable[str]) -> list[str]:
    return [line for text in texts for line in (text, "")]


def _md(text: str) -> str:
    return _MD_PATTERN.sub(r"\\\g<0>", text)


def _md_table(table: Table) -> str:
    labels = table.labels
    return _frame(table, _md_entry).to_markdown(
        index=False,
        headers=[_md(name) for name in table.head],
        tablefmt="pipe",
        colalign=["left"] * labels + ["right"] * (len(table.head) - labels),
        disable_numparse=True,  # Numbers are written already: 0.50 stays so.
    )


def _md_entry(entry: Entry) -> str:
    return f"**{_md(entry.text)}**" if entry.is_best else _md(entry.text)


# --- LaTeX ---------------------------------------------------------------------------------------

_TEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "≈": r"$\approx$",
    "χ²": r"$\chi^2$",
    "\N{MINUS SIGN}": "$-$",
    "\N{EN DASH}": "--",
}
# What fits on a line of an article in 10 points, and what is between two columns.
_TEX_LETTERS, _TEX_GAP = 74, 3
# A row that begins with "[" or "*" would be an argument of the line break before it.
_TEX_PATTERN = re.compile(
    r"^[\[*]|" + "|".join(map(re.escape, sorted(_TEX, key=len, reverse=True)))
)


def to_tex(report: Report, saved: Mapping[str, pathlib.Path]) -> str:
    """Return a part of a document, which can be included from anywhere.

    Tables are of the package booktabs; one that is wider than a page is split by its columns.
    Figures are PDF, by their absolute paths.
    """
    lines = [
        r"% Needs \usepackage{booktabs} and, with figures, \usepackage{graphicx}.",
        rf"\section*{{{_tex(report.title)}}}",
        "",
        *_paragraphs(map(_tex, report.notes)),
    ]
    for section in report.sections:
        lines += [rf"\subsection*{{{_tex(section.title)}}}", ""]
        lines += _paragraphs(map(_tex, section.notes))
        for table in section.tables:
            for part in _split(table):
                lines += [_tex_table(part), ""]
    for caption, path in saved.items():
        lines += [
            r"\begin{figure}[htbp]",
            r"  \centering",
            rf"  \includegraphics[width=\linewidth]{{{path.with_suffix('.pdf').resolve()}}}",
            rf"  \caption{{{_tex(caption)}}}",
            r"\end{figure}",
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def _split(table: Table) -> list[Table]:
    """Return the parts of a table whose columns fit on a page beside each other."""
    texts = [list(table.head), *([entry.text for entry in row] for row in table.rows)]
    widths = [max(map(len, column)) + _TEX_GAP for column in zip(*texts, strict=True)]
    labels = list(range(table.labels))
    parts: list[list[int]] = [[]]
    for column in range(table.labels, len(widths)):
        used = sum(widths[each] for each in (*labels, *parts[-1], column))
        if used > _TEX_LETTERS and parts[-1]:
            parts.append([])
        parts[-1].append(column)
    if len(parts) == 1:
        return [table]
    return [
        dataclasses.replace(
            table,
            title=f"{table.title} ({number} of {len(parts)})",
            head=[table.head[each] for each in (*labels, *part)],
            rows=[[row[each] for each in (*labels, *part)] for row in table.rows],
        )
        for number, part in enumerate(parts, start=1)
    ]


def _tex_table(table: Table) -> str:
    marks = _frame(table, lambda entry: "textbf: --rwrap;" if entry.is_best else "")
    text = _styler(table, _tex).apply(lambda texts: marks, axis=None)
    alignment = "l" * table.labels + "r" * (len(table.head) - table.labels)
    return text.to_latex(
        column_format=alignment, position="htbp", position_float="centering", hrules=True
    ).rstrip()


def _tex(text: str) -> str:
    apart = re.sub("-(?=-)", "-\0", text)  # Two hyphens would be a dash.
    made = _TEX_PATTERN.sub(lambda found: _TEX.get(found[0], f"{{{found[0]}}}"), apart)
    return made.replace("\0", "{}")


# --- HTML ----------------------------------------------------------------------------------------

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.55 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; color: #1f2430;
       max-width: 1180px; margin: 2.5rem auto; padding: 0 1.5rem; background: #fff; }
h1 { font-size: 1.7rem; margin: 0 0 1rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .6rem; padding-bottom: .3rem;
     border-bottom: 1px solid #e3e6ec; }
p { max-width: 78ch; margin: .4rem 0; color: #4a5162; }
.scroll { overflow-x: auto; margin: 1.2rem 0 1.6rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
caption { text-align: left; font-weight: 600; padding: 0 0 .5rem; white-space: nowrap; }
th, td { padding: .32rem .8rem; text-align: right; white-space: nowrap; }
th { font-weight: 600; border-top: 2px solid #1f2430; border-bottom: 1px solid #1f2430; }
td { border-bottom: 1px solid #eef0f4; }
tr:last-child td { border-bottom: 2px solid #1f2430; }
tbody tr:hover td { background: #f5f8fc; }
td.best { font-weight: 700; background: #e8f4ea; }
td.quiet { color: #8a91a0; }
figure { margin: 1.6rem 0 2.2rem; }
figure svg { max-width: 100%; height: auto; }
figcaption { color: #4a5162; max-width: 78ch; }
@media print { body { margin: 0; max-width: none; } .scroll { overflow: visible; } }
"""


def to_html(report: Report, pictures: Sequence[Picture]) -> str:
    """Return a page that needs nothing else: style and figures are in it."""
    title = html.escape(report.title)
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>",
        *(f"<p>{html.escape(note)}</p>" for note in report.notes),
    ]
    number = itertools.count()
    for section in report.sections:
        parts.append(f"<h2>{html.escape(section.title)}</h2>")
        parts += [f"<p>{html.escape(note)}</p>" for note in section.notes]
        parts += [_html_table(table, next(number)) for table in section.tables]
    if pictures:
        parts.append("<h2>Figures</h2>")
    for picture in pictures:
        caption = html.escape(picture.caption)
        parts.append(
            f'<figure role="img" aria-label="{caption}">\n{picture.svg}\n'
            f"<figcaption>{caption}</figcaption>\n</figure>"
        )
    return "\n".join([*parts, "</body>\n</html>"]) + "\n"


def _html_table(table: Table, number: int) -> str:
    labels = [
        {"selector": f".col{index}", "props": "text-align: left;"} for index in range(table.labels)
    ]
    styler = _styler(table, html.escape).set_table_styles(labels, overwrite=False)
    styler = styler.set_td_classes(_frame(table, _html_class))
    return f'<div class="scroll">\n{styler.to_html(table_uuid=str(number)).rstrip()}\n</div>'


def _html_class(entry: Entry) -> str:
    return "best" if entry.is_best else "quiet" if entry.is_quiet else ""


# --- terminals -----------------------------------------------------------------------------------


def to_screen(
    report: Report,
    saved: Mapping[str, pathlib.Path],
    console: rich.console.Console | None = None,
) -> None:
    """Print a report, in colours if standard output is a terminal; else what is marked has a •."""
    if console is None:
        console = screen()
    say = rich.markup.escape
    console.print(f"[bold]{say(report.title)}[/]")
    for note in report.notes:
        console.print(say(note), highlight=False)
    for section in report.sections:
        console.print(f"\n[bold cyan]{say(section.title)}[/]")
        for note in section.notes:
            console.print(f"[dim]{say(note)}[/]", highlight=False)
        for table in section.tables:
            console.print()
            console.print(_rich_table(table, mark="" if console.is_terminal else " •"))
    for caption, path in saved.items():
        console.print(f"[dim]{say(caption)}[/] {say(str(path))}", highlight=False)


def _rich_table(table: Table, mark: str) -> rich.table.Table:
    made = rich.table.Table(
        title=rich.markup.escape(table.title),
        title_justify="left",
        title_style="bold",
        box=rich.box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for index, name in enumerate(table.head):
        made.add_column(
            rich.markup.escape(name), justify="left" if index < table.labels else "right"
        )
    for row in table.rows:
        made.add_row(*(_rich_entry(entry, mark) for entry in row))
    return made


def _rich_entry(entry: Entry, mark: str) -> str:
    text = rich.markup.escape(entry.text)
    if entry.is_best:
        return f"[bold green]{text}{mark}[/]"
    return f"[dim]{text}[/]" if entry.is_quiet else text
