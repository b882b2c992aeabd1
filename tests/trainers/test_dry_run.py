"""`--dry_run` shows the whole configuration and what it will cost, and leaves nothing."""

import io
import os
import pathlib
import re
import subprocess
import sys

import pytest
import rich.console

from tests.trainers import families
from trainers import dry_run

ROOT = pathlib.Path(__file__).parents[2]


def shown(name, **changes):
    """Return what is shown of the smallest setting of a family, by the names in its tables."""
    said = io.StringIO()
    task = families.family(name).of(families.values(name, **changes))
    dry_run.show(task, rich.console.Console(file=said, width=200))
    rows = re.findall(r"^│ (\S.*?) +│ (.*?) +│$", said.getvalue(), re.MULTILINE)
    return task, dict(rows), said.getvalue()


@pytest.mark.parametrize("name", families.SMALLEST)
def test_it_shows_what_a_training_is_and_takes(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task, rows, text = shown(name, budget=0.5, policies=[], policy_lengths=[])
    assert rows["budget"] == "0.5 *" and rows["seed"] == "0"
    assert {*task.config.flat()} <= rows.keys()
    model = task.network()
    trained = sum(int(v.shape.num_elements()) for v in model.trainable_variables)
    others = model.count_params() - trained
    # Statistics of quantizers are among the others.
    found = re.fullmatch(r"([\d,]+) trained, ([\d,]+) others", rows["parameters"])
    assert int(found[1].replace(",", "")) == trained
    assert int(found[2].replace(",", "")) >= others
    assert rows["steps"] == f"{task.run.total:,}: 2 epochs of {task.steps_per_epoch}"
    assert re.fullmatch(r"[\d.]+ ms", rows["a step"])
    assert re.match(r"2 on 'val', [\d.e-]+ s each", rows["evaluations"])
    assert re.match(r"\d+:\d\d \(", rows["all of it"])
    assert re.match(r"[\d.]+ [MG]B at most", rows["host memory"])
    assert "Nothing was kept." in text
    assert list(tmp_path.iterdir()) == []


def test_multiplications_are_counted_by_hand():
    _, rows, _ = shown("vae", precision_schedule="none", policies=[], policy_lengths=[])
    layers = 64 * 20 + 20 * 12 + 2 * 12 * 2 + 2 * 12 + 12 * 20 + 20 * 64
    assert rows["MACs of an example, forward"] == f"{layers:,}"
    # Two moments of Adam for each weight, in float32, and its two counters.
    weights = layers + 20 + 12 + 2 * 2 + 12 + 20 + 64
    count = float(rows["weights and optimizer"].removesuffix(" kB"))
    assert count == pytest.approx(3 * 4 * weights / 1000, rel=0.01)


def test_a_program_without_its_data_says_what_they_are_and_writes_nothing(tmp_path):
    flags = ["--config=configs/vae_mnist.py", "--dry_run", "--train_share=0.01"]
    done = subprocess.run(
        [sys.executable, "-m", "trainers.vae", *flags, f"--logdir={tmp_path / 'runs'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "KERAS_SCHED_DATA_DIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert "python -m trainers.fetch mnist" in done.stdout
    assert "1,068,820 trained" in done.stdout
    assert list(tmp_path.iterdir()) == []
