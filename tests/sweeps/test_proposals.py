"""Rates that Optuna proposes: between those there are, new, frozen, and where results are good."""

import dataclasses
import math
import sys

import pytest

from tests.sweeps import running
from tests.sweeps.test_growth import SMALL, grid, records
from trainers.sweeps import growth, proposals
from trainers.sweeps.grid import TUNING, Grid, frozen
from trainers.sweeps.status import Status
from trainers.sweeps.store import Store

optuna = pytest.importorskip("optuna")
pytest.importorskip("torch")  # Of Optuna's Gaussian process.

RATES = [0.01, 0.03, 0.1, 0.3, 1.0]


def rates_of(sweep, cell):
    return {t.config["learning_rate"] for t in sweep.trials if t.cell == cell and t.phase == TUNING}


def proposed(best, most, mode="max", known=records, **changes):
    """Return a grid, and what it has become after all that is proposed."""
    goal = {} if mode == "max" else {"goal": "loss", "goal_mode": "min"}
    sweep = given = grid(rates=RATES, **goal, **changes)
    while growth.added(wider := proposals.proposed(sweep, known(sweep, best, mode), most), sweep):
        sweep = wider
    return given, sweep


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("best", [0.015, 0.06, 0.7, 1.0])
def test_rates_are_proposed_where_results_are_good(best, mode):
    given, wider = proposed(best, 4, mode)
    assert growth.has_all_of(wider, given)
    assert Grid.from_lines(wider.to_lines()) == wider
    cells = {trial.cell for trial in given.trials}
    assert set(wider.extended) == cells
    for cell in cells:
        new = wider.extended[cell]
        assert len(new) == 4 == len(set(new) - set(RATES))
        assert growth.within(rates_of(wider, cell), new) == list(new)
        assert all(RATES[0] < rate < RATES[-1] for rate in new)
        assert all(rate == float(f"{rate:.3g}") for rate in new)
        # Nearer to the best than the grid was, whose rates are a factor of 3 apart.
        apart = min(abs(math.log(rate / best)) for rate in new)
        assert apart < 0.2
    # Again, and by whoever else: the same.
    assert proposed(best, 4, mode)[1] == wider
    assert proposals.proposed(wider, records(wider, best, mode), 4) == wider


def test_rates_that_diverge_repel():
    """Of rates alone, without a value: half of the range is lost."""

    def known(sweep, best, mode):
        found = records(sweep, best, mode)
        for trial in sweep.trials:
            if trial.phase == TUNING and trial.config["learning_rate"] > best:
                found[trial.id] = running.made_record(status="diverged", goal="val_accuracy")
        return found

    _, wider = proposed(0.05, 5, known=known)
    new = [rate for rates in wider.extended.values() for rate in rates]
    assert len(new) == 10 and sum(rate < 0.1 for rate in new) >= 9


def test_what_is_not_known_yet_is_left_alone():
    sweep = grid(rates=RATES)
    assert proposals.proposed(sweep, {}, 3) == sweep
    assert proposals.proposed(sweep, records(sweep, 0.1), 0) == sweep
    lost = {
        name: dataclasses.replace(each, status="diverged", final=None)
        for name, each in records(sweep, 0.1).items()
    }
    assert proposals.proposed(sweep, lost, 3) == sweep
    single = grid(rates=[0.1])
    assert proposals.proposed(single, records(single, 0.1), 3) == single
    # One that people write like another one is none of its own: 0.333 beside a third.
    thirds = grid(rates=[1 / 9, 1 / 3, 1.0])
    for new in proposals.proposed(thirds, records(thirds, 1 / 3), 1).extended.values():
        assert min(abs(math.log(rate / other)) for rate in new for other in (1 / 9, 1 / 3, 1)) > 0.1
    # Two rates that have none between them, as people write rates.
    near = grid(rates=[0.1, 0.1001])
    assert proposals.proposed(near, records(near, 0.1), 3) == near


def test_edges_are_extended_by_the_factor_of_the_grid_after_a_proposal():
    _, wider = proposed(0.9, 3)
    further = growth.extended(wider, records(wider, 3.0), 1)
    for cell in wider.extended:
        (new,) = rates_of(further, cell) - rates_of(wider, cell)
        assert new == pytest.approx(10 / 3)
        between = growth.within(rates_of(further, cell), further.extended[cell])
        assert between == list(wider.extended[cell])
    # As many as are asked for beyond the edges; those in between are none of them.
    assert growth.extended(further, records(further, 10.0), 1) == further


def test_optuna_is_as_loud_as_it_was():
    before = optuna.logging.get_verbosity()
    proposed(0.1, 1)
    assert optuna.logging.get_verbosity() == before


def test_what_is_missing_is_said(monkeypatch):
    proposals.check()
    for missing in ("optuna", "torch"):
        with monkeypatch.context() as patch, pytest.raises(ValueError) as caught:
            patch.setitem(sys.modules, missing, None)
            proposals.check()
        assert "needs optuna and torch" in str(caught.value)
        assert "pip install -e '.[tune]'" in str(caught.value)


def test_the_command_proposes_and_goes_on(results):
    small = {**SMALL, "rates": [0.001, 0.1]}
    flags = ["--extend_rates=1", "--propose_rates=2", "--workers=2"]
    running.run(results, *flags, grid=small)
    store = Store.open(results)
    assert Status.of(store).complete
    assert len(frozen(results)) == 4  # One beyond the edge, then two in between.
    for cell, rates in store.grid.extended.items():
        assert len(rates) == 3
        assert len(growth.within(rates_of(store.grid, cell), rates)) == 2
        assert rates_of(store.grid, cell) == {0.001, 0.1, *rates}
    before = running.contents(results)
    running.run(results, *flags, grid=small)
    assert running.contents(results) == before
