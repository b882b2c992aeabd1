"""The mutants of a package: which there are, a sample of them, and what each makes of a source.

What is not mutated, and which operators are left out, stands in `benchmarks.mutation`.
"""

from __future__ import annotations

import ast
import collections
import dataclasses
import difflib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cosmic_ray.ast
import cosmic_ray.mutating
import cosmic_ray.plugins
import rich.progress

LEFT_OUT = ("VariableReplacer", "VariableInserter")
SEVERAL = {  # operators that may change one kind into another of the same kind only
    "ReplaceBinaryOperator": (
        {"Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow"},
        {"RShift", "LShift", "BitOr", "BitAnd", "BitXor"},
    ),
    "ReplaceComparisonOperator": ({"Eq", "NotEq", "Lt", "LtE", "Gt", "GtE"}, {"Is", "IsNot"}),
    "ReplaceUnaryOperator": ({"UAdd", "USub", "Delete"}, {"Invert", "Delete"}, {"Not", "Delete"}),
}

Position = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One change: at the `occurrence`-th place at which `operator` applies in the file `path`."""

    path: str
    line: int
    column: int
    operator: str
    occurrence: int


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
    tree: Path, package: str, modules: Sequence[str], size: int, seed: int, table: dict[str, Any]
) -> tuple[list[Mutant], int]:
    """Return mutants drawn without a place twice, and the number of places."""
    names = [str(path.relative_to(tree)) for path in sorted((tree / package).rglob("*.py"))]
    names = [n for n in names if n.startswith(tuple(f"{package}/{module}" for module in modules))]
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


def statement(source: str, line: int) -> range:
    """Return the lines of the smallest statement around a line, without its body."""
    smallest = range(line, line + 1)
    size = None
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt):
            last = node.body[0].lineno - 1 if getattr(node, "body", None) else node.end_lineno
            lines = range(node.lineno, max(last or 0, node.lineno) + 1)
            if line in lines and (size is None or len(lines) < size):
                smallest, size = lines, len(lines)
    return smallest
