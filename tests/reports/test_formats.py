"""What a report says is what its readers read, in each format, whatever signs are in it."""

import collections
import csv
import html.parser
import io
import pathlib
import re
import shutil
import subprocess

import markdown_it
import pandas
import pytest
import rich.console
from hypothesis import example, given
from hypothesis import strategies as st

from tests.reports import synthetic
from trainers.reports import figures, formats, results, tables
from trainers.reports.document import Entry, Report, Section, Table

# Each has a meaning in one of the formats, or looks like a number or like nothing.
SIGNS = (
    *("A_1 & 50% <b>x</b> |y|", "*a* **b** `c` [d](e)", "~~f~~ $g$ ![h](i)", "# j", "- k", "+ l"),
    *("&amp; &#42;", r"{m} \n \\ ^o", "'p' \"q\", r", "{0} {}", "[bold]s[/]", "[t] *u", "* v"),
    *("None", "nan", "1.50", "007", "1e5", "± \N{MINUS SIGN}1 \N{EN DASH} χ²"),
)


def report(signs=SIGNS, labels=1):
    """Return a report with signs in each place of it, once as the best and once as quiet."""
    rows = [[Entry(sign), Entry(sign, is_best=True), Entry(sign, is_quiet=True)] for sign in signs]
    tables = [Table(sign, ["", sign, sign], rows, labels) for sign in signs]
    return Report(signs[0], signs, [Section(signs[1], signs, tables)])


class Reader(html.parser.HTMLParser):
    """Reads a page: texts by element, classes of fields, ids, and what is bold in a field."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.classes = collections.defaultdict(list), []
        self.ids, self.bold, self._open = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        if tag in ("td", "th", "caption", "h1", "h2", "p", "strong", "style"):
            self._open.append(tag)
            self.texts[tag].append("")
        if tag == "td":
            self.classes.append(set((found.get("class") or "").split()))
            self.bold.append(False)
        if tag == "strong" and "td" in self._open:
            self.bold[-1] = True

    def handle_endtag(self, tag):
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def handle_data(self, data):
        for tag in self._open:
            self.texts[tag][-1] += data


def rendered(text):
    """Return the page of Markdown as GitHub has it, but for mathematics."""
    return Reader(markdown_it.MarkdownIt().enable(["table", "strikethrough"]).render(text))


FIELDS = [sign for sign in SIGNS for _ in range(3)] * len(SIGNS)
HEADS = [name for sign in SIGNS for name in ("", sign, sign)]


def test_a_page_says_what_the_report_says():
    page = Reader(formats.to_html(report(), []))
    assert page.texts["td"] == FIELDS
    assert page.texts["th"] == HEADS
    assert page.texts["caption"] == list(SIGNS)
    assert page.texts["p"] == [*SIGNS, *SIGNS]
    assert (page.texts["h1"], page.texts["h2"]) == ([SIGNS[0]], [SIGNS[1]])
    marks = [found - {"data"} for found in page.classes[:3]]
    assert marks == [{"row0", "col0"}, {"row0", "col1", "best"}, {"row0", "col2", "quiet"}]


def test_markdown_says_what_the_report_says():
    page = rendered(formats.to_markdown(report(), {}))
    assert page.texts["td"] == FIELDS
    assert page.texts["th"] == HEADS
    titles = [text for text in page.texts["strong"] if text in SIGNS]
    assert titles[:: 1 + len(SIGNS)] == list(SIGNS)
    assert page.texts["p"] == [*SIGNS, *SIGNS, *SIGNS]
    assert (page.texts["h1"], page.texts["h2"]) == ([SIGNS[0]], [SIGNS[1]])
    assert page.bold == [False, True, False] * len(SIGNS) ** 2
    assert "$" not in re.sub(r"\\\$", "", formats.to_markdown(report(), {}))


@pytest.mark.parametrize("sign", [s for s in SIGNS if re.search(r"\*\w\*|~~|[`#<&]|^[-+*] ", s)])
def test_markdown_that_is_not_escaped_says_something_else(sign):
    assert rendered(formats._md(sign)).texts["p"] == [sign]
    assert rendered(sign).texts["p"] != [sign]


def test_a_terminal_says_what_the_report_says():
    text = io.StringIO()
    console = rich.console.Console(file=text, width=300)
    formats.to_screen(report(), {}, console)
    lines = [re.sub(r" {2,}", "  ", line.strip()) for line in text.getvalue().splitlines()]
    for sign in SIGNS:
        assert lines.count(f"{sign}  {sign} •  {sign}") == len(SIGNS)


def test_latex_says_what_the_report_says(monkeypatch):
    monkeypatch.setattr(formats, "_TEX_LETTERS", 1000)
    text = formats.to_tex(report(), {})
    expected = {
        "A_1 & 50% <b>x</b> |y|": r"A\_1 \& 50\% $<$b$>$x$<$/b$>$ \textbar{}y\textbar{}",
        r"{m} \n \\ ^o": r"\{m\} \textbackslash{}n \textbackslash{}\textbackslash{} "
        r"\textasciicircum{}o",
        "~~f~~ $g$ ![h](i)": r"\textasciitilde{}\textasciitilde{}f\textasciitilde{}"
        r"\textasciitilde{} \$g\$ ![h](i)",
        "[t] *u": "{[}t] *u",  # Else the height of the row before it.
        "* v": "{*} v",
        "# j": r"\# j",
        "{0} {}": r"\{0\} \{\}",
        "1.50": "1.50",
        "± \N{MINUS SIGN}1 \N{EN DASH} χ²": r"$\pm$ $-$1 -- $\chi^2$",
    }
    for sign, said in expected.items():
        assert sign in SIGNS
        assert text.count(f"{said} & \\textbf{{{said}}} & {said} \\\\\n") == len(SIGNS)
        assert text.count(f" & {said} & {said} \\\\\n\\midrule\n") == 1
        assert text.count(f"\\caption{{{said}}}\n") == 1
        assert text.count(f"\n\n{said}\n\n") == 2


@example("---")
@given(st.text(st.sampled_from("ab1 .-&%$#_{}~^\\"), max_size=12).filter(str.strip))
def test_latex_is_escaped_as_pandas_escapes_it(text):
    """They differ in what ends a command: a space, or nothing in braces."""
    frame = pandas.DataFrame([[f"x{text}x"]])
    style = frame.style.hide(axis="index").hide(axis="columns").format(escape="latex")
    (theirs,) = re.findall(r"x.*x(?= \\\\\n)", style.to_latex())
    commands = [
        re.sub(r"(\\text(?:backslash|asciitilde|asciicircum))(?:\{\}| )|(?:\\space )", r"\1", each)
        for each in (theirs, re.sub(r"-\{\}(?=-)", "-", formats._tex(f"x{text}x")))
    ]
    assert commands[0].replace(" ", "") == commands[1].replace(" ", "")


def test_columns_of_names_are_left_and_others_right(monkeypatch):
    monkeypatch.setattr(formats, "_TEX_LETTERS", 1000)
    for labels in (1, 2):
        text = formats.to_markdown(report(labels=labels), {})
        kinds = re.findall(r"^\|[:|-]+\|$", text, re.MULTILINE)
        assert {re.sub("-+", "-", kind) for kind in kinds} == {
            "|" + ":-|" * labels + "-:|" * (3 - labels)
        }
        text = formats.to_tex(report(labels=labels), {})
        assert text.count(rf"\begin{{tabular}}{{{'l' * labels}{'r' * (3 - labels)}}}") == len(SIGNS)
        page = Reader(formats.to_html(report(labels=labels), []))
        assert len(page.ids) == len(set(page.ids))  # A table's style is of its id.
        for style in page.texts["style"][1:]:
            left = re.findall(r"\.col(\d) \{\s+text-align: left;", style)
            assert left == [str(index) for index in range(labels)]


def test_a_table_without_rows_has_its_title_and_head():
    empty = Report("a", [], [Section("b", [], [Table("c", ["", "d"], [])])])
    page = Reader(formats.to_html(empty, []))
    assert (page.texts["caption"], page.texts["th"], page.texts["td"]) == (["c"], ["", "d"], [])
    assert rendered(formats.to_markdown(empty, {})).texts["th"] == ["", "d"]
    assert "\\toprule\n & d \\\\\n\\midrule\n\\bottomrule" in formats.to_tex(empty, {})


def test_spreadsheets_have_names_numbers_and_nothing_as_they_are(tmp_path):
    names = ['A, "b"; c', "d_1 & 50% <e>|f|", "None", "007"]
    grid = synthetic.sweep(
        dict.fromkeys(names, 10), ("Linear", "REX"), budgets=(0.1, 1.0), source="", seeds=(0, 1)
    )

    def outcome(trial):
        place = trial.coordinates
        if (place["setting"], place["budget"]) == (names[0], 1.0):
            return None
        return {"Linear": 1 / 3, "REX": 0.5}[place["schedule"]] + 0.1 * place["seed"]

    found = results.read(synthetic.write(tmp_path / "sweep", grid, outcome))
    text = formats.to_csv(found)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["setting"] for row in rows} == set(names)
    for row in rows:
        is_missing = (row["setting"], row["budget"]) == (names[0], "1.0")
        place = {"Linear": "2", "REX": "1"}[row["method"]]
        mean = {"Linear": "0.383333333333", "REX": "0.55"}[row["method"]]
        expected = ("", "", "", "0", "2") if is_missing else (mean, place, f"{place}.0", "2", "0")
        assert tuple(row[n] for n in ("mean", "place", "rank", "n", "missing")) == expected
        assert (row["seeds"], row["paper_mean"], row["paper_std"]) == ("2", "", "")
        assert "None" not in {row[name] for name in row if name not in ("setting", "workload")}
    assert not re.search("nan|inf", text)


def wide(columns, letters=20):
    head = ["method", *(f"c{index}" for index in range(columns))]
    rows = [
        [Entry(name), *(Entry(f"{name}{index}".ljust(letters, "x")) for index in range(columns))]
        for name in ("a", "b")
    ]
    return Table("wide", head, rows)


@pytest.mark.parametrize("columns", [1, 2, 3, 4, 7, 18])
def test_a_table_wider_than_a_page_is_split_and_nothing_is_lost(columns):
    table = wide(columns)
    parts = formats._split(table)
    assert [name for part in parts for name in part.head[1:]] == list(table.head[1:])
    for index, row in enumerate(table.rows):
        assert [e for part in parts for e in part.rows[index][1:]] == list(row[1:])
        assert all(part.rows[index][0] == row[0] for part in parts)
    assert (len(parts) > 1) == (columns > 2)
    numbers = range(1, 1 + len(parts))
    titles = ["wide"] if len(parts) == 1 else [f"wide ({n} of {len(parts)})" for n in numbers]
    assert [part.title for part in parts] == titles
    assert formats._split(wide(1, letters=300)) == [wide(1, letters=300)]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
def test_latex_compiles_from_anywhere(tmp_path, monkeypatch):
    """Included in an article that lies elsewhere, with its figures, and no line is too wide."""
    grid = synthetic.sweep(
        momenta={"constant": {}, "Demon": {"m": 1}}, budgets=(0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
    )
    synthetic.write(tmp_path / "sweep", grid, synthetic.accuracy)
    monkeypatch.chdir(tmp_path)
    found = results.read(pathlib.Path("sweep"))
    saved = figures.save(found, pathlib.Path("figures"))
    (tmp_path / "report.tex").write_text(formats.to_tex(tables.build(found, "REX"), saved))
    elsewhere = tmp_path / "paper"
    elsewhere.mkdir()
    (elsewhere / "paper.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs,graphicx}\extrafloats{200}"
        r"\begin{document}\input{../report}\end{document}"
    )
    made = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=elsewhere,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stdout[-2000:]
    assert (elsewhere / "paper.pdf").stat().st_size > 50_000
    too_wide = re.findall(r"Overfull \\hbox \(([\d.]+)pt", made.stdout)
    assert max(map(float, too_wide), default=0.0) < 20.0
