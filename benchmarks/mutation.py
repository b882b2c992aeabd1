"""How many small faults the tests find: a seeded sample of mutants of a package, each tested.

    python -m benchmarks.mutation [--package=keras_sched] [--sample=100] [--seed=0]
        [--modules=schedules,duration] [--workers=2] [--json=results.json] [--again=results.json]
        [--tests=tests/test_duration.py,tests/laws]

A mutant is the package with one token changed, by an operator of cosmic-ray. It is killed if a
test that belongs to its module (`TESTS`) fails or runs out of time, and survives otherwise. The
sample is drawn by place: each place of the source at which something can be changed counts once,
whatever the number of changes that are possible there, and one of them is drawn.

Not mutated: annotations, `__all__`, what stands under `if TYPE_CHECKING`, the text of errors and
warnings, and the star of a signature, which cosmic-ray takes for a product. Operators left out:
  VariableReplacer, VariableInserter   they need to be told the names of variables
  numbers' operators by those of bits, and the reverse   TypeErrors, which any test finds
  equality by identity, order by identity, and the reverse   the same for None and small numbers
  -x by ~x and by `not x`                                TypeErrors, or as good as 0
  the removal of `@overload`                             nothing runs it

Each worker has a copy of the tree and one process with TensorFlow and Keras imported, which it
forks for each mutant; the working tree is only read, once. Before the mutants come two controls:
every test file must pass on the copy as it is, and a fault made by hand must be found. The first
also tells which tests reach the changed statement: only they are run, quick files first. (All tests
of a file are, where it reaches the statement while it is collected or in a fixture of many tests,
where its tests start processes or keep what they made for each other. A test that reaches a line
only through a copy made by AutoGraph is missed: it could only have killed more.)

`--again` runs the survivors of an earlier run once more, with the tests as they are now, and counts
the killed of both; what the source no longer has is left out. `--tests` names the tests to take
instead of those that belong.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import json
import multiprocessing
import os
import queue
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import coverage
import pytest
import rich.progress
import rich.table

from benchmarks.mutants import (
    Mutant,
    again,
    change,
    difference,
    operators,
    sample,
    statement,
)

ROOT = Path(__file__).resolve().parents[1]
_DEFAULTS = "tests/test_defaults.py"
_TRAINERS = [
    f"tests/trainers/test_{name}.py" for name in ("task", "experiment", "compiled", "replicas")
]
# The tests that belong to a module of a package: those of the first prefix of its path.
TESTS: dict[str, dict[str, list[str]]] = {
    "keras_sched": {
        "precision/": ["tests/precision", "tests/callbacks/test_precision_policy.py", _DEFAULTS],
        "range_tests/": ["tests/range_tests", _DEFAULTS],
        "callbacks/precision_policy": ["tests/callbacks/test_precision_policy.py"],
        "callbacks/": ["tests/callbacks", "tests/programs", _DEFAULTS],
        "_training": ["tests/callbacks", "tests/programs"],
        "_patch": ["tests/callbacks", "tests/programs"],
        "schedules/": ["tests/laws", "tests/peers", "tests/test_*.py"],
        "duration": ["tests/laws", "tests/peers", "tests/test_*.py"],
        "profiles": ["tests/laws", "tests/peers", "tests/test_*.py"],
        "_arrays": ["tests/laws", "tests/peers", "tests/test_*.py"],
        "_validate": ["tests/laws", "tests/peers", "tests/test_*.py"],
        "plotting": ["tests/test_*.py"],
        "_backend": ["tests/backends"],
        "_extras": ["tests/test_*.py"],
        "_files": ["tests/callbacks", "tests/range_tests"],
        "__init__": ["tests/test_*.py"],
        "": [  # what drives an optimizer
            "tests/optimizers",
            "tests/callbacks/test_scheduler.py",
            "tests/callbacks/test_begin.py",
        ],
    },
    "trainers": {
        "options/budget": ["tests/sweeps/test_grid.py", "tests/trainers/test_options.py"],
        "options/": [
            *(f"tests/trainers/test_{name}.py" for name in ("options", "rules", "cifar")),
            "tests/test_documents.py",
        ],
        "methods/bits": ["tests/trainers/test_precision.py", "tests/trainers/test_options.py"],
        "methods/": [
            f"tests/trainers/test_{name}.py" for name in ("methods", "networks", "options")
        ],
        "models/": ["tests/trainers/test_images.py"],
        "datasets/": [
            *("tests/trainers/test_images.py", "tests/trainers/test_fetch.py"),
            "tests/test_documents.py",
        ],
        "loop/means": _TRAINERS,
        "loop/compiled": [*_TRAINERS, "tests/trainers/test_unlike_tasks.py"],
        "loop/experiment": [*_TRAINERS, "tests/trainers/test_unlike_tasks.py"],
        "loop/evaluation": [*_TRAINERS, "tests/trainers/test_unlike_tasks.py"],
        "loop/signals": ["tests/trainers/test_killed.py", "tests/trainers/test_task.py"],
        "loop/task": [*_TRAINERS, "tests/trainers/test_unlike_tasks.py"],
        "loop/board": ["tests/trainers/test_unlike_tasks.py"],
        "loop/progress": ["tests/trainers/test_experiment.py", "tests/trainers/test_cifar.py"],
        "loop/": ["tests/trainers/test_[cdr]*.py", "tests/sweeps/test_store.py"],
        "tasks/": ["tests/trainers/test_[ctu]*.py"],
        "sweeps/trials": ["tests/trainers/test_trials.py"],
        "sweeps/": ["tests/sweeps"],
        "reports/": ["tests/reports", "tests/trainers/test_rules.py"],
        "sweep": ["tests/sweeps/test_command.py", "tests/sweeps/test_programs.py"],
        "report": ["tests/reports"],
        "": ["tests/trainers/test_cifar.py"],
    },
}
# A fault that must be found, or the figures mean nothing.
BY_HAND = {
    "keras_sched": ("keras_sched/profiles.py", "return 1.0 - s\n", "return 1.0 - s * s\n"),
    "trainers": (
        "trainers/options/budget.py",
        "round(epochs * budget)",
        "int(epochs * budget)",
    ),
}
# What is copied is what tests read.
NOT_COPIED = (".*", "__pycache__", "*.egg-info", "build", "dist", "runs")
LONGEST = 600.0  # seconds that a control may take


# --- running the tests ----------------------------------------------------------------------------


def tests_of(tree: Path, path: str) -> list[str]:
    """Return the test files that belong to a module."""
    name, _, module = path.partition("/")
    found = next(t for prefix, t in TESTS[name].items() if module.startswith(prefix))
    return files_of(tree, found)


def files_of(tree: Path, patterns: Sequence[str]) -> list[str]:
    """Return the test files that patterns of files and folders stand for."""
    found: list[Path] = []
    for pattern in patterns:
        for place in sorted(tree.glob(pattern)):
            found += sorted(place.rglob("test_*.py")) if place.is_dir() else [place]
    return [str(place.relative_to(tree)) for place in dict.fromkeys(found)]


class _Recorder:
    """A plugin of pytest: runs the chosen tests, and remembers what failed and what was reached.

    Attributes:
        failed: The first test that failed.
        seconds: Of each test.
    """

    def __init__(self, chosen: set[str], coverage: Any) -> None:
        self.failed = ""
        self.seconds: dict[str, float] = collections.defaultdict(float)
        self._chosen, self._coverage = chosen, coverage
        self._test = ""

    def _reach(self, context: str) -> None:
        if self._coverage is not None:
            self._coverage.switch_context(context)

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        files = {item.nodeid.partition("::")[0] for item in items} & self._chosen
        items[:] = [
            item
            for item in items
            if item.nodeid in self._chosen or item.nodeid.partition("::")[0] in files
        ]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._test = nodeid
        self._reach(nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[Any]:
        if fixturedef.scope == "function":
            return (yield)
        self._reach("")
        try:
            return (yield)
        finally:
            self._reach(self._test)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid or "collection"

    def reached(self, copy: Path) -> dict[str, dict[int, list[str]]]:
        """Return by which tests each line was reached; "" is what several share."""
        if self._coverage is None:
            return {}
        self._coverage.stop()
        data = self._coverage.get_data()
        return {
            str(Path(file).relative_to(copy)): data.contexts_by_lineno(file)
            for file in data.measured_files()
        }


def _forked(copy: Path, tests: list[str], is_control: bool, talk: Any) -> None:
    """Run tests of the copy in this process, which has just been forked, and end it."""
    import hypothesis

    os.setsid()
    log = os.open(copy / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (0, 1, 2):
        os.dup2(os.open(os.devnull, os.O_RDONLY) if stream == 0 else log, stream)
    os.chdir(copy)
    os.environ["PYTHONPATH"] = str(copy)
    sys.path[:] = [str(copy), *(p for p in sys.path if Path(p or ".").resolve() != ROOT)]
    for name in [name for name in sys.modules if name.startswith(("benchmarks", "__mp_main__"))]:
        del sys.modules[name]
    hypothesis.settings.register_profile(
        "mutation", max_examples=20, derandomize=True, database=None, deadline=None
    )
    hypothesis.settings.load_profile("mutation")
    tracer = None
    if is_control:
        tracer = coverage.Coverage(
            data_file=None, config_file=False, include=[f"{copy}/{name}/*" for name in TESTS]
        )
        tracer.start()
    recorder = _Recorder(set(tests), tracer)
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    options = ["-x", "-q", "-n", "0", "-p", "no:randomly", "-p", "no:cacheprovider", "--tb=short"]
    # Hypothesis is there before pytest could rewrite its plugin.
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    code = int(pytest.main([*options, *files], plugins=[recorder]))
    sys.stdout.flush()
    talk.send((code, recorder.failed, dict(recorder.seconds), recorder.reached(copy)))
    os._exit(0)


def _run(copy: Path, tests: list[str], is_control: bool, limit: float) -> dict[str, Any]:
    """Run tests of the copy in a fork; return how they ended, and what failed first."""
    begin = time.perf_counter()
    listen, talk = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if not child:
        try:
            _forked(copy, tests, is_control, talk)
        except BaseException:  # noqa: BLE001  whatever it is, this process must not go on
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(70)
    talk.close()
    try:
        said = listen.recv() if listen.poll(limit) else (None, "", {}, {})
    except EOFError:
        said = -1, "the process died", {}, {}
    code, failed, times, reached = said
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:  # it has ended, or has not yet its own group
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    outcome = "survived" if code == 0 else "timeout" if code is None else "killed"
    if code in (4, 5):
        outcome = "no tests"
    result = {"outcome": outcome, "failed": failed, "seconds": time.perf_counter() - begin}
    return result | ({"times": times, "reached": reached} if is_control else {})


def _copy(source: Path, to: Path) -> None:
    shutil.copytree(source, to, ignore=shutil.ignore_patterns(*NOT_COPIED))


def _work(tree: Path, jobs: Any, results: Any) -> None:
    """Be a worker: copy the tree, import what takes long, and fork for each job."""
    os.environ |= {
        "TF_ENABLE_ONEDNN_OPTS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "MPLBACKEND": "agg",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    sys.dont_write_bytecode = True
    import hypothesis
    import keras
    import numpy
    import tensorflow

    del hypothesis, keras, numpy, tensorflow
    results.cancel_join_thread()  # Nobody waits for results if a control has failed.
    table = operators()
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "tree"
        _copy(tree, copy)
        for number, job, tests, limit in iter(jobs.get, None):
            match job:
                case Mutant():
                    path, sources = job.path, change(job, copy, table)
                case None:
                    path, sources = "", None
                case _:
                    path, before, after = job
                    source = (copy / path).read_text()
                    sources = source, source.replace(before, after)
            if sources:
                (copy / path).write_text(sources[1])
            result = _run(copy, tests, job is None, limit)
            if sources:
                (copy / path).write_text(sources[0])
                result["difference"] = difference(*sources)
            if job is None:
                result["output"] = (copy / "output.txt").read_text(errors="replace")[-3000:]
            results.put((number, result))


class Workers:
    """Processes that run tests of mutants."""

    def __init__(self, tree: Path, number: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.jobs, self.results = context.Queue(), context.Queue()
        self.processes = [
            context.Process(target=_work, args=(tree, self.jobs, self.results))
            for _ in range(number)
        ]
        for process in self.processes:
            process.start()

    def map(self, jobs: Sequence[tuple[Any, list[str], float]]) -> Iterator[tuple[int, dict]]:
        """Yield the number of each job of (mutant, tests, limit) and its result, as they come."""
        for number, job in enumerate(jobs):
            self.jobs.put((number, *job))
        for _ in jobs:
            yield self.results.get()

    def end(self) -> None:
        with contextlib.suppress(queue.Empty):  # What is left, if a control has failed.
            while True:
                self.jobs.get_nowait()
        for _ in self.processes:
            self.jobs.put(None)
        for process in self.processes:
            process.join()


class Tests:
    """What the control found: the tests of each file, their seconds, and which lines they reach."""

    def __init__(self, tree: Path, belong: dict[str, list[str]]) -> None:
        self._tree, self._belong = tree, belong
        self.files = sorted({file for files in belong.values() for file in files})
        self._times: dict[str, dict[str, float]] = {}
        self._reached: dict[str, dict[str, dict[int, list[str]]]] = {}

    def control(self, workers: Workers, console: Any) -> None:
        """Run all files on the copies as they are; all must pass."""
        jobs: list[tuple[Any, list[str], float]] = [(None, [file], LONGEST) for file in self.files]
        for number, result in rich.progress.track(
            workers.map(jobs), "control", len(jobs), console=console
        ):
            file = self.files[number]
            if result["outcome"] not in ("survived", "no tests"):
                raise SystemExit(f"{result['output']}\n{file} fails without any mutant")
            self._times[file], self._reached[file] = result["times"], result["reached"]
            print(f"control {file} {result['seconds']:.0f} s", flush=True)

    def _whole(self, file: str) -> bool:
        source = (self._tree / file).read_text()
        return any(
            word in source
            for word in ("subprocess", "functools", "multiprocessing", "Fork", "Started")
        )

    def of(self, path: str, line: int) -> tuple[list[str], float]:
        """Return the tests that reach a line, or all that belong to it, and their seconds."""
        lines = statement((self._tree / path).read_text(), line)
        found = []
        for file in self._belong[path]:
            reached = self._reached[file].get(path, {})
            tests = {test for number in lines for test in reached.get(number, ())}
            if self._whole(file) or "" in tests:
                tests = {file}
            if tests:
                times = self._times[file]
                found.append((sum(times.get(t, sum(times.values())) for t in tests), sorted(tests)))
        found.sort()
        if not found:
            return self._belong[path], LONGEST
        return [test for _, tests in found for test in tests], sum(s for s, _ in found)


# --- what is said ---------------------------------------------------------------------------------


def package(path: str) -> str:
    """Return the package of a module, or its own name where it has none."""
    parent = Path(*Path(path).parts[1:]).parent
    return str(parent).replace(".", "(modules at the top)")


def report(results: list[dict[str, Any]], console: Any) -> None:
    """Print the table by package, what time ended, and the survivors."""
    table = rich.table.Table("package", "mutants", "killed", "of them by time", "survived")
    for name in [*sorted({package(r["path"]) for r in results}), "all"]:
        of = collections.Counter(
            r["outcome"] for r in results if name in ("all", package(r["path"]))
        )
        dead = of["killed"] + of["timeout"]
        table.add_row(name, *map(str, (of.total(), dead, of["timeout"], of["survived"])))
    console.print(table)
    for outcome in ("timeout", "survived"):
        for r in sorted(results, key=lambda r: (r["path"], r["line"])):
            if r["outcome"] == outcome:
                lines = "\n    ".join(r["difference"])
                print(f"{outcome}: {r['path']}:{r['line']} {r['operator']}\n    {lines}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--package", choices=TESTS, default="keras_sched")
    parser.add_argument("--sample", type=int, default=100, help="how many mutants")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--modules", default="", help="prefixes of paths within the package")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, help="where to write the results")
    parser.add_argument("--again", type=Path, help="results whose survivors are run once more")
    parser.add_argument("--tests", default="", help="files or folders, instead of what belongs")
    options = parser.parse_args()
    if options.sample < 1 or options.workers < 1:
        parser.error("--sample and --workers must be at least 1")
    console = rich.console.Console(stderr=True)
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory) / "tree"
        _copy(ROOT, tree)
        workers = Workers(tree, options.workers)
        try:
            run(options, tree, workers, console)
        finally:
            workers.end()


def run(options: argparse.Namespace, tree: Path, workers: Workers, console: Any) -> None:
    """Draw the mutants, test them, and say what came of it."""
    table = operators()
    results = []
    if options.again:
        earlier = json.loads(options.again.read_text())
        drawn = again(tree, earlier, table)
        results = [r for r in earlier if r["outcome"] != "survived"]
        print(f"{len(drawn)} survivors of {options.again} are still in the source")
    else:
        drawn, places = sample(
            tree, options.package, options.modules.split(","), options.sample, options.seed, table
        )
        print(
            f"{len(drawn)} mutants of {places} places, {len(table)} operators, seed {options.seed}"
        )
    if not drawn:
        raise SystemExit("There is no mutant to test.")
    given = files_of(tree, options.tests.split(",")) if options.tests else []
    by_hand = BY_HAND[options.package]
    paths = {m.path for m in drawn} | ({by_hand[0]} if not given else set())
    tests = Tests(tree, {path: given or tests_of(tree, path) for path in paths})
    tests.control(workers, console)
    print(f"control: {len(tests.files)} test files pass")

    def job(mutant: Any, path: str, line: int) -> tuple[Any, list[str], float]:
        chosen, seconds = tests.of(path, line)
        return mutant, chosen, 40 + 3 * seconds

    if not given:
        source = (tree / by_hand[0]).read_text()
        line = 1 + source[: source.index(by_hand[1])].count("\n")
        ((_, found),) = workers.map([job(by_hand, by_hand[0], line)])
        if found["outcome"] != "killed" or not found["difference"]:
            raise SystemExit(f"The fault made by hand was not found: {found}")
    for number, result in rich.progress.track(
        workers.map([job(m, m.path, m.line) for m in drawn]), "mutants", len(drawn), console=console
    ):
        mutant = drawn[number]
        results.append(dataclasses.asdict(mutant) | result)
        print(
            f"{result['outcome']} {mutant.path}:{mutant.line} {result['failed']}",
            f"{result['seconds']:.0f} s",
            flush=True,
        )
        if options.json:
            options.json.write_text(json.dumps(results, indent=1))
    report(results, console)
    dead = sum(r["outcome"] in ("killed", "timeout") for r in results)
    print(f"killed: {dead / len(results):.2f}")


if __name__ == "__main__":
    main()
