"""What the library needs is little; what a part of it needs is named where it is absent."""

import configparser
import pathlib
import subprocess
import sys

import pytest

import keras_sched as ks

ROOT = pathlib.Path(__file__).parents[1]
OPTIONAL = ("matplotlib", "rich", "pandas", "scipy", "sklearn", "ml_collections", "tensorboard")


def test_importing_the_library_imports_nothing_that_only_an_extra_brings():
    code = (
        f"import sys, keras, tensorflow; before = set(sys.modules); import keras_sched; "
        f"print([n for n in {OPTIONAL} if n in set(sys.modules) - before])"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert said.stdout.strip() == "[]", said.stderr


@pytest.mark.parametrize(
    ("module", "extra", "use"),
    [
        ("matplotlib.figure", "plot", lambda path: ks.plot(ks.REX(0.1))),
        ("rich.table", "trainers", lambda path: ks.precision.Cost(()).table()),
        (
            "tensorboard.compat.proto",
            "tensorboard",
            lambda path: ks.StepLogger(tensorboard=path),
        ),
    ],
    ids=["plot", "cost_table", "tensorboard"],
)
def test_what_is_absent_is_named_with_the_extra(module, extra, use, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, module, None)
    package = module.partition(".")[0]
    with pytest.raises(ImportError, match=rf"'{package}'.*keras_sched\[{extra}\]"):
        use(tmp_path)
    monkeypatch.undo()


def test_the_trainers_name_what_is_absent():
    code = "import sys; sys.modules['rich'] = None; sys.modules['scipy'] = None; import trainers"
    blocked = code.replace(
        "import trainers",
        "import importlib.util as u; f = u.find_spec; "
        "u.find_spec = lambda n: None if n in ('rich', 'scipy') else f(n); import trainers",
    )
    said = subprocess.run([sys.executable, "-c", blocked], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 1
    assert "not installed: rich, scipy" in said.stderr
    assert "[trainers]" in said.stderr


def test_only_the_library_and_its_dashboard_are_installed():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    included = setup["options.packages.find"]["include"].split()
    assert included == ["keras_sched*", "tensorboard_plugins*"]
    needed = {line.split(">")[0] for line in setup["options"]["install_requires"].split()}
    assert needed == {"absl-py", "keras", "numpy", "tensorflow"}


def test_the_lowest_versions_are_those_that_are_tested():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    options = setup["options"]["install_requires"], setup["options.extras_require"]["trainers"]
    needed = [line for text in options for line in text.splitlines() if line and line[0] != "#"]
    lines = (ROOT / "tests" / "lowest.txt").read_text().splitlines()
    lowest = dict(line.split("==") for line in lines if not line.startswith("#"))
    for each in needed:
        name, _, least = each.partition(">=")
        assert least, f"{name} has no lowest version"
        assert [int(n) for n in least.split(".")] == _without_zeros(lowest[name], least), name


def _without_zeros(version, like):
    """Return the numbers of a version, as many as another has if what is left out are zeros."""
    numbers, count = [int(n) for n in version.split(".")], len(like.split("."))
    return numbers[:count] if not any(numbers[count:]) else numbers
