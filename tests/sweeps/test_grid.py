"""The grid over families of sweeps: it survives the disk, and its parts make the whole."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sweeps.config import make
from tests.sweeps.running import made_record
from trainers.sweeps.choice import best_of, chosen_rate, value_of
from trainers.sweeps.grid import (
    MEASUREMENT,
    TUNING,
    Grid,
    Trial,
)

NAMES = st.sampled_from(["a", "b-2", "rn20 cifar", "ü", "x.y"])
SEEDS = st.lists(st.integers(0, 50), min_size=1, max_size=3, unique=True)


@st.composite
def sweeps(draw):
    protocol = draw(st.sampled_from(["tuned", "shared"]))
    rates = draw(
        st.lists(st.floats(1e-5, 10.0), min_size=1, max_size=4, unique=True)
        if protocol == "tuned"
        else st.lists(st.floats(1e-5, 10.0), min_size=1, max_size=1)
    )
    schedules = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    momenta = draw(st.lists(st.floats(0.0, 0.99), min_size=1, max_size=2, unique=True))
    budgets = st.lists(st.sampled_from([0.01, 0.05, 0.25, 0.5, 1.0]), min_size=1, unique=True)
    settings = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    goal, goal_mode = draw(st.sampled_from([("accuracy", "max"), ("loss", "min")]))
    return make(
        settings=settings,
        changes={name: {"epochs": 100} for name in settings},
        rates=rates,
        schedules={name: {"schedule": name} for name in schedules},
        momenta={f"m{value!r}": {"momentum": value} for value in momenta},
        budgets=draw(budgets),
        seeds=draw(SEEDS),
        tuning_seeds=[100 + seed for seed in draw(SEEDS)],
        protocol=protocol,
        goal=goal,
        goal_mode=goal_mode,
    )


@given(sweeps())
@settings(max_examples=60, deadline=None)
def test_a_grid_survives_the_disk(sweep):
    grid = Grid.of(sweep)
    again = Grid.from_lines(grid.to_lines())
    assert again.to_lines() == grid.to_lines()
    assert [trial.id for trial in again.trials] == [trial.id for trial in grid.trials]
    assert Grid.of(sweep) == grid


@given(sweeps())
@settings(max_examples=60, deadline=None)
def test_it_has_each_trial_of_the_product_once(sweep):
    grid = Grid.of(sweep)
    cells = math.prod(len(sweep[a]) for a in ("settings", "schedules", "momenta", "budgets"))
    rates = len(next(iter(sweep["settings"].values()))["learning_rates"])
    tuning = rates * len(sweep["tuning_seeds"]) if sweep["protocol"] == "tuned" else 0
    assert len({trial.id for trial in grid.trials}) == len(grid.trials)
    assert len(grid.trials) == cells * (tuning + len(sweep["seeds"]))
    assert len({trial.cell for trial in grid.trials}) == cells
    assert len({trial.name for trial in grid.trials}) == len(grid.trials)


@given(sweeps())
@settings(max_examples=60, deadline=None)
def test_what_decides_a_rate_comes_first_and_never_sees_test_data(sweep):
    grid = Grid.of(sweep)
    place = {trial.id: number for number, trial in enumerate(grid.trials)}
    by_id = {trial.id: trial for trial in grid.trials}
    for trial in grid.trials:
        is_tuned = sweep["protocol"] == "tuned" and trial.phase == MEASUREMENT
        assert bool(trial.candidates) == is_tuned == (trial.config["learning_rate"] is None)
        for rate, ids in trial.candidates.items():
            for each in map(by_id.__getitem__, ids):
                assert place[each.id] < place[trial.id]
                assert each.cell == trial.cell
                assert each.phase == TUNING
                assert each.config["learning_rate"] == float(rate)
                assert each.config["split"] == "validation"
                assert each.config["seed"] != trial.config["seed"]
    assert {t.config["split"] for t in grid.trials if t.phase == MEASUREMENT} == {"test"}


# How many of 144 are right with three tuning seeds, by rate.
TIED = {0.1: (59, 60, 64), 0.3: (62, 62, 59), 0.9: (61, 63, 59)}


@pytest.mark.parametrize("order", [(0.1, 0.3, 0.9), (0.9, 0.3, 0.1), (0.3, 0.9, 0.1)])
@pytest.mark.parametrize("kind", ["count", "float32", "float64"])
def test_of_rates_that_are_equal_but_for_noise_the_lower_is_chosen(kind, order):
    """All have 183 right: what a sum or float32 adds must not decide. The control has one more."""
    grid = Grid.of(
        make(settings=["a"], budgets=[1.0], rates=[0.1, 0.3, 0.9], tuning_seeds=[100, 101, 102])
    )
    (trial, *_) = [t for t in grid.trials if t.phase == MEASUREMENT]
    trial = dataclasses.replace(
        trial, candidates={repr(rate): trial.candidates[repr(rate)] for rate in order}
    )

    def chosen(right):
        records = {}
        for rate, ids in trial.candidates.items():
            for each, count in zip(ids, right[float(rate)], strict=True):
                value = count / 144 if kind != "float32" else float(np.float32(count / 144))
                counted = {"val_accuracy": 144} if kind == "count" else {}
                records[each] = made_record(epochs=[{"val_accuracy": value}], counted=counted)
        return chosen_rate(trial, records, grid)

    assert chosen(TIED) == 0.1
    assert chosen({**TIED, 0.9: (61, 63, 60)}) == 0.9
    assert len({math.fsum(c / 144 for c in counts) for counts in TIED.values()}) > 1


@given(sweeps(), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_shards_part_the_cells(sweep, count):
    grid = Grid.of(sweep)
    shards = [grid.shard(index, count) for index in range(count)]
    ids = [trial.id for shard in shards for trial in shard]
    assert sorted(ids) == sorted(trial.id for trial in grid.trials)
    for shard in shards:
        mine = {trial.id for trial in shard}
        needed = {i for trial in shard for found in trial.candidates.values() for i in found}
        assert needed <= mine
    cells = [{trial.cell for trial in shard} for shard in shards]
    assert sum(map(len, cells)) == len(set().union(*cells))
    assert max(map(len, cells)) - min(map(len, cells)) <= 1


@given(sweeps())
@settings(max_examples=30, deadline=None)
def test_any_change_of_a_trial_changes_its_id(sweep):
    grid = Grid.of(sweep)
    changed = make(
        settings=list(sweep["settings"]),
        rates=next(iter(sweep["settings"].values()))["learning_rates"],
        changes={name: {"epochs": 101} for name in sweep["settings"]},
        goal=sweep["goal"],
        goal_mode=sweep["goal_mode"],
        **{
            key: sweep[key]
            for key in ("schedules", "momenta", "budgets", "seeds", "tuning_seeds", "protocol")
        },
    )
    assert not {t.id for t in grid.trials} & {t.id for t in Grid.of(changed).trials}


def judged(mode, values):
    """Return the rate that is chosen where each rate has these goals, one for a seed."""
    grid = Grid.of(make(goal="score", goal_mode=mode))
    candidates = {
        repr(rate): tuple(f"{rate}-{number}" for number in range(len(found)))
        for rate, found in values.items()
    }
    trial = dataclasses.replace(grid.trials[-1], candidates=candidates)
    records = {
        f"{rate}-{number}": record(value)
        for rate, found in values.items()
        for number, value in enumerate(found)
    }
    return chosen_rate(trial, records, grid)


def record(*values, metric="val_score", status="finished"):
    """Return the record of a training that had these values at the ends of its epochs."""
    if None in values:
        return made_record(status="diverged")
    return made_record(status=status, epochs=[{metric: value} for value in values])


@given(
    st.dictionaries(
        st.floats(1e-4, 10.0),
        st.lists(st.none() | st.sampled_from([0.0, 0.25, 0.5, 0.75]), min_size=2, max_size=2),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(["max", "min"]),
)
@settings(max_examples=300, deadline=None)
def test_the_rate_with_the_best_mean_is_chosen_and_of_ties_the_lower(values, mode):
    sign = 1.0 if mode == "max" else -1.0

    def merit(rate):
        found = values[rate]
        return -math.inf if None in found else sign * sum(found) / len(found)

    best = max(map(merit, values))
    assert judged(mode, values) == min(rate for rate in values if merit(rate) == best)


def test_a_rate_with_a_diverged_training_loses_to_the_worst_that_has_none():
    assert judged("max", {0.1: [0.0, 0.0], 1.0: [1.0, None]}) == 0.1
    assert judged("min", {0.1: [9.0, 9.0], 0.01: [0.0, None]}) == 0.1
    assert judged("min", {0.1: [None, None], 0.01: [None, 0.5]}) == 0.01


@pytest.mark.parametrize("judged_at", ["final", "best"])
def test_a_goal_that_is_no_number_counts_as_diverged(judged_at):
    grid = Grid.of(make(goal="loss", goal_mode="min", judged=judged_at))
    for lost in (
        made_record(epochs=[{"val_loss": 1.0}, {"val_loss": None}]),
        made_record(epochs=[{"test_loss": 1.0}]),
        made_record(),
        made_record(status="stalled", epochs=[{"val_loss": 1.0}]),
    ):
        assert math.isnan(value_of(lost, grid, TUNING))
    assert value_of(made_record(epochs=[{"val_loss": 1.0}]), grid, TUNING) == 1.0
    assert judged("max", {0.1: [math.nan, 5.0], 1.0: [0.1, 0.1]}) == 1.0


def test_a_phase_is_judged_by_its_own_evaluation():
    grid = Grid.of(make())
    found = made_record(epochs=[{"val_accuracy": 0.25, "test_accuracy": 0.75}])
    assert (grid.metric(TUNING), grid.metric(MEASUREMENT)) == ("val_accuracy", "test_accuracy")
    assert value_of(found, grid, TUNING) == 0.25
    assert value_of(found, grid, MEASUREMENT) == 0.75


@pytest.mark.parametrize(("mode", "best"), [("max", 0.75), ("min", 0.25)])
def test_the_best_epoch_counts_where_the_sweep_says_so(mode, best):
    found = record(0.5, 0.75, 0.25, 0.5, metric="test_score")
    at_end, at_best = (
        Grid.of(make(goal="score", goal_mode=mode, judged=when)) for when in ("final", "best")
    )
    assert value_of(found, at_end, MEASUREMENT) == 0.5
    assert value_of(found, at_best, MEASUREMENT) == best
    # Where the task keeps the best epoch by the same goal, it is that one.
    kept = dataclasses.replace(found, best={"test_score": best}, goal="test_score")
    assert value_of(kept, at_best, MEASUREMENT) == kept.value("test_score", "best")
    # Epochs without an evaluation say nothing.
    seldom = dataclasses.replace(found, epochs=[{"loss": 9.0}, *found.epochs])
    assert best_of(seldom, "test_score", mode) == best


def test_a_missing_candidate_is_an_error():
    grid = Grid.of(make())
    with pytest.raises(KeyError):
        chosen_rate(grid.trials[-1], {}, grid)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"protocol": "best"}, "`protocol` must be one of tuned, halving, shared"),
        ({"goal_mode": "most"}, "`goal_mode` must be one of max, min. Received: goal_mode='most'"),
        ({"judged": "last"}, "`judged` must be one of final, best. Received: judged='last'"),
        ({"goal": "val_accuracy"}, "without the name of an evaluation"),
        ({"goal": "test_loss"}, "Received: goal='test_loss'"),
        ({"budgets": [0.01, 0.1]}, "0.01 and 0.1, both of 1 epochs"),
        ({"seeds": []}, "`seeds` must have at least one"),
        ({"budgets": [1.0, 1.0]}, "`budgets` must be distinct"),
        ({"budgets": ["half"]}, "`budgets` must be numbers. Received: budgets=\\['half'\\]"),
        ({"budgets": ["0.5"]}, "`budgets` must be numbers. Received: budgets=\\['0.5'\\]"),
        ({"budgets": [0.5, math.inf]}, "`budgets` must be shares"),
        ({"budgets": [0.0]}, "`budgets` must be shares"),
        ({"seeds": [True]}, "`seeds` must be whole numbers. Received: seeds=\\[True\\]"),
        ({"seeds": [0, 1.5]}, "`seeds` must be whole numbers. Received: seeds=\\[0, 1.5\\]"),
        ({"schedules": {"a": {"options": object()}}}, "must be JSON-able. Received: <object"),
        ({"seeds": [0, -1]}, "must be at least 0. Received: seeds=\\[0, -1\\]"),
        ({"tuning_seeds": [-100]}, "must be at least 0"),
        ({"schedules": {"hot": {"learning_rate": 9.0}}}, "Received: learning_rate changed in hot"),
        ({"momenta": {"m": {"budget": 1.0, "seed": 1}}}, "Received: budget, seed changed in"),
        ({"tuning_seeds": [0]}, "none of `seeds` among them"),
        ({"tuning_seeds": []}, "there must be `tuning_seeds`"),
        ({"rates": [0.1, 0.1]}, "`learning_rates` must be distinct"),
        ({"rates": [-1.0]}, "`learning_rates` must be distinct finite numbers above 0"),
        ({"rates": [math.inf]}, "`learning_rates` must be distinct finite numbers above 0"),
        ({"rates": ["fast"]}, r"`learning_rates` must be numbers\. Received: \('fast',\)"),
        ({"rates": [True]}, r"`learning_rates` must be numbers\. Received: \(True,\)"),
        ({"protocol": "shared"}, "must have one learning rate"),
        ({"momenta": {"m": {"schedule": "rex"}}}, "changed by one axis only"),
        ({"schedules": {"a": {}, "b": {}}, "rates": [0.1]}, None),
    ],
)
def test_a_wrong_grid_is_refused(changed, said):
    if said is None:  # Two names for one thing still are two cells: by their names.
        assert len({trial.cell for trial in Grid.of(make(**changed)).trials}) == 4
        return
    with pytest.raises(ValueError, match=said):
        Grid.of(make(**changed))


def test_a_shard_beyond_the_last_is_refused():
    with pytest.raises(ValueError, match="0 to 1"):
        Grid.of(make()).shard(2, 2)


def test_a_trial_is_a_line():
    trial = Grid.of(make()).trials[-1]
    assert "\n" not in trial.to_json()
    assert Trial.from_json(trial.to_json()) == trial


def test_numbers_of_numpy_are_numbers():
    plain = make(budgets=[0.25, 0.5], seeds=[0, 1, 2], tuning_seeds=[100, 101])
    arrays = make(
        budgets=np.array([0.25, 0.5]), seeds=np.arange(3), tuning_seeds=np.arange(100, 102)
    )
    assert Grid.of(arrays).to_lines() == Grid.of(plain).to_lines()


# --- what was frozen and is no longer that --------------------------------------------------------


def changed_line(number, change):
    """Return a change of one line of a frozen grid: of what JSON makes of it."""

    def of(lines):
        found = json.loads(lines[number])
        change(found)
        return [*lines[:number], json.dumps(found), *lines[number + 1 :]]

    return of


DAMAGE = {
    "a value of a trial": changed_line(3, lambda t: t["config"].update(momentum=0.5)),
    "an id": changed_line(3, lambda t: t.update(id="0123456789")),
    "epochs": changed_line(2, lambda t: t.update(epochs=99.0)),
    "a candidate": changed_line(-1, lambda t: t["candidates"].update({"0.1": ["0123456789"]})),
    "a field more": changed_line(1, lambda t: t.update(more=1)),
    "a field less": changed_line(1, lambda t: t.pop("cell")),
    "no trial": lambda lines: [*lines[:2], "[]", *lines[3:]],
    "the goal": changed_line(0, lambda t: t.update(goal="loss")),
    "the program": changed_line(0, lambda t: t.update(program="os:abort")),
    "the threads": changed_line(0, lambda t: t.update(threads=8)),
    "a fact more": changed_line(0, lambda t: t.update(more=1)),
    "no checksum": changed_line(0, lambda t: t.pop("checksum")),
    "no facts": lambda lines: ["null", *lines[1:]],
    "the order": lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
    "one twice": lambda lines: [*lines[:-1], lines[1]],
    "one less": lambda lines: lines[:-1],
    "torn": lambda lines: [*lines[:-1], lines[-1][:50]],
    "nothing": lambda lines: [],
    "deep": lambda lines: ["[" * 100_000, *lines[1:]],
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_grid_that_is_not_what_was_frozen_is_refused(kind, tmp_path):
    whole = Grid.of(make()).to_lines()
    (tmp_path / "grid.jsonl").write_text(whole)
    assert Grid.read(tmp_path).to_lines() == whole
    damaged = DAMAGE[kind](whole.splitlines())
    (tmp_path / "grid.jsonl").write_text("\n".join(damaged) + "\n")
    with pytest.raises(ValueError, match=r"grid\.jsonl is not the grid of a sweep, or is damaged"):
        Grid.read(tmp_path)


def test_a_directory_in_the_place_of_a_grid_is_refused(tmp_path):
    (tmp_path / "grid.jsonl").mkdir()
    with pytest.raises(ValueError, match=r"grid\.jsonl cannot be read"):
        Grid.read(tmp_path)


def test_without_the_checks_of_reading_a_changed_trial_would_be_run(monkeypatch, tmp_path):
    """The negative control: the damage is one that nothing else notices."""
    lines = DAMAGE["a value of a trial"](Grid.of(make()).to_lines().splitlines())
    monkeypatch.setattr("trainers.sweeps.grid.digest", lambda value: json.loads(lines[3])["id"])
    assert Trial.from_json(lines[3]).config["momentum"] == 0.5
