"""`python -m trainers.report` in all its formats, its figures, and what it refuses."""

import html.parser
import itertools
import json
import re
import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest

from tensorboard_plugins.schedules.columns import average_ranks
from tests.reports import synthetic
from trainers import report
from trainers.reports import figures, formats, looks, panels, results


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """A sweep with percent signs, underscores and pipes in its names, and a failed training."""
    grid = synthetic.sweep(
        {"A_1 & 50% <b>|x|": 10, "RN20-CIFAR10-SGDM": 300},
        ("Linear", "REX", "my_own"),
        budgets=(0.05, 0.25, 1.0),
        seeds=(0, 1),
    )

    def outcome(trial):
        place = trial.coordinates
        failed = place["schedule"] == "Linear" and place["budget"] == 1.0 and place["seed"] == 0
        return "diverged" if failed else synthetic.accuracy(trial)

    return synthetic.write(tmp_path_factory.mktemp("report") / "sweep", grid, outcome)


def written(capsys, *arguments):
    assert report.main([str(argument) for argument in arguments]) == 0
    found = capsys.readouterr()
    assert found.err == ""
    return found.out


def test_markdown_has_tables_whose_rows_are_as_wide_as_their_heads(sweep, capsys):
    text = written(capsys, sweep, "--format=md")
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) >= 5
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1
        assert re.fullmatch(r"\|(:-+\|)+(-+:\|)+", table.splitlines()[1])
    assert r"A\_1 & 50% \<b\>\|x\|" in text
    assert "**" in text


def test_latex_is_balanced_and_escapes_what_latex_reads(sweep, capsys):
    text = written(capsys, sweep, "--format=tex")
    assert text.count(r"\begin{") == text.count(r"\end{")
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == text.count(r"\begin{tabular}")
    assert r"A\_1 \& 50\% $<$b$>$\textbar{}x\textbar{}" in text
    assert text.isascii()
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert not re.search(r"(?<!\\)[%#]", body)
    assert len(re.findall(r"(?<!\\)\{", body)) == len(re.findall(r"(?<!\\)\}", body))
    for rows in re.findall(r"\\begin\{tabular\}\{(.*?)\}\n(.*?)\\end", text, re.DOTALL):
        for line in rows[1].splitlines():
            if line.endswith(r"\\"):
                assert len(re.findall(r"(?<!\\)&", line)) == len(rows[0]) - 1


class _Page(html.parser.HTMLParser):
    """Checks that elements are closed, and collects what a page refers to."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.references = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in ("meta", "br", "link", "img"):
            self.open.append(tag)
        found = dict(attrs)
        for name in ("src", "href", "xlink:href"):
            if name in found:
                self.references.append(found[name])

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)
        self.references += [v for k, v in attrs if k in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_page_contains_its_figures_and_refers_to_nothing_outside(sweep, capsys):
    text = written(capsys, sweep, "--format=html")
    page = _Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert page.seen.count("svg") == page.seen.count("figure") == 3
    assert all(reference.startswith("#") for reference in page.references)
    assert "A_1 &amp; 50% &lt;b&gt;|x|" in text
    assert "<b>" not in text


def test_a_terminal_gets_all_tables_and_no_name_is_taken_for_markup(sweep, capsys):
    text = written(capsys, sweep)
    assert "A_1 & 50% <b>|x|: test accuracy (%) by share of 10 epochs" in text
    assert "1 diverged" in text
    assert "How often among the best" in text
    assert " •" in text  # In a file there are no colours to mark what is best.


def test_figures_are_saved_as_png_and_svg_and_named(sweep, capsys, tmp_path):
    text = written(capsys, sweep, "--format=md", f"--figures={tmp_path / 'new' / 'figures'}")
    names = {path.name for path in (tmp_path / "new" / "figures").iterdir()}
    kinds = ("budget", "behind", "ranks")
    assert names == {f"{kind}.{end}" for kind in kinds for end in ("png", "svg", "pdf")}
    for kind in kinds:
        path = tmp_path / "new" / "figures" / f"{kind}.png"
        assert f"]({path.as_posix()})" in text
        image = matplotlib.image.imread(path)
        assert image.shape[1] > 600
        assert image[..., :3].std() > 0.02  # Not one colour.


def test_ranks_over_settings_are_drawn_where_they_can_tell_something(tmp_path):
    """Of two settings Nemenyi's test can find nothing among eight methods; of six it can."""
    for count in (2, 6):
        grid = synthetic.sweep({f"S{index}": 100 for index in range(count)}, source="")
        found = results.read(synthetic.write(tmp_path / str(count), grid, synthetic.accuracy))
        drawn = {name: caption for name, caption, _ in figures.draw(found)}
        assert ("critical_difference" in drawn) == (count == 6)
    assert drawn["critical_difference"].startswith("Average ranks over 6 settings.")


def test_results_that_are_not_used_are_named_where_there_are_no_others(tmp_path, capsys):
    grid = synthetic.sweep({"A": 100}, ("REX",), source="", seeds=(0,), budgets=(1.0,))
    directory = synthetic.write(tmp_path / "sweep", grid, lambda trial: None)
    assert report.main([str(directory)]) == 2
    said = capsys.readouterr().err
    assert "has no results to report yet: 0 of 1 measurements. Where it stands says" in said
    assert said.strip().endswith(f"python -m trainers.sweep --results={directory} --status")
    (directory / "results" / f"{grid.trials[0].id}.json").write_text("torn")
    assert report.main([str(directory)]) == 2
    assert f"; not used: {grid.trials[0].id}.json cannot be read" in capsys.readouterr().err


def test_several_directories_are_one_report(tmp_path, capsys):
    """The parts of a sweep say what the whole does, but for what they do not have."""
    names = [f"S{index}" for index in range(4)]
    small = {"source": "", "schedules": ("Linear", "Cosine", "REX"), "budgets": (0.1, 1.0)}
    whole = synthetic.sweep(dict.fromkeys(names, 100), **small)
    synthetic.write(tmp_path / "whole", whole, accuracy_of_place)
    for part, mine in (("a", names[:1]), ("b", names[1:])):
        grid = synthetic.sweep(dict.fromkeys(mine, 100), **small)
        synthetic.write(tmp_path / part, grid, accuracy_of_place)
    directories = [str(tmp_path / name) for name in ("a", "b")]
    together = [written(capsys, *directories, f"--format={form}") for form in ("csv", "md")]
    alone = [written(capsys, tmp_path / "whole", f"--format={form}") for form in ("csv", "md")]
    assert together == alone
    assert report.main([directories[0], directories[0]]) == 2
    assert "no cell in common" in capsys.readouterr().err
    synthetic.write(
        tmp_path / "c",
        synthetic.sweep({"S9": 100}, goal="loss", goal_mode="min", source=""),
        lambda trial: 1.0,
    )
    assert report.main([directories[0], str(tmp_path / "c")]) == 2
    assert "the same `goal` to be one report. Received: 'accuracy'" in capsys.readouterr().err


def test_ranks_are_over_the_columns_that_have_all_methods(tmp_path, capsys):
    """A directory that lacks a method leaves ranks, tests and marks as they are without it."""
    small = {"source": "", "budgets": (0.1, 1.0)}
    methods = ("Linear", "Cosine", "REX")
    synthetic.write(
        tmp_path / "a",
        synthetic.sweep({"S0": 100, "S1": 100}, schedules=methods, **small),
        accuracy_of_place,
    )
    synthetic.write(
        tmp_path / "b",
        synthetic.sweep({"S2": 100}, schedules=methods[:2], **small),
        accuracy_of_place,
    )
    directories = [tmp_path / name for name in ("a", "b")]
    alone, both = results.read(directories[0]), results.read(*directories)
    assert len(both.columns) == 6 and both.ranked_columns == alone.columns == alone.ranked_columns
    assert average_ranks(both.ranked_columns) == average_ranks(alone.columns)
    text = written(capsys, *directories, "--format=md")
    said = "2 of 6 complete columns lack methods (S2): ranks and tests are over the others."
    assert text.count(said) == 2
    assert "The best of each complete column that has all methods is marked." in text
    (table,) = re.findall(r"\*\*S2: test accuracy.*?\n\n(.*?)\n\n", text, re.DOTALL)
    assert "**" not in table
    third = results.read(directories[1])
    assert third.lacking == "" and third.ranked_columns == third.columns
    # The negative control: of two that share no method there are no full columns.
    synthetic.write(
        tmp_path / "c", synthetic.sweep({"S3": 100}, schedules=("REX",), **small), accuracy_of_place
    )
    apart = results.read(tmp_path / "b", tmp_path / "c")
    assert "ranks are over unlike columns, and there is no Friedman test" in apart.lacking


def accuracy_of_place(trial):
    """Return an accuracy by all that makes a trial but the name of its sweep."""
    place = trial.coordinates
    key = json.dumps([place["setting"], place["schedule"], place["budget"], place["seed"]])
    return 0.9 + 0.01 * np.random.default_rng(list(key.encode())).normal()


def test_precision_sweeps_show_cost_against_quality(tmp_path):
    synthetic.main(str(tmp_path / "sweep"), "precision")
    found = results.read(tmp_path / "sweep")
    drawn = {name: figure for name, _, figure in figures.draw(found)}
    assert list(drawn) == ["seeds", "cost"]
    axes = drawn["cost"].axes
    assert [ax.get_title(loc="left") for ax in axes] == found.settings
    shown = {
        round(float(line.get_xdata()[0]), 3) for line in axes[0].lines if len(line.get_xdata()) == 1
    }
    assert shown == {round(100 * cell.cost, 3) for cell in found.cells}


@pytest.mark.parametrize("failed", ["all", "a setting", "a column"])
def test_what_failed_altogether_is_reported_and_drawn(failed, tmp_path, capsys):
    def outcome(trial):
        place = trial.coordinates
        is_lost = {
            "all": True,
            "a setting": place["setting"] == synthetic.PAPER[0],
            "a column": place["budget"] == 0.05,
        }[failed]
        return "diverged" if is_lost else synthetic.accuracy(trial)

    directory = synthetic.write(tmp_path / "sweep", synthetic.sweep(), outcome)
    for kind in formats.FORMATS:
        assert "diverged" in written(capsys, directory, f"--format={kind}")
    written(capsys, directory, f"--figures={tmp_path / 'figures'}")
    assert (tmp_path / "figures" / "budget.png").exists()


def test_a_front_has_what_nothing_beats_in_both():
    points = [(1, 5.0), (2, 4.0), (3, 7.0), (3, 6.0), (4, 7.0)]
    assert panels._front(points, "max") == [(1, 5.0), (3, 7.0)]
    assert panels._front(points, "min") == [(1, 5.0), (2, 4.0)]


def test_bars_join_the_longest_runs_within_a_critical_difference():
    assert figures._cliques([1.0, 1.5, 2.2, 4.0], 1.0) == [(0, 1), (1, 2)]
    assert figures._cliques([1.0, 1.5, 1.9], 1.0) == [(0, 2)]
    assert figures._cliques([1.0, 3.0], 1.0) == []


def test_a_schedule_has_one_colour_in_all_sweeps_and_no_two_share_one(tmp_path):
    few = synthetic.sweep(schedules=("REX", "Linear"), budgets=(1.0,), seeds=(0,))
    all_of_them = synthetic.sweep(budgets=(1.0,), seeds=(0,))
    found = [
        looks.looks(results.read(synthetic.write(tmp_path / name, grid, synthetic.accuracy)))
        for name, grid in (("few", few), ("all", all_of_them))
    ]
    assert {name: found[1][name].colour for name in found[0]} == {
        name: look.colour for name, look in found[0].items()
    }
    assert len({look.colour for look in found[1].values()}) == len(found[1])


def test_labels_are_spread_and_stay_in_order():
    found = looks.spread({"a": 1.0, "b": 1.0, "c": 1.1, "d": 5.0}, gap=0.5)
    assert list(found) == ["a", "b", "c", "d"]
    values = list(found.values())
    assert all(b - a > 0.499 for a, b in itertools.pairwise(values))
    assert values[3] == 5.0


def test_the_same_results_give_the_same_report(sweep, capsys):
    pages = [written(capsys, sweep, "--format=html") for _ in range(2)]
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "which is no directory"),
        (lambda path: path.mkdir(), "where there is no grid.jsonl"),
        (lambda path: path.write_text(""), "which is no directory"),
        (lambda path: (path.mkdir(), (path / "grid.jsonl").write_text("{}")), "or is damaged"),
        (
            lambda path: synthetic.write(path, synthetic.sweep(), lambda trial: None),
            "no results to report yet: 0 of 288 measurements",
        ),
    ],
)
def test_what_is_no_sweep_with_results_is_refused_with_the_reason(tmp_path, capsys, make, message):
    make(tmp_path / "x")
    assert report.main([str(tmp_path / "x")]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert message in found.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format=pdf"], "invalid choice: 'pdf' (choose from"),
        (["--colour=red"], "unrecognized arguments: --colour=red"),
    ],
)
def test_unknown_options_are_refused(sweep, capsys, arguments, message):
    with pytest.raises(SystemExit) as ended:
        report.main([str(sweep), *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_baseline_and_a_place_for_figures_must_exist(sweep, capsys, tmp_path):
    assert report.main([str(sweep), "--baseline=SGDR"]) == 2
    assert "must be one of Linear, REX, my_own" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert report.main([str(sweep), f"--figures={tmp_path / 'file'}"]) == 2
    assert "file" in capsys.readouterr().err


def test_the_program_runs_without_tensorflow(sweep):
    code = (
        "import sys; from trainers import report; code = report.main(sys.argv[1:]);"
        "sys.exit(code or 10 * ('tensorflow' in sys.modules) or 10 * ('keras' in sys.modules))"
    )
    run = [sys.executable, "-c", code, str(sweep), "--format=csv"]
    ended = subprocess.run(run, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(ended.stdout.splitlines()) == 1 + 2 * 3 * 3
