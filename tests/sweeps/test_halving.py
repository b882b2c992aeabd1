"""Rates that are looked at twice: for a short while all of them, then the best two to the end."""

from __future__ import annotations

import math

import pytest

from tests.sweeps import running
from tests.sweeps.config import make
from trainers.reports import results as reports
from trainers.reports import tables
from trainers.sweeps import growth
from trainers.sweeps.choice import value_of
from trainers.sweeps.grid import MEASUREMENT, TUNING, Grid
from trainers.sweeps.status import Status
from trainers.sweeps.store import Store
from trainers.sweeps.worker import Worker

RATES = [0.01, 0.1, 1.0, 10.0]
# Four epochs and eight: a quarter of each is one and two.
FACTS = {"protocol": "halving", "rates": RATES, "changes": {"a": {"epochs": 8}}}


def grid(**changes):
    return Grid.of(make(**{**FACTS, **changes}))


def parts(trials):
    """The trials of a cell: the first look, the second one and the measurement."""
    first = [t for t in trials if t.phase == TUNING and "rank" not in t.coordinates]
    second = [t for t in trials if t.phase == TUNING and "rank" in t.coordinates]
    return first, second, [t for t in trials if t.phase == MEASUREMENT]


def cells(found):
    by_cell = {}
    for trial in found.trials:
        by_cell.setdefault(trial.cell, []).append(trial)
    return by_cell


def test_the_first_look_is_a_training_of_its_own_and_short():
    for trials in cells(grid(tuning_seeds=[100, 101])).values():
        first, second, measured = parts(trials)
        full = measured[0].epochs
        assert (len(first), len(second), len(measured)) == (4 * 2, 2 * 2, 2)
        assert {trial.epochs for trial in first} == {full / 4}
        assert {trial.epochs for trial in (*second, *measured)} == {full}
        # The schedule is stretched: it is the budget that is another one, and nothing else.
        assert {t.config["budget"] for t in first} == {measured[0].config["budget"] / 4}
        assert {t.coordinates["rank"] for t in second} == {1, 2}
        assert all(t.candidates.keys() == {repr(rate) for rate in RATES} for t in second)
        assert all(t.candidates.keys() == {"1", "2"} for t in measured)
        cost = sum(trial.epochs for trial in (*first, *second)) / (2 * full)
        assert cost == 4 / 4 + 2  # And not 4.
    assert len({trial.id for trial in grid().trials}) == len(grid().trials)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    store = Store.create(tmp_path_factory.mktemp("halving") / "results", grid())
    Worker(store, import_program=True).work()
    assert Status.of(store).complete
    return store


def test_the_rates_are_those_by_hand(done):
    for trials in cells(done.grid).values():
        first, second, measured = parts(trials)

        def mean(members, rate):
            values = [
                value_of(done.result(t.id).record, done.grid, TUNING)
                for t in members
                if done.result(t.id).learning_rate == rate
            ]
            mean = math.fsum(values) / len(values)
            return -math.inf if math.isnan(mean) else mean

        # Of equal ones the lower.
        order = sorted(RATES, key=lambda rate: (-mean(first, rate), rate))
        for trial in second:
            place = trial.coordinates["rank"] - 1
            assert done.result(trial.id).learning_rate == order[place]
        best = max(sorted(order[:2]), key=lambda rate: mean(second, rate))
        assert {done.result(trial.id).learning_rate for trial in measured} == {best}


def test_it_is_reported_with_the_rates_that_there_were(done):
    found = reports.read(done.directory)
    assert all(cell.candidates == tuple(RATES) for cell in found.cells)
    assert all(len(cell.tuned) == len(RATES) for cell in found.cells)
    text = str(tables.build(found, None))
    assert "of all in a quarter of the epochs, and of the best two in all of them" in text


def test_a_grid_that_is_frozen_is_read_back(done):
    assert Store.open(done.directory).grid == done.grid == grid()
    # Whoever works on it again comes to the same.
    before = running.contents(done.directory)
    Worker(Store.open(done.directory), import_program=True).work()
    assert running.contents(done.directory) == before


def test_more_seeds_are_added_and_nothing_is_trained_again(done, tmp_path):
    store = Store.create(tmp_path / "results", grid())
    Worker(store, import_program=True).work()
    before = running.starts(store.directory)
    store = Store.create(store.directory, grid(seeds=[0, 1, 2]))
    Worker(store, import_program=True).work()
    begun = running.starts(store.directory).keys() - before.keys()
    assert begun == {t.id for t in store.grid.trials if t.coordinates["seed"] == 2}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"changes": {"a": {"epochs": 1}}, "budgets": [1.0]},
            "a quarter of a budget must be fewer",
        ),
        ({"rates": [0.1, 0.3]}, "Under 'halving' there must be more than 2 learning rates"),
        ({"tuning_seeds": []}, "Under 'halving' there must be `tuning_seeds`"),
        ({"tuning_seeds": [0]}, "Under 'halving' there must be `tuning_seeds`"),
    ],
)
def test_what_cannot_be_halved_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        grid(**changes)


@pytest.mark.parametrize("changes", [{"rates": [*RATES, 30.0]}, {"tuning_seeds": [100, 101]}])
def test_candidates_of_a_frozen_grid_cannot_be_added(changes):
    """The best two may be others then."""
    assert not growth.has_all_of(grid(**changes), grid())
    said = growth.difference(grid(), grid(**changes))
    assert said == "under 'halving' neither learning rates nor tuning seeds can be added"
    assert growth.has_all_of(grid(seeds=[0, 1, 2]), grid(seeds=[0, 1]))
