"""Every sweep is a grid whose every trial can be trained, and has the rows of its table."""

from __future__ import annotations

import importlib
import itertools
import pathlib
import re

import pandas
import pytest

import keras_sched as ks
from configs.sweeps.base import setting
from trainers import datasets
from trainers.methods import optimizers
from trainers.options.classification import Classification
from trainers.reports import published
from trainers.sweeps.grid import EVALUATIONS, Grid
from trainers.sweeps.programs import TASKS, with_rate

ROOT = pathlib.Path(__file__).parents[2]
NO_SWEEP = {"__init__", "base", "rows"}
NAMES = sorted(p.stem for p in (ROOT / "configs" / "sweeps").glob("*.py") if p.stem not in NO_SWEEP)
PARTS = {
    "demon_glue": ("stsb",),
    "rex_table_10": ("stsb",),
    "demon_table_3": ("Adam", "TINY-SGDM", "TINY-Adam"),
    "cpt_language": ("wikitext103",),
    "cyclic_precision_graphs": ("products",),
    "demon_table_4": ("Adam", "VAE-SGDM", "VAE-Adam", "CAPS-Adam", "PTB-SGDM", "PTB-Adam"),
}
SWEEPS = [(name, part) for name in NAMES for part in (None, *PARTS.get(name, ()))]
REX_ROWS = {"None", "Exp", "OneCycle", "Linear", "Step", "Cosine", "REX"}
DEMON_ROWS = {"Demon", "OneCycle momentum", "Cosine momentum", "Linear momentum", "Exp momentum"}


def module(name):
    return importlib.import_module(f"configs.sweeps.{name}")


def grid(name, part=None):
    return Grid.of(module(name).get_config(*([part] if part else [])))


def column(found, key):
    return {trial.coordinates[key] for trial in found.trials}


@pytest.mark.parametrize(("name", "part"), SWEEPS)
def test_every_trial_of_a_sweep_can_be_trained(name, part):
    found = grid(name, part)
    assert found.program in TASKS
    goals = {
        "detection": ("voc_map", "max"),
        "glue": ("score", "max"),
        "lm": ("perplexity", "min"),
        "vae": ("loss", "min"),
    }
    assert (found.goal, found.goal_mode) == goals.get(found.program, ("accuracy", "max"))
    # As those of the papers on precision; our own are judged at their end.
    is_theirs = {"CPT", "static"} & {p.split()[0] for p in column(found, "precision")}
    assert found.judged == ("best" if is_theirs and name != "advice_precision" else "final")
    module, _, attribute = TASKS[found.program].partition(":")
    family = getattr(importlib.import_module(module), attribute)
    seen = set()
    for trial in found.trials:
        assert (trial.config["learning_rate"] is None) == bool(trial.candidates)
        # Where rates follow validation, it is there while test data are measured.
        follows = found.program == "lm" and name != "lstm_text" and trial.phase != "tuning"
        measured = "both" if follows else "test"
        assert trial.config["split"] == ("validation" if trial.phase == "tuning" else measured)
        # Rates and seeds are numbers of a kind: one of each cell and phase is checked.
        if (trial.cell, trial.phase) not in seen:
            seen.add((trial.cell, trial.phase))
            task = family.of(with_rate(trial))
            task.check()
            uncounted = task.config.training.uncounted_epochs
            assert task.config.training.trained_epochs == trial.epochs + uncounted
            if follows:
                assert list(task.workload.evaluations) == ["val", "test"]
                continue
            assert task.goal == found.metric(trial.phase)
            assert list(task.workload.evaluations) == [EVALUATIONS[trial.phase]]


@pytest.mark.parametrize("name", NAMES)
def test_a_sweep_says_where_it_is_from_and_what_it_takes(name):
    for part in ("Source:", "Published:", "Expected:", "Command:", "Cost:"):
        assert part in module(name).__doc__
    assert f"configs/sweeps/{name}.py --results=" in module(name).__doc__


@pytest.mark.parametrize(
    ("name", "setting", "epochs"),
    [
        ("rex_table_4", "RN20-CIFAR10", {3, 15, 30, 75, 150, 300}),
        ("rex_table_5", "WRN-STL10", {2, 10, 20, 50, 100, 200}),
        ("rex_table_6", "VGG16-CIFAR100", {3, 15, 30, 75, 150, 300}),
        ("rex_table_7", "VAE-MNIST", {2, 10, 20, 50, 100, 200}),
        ("rex_table_8", "RN50-ImageNet", {1, 5}),
        ("rex_table_9", "YOLO-VOC", {1, 3, 5, 13, 25, 50}),
    ],
)
def test_the_tables_of_rex(name, setting, epochs):
    found = grid(name)
    assert found.source == f"REX table {name[-1]}"
    parts = {"SGDM": "sgd", "Adam": "adam"}
    if setting == "YOLO-VOC":
        del parts["SGDM"]
    assert column(found, "setting") == {f"{setting}-{part}" for part in parts}
    others = {"rex_table_8": {"None"}}.get(name, set())
    plateau = set() if name in ("rex_table_8", "rex_table_9") else {"Plateau"}
    assert column(found, "schedule") == REX_ROWS - others | plateau
    assert {round(trial.epochs) for trial in found.trials} == epochs
    optimizers = {(t.coordinates["setting"], t.config["optimizer"]) for t in found.trials}
    assert optimizers == {(f"{setting}-{part}", optimizer) for part, optimizer in parts.items()}


def test_the_sampling_rates_of_rex():
    found = grid("rex_table_2")
    assert found.protocol == "shared"
    assert len(column(found, "schedule")) == 21
    assert column(found, "learning_rate") == {0.1}
    assert {round(trial.epochs) for trial in found.trials} == {15, 75, 300}
    sampled = {
        trial.coordinates["schedule"]: (
            trial.config["sampled_every"],
            trial.config["sampled_at"],
        )
        for trial in found.trials
    }
    assert sampled["REX every iteration"] == ("", [])
    assert sampled["REX 1-100"] == ("0.01dur", [])
    assert sampled["Step 50-75"] == ("", ["0.5dur", "0.75dur"])
    assert len({str(value) for value in sampled.values()}) == 7


@pytest.mark.parametrize("part", ["SGDM", "Adam"])
def test_the_tables_of_demon(part):
    third, fourth = grid("demon_table_3", part), grid("demon_table_4", part)
    assert column(third, "setting") == {f"RN20-CIFAR10-{part}", f"WRN-STL10-{part}"}
    assert column(fourth, "setting") == {f"VGG16-CIFAR100-{part}"}
    rows = (REX_ROWS - {"REX"}) | DEMON_ROWS | {"Plateau"}
    assert column(fourth, "schedule") == rows
    assert column(third, "schedule") == rows | ({"AMSGrad", "AdamW"} if part == "Adam" else set())
    demon = {
        (t.config["schedule"], t.config["momentum_schedule"], t.config["optimizer"])
        for t in third.trials
        if t.coordinates["schedule"] == "Demon"
    }
    assert demon == {("constant", "demon", "sgd" if part == "SGDM" else "demon_adam")}
    for name in PARTS:
        with pytest.raises(ValueError, match=r"`part` must be one of .*Received: part='adam'"):
            module(name).get_config("adam")


def test_the_other_parts_of_the_tables_of_demon():
    for part, rows in (("TINY-SGDM", {"Step", "Demon"}), ("TINY-Adam", {"None", "Demon"})):
        tiny = grid("demon_table_3", part)
        assert column(tiny, "setting") == {f"RN56-TinyImageNet-{part[5:]}"}
        assert column(tiny, "schedule") == rows
    names = {"VAE-SGDM": "VAE-MNIST-SGDM", "VAE-Adam": "VAE-MNIST-Adam"}
    names |= {"PTB-SGDM": "PTB-LSTM-SGDM", "PTB-Adam": "PTB-LSTM-Adam"}
    for part, epochs in (
        ("VAE-SGDM", {50, 100}),
        ("VAE-Adam", {50, 100}),
        ("CAPS-Adam", {50, 100}),
        ("PTB-SGDM", {25, 39}),
        ("PTB-Adam", {25, 39}),
    ):
        found = grid("demon_table_4", part)
        assert column(found, "setting") == {names.get(part, "CAPS-FMNIST-Adam")}
        assert column(found, "schedule") == (REX_ROWS - {"REX"}) | DEMON_ROWS | {"Plateau"}
        assert {round(trial.epochs) for trial in found.trials} == epochs


def test_every_row_of_a_table_is_one_that_the_paper_prints():
    """So that a report sets the published numbers beside ours."""
    printed = {(v.paper, v.table, v.setting) for v in published.load()}
    for name, part in SWEEPS:
        found = grid(name, part)
        if found.source:
            paper, _, table = found.source.partition(" table ")
            settings = {(paper, table, setting) for setting in column(found, "setting")}
            assert settings <= printed, name


def test_the_tables_of_cyclic_precision():
    cifar, imagenet, ten = map(grid, ("cpt_cifar100", "cpt_imagenet", "cyclic_precision"))
    pairs = {"static 8/8", "CPT 3-8/8", "static 6/6", "CPT 3-6/6", "static 4/6", "CPT 3-4/6"}
    assert column(cifar, "precision") == pairs
    assert len(column(cifar, "setting")) == 5
    assert column(imagenet, "precision") == {"static 8/8", "CPT 4-8/8", "static 6/6", "CPT 4-6/6"}
    assert {
        t.config["cycles"] for t in imagenet.trials if t.config["precision_schedule"] == "cpt"
    } == {32}
    assert {t.config["quantized_layers"] for t in imagenet.trials} == {"cpt_imagenet"}
    assert len(column(ten, "precision")) == 12
    least = {(t.config["model"], t.config["bits_min"]) for t in ten.trials}
    assert least == {("resnet74_projected", 3), ("mobilenet_v2", 4)}
    voc = grid("cyclic_precision_voc")
    assert column(voc, "precision") == column(ten, "precision")
    assert {(t.config["model"], t.config["bits_min"]) for t in voc.trials} == {
        ("retinanet18", 5),
        ("retinanet101", 5),
    }


def test_the_sweep_on_digits_is_that_of_minutes():
    found = grid("digits_rex")
    assert len(found.trials) == 504
    assert found.threads == 1
    assert column(found, "setting") == {"CNN-Digits-SGDM"}
    assert column(found, "schedule") == REX_ROWS
    assert len({trial.cell for trial in found.trials}) == 42
    rates = sorted(column(found, "learning_rate") - {None})
    assert [round(b / a) for a, b in itertools.pairwise(rates)] == [3, 3]
    assert datasets.facts("digits8").num_train // found.trials[0].config["batch_size"] >= 10


def test_a_setting_refuses_to_change_what_is_not_there():
    from configs import base

    digits = base.setting(name="digits8", dataset="digits8", model="cnn2")
    assert setting(digits, [0.1], epochs=3)["config"]["epochs"] == 3
    with pytest.raises(ValueError, match=r"Received: epoch=3\. Did you mean 'epochs'\?"):
        setting(digits, [0.1], epoch=3)


def test_the_results_that_are_shown_are_those_of_the_sweep_on_digits():
    """A change of the configuration calls for another run of it."""
    table = pandas.read_parquet(ROOT / "docs" / "digits_rex" / "results.parquet")
    assert list(table["id"]) == [trial.id for trial in grid("digits_rex").trials]
    assert set(table["status"]) == {"finished"}
    measured = table[table["phase"] == "measurement"]
    mean = 100 * measured[measured["budget"] == 1.0].groupby("schedule")["value"].mean()
    text = (ROOT / "docs" / "digits_rex" / "report.md").read_text()
    for schedule, value in mean.items():
        last = rf"^\| {schedule} +\|.*\| +\**([\d.]+) ± [\d.]+\** \|$"
        (shown,) = re.findall(last, text, re.MULTILINE)
        assert float(shown) == pytest.approx(value, abs=0.005)


@pytest.mark.parametrize("name", ["OneCycle", "Step", "Exp"])
def test_rows_have_the_values_of_the_papers(name):
    """At a quarter, half and nine tenths of the run, from REX, section 4.1."""
    from configs import base
    from configs.sweeps.rows import RATES

    expected = {
        "OneCycle": [(0.55, 0.9), (1.0, 0.85), (0.28, 0.93)],
        "Step": [(1.0, 0.9), (0.1, 0.9), (0.01, 0.9)],
        "Exp": [(0.4724, 0.9), (0.2231, 0.9), (0.0672, 0.9)],
    }[name]
    changes = {"name": "digits8", "dataset": "digits8", "model": "cnn2", "learning_rate": 1.0}
    config = Classification.of({**base.setting(**changes).to_dict(), **RATES[name]})
    rate, momentum = optimizers.schedules(config.optimization, ks.Run(steps=100))
    for step, (eta, beta) in zip((25, 50, 90), expected, strict=True):
        assert float(rate(step)) == pytest.approx(eta, abs=1e-4)
        assert float(momentum(step)) == pytest.approx(beta, abs=1e-6)
