"""The documented forms pass a type checker and run; what is wrong does neither."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import keras
import pytest

from tests.typing import documented

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
REFUSED = HERE / "refused.py"


def errors_of(path):
    """Return the lines of a file that mypy finds fault with."""
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", str(path)], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    found = re.findall(rf"^\S*{path.name}:(\d+): error", ran.stdout, re.MULTILINE)
    return sorted({int(line) for line in found})


def test_the_documented_forms_pass_and_the_others_do_not():
    marked = [
        n for n, line in enumerate(REFUSED.read_text().splitlines(), 1) if "# refused" in line
    ]
    assert errors_of(REFUSED) == marked
    assert errors_of(HERE / "documented.py") == []


def test_the_documented_forms_run():
    schedules = documented.schedules()
    assert len(schedules) > 50
    assert documented.numbers() == pytest.approx([100, 30, 0.1, 0.0974359, 0.1, 0.1])
    layers = [keras.layers.Dense(2, name=name) for name in ("stem", "dense", "head")]
    model = keras.Sequential([keras.Input((4,)), *layers], name="mine")
    assert len(documented.optimizers()) == 7
    assert len(documented.callbacks()) == 7
    assert documented.quantized(model)


CONSTRUCTORS = [
    line.split("  #")[0]
    for line in REFUSED.read_text().splitlines()
    if line.startswith("ks.") and "# refused" in line
]


@pytest.mark.parametrize("line", CONSTRUCTORS)
def test_what_a_type_checker_refuses_is_refused_as_it_runs(line):
    with pytest.raises((TypeError, ValueError, AttributeError)):
        exec(line, {"ks": documented.ks})
