"""Directories of sweeps become tables: what is complete, what failed, what is the paper's."""

import csv
import dataclasses
import io
import json
import math
import statistics

import pytest

from configs.sweeps import base
from tests.reports import synthetic
from tests.reports.reading import by_hand, field, read, said, small
from trainers.loop.files import digest
from trainers.reports import document, formats, published, results, tables
from trainers.sweeps.grid import Grid


def signed(text, **changed):
    """Return a result with something changed, and the checksum of what it has then."""
    found = {**json.loads(text), **changed}
    timing = found.pop("timing")
    found.pop("checksum")
    return json.dumps({**found, "checksum": digest(found), "timing": timing})


HAND = {
    ("Linear", 0.05): [0.50, 0.52, 0.54],
    ("Linear", 1.0): [0.90, 0.90, 0.90],
    ("REX", 0.05): [0.60, 0.61, 0.65],
    ("REX", 1.0): [0.90, 0.90, 0.90],
}


def test_a_cell_is_the_mean_and_deviation_over_n_minus_1_and_the_best_is_marked(tmp_path):
    report = tables.build(read(tmp_path, small(), by_hand(HAND)))
    linear = field(report, "Schedules", "A", "Linear", "5 %")
    rex = field(report, "Schedules", "A", "REX", "5 %")
    assert (linear.text, linear.is_best) == ("52.00 ± 2.00", False)
    assert rex.text == f"62.00 ± {100 * statistics.stdev([0.60, 0.61, 0.65]):.2f}"
    assert rex.text == "62.00 ± 2.65"
    assert rex.is_best
    # Equal ones are both the best.
    assert field(report, "Schedules", "A", "Linear", "100 %").is_best
    assert field(report, "Schedules", "A", "REX", "100 %").is_best
    assert report.title == "Sweep made_up"


def test_a_low_loss_is_the_best_one_and_is_no_share(tmp_path):
    values = {key: [100 * value for value in values] for key, values in HAND.items()}
    grid = small(goal="loss", goal_mode="min")
    found = read(tmp_path, grid, by_hand(values))
    report = tables.build(found)
    assert field(report, "Schedules", "A", "Linear", "5 %").is_best
    assert not field(report, "Schedules", "A", "REX", "5 %").is_best
    assert found.measure.label == "test loss"
    assert "lower is better" in said(report)


def test_a_budget_of_less_than_an_epoch_is_told_of(tmp_path):
    grid = synthetic.sweep({"A": 10}, ("Linear", "REX"), budgets=(0.01, 0.5))
    text = said(tables.build(read(tmp_path, grid, synthetic.accuracy)))
    assert "1 % of 10 epochs is 1, as epochs are trained whole" in text
    assert "50 % of" not in text


def test_chosen_rates_are_shown_and_those_at_an_edge_have_a_star(tmp_path):
    rates = [0.01, 0.1, 1.0]
    configs = {"A": {"config": {"epochs": 10}, "learning_rates": rates}}
    keyed = {name: {"schedule": name} for name in ("Linear", "REX")}
    facts = {"settings": configs, "schedules": keyed, "budgets": (0.1, 1.0), "seeds": (0,)}
    grid = Grid.of(base.sweep("chosen", tuning_seeds=(100,), **facts))
    found = read(tmp_path, grid, lambda t: 0.5 if t.phase == "measurement" else None)
    report = tables.build(found)
    assert field(report, "Learning rates", "A", "REX", "10 %").text == "0.1"
    chosen = dataclasses.replace(found.cells[0], rate=1.0)
    assert tables._rate(chosen).text == "1 *"
    assert tables._rate(dataclasses.replace(chosen, rate=0.01)).text == "0.01 *"
    assert tables._rate(dataclasses.replace(chosen, rate=math.nan)).text == "\N{EN DASH}"
    shared = tables.build(read(tmp_path / "shared", small(), by_hand(HAND)))
    assert "Learning rates" not in [section.title for section in shared.sections]


def test_one_seed_has_no_deviation_and_no_interval(tmp_path):
    report = tables.build(read(tmp_path, small(seeds=(0,)), by_hand(HAND)), "Linear")
    assert field(report, "Schedules", "A", "REX", "5 %").text == "60.00"
    assert field(report, "How much", "A", "REX", "5 %").text == "+10.00"
    assert not field(report, "How much", "A", "REX", "5 %").is_best
    assert "One seed: no standard deviation" in said(report)


def test_what_is_missing_is_shown_and_its_column_neither_marked_nor_ranked(tmp_path):
    values = {**HAND, ("REX", 0.05): [0.60, None, 0.65], ("Linear", 1.0): [None] * 3}
    found = read(tmp_path, small(), by_hand(values))
    report = tables.build(found)
    assert field(report, "Schedules", "A", "REX", "5 %").text == "62.50 ± 3.54 (2/3)"
    assert field(report, "Schedules", "A", "Linear", "100 %").text == "\N{EN DASH} (0/3)"
    marked = [
        e for s in report.sections[:1] for t in s.tables for r in t.rows for e in r if e.is_best
    ]
    assert marked == []
    assert found.columns == []
    assert report.title == "Sweep made_up: INCOMPLETE, 8 of 12 trials of measurement"
    title = report.sections[0].tables[0].title
    assert title.endswith("(incomplete: 4 of 12 missing)")
    assert "nothing can be ranked" in said(report)


def test_what_failed_is_counted_shown_and_behind_all_that_did_not(tmp_path):
    """The mean of the two that finished would be the best of its column."""
    values = {
        **HAND,
        ("REX", 0.05): [0.99, "diverged", 0.99],
        ("REX", 1.0): ["stalled", "diverged", "diverged"],
    }
    found = read(tmp_path, small(), by_hand(values))
    report = tables.build(found)
    text = field(report, "Schedules", "A", "REX", "5 %").text
    assert text == "99.00 ± 0.00 (2/3, 1 diverged)"
    text = field(report, "Schedules", "A", "REX", "100 %").text
    assert text == "\N{EN DASH} (0/3, 2 diverged, 1 stalled)"
    assert field(report, "Schedules", "A", "Linear", "5 %").is_best
    assert field(report, "Ranks", "How", "REX", "all: Top-1").text == "0/2 (0 %)"
    assert field(report, "Ranks", "How", "REX", "all: Top-3").text == "0/2 (0 %)"
    assert field(report, "Ranks", "How", "REX", "average rank").text == "2.00"
    assert "3 diverged and 1 stalled of 12 measured trainings" in said(report)
    assert found.is_complete


def test_low_and_high_budgets_are_counted_apart_and_together(tmp_path):
    report = tables.build(read(tmp_path, small(), by_hand(HAND)))
    row = {
        head: field(report, "Ranks", "How", "Linear", head).text
        for head in ("average rank", "low: Top-1", "low: Top-3", "high: Top-1", "all: Top-1")
    }
    assert row == {
        "average rank": "1.75",  # Second at 5 %, first together with REX at 100 %.
        "low: Top-1": "0/1 (0 %)",
        "low: Top-3": "1/1 (100 %)",
        "high: Top-1": "1/1 (100 %)",
        "all: Top-1": "1/2 (50 %)",
    }


def test_an_unknown_baseline_is_refused_with_what_there_is(tmp_path):
    found = read(tmp_path, small(), by_hand(HAND))
    with pytest.raises(ValueError, match=r"must be one of Linear, REX\. Received: baseline='SGDR'"):
        tables.build(found, "SGDR")


def test_the_papers_numbers_are_beside_settings_that_are_the_papers(tmp_path):
    report = tables.build(read(tmp_path, synthetic.sweep(), synthetic.accuracy))
    section = next(s for s in report.sections if s.title == "Beside REX table 4")
    table = next(t for t in section.tables if t.title.startswith("RN20-CIFAR10-SGDM"))
    index = next(i for i, row in enumerate(table.rows) if row[0].text == "REX")
    here, paper, apart = (table.rows[index + i] for i in range(3))
    assert [e.text for e in paper[1:3]] == ["paper", "72.06 ± 0.46"]  # Printed: 27.94 ± .46 error.
    assert [e.text for e in paper][-1] == "92.48 ± 0.05"
    mean = float(here[2].text.split()[0])
    assert apart[2].text.replace("\N{MINUS SIGN}", "-") == f"{mean - 72.06:+.2f}"
    # The paper has no "None" with SGDM, and one with Adam.
    adam = next(t for t in section.tables if t.title.startswith("RN20-CIFAR10-Adam"))
    assert "None" not in {row[0].text for row in table.rows}
    assert "None" in {row[0].text for row in adam.rows}
    assert field(report, "Ranks", "How", "REX", "paper, all: Top-1").text == "70 %"
    assert field(report, "Ranks", "How", "Plateau", "all: Top-1").text == "as Step"


def test_a_shorter_training_or_another_setting_has_no_paper_beside_it(tmp_path):
    grid = synthetic.sweep({"RN20-CIFAR10-SGDM": 30, "digits": 300})
    report = tables.build(read(tmp_path, grid, synthetic.accuracy))
    section = next(s for s in report.sections if s.title.startswith("Beside"))
    assert section.tables == []
    text = "\n".join(section.notes)
    assert "was trained for 1 epoch where the paper trained for 3" in text
    assert "digits is no setting of REX table 4" in text
    rows = csv.DictReader(io.StringIO(formats.to_csv(results.read(tmp_path / "sweep"))))
    assert {row["paper_mean"] for row in rows} == {""}


def test_another_measure_than_the_papers_has_no_paper_beside_it(tmp_path):
    grid = synthetic.sweep(goal="loss", goal_mode="min")
    report = tables.build(read(tmp_path, grid, lambda trial: 1.5 - synthetic.accuracy(trial)))
    section = next(s for s in report.sections if s.title.startswith("Beside"))
    assert section.tables == []
    assert "test error %, which does not compare with test loss" in "\n".join(section.notes)


def test_demon_is_found_by_its_momentum_and_losses_as_they_are(tmp_path):
    grid = synthetic.sweep(
        {"VAE-MNIST-Adam": 200},
        ("None", "Linear"),
        momenta={"constant": {}, "Demon": {"m": 1}},
        budgets=(0.25, 0.5),
        goal="loss",
        goal_mode="min",
        source="Demon table 4",
    )
    found = read(tmp_path, grid, lambda trial: 140 + trial.coordinates["seed"])
    assert found.methods == ["None", "None + Demon", "Linear", "Linear + Demon"]
    section = next(s for s in tables.build(found).sections if s.title.startswith("Beside"))
    paper = {
        section.tables[0].rows[i][0].text: [e.text for e in section.tables[0].rows[i + 1][2:]]
        for i in range(0, len(section.tables[0].rows), 3)
    }
    assert paper == {
        "None": ["136.28", "134.64"],
        "None + Demon": ["134.35 ± 0.24", "133.98 ± 0.40"],
        "Linear": ["134.71", "134.00"],
    }


def test_files_that_are_no_results_are_named_and_not_used(tmp_path):
    found = read(tmp_path, small(), by_hand(HAND))
    place = tmp_path / "sweep" / "results"
    ids = [trial.id for trial in found.grid.trials]
    texts = {each: (place / f"{each}.json").read_text() for each in ids}
    (place / f"{ids[0]}.json").write_text(texts[ids[0]][:50])  # Torn.
    (place / f"{ids[1]}.json").write_text("")
    (place / f"{ids[2]}.json").write_text(texts[ids[3]])  # Another's.
    (place / f"{ids[4]}.json").write_text(signed(texts[ids[4]], value=None))
    (place / f"{ids[5]}.json").write_text(signed(texts[ids[5]], status="?"))
    (place / f"{ids[6]}.json").unlink()
    (place / f"{ids[6]}.json").mkdir()
    (place / "0123456789.json").write_text(texts[ids[0]])  # Of no trial.
    (place / "notes.txt").write_text("mine")
    (place / ".hidden").write_text("")
    (place / "list.json").write_text("[]")
    before = {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()}
    again = results.read(tmp_path / "sweep")
    assert again.recorded == {"measurement": 6}
    assert {said.split()[0] for said in again.strange} == {
        *(f"{each}.json" for each in [*ids[:3], *ids[4:7]]),
        *("0123456789.json", "notes.txt", "list.json"),
    }
    report = said(tables.build(again))
    assert "9 files among the results not used" in report
    assert f"{ids[4]}.json cannot be read: `value` must be a number" in report
    assert f"{ids[6]}.json cannot be read: it is no file" in report
    after = {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()}
    assert after == before


def test_trials_that_only_tune_are_counted_and_not_shown(tmp_path):
    grid = small(protocol="tuned", tuning_seeds=(100,))
    found = read(tmp_path, grid, lambda t: None if t.phase == "tuning" else 0.5)
    assert found.recorded == {"measurement": 12, "tuning": 0}
    assert not found.is_complete
    assert {cell.n for cell in found.cells} == {3}
    assert "0 of 4 trials of tuning" in tables.build(found).title
    # There was one rate, so that none was chosen.
    assert "Each cell had one learning rate: none was chosen." in tables.build(found).notes[0]


def test_names_say_what_differs_and_no_two_methods_have_the_same(tmp_path):
    grid = small(
        momenta={"constant": {}, "none": {"m": 0}, "Demon": {"m": 1}},
        precisions={"float32": {}, "CR": {"p": 1}},
    )
    found = read(tmp_path, grid, lambda trial: 0.5)
    assert len(found.methods) == 2 * 3 * 2
    assert "REX + Demon + CR" in found.methods
    assert "REX + Demon" in found.methods
    alone = read(tmp_path / "b", small(schedules=("REX",)), lambda trial: 0.5)
    assert alone.methods == ["REX"]
    assert [s.title for s in tables.build(alone).sections] == ["Schedules and budgets"]


def test_the_table_for_programs_has_a_line_for_every_cell(tmp_path):
    values = {**HAND, ("REX", 0.05): [0.60, "diverged", None]}
    found = read(tmp_path, small(), by_hand(values), cost=lambda trial: 0.25)
    rows = list(csv.DictReader(io.StringIO(formats.to_csv(found))))
    assert len(rows) == 4
    rex = next(row for row in rows if row["method"] == "REX" and row["budget"] == "0.05")
    expected = {"mean": "0.6", "std": "", "n": "1", "seeds": "3", "diverged": "1", "missing": "1"}
    assert {key: rex[key] for key in expected} == expected
    assert (rex["place"], rex["rank"], rex["relative_to_fp32"]) == ("", "", "0.25")
    full = next(row for row in rows if row["method"] == "REX" and row["budget"] == "1.0")
    assert (full["place"], full["rank"], float(full["std"])) == ("1", "1.5", 0.0)


# --- what a metric says of itself -----------------------------------------------------------------


def test_a_metric_is_shown_as_its_task_says_whatever_it_is_called(tmp_path):
    """An accuracy is a share in per cent because it is declared as one, not by its name."""
    shown = {
        "accuracy": ("test accuracy (%)", "50.00"),
        "map": ("test map (%)", "50.00"),
        "elbo": ("test generalization loss", "0.5000"),
        "loss": ("test loss", "0.5000"),
    }
    for goal, (label, text) in shown.items():
        mode = "min" if goal in ("elbo", "loss") else "max"
        grid = small(goal=goal, goal_mode=mode, seeds=(0,))
        found = read(tmp_path / goal, grid, lambda trial: 0.5)
        assert found.measure.label == label
        report = tables.build(found)
        assert field(report, "Schedules", "A", "REX", "5 %").text == text
        assert f"Judged by {label}, at the end of training" in said(report)


def test_what_is_judged_at_its_best_epoch_says_so(tmp_path):
    report = tables.build(read(tmp_path, small(judged="best"), by_hand(HAND)))
    assert "Judged by test accuracy (%), at its best epoch" in said(report)


def value(metric, direction, mean, std=None):
    """Return a printed number of which only what was measured matters."""
    (first, *_) = published.load()
    return dataclasses.replace(first, metric=metric, direction=direction, mean=mean, std=std)


ACCURACY = results.Measure("accuracy", "max", True, "error")
MAP = results.Measure("map", "max", True, "mAP")
LOSS = results.Measure("loss", "min", False)


@pytest.mark.parametrize(
    ("measure", "printed", "expected"),
    [
        (ACCURACY, value("test error %", "min", 7.5, 0.25), (92.5, 0.25)),
        (ACCURACY, value("top-1 accuracy %", "max", 69.3), (69.3, None)),
        (ACCURACY, value("top-1 accuracy", "max", 0.7, 0.01), (70.0, 1.0)),
        (ACCURACY, value("accuracy % above static", "max", 0.5), None),
        (ACCURACY, value("perplexity", "min", 30.0), None),
        (results.Measure("accuracy", "max", True), value("test error %", "min", 7.5), None),
        (results.Measure("error", "min", True), value("test error %", "min", 7.5), (7.5, None)),
        (MAP, value("mAP", "max", 84.0), (84.0, None)),
        (MAP, value("AP", "max", 0.38), None),
        (results.Measure("ap", "max", True, "AP"), value("AP", "max", 0.38), (38.0, None)),
        (results.Measure("ap", "max", True, "AP"), value("mAP", "max", 84.0), None),
        (LOSS, value("generalization loss", "min", 134.0, 0.25), (134.0, 0.25)),
        (LOSS, value("test error %", "min", 7.5), None),
        (LOSS, value("loss", "max", 7.5), None),
    ],
)
def test_a_printed_number_is_beside_ours_if_it_is_the_same_thing(measure, printed, expected):
    found = tables.comparable(printed, measure)
    assert found == (None if expected is None else pytest.approx(expected))


def test_errors_are_told_to_be_turned_only_where_they_are(tmp_path):
    turned = "What the paper printed as error is shown as accuracy: 100 - error."
    report = tables.build(read(tmp_path, synthetic.sweep(), synthetic.accuracy))
    assert turned in said(report)
    grid = synthetic.sweep(
        {"VAE-MNIST-Adam": 200},
        ("Linear", "REX"),
        budgets=(1.0,),
        goal="elbo",
        goal_mode="min",
        source="REX table 7",
    )
    other = tables.build(read(tmp_path / "loss", grid, lambda trial: 134.0))
    section = next(s for s in other.sections if s.title.startswith("Beside"))
    assert section.tables and "100 -" not in said(other)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        *((0.004, 2, "0.00"), (-0.004, 2, "0.00"), (-0.0, 2, "0.00"), (-0.2, 0, "0")),
        *((0.006, 2, "+0.01"), (-0.006, 2, "-0.01"), (12.0, 0, "+12"), (-10.0, 1, "-10.0")),
    ],
)
def test_a_difference_has_a_sign_unless_it_rounds_to_nothing(value, digits, text):
    assert document.signed(value, digits) == text.replace("-", "\N{MINUS SIGN}")


def test_costs_are_those_of_each_precision_on_average(tmp_path):
    costs = {("CR", 0.05): [0.04, 0.06], ("CR", 1.0): [0.03, 0.05], "float32": 1.0}

    def cost(trial):
        place = trial.coordinates
        if place["precision"] == "float32":
            return 1.0
        return costs["CR", place["budget"]][place["schedule"] == "REX"]

    grid = small(precisions={"float32": {}, "CR": {"p": 1}})
    found = tables.build(read(tmp_path, grid, lambda trial: 0.5, cost))
    row = {
        name: field(found, "What does precision cost?", "A: cost (%)", name, "5 %").text
        for name in ("float32", "CR")
    }
    assert row == {"float32": "100.0", "CR": "5.0"}
    assert field(found, "What does precision cost?", "A: cost (%)", "CR", "100 %").text == "4.0"
    plain = tables.build(read(tmp_path / "b", small(), lambda trial: 0.5, lambda trial: 1.0))
    assert "What does precision cost?" not in [section.title for section in plain.sections]


def test_learning_rates_of_two_are_at_no_edge(tmp_path):
    for count, sentence in ((2, "were chosen from two"), (3, "lie at an edge")):
        rates = [0.1 * 3**k for k in range(count)]
        configs = {"A": {"config": {"epochs": 10}, "learning_rates": rates}}
        grid = small(protocol="tuned", tuning_seeds=(100,), configs=configs)
        report = tables.build(read(tmp_path / str(count), grid, lambda trial: 0.5))
        notes = "\n".join(report.notes)
        assert sentence in notes
        assert ("lie at an edge" in notes) != ("were chosen from two" in notes)
        assert "with one other seed" in notes
