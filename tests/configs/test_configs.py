"""Every setting is whole, and says where it is from, what it takes and what came out."""

import importlib
import math
import pathlib
import re

import pytest

from tests.trainers.families import family

ROOT = pathlib.Path(__file__).parents[2]
CONFIGS = sorted(path.stem for path in (ROOT / "configs").glob("[a-z]*.py") if path.stem != "base")
SWEEPS = sorted(path.stem for path in (ROOT / "configs" / "sweeps").glob("[a-z]*.py"))
# What each program trains, and the settings that it takes without a flag.
FAMILIES = {
    "capsnet": "capsnet",
    "cifar": "classification",
    "detection": "detection",
    "glue": "glue",
    "graphs": "graphs",
    "imagenet": "classification",
    "lm": "lm",
    "ncsn": "ncsn",
    "stl10": "classification",
    "vae": "vae",
}
DEFAULTS = {
    "bert_topics",
    "caps_digits",
    "digits",
    "gcn_digits",
    "lstm_python",
    "ncsn_digits",
    "rn18_digits",
    "scattered_digits",
    "vae_digits",
    "wrn_digits",
}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_configuration_is_whole_and_says_where_it_is_from(name):
    module = importlib.import_module(f"configs.{name}")
    (program,) = re.findall(r"^Command: +python -m trainers\.(\w+)", module.__doc__, re.MULTILINE)
    task = family(FAMILIES[program]).of(module.get_config().to_dict())
    assert task.config.training.name == name
    for part in ("Source:", "Command:", "Cost:", "Published:"):
        assert part in module.__doc__
    assert "@" not in module.__doc__
    assert name in DEFAULTS or f"--config=configs/{name}.py" in module.__doc__


@pytest.mark.parametrize("name", [*CONFIGS, *(f"sweeps.{name}" for name in SWEEPS)])
def test_nothing_is_left_to_be_said(name):
    text = importlib.import_module(f"configs.{name}").__doc__
    assert not re.search(r"^\w+:\s+([A-Z]+\.?)?$", text, re.MULTILINE)


def in_the_table():
    """Return the row of each setting of a paper in docs/settings.md."""
    rows = (ROOT / "docs" / "settings.md").read_text().splitlines()
    return {
        name: row
        for row in rows
        if row.count("|") == 9
        for name in re.findall(r"`(\w+)`", row.split("|")[2])
        if name in CONFIGS
    }


def test_every_setting_of_a_paper_is_in_the_table():
    papers = [
        name
        for name in CONFIGS
        if "arXiv" in (text := importlib.import_module(f"configs.{name}").__doc__)
        and "reduced-scale" not in text
    ]
    assert set(in_the_table()) == set(papers)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(in_the_table()))
def test_the_table_has_the_parameters(name):
    module = importlib.import_module(f"configs.{name}")
    (program,) = re.findall(r"^Command: +python -m trainers\.(\w+)", module.__doc__, re.MULTILINE)
    network = family(FAMILIES[program]).of(module.get_config().to_dict()).network()
    count = sum(math.prod(each.shape) for each in network.trainable_variables)
    assert f"{count:,}" in in_the_table()[name].split("|")[4]


def test_settings_that_are_spoken_of_are_there():
    """In programs, options, documents and other settings."""
    places = [
        *(ROOT / "trainers").rglob("*.py"),
        *(ROOT / "configs").rglob("*.py"),
        *(ROOT / "docs").glob("*.md"),
        ROOT / "README.md",
    ]
    spoken = {
        (path.name, name)
        for path in places
        for name in re.findall(r"configs/((?:sweeps/)?[a-z]\w*\.py)", path.read_text())
    }
    assert len(spoken) > 50
    assert {each for each in spoken if not (ROOT / "configs" / each[1]).is_file()} == set()
