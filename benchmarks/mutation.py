"""How many small faults the tests find: a seeded sample of mutants of the library, each tested.

    python -m benchmarks.mutation [--sample=100] [--seed=0] [--modules=schedules,duration]
        [--workers=2] [--json=results.json] [--again=results.json]

A mutant is the library with one token changed, by an operator of cosmic-ray. It is killed if a
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
every test file must pass on the copy as it is, which also tells the quick files, to be run first,
from the slow ones; and a fault made by hand must be found. `--again` runs the survivors of an
earlier run once more, with the tests as they are now; what the source no longer has is left out.
"""

from __future__ import annotations

import argparse
import ast
import collections
import dataclasses
import difflib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cosmic_ray.ast
import cosmic_ray.mutating
import cosmic_ray.plugins
import rich.progress
import rich.table

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = "keras_sched"
# The tests that belong to a module: those of the first prefix of its path.
TESTS = {
    "precision/": ["tests/precision", "tests/callbacks/test_precision_policy.py"],
    "range_tests/": ["tests/range_tests"],
    "callbacks/precision_policy": ["tests/callbacks/test_precision_policy.py"],
    "callbacks/": ["tests/callbacks", "tests/programs"],
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
}
LEFT_OUT = ("VariableReplacer", "VariableInserter")
SEVERAL = {  # operators that may change one kind into another of the same kind only
    "ReplaceBinaryOperator": (
        {"Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow"},
        {"RShift", "LShift", "BitOr", "BitAnd", "BitXor"},
    ),
    "ReplaceComparisonOperator": ({"Eq", "NotEq", "Lt", "LtE", "Gt", "GtE"}, {"Is", "IsNot"}),
    "ReplaceUnaryOperator": ({"UAdd", "USub", "Delete"}, {"Invert", "Delete"}, {"Not", "Delete"}),
}
BY_HAND = ("keras_sched/profiles.py", "return 1.0 - s\n", "return 1.0 - s * s\n")
# What is copied is what tests read.
NOT_COPIED = (".*", "__pycache__", "*.egg-info", "build", "dist", "runs")
LONGEST = 600.0  # seconds that a control may take

Position = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One change: at the `occurrence`-th place at which `operator` applies in the file `path`."""

    path: str
    line: int
    column: int
    operator: str
    occurrence: int


# --- which mutants there are ----------------------------------------------------------------------


def operators() -> dict[str, Any]:
    """Return the operators in use, by name."""
    found = {}
    for full in cosmic_ray.plugins.operator_names():
        kind, _, change = full.partition("/")[2].partition("_")
        if kind in LEFT_OUT:
            continue
        before, _, after = change.partition("_")
        if any({before, after} <= kinds for kinds in SEVERAL.get(kind, ({before, after},))):
            found[full] = cosmic_ray.plugins.get_operator(full)()
    return found


def skipped(source: str) -> list[tuple[Position, Position]]:
    """Return where a source is not mutated: begin and end, as lines from 1 and columns from 0."""
    lines = source.splitlines()
    spans = []

    def skip(*nodes: Any) -> None:
        for node in nodes:
            if node is not None:
                begin, end = (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
                spans.append((_characters(lines, begin), _characters(lines, end)))

    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.arg() | ast.AnnAssign():
                skip(node.annotation)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                skip(node.returns)
                skip(*(d for d in node.decorator_list if ast.unparse(d).endswith("overload")))
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                skip(node)
            case ast.If() if "TYPE_CHECKING" in ast.unparse(node.test):
                skip(node.test, *node.body)
            case ast.Raise() | ast.Call(func=ast.Attribute(attr="warn")):
                skip(*(text for text in ast.walk(node) if isinstance(text, ast.JoinedStr)))
    return spans


def _characters(lines: list[str], place: Position) -> Position:
    """Return a place of `ast`, which counts bytes, in characters."""
    return place[0], len(lines[place[0] - 1].encode()[: place[1]].decode())


def _star(node: Any) -> bool:
    """Whether a node is the star or the slash of a signature, or the star before arguments."""
    return node.parent is not None and node.parent.type in (
        *("parameters", "lambdef", "arglist", "trailer", "dictorsetmaker", "testlist_star_expr"),
    )


def mutants(tree: Path, name: str, table: dict[str, Any]) -> dict[Position, list[Mutant]]:
    """Return the mutants of a file by the place that they change."""
    source = (tree / name).read_text()
    spans = skipped(source)
    counts: collections.Counter[str] = collections.Counter()
    found: dict[Position, list[Mutant]] = {}
    quick = ("name", "newline", "string", "endmarker", "fstring_string")
    for node in cosmic_ray.ast.ast_nodes(cosmic_ray.ast.get_ast(source)):
        if node.type in quick or (node.type == "operator" and node.value in "()[]{},.:="):
            continue
        for operator, instance in table.items():
            for begin, end in instance.mutation_positions(node):
                count = counts[operator]
                counts[operator] += 1
                if node.type == "operator" and _star(node):
                    continue
                # A decorator ends with its line: its name tells whether it is skipped.
                inside = (begin[0], begin[1] + (node.type == "decorator")), end
                if any(a <= inside[0] and begin < b for a, b in spans):
                    continue
                found.setdefault(begin, []).append(
                    Mutant(name, begin[0], begin[1], operator, count)
                )
    return found


def change(mutant: Mutant, tree: Path, table: dict[str, Any]) -> tuple[str, str] | None:
    """Return the source before and after, or None if nothing that compiles comes of it."""
    before = (tree / mutant.path).read_text()
    after = cosmic_ray.mutating.mutate_code(before, table[mutant.operator], mutant.occurrence)
    if after is None or after == before:
        return None
    try:
        compile(after, mutant.path, "exec")
    except SyntaxError:
        return None
    return before, after


def difference(before: str, after: str) -> list[str]:
    """Return the lines that differ, with "-" or "+" before each."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def sample(
    tree: Path, modules: Sequence[str], size: int, seed: int, table: dict[str, Any]
) -> tuple[list[Mutant], int]:
    """Return mutants drawn without a place twice, and the number of places."""
    names = [str(path.relative_to(tree)) for path in sorted((tree / LIBRARY).rglob("*.py"))]
    names = [n for n in names if n.startswith(tuple(f"{LIBRARY}/{module}" for module in modules))]
    places = []
    for name in rich.progress.track(names, "mutants"):
        for _, choices in sorted(mutants(tree, name, table).items()):
            places.append(sorted(choices, key=lambda m: (m.operator, m.occurrence)))
    generator = random.Random(seed)
    drawn: list[Mutant] = []
    for choices in generator.sample(places, len(places)):
        if len(drawn) == size:
            break
        for mutant in generator.sample(choices, len(choices)):
            if change(mutant, tree, table):
                drawn.append(mutant)
                break
    return drawn, len(places)


def again(tree: Path, results: Sequence[dict[str, Any]], table: dict[str, Any]) -> list[Mutant]:
    """Return the survivors among earlier results, where the source still has them."""
    found = []
    for result in results:
        if result["outcome"] != "survived" or not (tree / result["path"]).exists():
            continue
        places = mutants(tree, result["path"], table).values()
        choices = [m for place in places for m in place if m.operator == result["operator"]]
        for mutant in sorted(choices, key=lambda m: abs(m.line - result["line"])):
            sources = change(mutant, tree, table)
            if sources and difference(*sources) == result["difference"]:
                found.append(mutant)
                break
    return found


# --- running the tests ----------------------------------------------------------------------------


def tests_of(tree: Path, path: str) -> list[str]:
    """Return the test files that belong to a module."""
    module = path.removeprefix(f"{LIBRARY}/")
    patterns = next(tests for prefix, tests in TESTS.items() if module.startswith(prefix))
    found: list[Path] = []
    for pattern in patterns:
        for place in sorted(tree.glob(pattern)):
            found += sorted(place.rglob("test_*.py")) if place.is_dir() else [place]
    return [str(place.relative_to(tree)) for place in dict.fromkeys(found)]


class _Recorder:
    """A plugin of pytest: remembers the first test that failed."""

    failed = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid or "collection"


def _forked(copy: Path, tests: list[str], talk: Any) -> None:
    """Run tests of the copy in this process, which has just been forked, and end it."""
    import hypothesis
    import pytest

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
    recorder = _Recorder()
    options = ["-x", "-q", "-n", "0", "-p", "no:randomly", "-p", "no:cacheprovider", "--tb=short"]
    # Hypothesis is there before pytest could rewrite its plugin.
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    code = int(pytest.main([*options, *tests], plugins=[recorder]))
    sys.stdout.flush()
    talk.send((code, recorder.failed))
    os._exit(0)


def _run(copy: Path, tests: list[str], limit: float) -> dict[str, Any]:
    """Run tests of the copy in a fork; return how they ended, and what failed first."""
    begin = time.perf_counter()
    listen, talk = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if not child:
        try:
            _forked(copy, tests, talk)
        except BaseException:  # noqa: BLE001  whatever it is, this process must not go on
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(70)
    talk.close()
    try:
        code, failed = listen.recv() if listen.poll(limit) else (None, "")
    except EOFError:
        code, failed = -1, "the process died"
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:  # it has ended, or has not yet its own group
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    outcome = "survived" if code == 0 else "timeout" if code is None else "killed"
    if code in (4, 5):
        outcome = "no tests"
    return {"outcome": outcome, "failed": failed, "seconds": time.perf_counter() - begin}


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
    import pytest
    import tensorflow

    del hypothesis, keras, numpy, pytest, tensorflow
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
            result = _run(copy, tests, limit)
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
        for _ in self.processes:
            self.jobs.put(None)
        for process in self.processes:
            process.join()


def control(workers: Workers, files: list[str], console: Any) -> dict[str, float]:
    """Return the seconds of each test file on the copies as they are; all must pass."""
    seconds = {}
    jobs: list[tuple[Any, list[str], float]] = [(None, [file], LONGEST) for file in files]
    for number, result in rich.progress.track(
        workers.map(jobs), "control", len(jobs), console=console
    ):
        if result["outcome"] not in ("survived", "no tests"):
            raise SystemExit(f"{result['output']}\n{files[number]} fails without any mutant")
        seconds[files[number]] = result["seconds"]
        print(f"control {files[number]} {result['seconds']:.0f} s", flush=True)
    return seconds


# --- what is said ---------------------------------------------------------------------------------


def package(path: str) -> str:
    """Return the package of a module, or its own name where it has none."""
    return str(Path(path).relative_to(LIBRARY).parent).replace(".", "(modules at the top)")


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
    parser.add_argument("--sample", type=int, default=100, help="how many mutants")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--modules", default="", help="prefixes of paths within keras_sched")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, help="where to write the results")
    parser.add_argument("--again", type=Path, help="results whose survivors are run once more")
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
    if options.again:
        drawn = again(tree, json.loads(options.again.read_text()), table)
        print(f"{len(drawn)} survivors of {options.again} are still in the source")
    else:
        drawn, places = sample(
            tree, options.modules.split(","), options.sample, options.seed, table
        )
        print(
            f"{len(drawn)} mutants of {places} places, {len(table)} operators, seed {options.seed}"
        )
    if not drawn:
        raise SystemExit("There is no mutant to test.")
    belong = {path: tests_of(tree, path) for path in [*(m.path for m in drawn), BY_HAND[0]]}
    seconds = control(workers, sorted({t for tests in belong.values() for t in tests}), console)
    print(f"control: {len(seconds)} test files pass, {sum(seconds.values()):.0f} seconds")

    def job(mutant: Any, path: str) -> tuple[Any, list[str], float]:
        tests = sorted(belong[path], key=seconds.__getitem__)
        return mutant, tests, 30 + 2 * sum(map(seconds.__getitem__, tests))

    ((_, by_hand),) = workers.map([job(BY_HAND, BY_HAND[0])])
    if by_hand["outcome"] != "killed" or not by_hand["difference"]:
        raise SystemExit(f"The fault made by hand was not found: {by_hand}")
    results = []
    for number, result in rich.progress.track(
        workers.map([job(m, m.path) for m in drawn]), "mutants", len(drawn), console=console
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
