"""The engines run the same sweep to the same bytes: in this process, by Submitit, in Ray."""

import importlib.util
import signal
import sys
import time

import pytest

from tests.sweeps import running
from trainers.sweeps import engines
from trainers.sweeps.engines import Job, Run
from trainers.sweeps.status import Status
from trainers.sweeps.store import Store

pytestmark = pytest.mark.slow

GRID = {"rates": [0.1, 1.0], "budgets": [0.5, 1.0], "seeds": [0, 1]}


@pytest.fixture(scope="module")
def alone(disk):
    running.run(disk / "alone", grid=GRID)
    return running.contents(disk / "alone")


def installed(package):
    return importlib.util.find_spec(package) is not None


ELSEWHERE = [
    pytest.param("submitit_local", "submitit", marks=[], id="submitit"),
    pytest.param("ray", "ray", id="ray"),
]


def need(package):
    if not installed(package):
        pytest.skip(f"{package} is an extra and not installed")


def test_inline_trains_in_its_own_process(alone, results):
    out = running.run(results, "--engine=inline", grid=GRID)
    assert running.contents(results) == alone
    assert "recorded" in out
    assert len({timing["pid"] for timing in running.timings(results)}) == 1
    assert not list((results / "logs").iterdir())


def test_inline_goes_on_after_an_error(results):
    grid = {**GRID, "settings": ["a", "b"], "changes": {"a": {"trouble": "raise"}}}
    out = running.run(results, "--engine=inline", grid=grid, expected=1)
    assert "8 quarantined" in out
    assert len(running.contents(results)) == 16


@pytest.mark.parametrize(("engine", "package"), ELSEWHERE)
def test_two_jobs_elsewhere_record_what_one_worker_records(alone, results, engine, package):
    need(package)
    running.run(results, f"--engine={engine}", "--workers=2", grid=GRID, sleep=0.2)
    assert running.contents(results) == alone
    assert set(running.starts(results).values()) == {1}
    assert len({timing["pid"] for timing in running.timings(results)}) == 2
    assert len(list((results / "logs").glob("*-0.log"))) == 2


@pytest.mark.parametrize(("engine", "package"), ELSEWHERE)
def test_asked_to_end_the_jobs_end_and_the_command_goes_on(alone, results, engine, package):
    need(package)
    with running.start(
        results, f"--engine={engine}", "--workers=2", grid=GRID, sleep=0.5
    ) as process:
        running.wait_for(lambda: list(results.glob("trials/*/*/checkpoint.json")))
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=running.PATIENCE)
    assert process.returncode == 143, out
    status = Status.of(Store.open(results))
    assert status.missing and not status.running
    running.run(results, "--workers=2")
    assert running.contents(results) == alone


@pytest.mark.parametrize(("engine", "package"), ELSEWHERE)
def test_a_job_that_cannot_work_is_told(results, engine, package):
    need(package)
    out = running.run(results, f"--engine={engine}", "--data_dir=/nowhere", grid=GRID, expected=1)
    assert "job 0 ended with code 1" in out
    assert str(results / "logs") in out


@pytest.mark.parametrize(
    ("engine", "package", "extra"),
    [("slurm", "submitit", "slurm"), ("submitit_local", "submitit", "slurm"), ("ray",) * 3],
)
def test_without_its_package_an_engine_says_what_to_install(monkeypatch, engine, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"pip install -e '\.\[{extra}\]'"):
        engines.check(engine, Run(workers=2))


def test_slurm_where_there_is_none_is_bad_usage(results):
    need("submitit")
    out = running.run(results, "--engine=slurm", grid=GRID, expected=2)
    assert "Submitit refuses" in out and "srun" in out
    assert not results.exists()


@pytest.mark.parametrize(("engine", "package"), ELSEWHERE)
def test_unknown_options_are_bad_usage(results, engine, package):
    need(package)
    options = "--engine_options=colour=red"
    out = running.run(results, f"--engine={engine}", options, grid=GRID, expected=2)
    assert "refuses" in out and "colour" in out
    assert not results.exists()


def test_options_are_literals_or_texts():
    assert engines.options(["a=1", "b=0.5", "c=True", "d=gpu", "e=", "f=[1]", "g=a=b"]) == {
        "a": 1,
        "b": 0.5,
        "c": True,
        "d": "gpu",
        "e": "",
        "f": [1],
        "g": "a=b",
    }
    for wrong in ("a", "=1", "a b=1"):
        with pytest.raises(ValueError, match="key=value"):
            engines.options([wrong])


def test_inline_has_one_worker():
    with pytest.raises(ValueError, match="1 for inline"):
        engines.check("inline", Run(workers=2))


def test_a_job_returns_the_exit_code_of_its_command():
    before = signal.getsignal(signal.SIGTERM)
    assert Job([sys.executable, "-c", "raise SystemExit(5)"])() == 5
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_job_that_must_make_place_has_its_command_save_and_is_sent_again():
    need("submitit")
    code = "import signal,sys,time;signal.signal(15,lambda *a:sys.exit(9));print(1,flush=True)"
    job = Job([sys.executable, "-c", f"{code};time.sleep(60)"])
    sent = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: sent.append(job.checkpoint()))
    try:
        signal.setitimer(signal.ITIMER_REAL, 3.0)
        began = time.monotonic()
        job()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < 30.0
    (delayed,) = sent
    assert delayed.function._command == job._command
