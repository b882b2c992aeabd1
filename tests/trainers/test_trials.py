"""Trials of image classification share data and trace, and are what they would be alone."""

from __future__ import annotations

import pytest

from configs.base import setting
from trainers.sweeps.trials import Classification, traced


def trial(seed=0, **changes):
    values = {
        "name": "trial",
        "dataset": "digits8",
        "model": "cnn3",
        "batch_size": 128,
        "epochs": 2,
        "learning_rate": 0.1,
        **changes,
    }
    return {**setting(**values).to_dict(), "seed": seed}


TRIALS = [
    trial(),
    trial(schedule="cosine", learning_rate=0.03, budget=0.5, seed=1),
    trial(schedule="constant", warmup="1ep", momentum_schedule="demon", split="validation"),
]


def stable(record):
    """Return what a record says of the training, and not of the process."""
    names = ("config", "status", "steps", "epochs", "final", "best", "parameters", "cost")
    return {name: record[name] for name in names}


def test_they_share_one_trace_and_have_the_records_they_have_alone(tmp_path):
    program = Classification()
    together = [program.run(config, tmp_path / f"a{i}") for i, config in enumerate(TRIALS)]
    compiled = program._compiled[1]
    assert compiled.model.train_function.experimental_get_tracing_count() == 1
    for index, config in enumerate(TRIALS[1:], start=1):
        alone = Classification().run(config, tmp_path / f"b{index}")
        assert stable(together[index]) == stable(alone)
    assert together[0]["final"]["val_accuracy"] > 0.2
    assert together[1]["steps"] * 2 == together[0]["steps"]


def test_what_is_in_the_trace_is_not_shared():
    same = {traced(config) for config in TRIALS}
    assert len(same) == 1
    others = [
        trial(batch_size=64),
        trial(optimizer="adam"),
        trial(precision_schedule="cr"),
        trial(policy="mixed_bfloat16:1.0"),
        trial(l2=1e-3),
        trial(schedule="plateau"),
        trial(gradient_bits=6),
    ]
    assert len({traced(config) for config in others} | same) == len(others) + 1


def test_a_bad_configuration_is_refused_before_any_directory(tmp_path):
    with pytest.raises(ValueError, match="`model` must be one of"):
        Classification.verify(trial(model="lenet"))
    with pytest.raises(TypeError, match="colour"):
        Classification.verify({**trial(), "colour": "red"})
    with pytest.raises(ValueError, match="`budget`"):
        Classification().run(trial(budget=-1.0), tmp_path / "logs")
    assert list(tmp_path.iterdir()) == []


def test_a_trial_is_measured_without_its_data(monkeypatch):
    """No image is read: the data set is one that would have to be downloaded."""
    monkeypatch.setattr("trainers.datasets.from_tfds", None)
    config = trial(dataset="mnist", epochs=10)
    plan = Classification.plan(config)
    assert plan == {"group": traced(config), "steps": 10 * (60_000 // 128), "evaluations": 10}
    held_out = Classification.plan({**config, "split": "validation"})
    assert held_out["steps"] == 10 * (54_000 // 128)
    found = Classification().measure(config)
    assert 0 < found["step"] < found["trace"]
    assert found["evaluation"] > 0
