"""`recommend`: what it answers, how soon, and what it refuses."""

from __future__ import annotations

import math
import pathlib
import time

import keras
import numpy as np
import pytest

import keras_sched as ks
from keras_sched.advice.evidence import FAMILIES, load, read, written
from keras_sched.advice.methods import METHODS
from keras_sched.advice.precision import advice as precision_advice
from keras_sched.advice.precision import cyclic
from tests.advice.made_up import row, rows
from trainers import advise
from trainers import evidence as maker

ROOT = pathlib.Path(__file__).parents[2]
ASKED = {"task": "image classification", "optimizer": "sgd", "budget": 0.1}


def test_the_schedule_is_ready_to_use():
    advice = ks.recommend(**ASKED)
    model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x = np.ones([8, 1], "float32")
    model.fit(x, x, verbose=0, callbacks=[ks.Scheduler(learning_rate=advice.best)])


def test_what_is_printed_runs_and_has_all_that_falls():
    """Of a method whose momentum falls the call has it, too."""
    for fear in (None, "open end", "divergence"):
        advice = ks.recommend("language model", optimizer="adam", fear=fear)
        for each in advice.rows:
            assert isinstance(eval(each.call, {"ks": ks}), ks.Scheduler)
            assert ("momentum=" in each.call) == each.method.startswith("Demon")
        assert advice.rows[0].call in str(advice)


def test_a_run_of_open_end_has_a_rate_that_needs_no_length():
    advice = ks.recommend("language model", optimizer="adam", fear="open end", learning_rate=1e-3)
    assert advice.best.is_resolved and len(set(ks.simulate(advice.best, n=50).tolist())) == 1
    assert advice.best(0) == pytest.approx(1e-3 * advice.rows[0].rate_factor, rel=5e-3)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("budget", [0.01, 1.0])
def test_an_answer_hangs_together(family, optimizer, budget):
    advice = ks.recommend(family, optimizer=optimizer, budget=budget)
    assert {each.method for each in advice.rows} == METHODS.keys()
    regrets = [each.regret for each in advice.rows]
    assert regrets == sorted(regrets) and regrets[0] >= 0.0
    assert sum(each.chance_best for each in advice.rows) == pytest.approx(1.0)
    for each in advice.rows:
        assert each.gain_range[0] <= each.gain <= each.gain_range[1]
        assert each.chance_best <= each.chance_tied <= 1.0
        assert (each.grade == "C") == (not each.evidence)
    base = next(each for each in advice.rows if each.method == "Cosine")
    assert base.gain == 0.0 and base.rate_factor == 1.0 and base.chance_better == 0.0
    known = {each.family for each in load() if each.precision == "float32"}
    assert any("No row" in note for note in advice.notes) == (advice.rows[0].grade != "A")
    assert family in known or all(each.grade != "A" for each in advice.rows)


def test_an_answer_takes_less_than_half_a_second():
    ks.recommend(**ASKED)
    ks.advice.recommend.__globals__["_effects"].cache_clear()
    began = time.process_time()
    ks.recommend(**ASKED, evidence=rows({"REX": 0.0, "Linear": 0.1}))
    assert time.process_time() - began < 2.0  # On a machine with much else to do.


def test_equal_questions_have_equal_answers():
    assert str(ks.recommend(**ASKED)) == str(ks.recommend(**ASKED))


def test_evidence_of_ones_own_counts():
    own = rows({"Exp": -0.5, "REX": 0.0, "Cosine": 0.0}, settings=12)
    for task, expected in (("graph", "Exp"), ("image classification", "REX")):
        before = ks.recommend(task, optimizer="sgd", budget=0.1)
        after = ks.recommend(task, optimizer="sgd", budget=0.1, evidence=own)
        place = {each.method: number for number, each in enumerate(after.rows)}
        assert before.rows[0].method != "Exp"
        if expected == "Exp":
            assert place["Exp"] == 0 and after.rows[0].grade == "A"


@pytest.mark.parametrize(
    ("fear", "methods"),
    [
        ("tuning", {"Cosine", "Linear"}),
        ("divergence", {"Warmup REX", "Warmup Linear"}),
        ("open end", {"WSD 20 %"}),
    ],
)
def test_what_is_feared_is_met_or_the_notes_say_that_it_is_not(fear, methods):
    advice = ks.recommend("language model", optimizer="adam", fear=fear)
    is_met = advice.rows[0].method in methods
    assert is_met != any(f"who fears {fear}" in note for note in advice.notes)
    assert is_met or fear != "open end"


def test_the_rate_is_that_of_the_baseline_times_the_factor():
    advice = ks.recommend(**ASKED, learning_rate=0.3, baseline="Linear")
    rex = next(each for each in advice.rows if each.method == "REX")
    expected = ks.rate_factor(ks.REX(1.0), ks.Linear(1.0), steps=10_000)
    assert rex.rate_factor == pytest.approx(expected)
    assert rex.schedule.resolve(100)(0) == pytest.approx(0.3 * expected, rel=5e-3)
    assert not any("No rate was tuned" in note for note in advice.notes)


def test_norms_rank_and_rising_ones_are_warned_of():
    falling = np.linspace(2.0, 1.0, 50)
    advice = ks.recommend(**ASKED, norms=falling)
    order = [each.method for each in advice.rows]
    bounds = [ks.bound(METHODS[name].effective(10_000), norms=falling).value for name in order]
    assert bounds == pytest.approx(sorted(bounds), abs=0.011)
    with pytest.warns(UserWarning, match=r"rise by a factor of 1\.88"):
        ks.recommend(**ASKED, norms=falling[::-1])


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (keras.layers.LSTM(2), "recurrent"),
        (keras.layers.Conv1D(2, 2), "nothing calls for"),
    ],
)
def test_the_model_is_looked_at(layer, said):
    model = keras.Sequential([keras.Input([4, 3]), layer])
    advice = ks.recommend("language model", optimizer="adam", model=model)
    assert any(said in note for note in advice.notes)


@pytest.mark.parametrize(
    "optimizer",
    ["sgd", "AdamW", keras.optimizers.SGD(0.1), keras.optimizers.Lion(0.1)],
)
def test_optimizers_by_name_and_by_hand(optimizer):
    assert ks.recommend("graph", optimizer=optimizer).rows


def test_why_names_the_evidence():
    advice = ks.recommend(**ASKED)
    assert "RN20-CIFAR10 (REX, table 4, by authors)" in advice.why("REX")
    assert "not measured" in advice.why("Warmup Linear") or advice.rows[0].settings
    with pytest.raises(ValueError, match="`method` must be one of"):
        advice.why("SGDR")


def test_cyclic_bits_are_compared_with_static_ones_of_equal_bits_backward():
    """Within a column; what is of another one, or of none, is no comparison."""
    static = row(precision="static 8/8", loss=10.0)
    found = cyclic(
        [
            static,
            row(precision="CR 3-8/8", loss=11.0),
            row(precision="ER 3-8/8", loss=9.0),
            row(precision="CPT 3-8/8", loss=12.0, source="another"),
            row(precision="CR 3-8/8", loss=12.0, budget=0.5),
            row(precision="CR 3-8/4", loss=12.0),
            row(precision="float32", loss=8.0),
            row(precision="static 6/6", loss=12.0),
            row(precision="static 8/8", setting="B", loss=5.0, measured_by="authors"),
            row(precision="CPT 3-8/8", setting="B", loss=4.0, measured_by="authors"),
        ]
    )
    assert found.keys() == {"authors", "here"}
    assert found["here"] == pytest.approx([math.log(1.1), math.log(0.9)])
    assert found["authors"] == pytest.approx([math.log(0.8)])


def test_who_measured_cyclic_bits_is_said():
    own = [row(precision="static 8/8"), row(precision="RR 3-8/8", loss=11.0)]
    asked = {**ASKED, "budget": 1.0}
    before, after = (ks.recommend(**asked, evidence=each).precision for each in ([], own))
    assert "by the method's authors" in before
    assert "here." not in before and "9.5 % higher in 1 comparison here" in after
    assert "nothing is known" in precision_advice(1.0, None, [])


def test_short_budgets_get_no_cyclic_bits():
    assert "no cyclic bits" in ks.recommend(**ASKED).precision
    assert "no cyclic bits" not in ks.recommend(**{**ASKED, "budget": 1.0}).precision


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"task": "cooking"}, ValueError, "`task` must be one of"),
        ({"optimizer": "best"}, ValueError, "`optimizer` must be one of"),
        ({"budget": 0.0}, ValueError, "`budget` must be a finite number in"),
        ({"budget": 2.0}, ValueError, "`budget` must be"),
        ({"steps": 1}, ValueError, "`steps` must be a whole number of at least 2"),
        ({"learning_rate": 0.0}, ValueError, "`learning_rate` must be"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be"),
        ({"fear": "spiders"}, ValueError, "`fear` must be one of"),
        ({"metric": "mean"}, ValueError, "`metric` must be one of"),
        ({"baseline": "SGDR"}, ValueError, "`baseline` must be one of"),
        ({"model": "resnet"}, TypeError, "`model` must be a Keras model"),
        ({"evidence": [3]}, TypeError, "`evidence` must have paths"),
        ({"evidence": "x.csv"}, TypeError, "`evidence` must be a sequence"),
        ({"evidence": ["/none/x.csv"]}, FileNotFoundError, "`evidence` must be files"),
        ({"norms": [1.0, -1.0]}, ValueError, "`norms` must be numbers above 0"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(changes, error, said):
    with pytest.raises(error, match=said):
        ks.recommend(**{**ASKED, **changes})


# --- the table ------------------------------------------------------------------------------------


def test_the_table_is_what_its_command_makes(tmp_path):
    """Every row can be traced: to a paper's table, or to a sweep whose results are in docs."""
    sweeps = sorted(map(str, (ROOT / "docs" / "advice").glob("*/results.parquet")))
    assert maker.main([*sweeps, "--published", f"--out={tmp_path / 'a.csv'}"]) == 0
    place = pathlib.Path(ks.advice.__file__).with_name("evidence.csv")
    assert (tmp_path / "a.csv").read_text() == place.read_text()
    assert {each.source for each in load() if each.measured_by == "here"} == {
        f"advice_{pathlib.Path(sweep).parent.name}" for sweep in sweeps
    }


def test_rows_come_back_from_a_file(tmp_path):
    given = [row(), row("Step", std=None, n=None)]
    (tmp_path / "a.csv").write_text(written(given))
    assert sorted(read(tmp_path / "a.csv"), key=str) == sorted(given, key=str)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "must have the columns"),
        ("", "must have the columns"),
        (written([row()]).replace(",10.0,", ",x,"), "Line 2 .* is no evidence"),
        (written([row()]).replace(",10.0,", ",nan,"), "Line 2 .* is no evidence"),
        (written([row()]).replace("graph", "cooking"), "`family` must be one of"),
        (written([row()]).replace(",10.0,", ",0.0,"), "must be a loss above 0"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, text, said):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=said):
        ks.recommend(**ASKED, evidence=[tmp_path / "a.csv"])


def test_evidence_is_not_written_over(tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text("mine")
    assert maker.main(["--published", f"--out={path}"]) == 2
    assert path.read_text() == "mine" and "must be a new file" in capsys.readouterr().err
    assert maker.main([f"--out={tmp_path / 'b.csv'}"]) == 2
    assert maker.main([str(tmp_path / "none"), f"--out={tmp_path / 'b.csv'}"]) == 2
    assert not (tmp_path / "b.csv").exists()


# --- the program ----------------------------------------------------------------------------------


def test_the_program_prints_the_answer(capsys):
    assert advise.main(["--task=graph", "--optimizer=adamw", "--budget=0.1"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in METHODS) and "Use " in said
    assert advise.main(["--task=graph", "--why=REX"]) == 0
    assert "by authors" in capsys.readouterr().out
    assert advise.main(["--task=graph", "--budget=0"]) == 2
    assert "`budget` must be" in capsys.readouterr().err


def test_the_readme_shows_what_is_answered():
    text = (ROOT / "README.md").read_text()
    answer = str(ks.recommend("image classification", optimizer="sgd", budget=0.1))
    assert "\n".join(answer.splitlines()[:9]) + "\n..." in text
