"""Schedules by name, and what the house keeps apart."""

from __future__ import annotations

import ast
import functools
import graphlib
import pathlib
import subprocess
import sys

import pytest

import keras_sched as ks
from keras_sched.schedules import Schedule

NEEDED = {
    "piecewise_constant": {"values": [1.0, 0.1], "boundaries": [5]},
    "refined": {"start": 0.1, "profile": [1.0, 0.0]},
    "piecewise_linear": {"points": [(0, 1.0), (5, 0.0)]},
    "inverse_sqrt": {"start": 0.1, "timescale": 5},
    "inverse_power": {"start": 0.1, "timescale": 5},
    "noam": {"dim": 8, "warmup_length": 5},
    "power": {"peak": 0.1, "batch_size": 8, "tokens_per_step": 8},
    "step": {"start": 0.1, "every": 5},
    "cosine_restarts": {"start": 0.1, "period": 5},
    "polynomial_restarts": {"start": 0.1, "period": 5},
    "one_cycle": {"peak": 0.1},
    "one_cycle_triangle": {"peak": 0.1},
    "one_cycle_momentum": {},
    "wsd": {"peak": 0.1},
    "constant": {"value": 0.1},
    "triangular": {"start": 0.01, "peak": 0.1, "half_period": 5},
    "triangular2": {"start": 0.01, "peak": 0.1, "half_period": 5},
    "exp_range": {"start": 0.01, "peak": 0.1, "half_period": 5},
}


@pytest.mark.parametrize("name", ks.names())
def test_every_name_gives_a_schedule_and_refuses_unknown_options(name):
    options = dict(NEEDED.get(name, {"start": 0.1}))
    schedule = ks.get(name, **options)
    assert isinstance(schedule, Schedule)
    with pytest.raises(ValueError, match="Unknown options"):
        ks.get(name, **options, nonsense=1)
    if options:
        first = options.pop(next(iter(options)))
        assert ks.get(name, first, **options) == schedule
        with pytest.raises(TypeError, match="positional argument"):
            ks.get(name, first, 5, **options)


def test_every_public_name_is_there():
    for name in ks.__all__:
        assert hasattr(ks, name), name


# --- which module uses which ----------------------------------------------------------------------

ROOT = pathlib.Path(ks.__file__).parents[1]
# Houses, and in each the floors: a room uses those of its own floor and of the floors below.
LIBRARY, TRAINERS = "keras_sched", "trainers"
FLOORS = {
    LIBRARY: (
        ("_arrays", "_validate", "_backend", "_extras", "_files"),
        ("_patch", "_training", "_waiting"),
        ("profiles", "duration"),
        ("schedules",),
        ("_reading", "_placed", "_driver", "plotting"),
        ("theory",),
        ("hyperparameters",),
        ("_use", "_demon_adam", "_scheduled", "optimizers", "precision"),
        ("callbacks",),
        ("range_tests",),
        ("advice",),
        ("",),  # the package itself
    ),
    TRAINERS: (
        ("",),  # the package itself, which only sets what TensorFlow reads
        ("models", "datasets", "options"),
        ("loop",),
        ("methods",),
        ("tasks",),
        ("sweeps", "command", "dry_run"),
        ("reports",),
        (
            "capsnet",
            "cifar",
            "detection",
            "graphs",
            "imagenet",
            "glue",
            "lm",
            "ncsn",
            "stl10",
            "vae",
            "sweep",
            "report",
            "evidence",
            "advise",
            "fetch",
        ),  # programs
    ),
}
# What no module of a house may use.
FOREIGN = {
    LIBRARY: ("trainers", "configs", "tests", "benchmarks"),
    TRAINERS: ("configs", "tests", "benchmarks"),
}
FLOOR = {
    (house, room): floor
    for house, floors in FLOORS.items()
    for floor, rooms in enumerate(floors)
    for room in rooms
}


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {name_of(path): path for house in FLOORS for path in (ROOT / house).rglob("*.py")}


def used_by(name, text, is_package=False):
    """Return what a module imports, wherever in it and in whichever form: pairs (module, name)."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = name.split(".")
            package = parts[: len(parts) - node.level + is_package] if node.level else []
            module = ".".join([*package, *filter(None, [node.module])])
            found += [(module, alias.name) for alias in node.names]
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", getattr(node.func, "id", "")).endswith(
                ("import_module", "__import__")
            )
            and isinstance(node.args[0], ast.Constant)
        ):
            found.append((node.args[0].value, None))
    return [
        (f"{module}.{alias}", None) if f"{module}.{alias}" in MODULES else (module, alias)
        for module, alias in found
    ]


@functools.cache
def graph():
    return {
        name: used_by(name, path.read_text(), path.name == "__init__.py")
        for name, path in MODULES.items()
    }


def room_of(module):
    return ([*module.split("."), ""])[1]


def check_room(name, uses):
    """A room knows those below it, and nothing but its own has what is private in a package."""
    house = name.split(".")[0]
    for module, alias in uses:
        top = module.split(".")[0]
        assert top not in FOREIGN[house], (name, module)
        if top != house:
            continue
        floors = [FLOOR[house, room_of(each)] for each in (module, name)]
        assert floors[0] <= floors[1], f"{name} uses {module}"
        for depth, part in enumerate(parts := module.split(".")):
            if part.startswith("_") and depth > 1:
                assert name.split(".")[:depth] == parts[:depth], (
                    f"{module} is private, not {name}'s"
                )
        assert not (alias or "").startswith("_"), f"{name} uses {alias}, private in {module}"


@pytest.mark.parametrize("name", MODULES)
def test_arrows_run_one_way(name):
    check_room(name, graph()[name])


def test_no_module_uses_itself_in_a_circle():
    uses = {
        name: {module for module, _ in found if module in MODULES and module != name}
        for name, found in graph().items()
    }
    list(graphlib.TopologicalSorter(uses).static_order())


@pytest.mark.parametrize(
    "line",
    [
        "import trainers",
        "import numpy, trainers.sweeps.trials",
        "from trainers.sweeps import trials",
        "def f():\n    from trainers.sweeps.trials import main",
        "if TYPE_CHECKING:\n    import trainers",
        "import keras_sched.callbacks",
        "import keras_sched.callbacks.scheduler as s",
        "from keras_sched import callbacks",
        "from keras_sched.callbacks import Scheduler",
        "def f():\n    import keras_sched.callbacks",
        "from .. import callbacks",
        "from ..callbacks import Scheduler",
        "from ..callbacks.scheduler import Scheduler",
        "importlib.import_module('keras_sched.callbacks')",
        "__import__('trainers')",
        "import keras_sched",
        "from keras_sched.duration import _TEXT",
    ],
)
def test_an_arrow_back_is_found_in_any_form(line):
    """The negative control: `keras_sched.schedules.base` must not contain any of these."""
    name = "keras_sched.schedules.base"
    with pytest.raises(AssertionError):
        check_room(name, used_by(name, line))


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("trainers.options.fields", "from trainers.loop import files"),
        ("trainers.loop.compiled", "from trainers.tasks.classification import ImageClassification"),
        ("trainers.methods.bits", "import trainers.tasks.configured"),
        ("trainers.tasks.configured", "def f():\n    from trainers.sweeps.grid import Grid"),
        ("trainers.sweeps.grid", "from trainers.reports import results"),
        ("trainers.reports.tables", "from tests.trainers import toy"),
        ("trainers.loop.task", "from trainers.options.budget import trained_epochs"),
    ],
)
def test_an_arrow_up_is_found_in_the_house_of_the_trainers(name, line):
    if name == "trainers.loop.task":  # The control of the control: this one runs down.
        check_room(name, used_by(name, line))
        return
    with pytest.raises(AssertionError):
        check_room(name, used_by(name, line))


def test_what_drives_sweeps_and_reports_imports_nothing_heavy():
    """Nor does what reads configurations: a program answers --help and a grid is read at once."""
    light = "trainers.sweep, trainers.report, trainers.options.flags, trainers.loop.records"
    code = f"import sys, {light}; print({{'tensorflow', 'keras'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stdout + done.stderr


@pytest.mark.parametrize(
    "line",
    ["import numpy", "from keras_sched import _validate", "from ._fields import leaves"],
)
def test_an_arrow_down_is_none_back(line):
    name = "keras_sched.schedules.base"
    check_room(name, used_by(name, line))


def test_what_is_private_in_a_package_is_found_elsewhere():
    uses = used_by("keras_sched.plotting", "from keras_sched.schedules._written import label")
    with pytest.raises(AssertionError, match="is private"):
        check_room("keras_sched.plotting", uses)
