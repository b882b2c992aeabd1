"""Where the workers of a sweep run: here, through Slurm, or in a Ray cluster.

All of them run the same worker over the same directory, which every machine must see. An engine for
other machines starts there ``python -m trainers.sweep --workers=1``, a pool of one that starts its
worker again when it dies, and watches the directory.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import importlib
import logging
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from trainers.sweeps.pool import Pool
from trainers.sweeps.processes import ASKED_TO_END, asks, tied
from trainers.sweeps.programs import flags
from trainers.sweeps.progress import View
from trainers.sweeps.store import Store
from trainers.sweeps.worker import Part, Worker

__all__ = ["ENGINES", "Job", "Run", "check", "options", "start", "verify"]

_NEEDS = {"slurm": "submitit", "submitit_local": "submitit", "ray": "ray"}
ENGINES = ("local", "inline", *_NEEDS)
_POLL_SECONDS = 0.5
# Submitit's own default is 5 minutes. A job that runs into its limit is queued again.
_TIMEOUT_MINUTES = 720
_MOST_TIMEOUTS = 100
_MOST_RAY_RETRIES = 10
_MOST_RAY_STARTS = 3


@dataclasses.dataclass(frozen=True)
class Run:
    """How a sweep is run.

    Attributes:
        workers: How many: processes here, jobs or tasks elsewhere.
        data_dir: For the program.
        shard: (I, N) for the trials of the I-th of N parts only.
        begin: (I, N) to begin with the I-th of N parts.
        options: For the engine.
        import_program: Whether a program may be imported that is of no installed package.
    """

    workers: int = 1
    data_dir: str | None = None
    shard: Part = (0, 1)
    begin: Part = (0, 1)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    import_program: bool = False


def options(pairs: Sequence[str]) -> dict[str, Any]:
    """Read "key=value" pairs; values that are no Python literals are texts.

    Raises:
        ValueError: If a pair has no "=".
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not (equals and key.isidentifier()):
            raise ValueError(f"`engine_options` must be key=value,... Received: {pair!r}")
        try:
            found[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            found[key] = text
    return found


def check(engine: str, run: Run) -> None:
    """Refuse an engine that is unknown or not installed, or options that it does not take.

    Raises:
        ValueError: With what to install.
    """
    if engine not in ENGINES:
        raise ValueError(f"`engine` must be one of {', '.join(ENGINES)}. Received: {engine!r}")
    if run.workers < 1 or (engine == "inline" and run.workers > 1):
        raise ValueError(
            f"`workers` must be at least 1, and 1 for inline. Received: workers={run.workers}"
        )
    if engine not in _NEEDS:
        if run.options:
            raise ValueError(
                f"`engine_options` must be empty for {engine}. Received: {dict(run.options)}"
            )
        return
    package = _NEEDS[engine]
    try:
        importlib.import_module(package)
    except ImportError as error:
        extra = "ray" if package == "ray" else "slurm"
        raise ValueError(
            f"`engine={engine}` needs {package}, which is not installed. Install it: "
            f"pip install -e '.[{extra}]'"
        ) from error


def verify(engine: str, run: Run) -> None:
    """Refuse what an engine would not start with, before a directory is made.

    Raises:
        ValueError: If an option is unknown or wrong, or there is no such cluster.
    """
    if engine == "ray":
        _ray_task(run)
    elif engine in _NEEDS:
        with tempfile.TemporaryDirectory() as folder:
            _executor(engine, run, folder)


def start(engine: str, store: Store, run: Run, view: View) -> tuple[int, str | None]:
    """Run a sweep until nothing is left or this process is asked to end.

    Returns:
        0, or 143 if it was asked to end; and what was wrong with the workers.

    Raises:
        ValueError: If the engine refuses its options.
    """
    if engine == "local":
        pool = Pool(store, run.workers, run.data_dir, run.shard, run.begin, run.import_program)
        with view:
            return pool.run(view), pool.trouble
    if engine == "inline":
        return _inline(store, run, view), None
    jobs = [Job(_command(store, run, index)) for index in range(run.workers)]
    if engine == "ray":
        return _ray(store, run, jobs, view)
    return _submitit(engine, store, run, jobs, view)


class Job:
    """A command that is run on another machine; it can be sent there.

    Args:
        command: The command line.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._directory = os.getcwd()
        self._pid: int | None = None

    def __call__(self) -> int:
        """Run the command and return its exit code."""
        before = None
        with contextlib.suppress(ValueError):  # Only the main thread may handle signals.
            before = signal.signal(signal.SIGTERM, lambda number, frame: self.ask())
        process = subprocess.Popen(
            tied(self._command),
            cwd=self._directory if os.path.isdir(self._directory) else None,
        )
        self._pid = process.pid
        try:
            while process.poll() is None:
                time.sleep(_POLL_SECONDS)
        except BaseException:  # A cancelled task, for one.
            self.ask()
            process.wait()
            raise
        finally:
            self._pid = None
            if before is not None:
                signal.signal(signal.SIGTERM, before)
        return process.returncode

    def ask(self) -> None:
        """Ask the command to end."""
        if self._pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGTERM)

    def checkpoint(self) -> Any:
        """Have Submitit queue this job again: its time is up, or others need its place."""
        import submitit

        pid = self._pid
        self.ask()
        # Not `wait`, whose lock the interrupted `poll` may hold.
        with contextlib.suppress(ChildProcessError, ProcessLookupError):
            if pid is not None:
                os.waitpid(pid, 0)
        return submitit.helpers.DelayedSubmission(Job(self._command))


def _command(store: Store, run: Run, index: int) -> list[str]:
    begin, count = run.begin
    return [
        sys.executable,
        "-m",
        "trainers.sweep",
        f"--results={store.directory.absolute()}",
        "--workers=1",
        f"--shard={run.shard[0]}/{run.shard[1]}",
        f"--begin={begin + count * index}/{count * run.workers}",
        *([] if run.data_dir is None else [f"--data_dir={run.data_dir}"]),
        *flags(run.import_program),
    ]


def _inline(store: Store, run: Run, view: View) -> int:
    def say(text: str) -> None:
        view.console.print(text, highlight=False, soft_wrap=True, markup=False)

    worker = Worker(store, run.data_dir, run.shard, run.begin, run.import_program, say)
    try:
        with asks(lambda number: sys.exit(ASKED_TO_END)):
            worker.work(stop_on_error=False)
    except SystemExit:
        return ASKED_TO_END
    return 0


def _submitit(
    engine: str, store: Store, run: Run, jobs: list[Job], view: View
) -> tuple[int, str | None]:
    import submitit

    executor = _executor(engine, run, store.logs / "submitit")
    with _refusals("Submitit"):
        executor.update_parameters(name=run.options.get("name", store.grid.name))
        with executor.batch():
            submitted = [executor.submit(job) for job in jobs]
    view.console.print(f"jobs {', '.join(job.job_id for job in submitted)}", soft_wrap=True)

    def cancel() -> None:
        for job in submitted:
            job.cancel()

    code = _watch(store, view, lambda: sum(not job.done() for job in submitted), cancel)
    if code:
        return code, None
    errors = submitit.core.utils
    outcomes = [job.result for job in submitted]
    return 0, _trouble(outcomes, store, errors.UncompletedJobError, errors.FailedJobError)


def _executor(engine: str, run: Run, folder: str | pathlib.Path) -> Any:
    """Return what submits jobs, with the options of a run."""
    import submitit

    given = {"timeout_min": _TIMEOUT_MINUTES, **run.options}
    cluster = given.pop("cluster", "slurm" if engine == "slurm" else "local")
    most = given.pop("max_num_timeout", _MOST_TIMEOUTS)
    limits = {f"{cluster}_max_num_timeout": most} if cluster in ("slurm", "local") else {}
    with _refusals("Submitit"):
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster, **limits)
        executor.update_parameters(**given)
    return executor


@contextlib.contextmanager
def _refusals(name: str) -> Iterator[None]:
    """Tell what an engine raises as wrong usage."""
    try:
        yield
    except (AssertionError, RuntimeError, NameError, TypeError, ValueError, OSError) as error:
        raise ValueError(f"{name} refuses: {error}") from error


def _ray(store: Store, run: Run, jobs: list[Job], view: View) -> tuple[int, str | None]:
    task, given = _ray_task(run)
    import ray

    address = run.options.get("address")
    # A cluster of its own has a place for every task.
    cpus = max(1, run.workers * given["num_cpus"])
    own = {} if address else {"num_cpus": cpus, "include_dashboard": False}
    _begin_ray(address, own)
    waiting = tasks = [task.remote(job) for job in jobs]

    def running() -> int:
        nonlocal waiting
        if waiting:
            _, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=0)
        return len(waiting)

    def cancel() -> None:
        for each in waiting:
            ray.cancel(each)

    try:
        code = _watch(store, view, running, cancel)
        outcomes = [functools.partial(ray.get, each) for each in tasks]
        return code, None if code else _trouble(outcomes, store, ray.exceptions.RayError)
    finally:
        ray.shutdown()


def _ray_task(run: Run) -> tuple[Any, dict[str, Any]]:
    """Return what sends a job to Ray, and its options."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    given = {"num_cpus": 1, "max_retries": _MOST_RAY_RETRIES, **run.options}
    given.pop("address", None)
    with _refusals("Ray"):
        return ray.remote(_call).options(**given), given


def _begin_ray(address: str | None, own: Mapping[str, Any]) -> None:
    """Join a cluster, or start one; a busy machine can be slower than Ray waits for it."""
    import ray

    for left in reversed(range(1 if address else _MOST_RAY_STARTS)):
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING, **own)
            return
        except Exception as error:  # Ray raises plain exceptions for what it waited for in vain.
            ray.shutdown()
            if not left:
                raise ValueError(f"Ray cannot begin: {error}") from error


def _call(job: Job) -> int:
    return job()


def _trouble(
    outcomes: Sequence[Callable[[], Any]], store: Store, *errors: type[Exception]
) -> str | None:
    """Say how jobs ended that did not end well; each outcome gives an exit code, or raises."""
    said = []
    for number, outcome in enumerate(outcomes):
        try:
            code = outcome()
        except errors as error:
            said.append(f"job {number}: {str(error).strip().splitlines()[-1]}")
        else:
            if code not in (0, ASKED_TO_END):
                said.append(f"job {number} ended with code {code}")
    return f"{'; '.join(said)}. What they said is in {store.logs}" if said else None


def _watch(store: Store, view: View, running: Callable[[], int], cancel: Callable[[], None]) -> int:
    """Show the progress of jobs until none runs; when asked to end, cancel them."""
    asked = False

    def ask(number: int) -> None:
        nonlocal asked
        asked = True

    was_cancelled = False
    with view, asks(ask):
        while (count := running()) > 0:
            view.update(store.recorded(), count)
            if asked and not was_cancelled:
                cancel()
                was_cancelled = True
            time.sleep(_POLL_SECONDS)
        view.update(store.recorded(), 0)
    return ASKED_TO_END if asked else 0
