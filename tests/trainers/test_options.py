"""What a configuration may say: checked where it is made, and reachable from files and flags."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import statistics
import sys

import numpy as np
import pytest
from absl import app, flags
from hypothesis import HealthCheck, given, settings
from ml_collections import ConfigDict

from configs.base import setting
from tests.trainers import configurations
from tests.trainers.configurations import BASE, LEAVES, refused, seconds
from tests.trainers.forks import Fork
from trainers.methods import networks
from trainers.options import fields, optimization
from trainers.options.budget import trained_epochs
from trainers.options.classification import Classification
from trainers.options.fields import Options, option
from trainers.options.flags import config_dict_of
from trainers.options.optimization import Optimization
from trainers.options.precision import Precision
from trainers.tasks.classification import ImageClassification

DRAWN = {
    "database": None,
    "deadline": None,
    "derandomize": True,
    "report_multiple_bugs": False,
    "suppress_health_check": list(HealthCheck),
}
QUICK = settings(max_examples=1_000, **DRAWN)
LONG = settings(max_examples=10_000, **DRAWN)


# --- what is refused ------------------------------------------------------------------------------


def refusals(task, examples, law=refused):
    """Judge random configurations by the law; return those that are refused."""
    found = []

    @examples
    @given(configurations.anything())
    def judge(changes):
        if law(task, changes) is not None:
            found.append(changes)

    judge()
    return found


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """An empty directory to work in, in which nothing may be made."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not list(tmp_path.iterdir())


def check_refusals(examples):
    found = refusals(ImageClassification, examples)
    assert len(found) > 0.8 * examples.max_examples
    took = [seconds(ImageClassification, changes) for changes in found[:1_000]]
    assert statistics.median(took) < 0.01
    assert max(took) < 0.1


def test_what_is_wrong_is_refused_by_its_name_soon_and_before_there_is_anything(empty):
    check_refusals(QUICK)


@pytest.mark.slow
def test_ten_thousand_wrong_configurations(empty):
    check_refusals(LONG)


class Mute(ImageClassification):
    """A task whose errors do not say what is wrong."""

    @classmethod
    def of(cls, values, data=None):
        try:
            return super().of(values, data)
        except ValueError as error:
            raise ValueError("The configuration is wrong. Received: another") from error


class Raw(ImageClassification):
    """A task that lets errors of another kind through."""

    @classmethod
    def of(cls, values, data=None):
        try:
            return super().of(values, data)
        except ValueError as error:
            raise KeyError("epochs") from error


@pytest.mark.parametrize(("task", "found"), [(Mute, AssertionError), (Raw, KeyError)])
def test_a_task_whose_errors_are_no_help_is_found_out(task, found):
    """A negative control of the law."""
    with pytest.raises(found):
        refusals(task, settings(max_examples=20, **DRAWN))


def test_what_is_right_is_made_and_comes_back_from_json(empty):
    @settings(max_examples=100, **DRAWN)
    @given(configurations.right())
    def judge(values):
        error = refused(ImageClassification, values)
        assert error is None, error
        flat = Classification.of(values).flat()
        assert {name: flat[name] for name in values} == values

    judge()


WRONG = {
    "epochs": (0, -1, 1.0, "1", True, None, [1], 10**400, np.float64(1.0)),
    "budget": (0.0, 100.1, float("nan"), float("inf"), "1", 10**400, None, 1j),
    "seed": (2**32, -1, 0.5),
    "steps_per_checkpoint": (0.5, -1),
    "momentum": (0.9999999, 1.0, -0.1),
    "name": ("../x", "", ".", "a/b", "a" * 65, "é", "a\n", 1),
    "split": ("train", "", None),
    "learning_rate": (0.0, -1.0, 1e-50, 1e7, float("nan"), "0.1"),
    "l2": (1e-50, -1e-4, float("inf")),
    "evaluation_bits": ("8", "least", 1, 17, 8.0, True, None),
    "schedule": (1, None, "\0", "\ud800", "a" * 1001, b"rex"),
    "sampled_at": ("0.5dur", [1], [None], {"a": 1}, ["a"] * 1001),
    "schedule_options": ([], "a", {1: 2}, {"a": float("nan")}, {"a": {1}}, {"a": 2**60}),
    "frozen": ("abc", [1], ["\0"], ["\ud800"], ["a" * 1001]),
    "rate_factors": ({"a": 0}, {"a": True}, {"a": "1"}, {"a": 1e7}, {"a": None}),
    "gradient_bits": (1, -1, 17),
    "initial_weights": ("weights", "x.h5", "nothing.weights.h5", "a" * 900 + ".keras"),
    "precision_options": ({"cycles": 3},),
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_each_check_refuses(name, value):
    error = refused(ImageClassification, {name: value})
    assert error is not None
    assert f"`{name}`" in str(error)


SKIPPED = {
    "range": (fields.Leaf, "_is_within", lambda self, value: True, "budget"),
    "text": (fields, "_text", str, "frozen"),
    "items": (fields, "_plain", lambda value, *rest: value, "schedule_options"),
    "several": (Optimization, "check", lambda self: None, "optimizer"),
    "factors": (optimization, "_LEAST", -1.0, "rate_factors"),
    "file": (networks, "check", lambda options: None, "initial_weights"),
    "bits": (Precision, "check", lambda self: None, "gradient_bits"),
}


@pytest.mark.parametrize("check", SKIPPED)
def test_a_check_that_is_skipped_is_missed(check, monkeypatch):
    """The negative control of what each check refuses: without it some of that is accepted."""
    where, attribute, instead, name = SKIPPED[check]
    wrong = [{name: value} for value in WRONG.get(name, ("adamw",))]
    assert all(refused(ImageClassification, changes) for changes in wrong)
    monkeypatch.setattr(where, attribute, instead)

    def is_missed(changes):
        try:
            error = refused(ImageClassification, changes)
        except Exception:  # noqa: BLE001  # Accepted, and then no use; or the law's own.
            return True
        return error is None or f"`{name}`" not in str(error)

    assert any(is_missed(changes) for changes in wrong)


@pytest.mark.parametrize("name", ["schedule", "momentum", "precision"])
def test_a_value_that_is_longer_than_anybody_writes_is_not_shown_in_full(name):
    long = [[[[0]] * 10] * 10] * 10
    named = (
        {} if name == "schedule" else {f"{name}_schedule": {"momentum": "demon"}.get(name, "cr")}
    )
    with pytest.raises(ValueError, match=f"`{name}") as caught:
        ImageClassification.of({**BASE, **named, f"{name}_options": {"length": long}})
    assert len(str(caught.value)) < 2500


def test_numbers_of_numpy_are_numbers():
    made = Classification.of({**BASE, "epochs": np.int64(3), "budget": np.float32(0.5)})
    assert type(made.training.epochs) is int and type(made.training.budget) is float
    assert made == Classification.of({**BASE, "epochs": 3, "budget": 0.5})


def test_options_that_do_not_go_together_are_refused():
    for changes in (
        {"optimizer": "adamw"},
        {"clip_norm": 1.0, "clip_value": 1.0},
        {"clip_norm": 1.0, "rate_factors": {"dense/*": 0.1}},
        {"sampled_every": "1ep", "sampled_at": ["1ep"]},
        {"policies": ["float32", "float32"]},
        {"policy_lengths": ["1ep"]},
        {"policies": ["float32"], "policy_lengths": ["0.5dur", "0.5dur"]},
    ):
        assert refused(ImageClassification, changes) is not None, changes


def test_an_unknown_or_missing_option_is_named():
    with pytest.raises(ValueError, match=r"`batch_sise` is no option.*Did you mean 'batch_size'"):
        Classification.of({**BASE, "batch_sise": 3})
    with pytest.raises(ValueError, match="`name` must be given"):
        Classification.of({})
    with pytest.raises(ValueError, match="must be a mapping"):
        Classification.of([("name", "a")])
    with pytest.raises(ValueError, match="`training` must be a Training"):
        Classification(training=3)


def test_two_options_of_one_name_are_no_configuration():
    @dataclasses.dataclass(frozen=True)
    class One(Options):
        size: int = option(1, "Size.")

    @dataclasses.dataclass(frozen=True)
    class Two(Options):
        one: One = dataclasses.field(default_factory=One)
        size: int = option(1, "Size.")

    globals()["One"] = One  # Where the names of types are looked up.
    try:
        with pytest.raises(TypeError, match="Two options of Two have the name 'size'"):
            Two.leaves()
    finally:
        del globals()["One"]


# --- files and flags ------------------------------------------------------------------------------


def say(*given):
    """Be a program that says its configuration, and the kinds of its flags."""
    sys.argv = ["trainers.cifar", *given]
    from trainers import cifar

    def main(_):
        print(json.dumps(cifar.program.flags.configuration().flat()))  # noqa: T201

    app.run(main, flags_parser=cifar.program.flags.parse)


def train(*given):
    """Be the program itself."""
    sys.argv = ["trainers.cifar", *given]
    from trainers import cifar

    cifar.program.main()


def said(*given):
    status, text = Fork(say, *given).wait()
    assert status == 0, text
    return json.loads(text.splitlines()[-1])


CHANGED = {
    float: ("0.25", 0.25),
    int: ("7", 7),
    str: ("text", "text"),
    tuple: ("('a', 'b*')", ["a", "b*"]),
    dict: ("{'a/*': 0.5}", {"a/*": 0.5}),
}
SPECIAL = {
    "initial_weights": ("a.keras", "a.keras"),
    "evaluation_bits": ("9", 9),
    "policy_lengths": ("('0.5dur',)", ["0.5dur"]),
    "precision_schedule": ("cr", "cr"),
}


def changed(name):
    """A text of another value of an option, and the value."""
    leaf = LEAVES[name]
    if name in SPECIAL:
        return SPECIAL[name]
    if leaf.declared.choices:
        other = next(choice for choice in leaf.declared.choices if choice != leaf.default)
        return other, other
    return CHANGED[leaf.kinds[0]]


# They refuse one another.
APART = {"clip_value", "sampled_every", "rate_factors"}


@pytest.mark.parametrize("names", [set(LEAVES) - APART, APART], ids=["most", "others"])
def test_every_option_can_be_changed_on_the_command_line(names):
    texts = {name: changed(name) for name in names}
    found = said(*(f"--config.{name}={text}" for name, (text, _) in texts.items()))
    assert {name: found[name] for name in names} == {n: v for n, (_, v) in texts.items()}


def test_options_with_a_flag_have_one_that_goes_before_the_file():
    from trainers import cifar

    flagged = {name for name, leaf in LEAVES.items() if leaf.is_flag}
    assert {"epochs", "budget", "seed", "optimizer", "sampled_at", "policies"} <= flagged
    known = flags.FLAGS.get_flags_for_module(sys.modules["trainers.options.flags"])
    assert flagged == {flag.name for flag in known} & set(LEAVES)
    assert set(cifar.program.flags._flags) == flagged
    for name in flagged:
        leaf, flag = LEAVES[name], flags.FLAGS[name]
        assert flag.help.endswith(leaf.help) and leaf.declared.help.endswith(".")
        assert flag.value is None, name
    texts = {name: changed(name) for name in flagged - APART}
    texts |= {n: ("a,b", ["a", "b"]) for n in texts if LEAVES[n].kinds == (tuple,)}
    texts["policy_lengths"] = ("a", ["a"])
    given = [f"--{name}={text}" for name, (text, _) in texts.items()]
    found = said("--config.epochs=3", *given)
    assert {name: found[name] for name in texts} == {n: v for n, (_, v) in texts.items()}


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ([], "digits"),
        (["--dataset=digits", "--budget=0.5"], "digits"),
        (["--dataset=digits8", "--model=cnn2"], "digits-digits8-cnn2"),
        (["--dataset=/home/me/my photos", "--model=resnet8"], "digits-my_photos"),
        (["--dataset=digits8", "--config.name=mine"], "mine"),
        ([f"--dataset={'x' * 99}"], f"digits-{'x' * 57}"),
    ],
)
def test_the_name_says_which_data_and_network_flags_have_changed(given, name):
    assert said(*given)["name"] == name


@pytest.mark.parametrize(("text", "value"), [("max", "max"), ("current", "current"), ("8", 8)])
def test_bits_of_evaluation_are_a_text_or_a_number(text, value):
    assert said(f"--config.evaluation_bits={text}")["evaluation_bits"] == value
    assert setting(**BASE, evaluation_bits=value).evaluation_bits == value


def test_a_file_says_what_it_changes_and_nothing_else():
    config = setting(**BASE, evaluation_bits=8, sampled_at=["1ep"], schedule_options={"d": 0.9})
    found = Classification.of(config.to_dict()).flat()
    expected = {**Classification.of(BASE).flat(), "evaluation_bits": 8, "sampled_at": ["1ep"]}
    assert found == {**expected, "schedule_options": {"d": 0.9}}
    assert isinstance(config, ConfigDict) and config.is_locked
    with pytest.raises(ValueError, match="`batch_sise` is no option"):
        config_dict_of(Classification, {**BASE, "batch_sise": 3})


FILES = {
    "typo": ("return setting(name='a', batch_sise=3)", "line 4: `batch_sise`.*'batch_size'"),
    "value": ("return setting(name='a', epochs=0)", "line 4: `epochs` must be a whole number"),
    "nameless": ("return setting(epochs=3)", "line 4: `name` must be given"),
    "syntax": ("return setting(", "SyntaxError|never closed"),
    "wrong name": ("return nothing", "line 4: NameError: name 'nothing' is not defined"),
    "key": ("return {}['a']", "line 4: KeyError: a"),
    "none": ("return None", "`--config` must be a file with a function `get_config`"),
}
FLAGS = [
    (["--schedule=rexx"], "`schedule`.*Did you mean 'rex'"),
    (["--schedule=piecewise_linear"], "has none of peak, start, value"),
    (["--optimizer=adm"], "adamw"),
    (["--epochs=3.5"], "epochs"),
    (["--budget=nan"], "`budget`"),
    (["--seed=-1"], "`seed`"),
    (["--nonsense=1"], "nonsense"),
    (["--shedule=rex"], "Did you mean: schedule"),
    (["surplus"], "surplus"),
    (["--config.batch_sise=64"], "no such option.*batch_size"),
    (["--config.batch_size=many"], "batch_size"),
    (["--config.batch_size=100000"], "`batch_size`"),
    (["--config.schedule_options.d=0.5"], "--config.schedule_options="),
    (["--config.schedule_options=3"], "schedule_options"),
    (["--config.evaluation_bits=17"], "`evaluation_bits`"),
    (["--config=configs/nothing.py"], "nothing.py"),
    (["--config=configs/nothing.py", "--config.epochs=3"], "nothing.py"),
    (["--config=/"], "config"),
]


def check_refused(given, pattern, tmp_path):
    status, text = Fork(train, *given, f"--logdir={tmp_path / 'runs'}").wait()
    assert status == 2, text
    assert re.search(pattern, text), text
    assert "Traceback" not in text
    # TensorFlow says what hardware it does not find.
    lines = [x for x in text.splitlines() if not re.match(r"For help: |[EIW]\d{4} |WARNING: ", x)]
    assert len(lines) == 1, text
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", FILES)
def test_a_wrong_file_is_told_in_a_line(name, tmp_path):
    body, pattern = FILES[name]
    path = tmp_path / "mine.py"
    path.write_text(f"from configs.base import setting\n\ndef get_config():\n    {body}\n")
    check_refused([f"--config={path}"], pattern, tmp_path)


@pytest.mark.parametrize(("given", "pattern"), FLAGS, ids=lambda value: str(value)[:40])
def test_a_wrong_flag_is_told_in_a_line(given, pattern, tmp_path):
    check_refused(given, pattern, tmp_path)


@pytest.mark.parametrize(
    ("epochs", "budget", "expected"),
    [
        (300, 0.05, 15),
        (7, 0.25, 2),
        (7, 0.2, 1),
        (3, 0.01, 1),
        (1, 1.0, 1),
        (10, 2.0, 20),
        (50, 0.05, 3),
        (50, 0.25, 13),
    ],
)
def test_a_budget_is_trained_in_whole_epochs_at_least_one(epochs, budget, expected):
    assert trained_epochs(epochs, budget) == expected


def test_the_ends_of_a_range_are_in_it_and_what_is_beyond_is_not():
    """Of every option that has one."""
    seen = 0
    for name, leaf in Classification.leaves().items():
        for end, beyond in ((leaf.declared.low, -1), (leaf.declared.high, 1)):
            if end is None:
                continue
            seen += 1
            kind = float if float in leaf.kinds else int
            assert leaf.checked(kind(end)) == end, name
            outside = end + beyond if kind is int else math.nextafter(end, beyond * math.inf)
            with pytest.raises(ValueError, match=f"`{name}`"):
                leaf.checked(kind(outside))
    assert seen > 20


@pytest.mark.parametrize("value", [2**53, -(2**53)])
def test_whole_numbers_of_mappings_are_those_that_json_keeps(value):
    values = {"name": "a", "schedule_options": {"d": value}}
    assert Classification.of(values).flat()["schedule_options"] == {"d": value}
    beyond = {"name": "a", "schedule_options": {"d": value + (1 if value > 0 else -1)}}
    with pytest.raises(ValueError, match="`schedule_options`"):
        Classification.of(beyond)
