"""The program that gives advice."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

import keras_sched as ks
from keras_sched.advice.methods import METHODS
from trainers import advise

ROOT = pathlib.Path(__file__).parents[2]
ASKED = ["--task=graph", "--optimizer=adamw", "--budget=0.1"]


@pytest.mark.parametrize("width", [40, 60, 80, 150])
def test_it_prints_the_answer(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    assert advise.main(ASKED) == 0
    said = capsys.readouterr().out
    answer = ks.recommend("graph", optimizer="adamw", budget=0.1)
    assert width < 80 or all(name in said for name in METHODS)
    assert "…" not in said
    # What is to be copied is in one line, whatever the width; and what the order is by is shown.
    assert f"    model.fit(..., callbacks=[{answer.rows[0].call}])\n" in said
    assert answer.assumed in said and "regret" in said
    assert ("tied:" in said) == (width > 118)


def test_it_shows_what_was_measured(capsys):
    assert advise.main([*ASKED, "--why=REX"]) == 0
    assert "by authors" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--budget=0"], "`budget` must be"),
        (["--task=cooking"], "`task` must be one of"),
        (["--why=SGDR"], "`method` must be one of"),
        (["--evidence=/none/a.csv"], "`evidence` must be files"),
        (["--setting=nowhere"], "`setting` must be one of"),
    ],
)
def test_what_cannot_be_ends_with_2(flags, said, capsys):
    assert advise.main([*ASKED, *flags]) == 2
    assert said in capsys.readouterr().err


def test_flags_are_read_before_anything_slow_is_loaded():
    code = "import sys; from trainers import advise; print('tensorflow' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_the_readme_shows_what_is_answered():
    text = (ROOT / "README.md").read_text()
    answer = str(ks.recommend("image classification", optimizer="sgd", budget=0.1))
    assert "\n".join(answer.splitlines()[:11]) + "\n..." in text
