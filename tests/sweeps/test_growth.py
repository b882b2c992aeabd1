"""A sweep can grow: what is recorded stays, what is added is run, and nothing else."""

import dataclasses
import itertools
import json
import math
import multiprocessing

import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sweeps import running
from tests.sweeps.config import make
from trainers.sweeps import growth
from trainers.sweeps import table as tables
from trainers.sweeps.grid import MEASUREMENT, TUNING, Grid, frozen
from trainers.sweeps.status import Status
from trainers.sweeps.store import Store
from trainers.sweeps.worker import Worker

SMALL = {"budgets": [1.0], "seeds": [0], "rates": [0.1, 1.0]}
# What may be added, and how many trials that makes: tuning and measurement.
MORE = {
    "settings": ({"settings": ["a", "b"]}, 4, 2),
    "first setting": ({"settings": ["0", "a"]}, 4, 2),
    "schedules": (
        {"schedules": {name: {"schedule": name} for name in ("constant", "linear", "rex")}},
        2,
        1,
    ),
    "budgets": ({"budgets": [0.5, 1.0]}, 4, 2),
    "seeds": ({"seeds": [0, 1]}, 0, 2),
    # All choose from more: they are superseded.
    "tuning seeds": ({"tuning_seeds": [100, 101]}, 4, 2),
    "rates": ({"rates": [0.1, 1.0, 10.0]}, 2, 2),
}


def grid(**changes):
    return Grid.of(make(**{**SMALL, **changes}))


def work(store):
    Worker(store, import_program=True).work()
    assert Status.of(store).complete
    return store


def hold_together(store):
    """Check that a directory is sound, and return its results without what is volatile."""
    status = Status.of(store)
    assert status.complete and not status.torn and not status.foreign
    return running.contents(store.directory)


@pytest.mark.parametrize("kind", MORE)
def test_what_is_added_is_run_and_what_is_recorded_is_kept(kind, results):
    changes, tuning, measurement = MORE[kind]
    before = hold_together(work(Store.create(results, grid())))
    first = (results / "grid.jsonl").read_bytes()
    bigger = grid(**changes)
    store = Store.create(results, bigger)
    assert store.grid == bigger == Store.open(results).grid
    added = growth.added(store.grid, grid())
    assert [sum(t.phase == p for t in added) for p in (TUNING, MEASUREMENT)] == [
        tuning,
        measurement,
    ]
    attempts = running.attempts(results)
    after = hold_together(work(store))
    assert {name: after[name] for name in before} == before
    assert running.attempts(results).keys() - attempts.keys() == {trial.id for trial in added}
    assert {k: v for k, v in running.attempts(results).items() if k in attempts} == attempts
    # What was frozen stays frozen, and the smaller configuration is welcome.
    assert (results / "grid.jsonl").read_bytes() == first
    assert Store.create(results, grid()).grid == bigger
    # As if it had been that from the beginning: but for what was superseded.
    whole = hold_together(work(Store.create(results.parent / "whole", bigger)))
    assert {name: after[name] for name in whole} == whole


def test_it_grows_step_by_step(results):
    for changes in ({}, {"seeds": [0, 1]}, {"seeds": [0, 1], "settings": ["a", "b"]}):
        store = work(Store.create(results, grid(**changes)))
    assert [path.name for path in frozen(results)] == ["grid.jsonl", "grid-2.jsonl", "grid-3.jsonl"]
    assert len(store.recorded()) == len(store.grid.trials)
    assert len(Store.open(results).grid.trials) == 2 * (4 + 4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": [1]}, "only there"),
        ({"rates": [0.1]}, "only there"),
        ({"rates": [0.1, 2.0]}, "only there"),
        ({"settings": ["b"]}, "only there"),
        ({"budgets": [0.5]}, "only there"),
        ({"goal": "loss", "goal_mode": "min", "seeds": [0, 1]}, "goal is 'accuracy' there"),
        ({"margin": 0.5, "seeds": [0, 1]}, "margin is None there, not 0.5"),
        ({"changes": {"a": {"epochs": 5}}, "seeds": [0, 1]}, "differ in epochs"),
    ],
    ids=str,
)
def test_what_changes_or_shrinks_is_refused(changes, said, results):
    """Also where something is added: an equivalence that is claimed after the results is none."""
    store = Store.create(results, grid())
    with pytest.raises(ValueError, match="is another sweep") as caught:
        Store.create(results, grid(**changes))
    assert said in str(caught.value)
    assert frozen(results) == [results / "grid.jsonl"]
    assert Store.open(results).grid == store.grid


@settings(max_examples=60, deadline=None)
@given(*(st.tuples(*(st.integers(1, 3) for _ in range(5))) for _ in range(2)))
def test_one_grid_has_all_of_another_if_each_axis_has(one, other):
    def made(sizes):
        names, budgets, seeds, rates, tuning = sizes
        return Grid.of(
            make(
                settings=["a", "b", "c"][:names],
                budgets=[0.25, 0.5, 1.0][:budgets],
                seeds=[0, 1, 2][:seeds],
                rates=[0.1, 0.3, 0.9][:rates],
                tuning_seeds=[100, 101, 102][:tuning],
            )
        )

    is_more = all(a >= b for a, b in zip(one, other, strict=True))
    assert growth.has_all_of(made(one), made(other)) == is_more
    assert bool(growth.added(made(one), made(other))) or one == other or not is_more


def test_a_choice_that_stays_is_not_trained_again(results):
    """Of rates that are added at the wrong end nothing is chosen: the control is where they are."""
    work(Store.create(results, grid()))
    before = running.starts(results)
    store = work(Store.create(results, grid(rates=[0.1, 1.0, 1000.0])))
    begun = {name for name in running.starts(results) if name not in before}
    assert begun == {t.id for t in store.grid.trials if t.coordinates["learning_rate"] == 1000.0}
    by_place = {}
    for name in (trial.id for each in frozen(results) for trial in Grid.read_file(each).trials):
        result = store.result(name)
        if result.trial["phase"] == MEASUREMENT:
            by_place.setdefault(result.trial["cell"], []).append(result)
    for old, new in by_place.values():
        assert old.record.epochs == new.record.epochs and old.value == new.value
        assert old.trial["id"] != new.trial["id"]
    for trial in store.grid.trials:
        found = [result.learning_rate for result in store.supersedes(trial)]
        assert len(found) == (trial.phase == MEASUREMENT) and set(found) <= {0.1, 1.0}


def grow(directory, seeds, barrier, said):
    barrier.wait(60)
    try:
        found = Store.create(directory, grid(seeds=list(range(seeds))))
        said.put(len(found.grid.trials))
    except ValueError as error:
        said.put(str(error))


def test_several_that_let_it_grow_at_once_agree(results):
    Store.create(results, grid())
    context = multiprocessing.get_context("spawn")
    barrier, said = context.Barrier(4), context.Queue()
    sizes = (2, 3, 4, 4)
    processes = [context.Process(target=grow, args=(results, n, barrier, said)) for n in sizes]
    for process in processes:
        process.start()
    found = [said.get(timeout=120) for _ in sizes]
    for process in processes:
        process.join()
    # Who comes with less than another one has frozen meanwhile is told so.
    assert all(isinstance(each, int) or "is another sweep" in each for each in found), found
    assert found.count(12) >= 2
    assert Store.open(results).grid == grid(seeds=[0, 1, 2, 3])
    grids = [Grid.read_file(path) for path in frozen(results)]
    for smaller, bigger in itertools.pairwise(grids):
        assert growth.has_all_of(bigger, smaller) and growth.added(bigger, smaller)


@pytest.mark.parametrize("damage", ["directory", "torn", "link"])
def test_a_damaged_grid_is_no_reason_to_take_the_one_before(damage, results):
    Store.create(results, grid())
    Store.create(results, grid(seeds=[0, 1]))
    path = results / "grid-2.jsonl"
    text = path.read_text()
    path.unlink()
    {
        "directory": path.mkdir,
        "torn": lambda: path.write_text(text[:200]),
        "link": lambda: path.symlink_to("nowhere"),
    }[damage]()
    for call in (lambda: Store.open(results), lambda: Store.create(results, grid(seeds=[0, 1]))):
        with pytest.raises(ValueError, match=r"grid-2\.jsonl"):
            call()


# --- rates at the edge ---------------------------------------------------------------------------


def records(sweep, best, mode="max"):
    """Return records of all trials that tune: the nearer to `best`, the better."""
    found = {}
    for trial in sweep.trials:
        if trial.phase == TUNING:
            apart = abs(math.log(trial.config["learning_rate"] / best))
            value = 1.0 / (1.0 + apart) if mode == "max" else apart
            name = sweep.metric(TUNING)
            found[trial.id] = running.made_record(epochs=[{name: value}], goal=name)
    return found


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize(
    ("best", "new"), [(1.0, None), (30.0, 9.0), (0.001, 1 / 9), (3.0, 9.0), (1 / 3, 1 / 9)]
)
def test_a_rate_is_added_beyond_the_edge_where_the_best_is(best, new, mode):
    changes = {} if mode == "max" else {"goal": "loss", "goal_mode": "min"}
    sweep = grid(rates=[1 / 3, 1.0, 3.0], **changes)
    wider = growth.extended(sweep, records(sweep, best, mode), 1)
    rates = {t.config["learning_rate"] for t in growth.added(wider, sweep) if t.phase == TUNING}
    assert sorted(rates) == pytest.approx([] if new is None else [new], rel=1e-8)
    assert growth.has_all_of(wider, sweep)
    assert len(growth.edges(sweep, records(sweep, best, mode))) == (0 if new is None else 2)
    assert Grid.from_lines(wider.to_lines()) == wider
    for trial in wider.trials:
        assert trial.named() == trial


def test_rates_are_added_until_the_best_lies_within():
    sweep, rounds = grid(rates=[0.1, 0.3]), 0
    while True:
        wider = growth.extended(sweep, records(sweep, 8.0), 9)
        if not growth.added(wider, sweep):
            break
        sweep, rounds = wider, rounds + 1
    rates = sorted({t.config["learning_rate"] for t in sweep.trials if t.phase == TUNING})
    assert rates == [0.1, 0.3, 0.9, 2.7, 8.1, 24.3]
    assert rounds == 4


def test_cells_are_extended_by_their_own_results_whatever_else_is_known():
    sweep = grid(rates=[0.1, 0.3])
    known = records(sweep, 30.0)
    some = {t.id for t in sweep.trials if t.coordinates["schedule"] == "rex"}
    part = growth.extended(sweep, {name: known[name] for name in known if name in some}, 1)
    assert {t.coordinates["schedule"] for t in growth.added(part, sweep)} == {"rex"}
    whole = growth.extended(sweep, known, 1)
    assert growth.extended(whole, {**known, **records(whole, 30.0)}, 1) == whole
    assert {t.id for t in growth.added(part, sweep)} < {t.id for t in growth.added(whole, sweep)}
    assert growth.extended(sweep, {}, 1) == sweep
    lost = {name: dataclasses.replace(each, status="diverged") for name, each in known.items()}
    down = growth.added(growth.extended(sweep, lost, 1), sweep)
    rates = {t.config["learning_rate"] for t in down if t.phase == TUNING}
    assert sorted(rates) == pytest.approx([0.1 / 3], rel=1e-8)
    shared = grid(protocol="shared", rates=[0.1])
    assert growth.extended(shared, {}, 1) == shared


@pytest.mark.parametrize("more", ["--extend_rates", "--propose_rates"])
def test_rates_are_added_to_whole_sweeps_whose_rates_are_tuned(more, results):
    if more == "--propose_rates":
        pytest.importorskip("optuna")
        pytest.importorskip("torch")
    for flag in ("--shard=0/2", "--dry_run", "--status"):
        said = running.run(results, f"{more}=1", flag, grid=SMALL, expected=2)
        assert f"{more} needs the results of the whole sweep" in said
    shared = {**SMALL, "protocol": "shared", "rates": [0.1]}
    said = running.run(results, f"{more}=1", grid=shared, expected=2)
    assert f"{more} needs a sweep with the protocol 'tuned'. Received: 'shared'" in said
    assert not results.exists()


def test_the_command_extends_rates_and_goes_on(results):
    small = {**SMALL, "rates": [0.001, 0.003]}
    running.run(results, grid=small)
    assert len(frozen(results)) == 1
    out = running.run(results, "--extend_rates=2", "--workers=2", grid=small)
    assert (
        out.count("The sweep grows by 2 trials that tune and 2 measurements. 2 measurements of")
        == 2
    )
    store = Store.open(results)
    assert Status.of(store).complete
    assert len(frozen(results)) == 3
    rates = sorted({t.config["learning_rate"] for t in store.grid.trials if t.phase == TUNING})
    assert [b / a for a, b in itertools.pairwise(rates)] == pytest.approx([3.0] * 3, rel=1e-6)
    before = running.contents(results)
    for flags in ([], ["--extend_rates=2"]):  # The same command is welcome, and adds no more.
        running.run(results, *flags, grid=small)
        assert running.contents(results) == before
    # It can grow after that, by its configuration, which knows nothing of those rates.
    running.run(results, grid={**small, "seeds": [0, 1]})
    grown = Store.open(results)
    assert Status.of(grown).complete and len(frozen(results)) == 4
    assert {t.config["learning_rate"] for t in grown.grid.trials if t.phase == TUNING} == set(rates)
    assert set(before) < set(running.contents(results))
    running.run(results, grid={**small, "seeds": [0, 1], "rates": [*small["rates"], 0.02]})
    assert Status.of(Store.open(results)).complete
    table = json.loads((results / "grid-3.jsonl").read_text().splitlines()[0])
    assert set(table["extended"]) == {trial.cell for trial in store.grid.trials}
    assert table["trials"] == len(store.grid.trials)


def test_the_table_of_who_ends_last_has_all_that_the_sweep_has(results):
    """Also of a pool that began before the sweep grew."""
    old = work(Store.create(results, grid()))
    work(Store.create(results, grid(rates=[0.1, 1.0, 1000.0])))
    frame = pandas.read_parquet(tables.write(old))
    assert list(frame["id"]) == [trial.id for trial in Store.open(results).grid.trials]
    assert 1000.0 in set(frame["learning_rate"])


def test_a_dry_run_says_how_many_results_may_be_taken_over(results):
    running.run(results, grid=SMALL)
    more = {**SMALL, "rates": [0.1, 1.0, 10.0]}
    out = running.run(results, "--dry_run", grid=more)
    assert "4 of 8 trials are recorded" in out
    assert "2 measurements of those that are left had a result before the sweep grew" in out
    alone = running.run(results, "--dry_run", grid={**SMALL, "seeds": [0, 1]})
    assert "before the sweep grew" not in alone
