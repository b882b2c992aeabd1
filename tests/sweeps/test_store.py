"""The directory of a sweep: results are written once, and damage is named, never fatal."""

import dataclasses
import fcntl
import json
import math
import multiprocessing
import os
import re
import signal

import pandas
import pytest

from tests.sweeps import running
from tests.sweeps.config import make
from trainers.loop.files import digest
from trainers.sweeps import store as stores
from trainers.sweeps import table as tables
from trainers.sweeps.attempts import MOST_ERRED, MOST_VANISHED
from trainers.sweeps.columns import TRIALS
from trainers.sweeps.grid import MEASUREMENT, Grid
from trainers.sweeps.results import Result
from trainers.sweeps.status import Status
from trainers.sweeps.store import Store
from trainers.sweeps.worker import Worker

SMALL = {"budgets": [1.0], "seeds": [0], "rates": [0.1, 1.0]}


@pytest.fixture
def store(results):
    return Store.create(results, Grid.of(make(**SMALL)))


@pytest.fixture
def done(store):
    """A sweep that is complete."""
    work(store)
    assert Status.of(store).complete
    return store


def work(store):
    Worker(store, import_program=True).work()


def hold(directory, trial, begun, end):
    store = Store.open(directory)
    with store.claim(trial) as claim:
        claim.attempts.begin()
        begun.set()
        end.wait(60)


def held(store, trial):
    """Return a process that holds a trial."""
    context = multiprocessing.get_context("spawn")
    begun, end = context.Event(), context.Event()
    process = context.Process(target=hold, args=(store.directory, trial, begun, end))
    process.start()
    assert begun.wait(60)
    return process, end


def made(store):
    """Return the result of a first trial that was not trained."""
    record = running.made_record(epochs=[{"val_accuracy": 0.5}])
    return Result.made(store.grid, store.grid.trials[0], 0.1, record, {"attempts": 1})


def test_a_training_whose_goal_is_not_finite_at_its_end_is_undefined(store):
    trial = store.grid.trials[0]
    for value, status in ((math.nan, "undefined"), (None, "undefined"), (0.5, "finished")):
        record = running.made_record(epochs=[{"val_accuracy": value}])
        found = Result.made(store.grid, trial, 0.1, record, {})
        assert (found.status, found.value) == (status, 0.5 if status == "finished" else None)


def test_a_training_without_the_goal_is_no_result(store):
    record = running.made_record(epochs=[{"accuracy": 0.5}])
    with pytest.raises(ValueError, match="Expected 'val_accuracy' in it"):
        Result.made(store.grid, store.grid.trials[0], 0.1, record, {})


@pytest.mark.parametrize(
    ("cost", "relative"),
    [
        (None, 1.0),  # Nothing is quantized.
        ({"quantized_layers": {"relative_to_fp32": 0.25}}, 0.25),
        ({"uncounted": ["a"]}, None),
        ({"quantized_layers": {"relative_to_fp32": None}}, None),
        ({"quantized_layers": 3}, None),
    ],
)
def test_a_cost_is_relative_to_float32(store, cost, relative):
    trial = next(t for t in store.grid.trials if t.phase == MEASUREMENT)
    record = running.made_record(epochs=[{"test_accuracy": 0.5}], cost=cost)
    result = Result.made(store.grid, trial, 0.1, record, {})
    assert Result.of(json.loads(result.to_json())).relative_cost == relative


def test_who_holds_a_trial_keeps_others_from_it_until_it_is_killed(store):
    trial = store.grid.trials[0].id
    process, _ = held(store, trial)
    with store.claim(trial) as claim:
        assert claim is None
    assert store.is_held(trial)
    assert set(Status.of(store).running) == {trial}
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not store.is_held(trial)
    with store.claim(trial) as claim:
        assert claim.attempts.begin() == 2
    assert [entry["status"] for entry in store.attempts(trial).all()] == ["vanished", "begun"]


def test_a_worker_waits_for_what_another_holds(store):
    process, end = held(store, store.grid.trials[0].id)
    said = []

    def say(text):
        said.append(text)
        if len(said) == 6:  # All that can be done without it: the other tuning trials, and a cell.
            end.set()

    Worker(store, import_program=True, say=say).work()
    process.join()
    assert Status.of(store).complete
    assert said[-1].startswith("recorded")


def test_a_result_is_never_replaced(done):
    trial = done.grid.trials[0].id
    before = (done.results / f"{trial}.json").read_bytes()
    with done.claim(trial) as claim:
        assert claim.is_recorded()
        with pytest.raises(FileExistsError):
            claim.record(done.result(trial))
        assert not list(claim.directory.glob(".writing*"))
    assert (done.results / f"{trial}.json").read_bytes() == before


def test_a_write_that_is_cut_short_leaves_no_result(store, monkeypatch):
    def fail(*unused):
        raise OSError("no space left")

    trial = store.grid.trials[0].id
    with store.claim(trial) as claim:
        monkeypatch.setattr(stores.os, "fsync", fail)
        with pytest.raises(OSError, match="no space"):
            claim.record(made(store))
    assert not list(store.results.iterdir())
    assert store.result(trial) is None


DAMAGE = {
    "torn": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "no object": lambda data: b"[1, 2]",
    "no result": lambda data: b'{"status": "finished"}',
    "not text": lambda data: bytes(range(256)),
    "deep": lambda data: b"[" * 100_000,
    "a digit": lambda data: changed(data, lambda r: r.update(value=0.123)),
    "a digit of its record": lambda data: changed(data, lambda r: r["record"].update(steps=19)),
    "a digit of its timing": lambda data: changed(data, lambda r: r["timing"].update(attempts=3)),
    "no checksum": lambda data: changed(data, lambda r: r.pop("checksum")),
    "another schema": lambda data: changed(data, lambda r: r.update(schema=1)),
}
# What has the checksum of its contents, and other types: by a program that is wrong.
WRONG = {
    "the id": lambda r: r["trial"].update(id=7),
    "the phase": lambda r: r["trial"].update(phase="training"),
    "the budget": lambda r: r["trial"].update(budget="half"),
    "the trial": lambda r: r.update(trial=[]),
    "the status": lambda r: r.update(status=1),
    "an unknown status": lambda r: r.update(status="ended"),
    "the value": lambda r: r.update(value="0.5"),
    "no value": lambda r: r.update(value=None),
    "the rate": lambda r: r.update(learning_rate=True),
    "the record": lambda r: r.update(record=[]),
    "no steps": lambda r: r["record"].pop("steps"),
    "the steps": lambda r: r["record"].update(steps="20"),
    "the epochs": lambda r: r["record"].update(epochs=7),
    "an epoch": lambda r: r["record"]["epochs"][0].update(test_accuracy="0.5"),
    "the final epoch": lambda r: r["record"]["final"].update(loss=[1.0]),
    "the metrics": lambda r: r["record"].update(metrics={"accuracy": {"better": "higher"}}),
    "a metric": lambda r: r["record"]["metrics"]["accuracy"].update(is_share="yes"),
    "the seconds": lambda r: r["timing"].update(seconds={"train": "1 s"}),
    "the restarts": lambda r: r["timing"].update(restarts=None),
    "a field more": lambda r: r.update(more=1),
    "the cost": lambda r: r["record"].update(cost=7),
}
DAMAGE |= {kind: lambda data, kind=kind: signed(changed(data, WRONG[kind])) for kind in WRONG}


def changed(data, change):
    found = json.loads(data)
    change(found)
    return json.dumps(found).encode()


def signed(data):
    """Return a result with the checksums of what it has."""
    found = json.loads(data)
    timing = found.pop("timing")
    for part in (found, timing):
        part.pop("checksum")
        part["checksum"] = digest(part)
    return json.dumps({**found, "timing": timing}).encode()


def test_what_is_signed_again_and_not_changed_is_a_result(done):
    """The control of what is wrong: the checksum is not what refuses it."""
    trial = done.grid.trials[-1].id
    path = done.results / f"{trial}.json"
    before = done.result(trial)
    path.write_bytes(signed(changed(path.read_bytes(), lambda r: r["timing"].update(attempts=3))))
    assert done.result(trial).record == before.record
    assert done.result(trial).timing == {**before.timing, "attempts": 3}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_result_is_named_set_aside_and_made_again(done, kind):
    before = running.contents(done.directory)
    trial = done.grid.trials[-1].id
    path = done.results / f"{trial}.json"
    path.write_bytes(DAMAGE[kind](path.read_bytes()))
    damaged = path.read_bytes()
    status = Status.of(done)
    assert len(status.done) == len(done.grid.trials) - 1
    assert status.missing == [trial]
    assert len(status.torn) == 1 and f"{path.name} cannot be read" in status.torn[0]
    assert len(pandas.read_parquet(tables.write(done))) == len(status.done)
    work(done)
    aside = done.results / f"{path.name}.torn-1"
    assert aside.read_bytes() == damaged
    assert Status.of(done).complete
    assert Status.of(done).foreign == [f"{aside.name} was torn and is set aside"]
    os.rename(aside, done.directory / "elsewhere")
    assert running.contents(done.directory) == before


def test_the_second_damage_does_not_overwrite_the_first(done):
    path = done.results / f"{done.grid.trials[0].id}.json"
    for damage in (b"first", b"second"):
        path.write_bytes(damage)
        work(done)
    assert (done.results / f"{path.name}.torn-1").read_bytes() == b"first"
    assert (done.results / f"{path.name}.torn-2").read_bytes() == b"second"


def test_strange_files_are_named_and_left_alone(done):
    trial, other = (each.id for each in done.grid.trials[:2])
    data = (done.results / f"{trial}.json").read_bytes()
    strange = {
        "copy of a result.json": data,
        f"{trial}.json.bak": data,
        "0123456789.json": signed(data.replace(trial.encode(), b"0123456789")),
        "notes.txt": b"mine",
        "empty.json": b"",
        f"{other}.json.torn-x": b"",
    }
    for name, content in strange.items():
        (done.results / name).write_bytes(content)
    (done.results / "folder").mkdir()
    status = Status.of(done)
    assert status.complete and not status.torn
    said = {line.split(".json")[0]: line for line in status.foreign}
    assert len(status.foreign) == 7
    assert said["copy of a result"].endswith(f"is a copy of the result of {trial}")
    assert said["0123456789"].endswith("belongs to no trial")
    work(done)
    assert len(pandas.read_parquet(tables.write(done))) == len(done.grid.trials)
    for name, content in strange.items():
        assert (done.results / name).read_bytes() == content


def test_the_result_of_another_trial_does_not_count(done):
    one, other = (done.results / f"{each.id}.json" for each in done.grid.trials[:2])
    one.write_bytes(other.read_bytes())
    status = Status.of(done)
    assert len(status.done) == len(done.grid.trials) - 1
    assert "is not the result of" in status.torn[0]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"changes": {"a": {"epochs": 5}}}, "its trials differ in epochs"),
        ({"goal": "loss", "goal_mode": "min"}, "goal is 'accuracy' there, not 'loss'"),
        ({"judged": "best"}, "judged is 'final' there, not 'best'"),
        ({"rates": [0.1]}, "trials are only there"),
        ({"threads": 2}, "threads is 1 there, not 2"),
    ],
)
def test_a_changed_grid_is_refused_with_what_differs(store, changed, said):
    before = (store.directory / "grid.jsonl").read_bytes()
    with pytest.raises(ValueError, match="is another sweep") as caught:
        Store.create(store.directory, Grid.of(make(**{**SMALL, **changed})))
    assert said in str(caught.value)
    assert (store.directory / "grid.jsonl").read_bytes() == before


def test_the_same_grid_is_welcome_again(store):
    assert (
        Store.create(store.directory, Grid.of(make(**SMALL))).grid
        == Store.open(store.directory).grid
    )


@pytest.mark.parametrize("name", ["results", "notes"])
def test_a_directory_of_something_else_is_refused(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match="something else"):
        Store.create(tmp_path, Grid.of(make(**SMALL)))
    with pytest.raises(ValueError, match=r"no grid\.jsonl"):
        Store.open(tmp_path)
    whole = Grid.of(make()).to_lines()
    (tmp_path / "grid.jsonl").write_text("".join(whole.splitlines(keepends=True)[:5]))
    with pytest.raises(ValueError, match="damaged: it has 4 of its"):
        Store.open(tmp_path)
    (tmp_path / "grid.jsonl").write_text("torn")
    with pytest.raises(ValueError, match="damaged"):
        Store.open(tmp_path)


def test_a_disk_without_locks_is_refused(results, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda file, operation: None)
    with pytest.raises(ValueError, match="disk with locks"):
        Store.create(results, Grid.of(make(**SMALL)))
    assert not (results / "grid.jsonl").exists()


def test_errors_and_disappearances_are_counted_apart(store):
    attempts = store.attempts(store.grid.trials[0].id)
    for _ in range(MOST_ERRED - 1):
        attempts.begin()
        attempts.end("erred", RuntimeError("first\nlast"))
    for _ in range(MOST_VANISHED - 1):
        attempts.begin()
    assert attempts.begin() == MOST_ERRED + MOST_VANISHED - 1
    attempts.end("asked to end")
    assert attempts.quarantine() is None
    attempts.begin()
    attempts.end("erred", RuntimeError("first\nlast"))
    why = attempts.quarantine()
    assert (why["erred"], why["vanished"]) == (MOST_ERRED, MOST_VANISHED - 1)
    assert why["error"].endswith("last")
    attempts.forgive()
    assert attempts.quarantine() is None
    for _ in range(MOST_VANISHED):
        attempts.begin()
    assert attempts.quarantine()["vanished"] == MOST_VANISHED


def test_a_torn_note_of_an_attempt_has_vanished(store):
    attempts = store.attempts(store.grid.trials[0].id)
    attempts.begin()
    path = next((store.directory / "trials").glob("*/attempts/0001.json"))
    path.write_text("{")
    assert [entry["status"] for entry in attempts.all()] == ["vanished"]
    assert attempts.begin() == 2


def test_the_table_says_what_the_results_say(done):
    table = pandas.read_parquet(tables.write(done)).set_index("id")
    assert list(table.reset_index().columns) == sorted(
        TRIALS, key=lambda name: (name != "id", list(TRIALS).index(name))
    )
    assert list(table.index) == [trial.id for trial in done.grid.trials]
    for trial in done.grid.trials:
        found, row = done.result(trial.id), table.loc[trial.id]
        name = "test" if trial.phase == MEASUREMENT else "val"
        assert row["value"] == found.record.final[f"{name}_accuracy"]
        assert row["goal"] == f"{name}_accuracy"
        assert math.isnan(row["relative_to_fp32"])  # It has a cost, and none that was counted.
        assert (row["setting"], row["workload"]) == ("a", "a")
        assert pandas.isna(row["right"]) and pandas.isna(row["count"])
        assert row["best"] == found.record.best[f"{name}_accuracy"] >= row["value"]
        assert row["loss"] == found.record.final["loss"]
        assert row["evaluated_loss"] == found.record.final[f"{name}_loss"] != row["loss"]
        assert row["learning_rate"] == found.learning_rate > 0.0
        assert (row["epochs"], row["steps"], row["attempts"]) == (4, 20, 1)
        assert row["evaluation_seconds"] == 0.25
    assert set(table["phase"]) == {"tuning", "measurement"}


def test_a_table_that_was_read_too_early_is_written_again(done, monkeypatch):
    """Another worker records a trial between the reading and the writing."""
    last = done.results / f"{done.grid.trials[-1].id}.json"
    aside, read = done.directory / ".aside", Store.sound
    os.rename(last, aside)

    def slow(self, trials):
        found = read(self, trials)
        if aside.exists():
            os.rename(aside, last)
        return found

    monkeypatch.setattr(Store, "sound", slow)
    assert len(pandas.read_parquet(tables.write(done))) == len(done.grid.trials)


def test_a_tuned_trial_has_the_rate_that_its_candidates_decide(done):
    for trial in done.grid.trials:
        if not trial.candidates:
            continue
        values = {float(rate): done.result(ids[0]).value for rate, ids in trial.candidates.items()}
        best = max(values.values())
        chosen = done.result(trial.id).learning_rate
        assert chosen == min(rate for rate in values if values[rate] == best)
        assert done.result(trial.id).record.config["learning_rate"] == chosen


def test_what_is_not_finite_is_null_and_files_are_json(results):
    store = Store.create(results, Grid.of(make(**{**SMALL, "rates": [100.0, 0.1]})))
    work(store)

    def refuse(name):
        raise AssertionError(name)

    read = [json.loads(path.read_text(), parse_constant=refuse) for path in store.results.iterdir()]
    assert {found["status"] for found in read} == {"finished", "diverged"}
    assert all(found["record"]["cost"] == {"overflow": None} for found in read)
    assert all((found["value"] is None) == (found["status"] == "diverged") for found in read)


def test_a_result_is_read_back_as_it_was_written(store):
    """By name and type, with what the record says of the run."""
    record = running.made_record(
        epochs=[{"val_accuracy": 0.5, "loss": math.inf}], restarts=2, seconds={"train": 1.5}
    )
    made = Result.made(store.grid, store.grid.trials[0], 0.1, record, {"attempts": 1})
    read = Result.of(json.loads(made.to_json()))
    assert (read.value, read.learning_rate, read.timing) == (0.5, 0.1, {"attempts": 1})
    assert (read.record.restarts, read.record.seconds) == (2, {"train": 1.5})
    assert read.record.final == {"val_accuracy": 0.5, "loss": None}
    assert read.to_json() == made.to_json()


def test_of_a_result_nothing_but_its_timing_says_how_it_went(store):
    record = running.made_record(epochs=[{"val_accuracy": 0.5}])
    texts = []
    for restarts, attempts in ((0, 1), (3, 7)):
        again = dataclasses.replace(
            record, restarts=restarts, versions={"python": str(attempts)}, hardware={"cpus": 8}
        )
        trial, timing = store.grid.trials[0], {"attempts": attempts}
        found = json.loads(Result.made(store.grid, trial, 0.1, again, timing).to_json())
        assert found.pop("timing")["hardware"] == {"cpus": 8}
        texts.append(json.dumps(found))
    assert texts[0] == texts[1]


def test_what_a_killed_process_was_writing_is_removed(store):
    trial = store.grid.trials[0].id
    with store.claim(trial) as claim:
        claim.attempts.begin()
    left = [
        store.directory / "trials" / trial / ".writing_x",
        store.directory / "trials" / trial / "attempts" / ".writing_0001_x.json",
    ]
    for path in left:
        path.write_text("torn")
    with store.claim(trial) as claim:
        assert not any(path.exists() for path in left)
        assert [entry["status"] for entry in claim.attempts.all()] == ["begun"]


def test_trials_train_in_directories_that_say_what_they_are(results):
    """TensorBoard shows them: no two of a sweep have the same."""
    long = "\N{GREEK SMALL LETTER LAMDA}" * 150
    made = make(settings=["a b/c", ".hidden", long], momenta={"0.9": {}, "D": {"momentum": 0.5}})
    store = Store.create(results, Grid.of(made))
    names = list(store.folders.values())
    assert all(re.fullmatch(r"(?!\.)[\w.+-]+", name) for name in names)
    assert max(len(name.encode()) for name in names) == 200
    assert "a_b_c-rex-0.9-float32-b0.5-lr0.1-s100-tuning" in names
    assert "hidden-linear-D-float32-b1-tuned-s1-measurement" in names
    with store.claim(store.grid.trials[0].id) as claim:
        assert claim.logdir.parent == claim.directory
        assert claim.logdir.name == store.folders[claim.trial]
