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


@pytest.mark.parametrize("name", sorted(set(families.SMALLEST) - families.LONG))
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
    assert re.fullmatch(r"[\d.]+ m?s", rows["a step"])
    assert re.match(r"2 on 'val', [\d.]+ m?s each", rows["evaluations"])
    assert re.match(r"\d+:\d\d \(", rows["all of it"])
    assert re.match(r"[\d.]+ [MG]B at most", rows["host memory"])
    assert "Nothing was kept." in text
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_memory_cannot_hold_is_not_measured(monkeypatch):
    changes = {"precision_schedule": "none", "policies": [], "policy_lengths": []}
    monkeypatch.setattr(dry_run, "measure", lambda task: pytest.fail("it is measured"))
    monkeypatch.setattr(dry_run, "_free", lambda: 1_000)
    _, _, text = shown("vae", **changes)
    assert "No step was measured" in text and "--batch_size=" not in text
    monkeypatch.setattr(dry_run, "_free", lambda: 50_000)
    _, rows, text = shown("vae", **changes)
    assert "No step was measured" in text and "--batch_size=" in text
    assert "a step" not in rows and "parameters" in rows
    # Outputs of the layers in float32: inputs, encoder, mean and log variance, code, and decoder.
    task = families.family("vae").of(families.values("vae", **changes))
    batch = task.config.training.batch_size
    least = 4 * batch * (64 + 20 + 12 + 2 * 3 + 12 + 20 + 64)
    assert least <= dry_run._activations(task, task.network()) <= 3 * least
    monkeypatch.undo()
    assert 1e8 < dry_run._free() < sys.maxsize
    # An accelerator has memory of its own.
    with monkeypatch.context() as patch:
        patch.setattr(
            "tensorflow.config.list_physical_devices", lambda kind: [kind] * (kind == "GPU")
        )
        assert dry_run._free() == sys.maxsize
    assert "a step" in shown("vae", **changes)[1]


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0213, "21.3 ms"), (28.39, "28.4 s"), (8830.0, "2:27:10")]
)
def test_times_are_said_in_units_that_one_reads(seconds, said):
    assert dry_run._time(seconds) == said


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
