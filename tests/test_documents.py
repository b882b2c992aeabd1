"""The Python of the README and of the documents runs as it stands there, block after block."""

from __future__ import annotations

import ast
import importlib.util
import pathlib
import re
import shutil
import sys
import types

import pytest

from trainers.sweeps import programs
from trainers.sweeps.grid import Grid

ROOT = pathlib.Path(__file__).parents[1]


def blocks(name):
    """Return the blocks of Python of a document, each where it stands in the file."""
    text = (ROOT / name).read_text()
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return ["\n" * text.count("\n", 0, m.start(1)) + m[1] for m in found]


DOCUMENTS = [
    str(path.relative_to(ROOT))
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    if blocks(path)
]


def run(code, names, document="document"):
    """Run a block, and compare what its lines return with the number or text after their "#".

    Returns:
        How many there were.
    """
    lines, compared = code.splitlines(), 0
    for statement in ast.parse(code).body:
        expected = _expected(lines[statement.end_lineno - 1][statement.end_col_offset :])
        if isinstance(statement, ast.Expr) and expected:
            expression = ast.Expression(statement.value)
            value = eval(compile(expression, document, "eval"), names)
            assert value == expected[0], f"{document}: line {statement.lineno} returns {value!r}"
            compared += 1
        else:
            exec(compile(ast.Module([statement], []), document, "exec"), names)
    return compared


def _expected(rest):
    """Return the literal in a comment, in a list; nothing if it is a comment of another kind."""
    try:
        return [ast.literal_eval(rest.partition("#")[2].strip())]
    except (SyntaxError, ValueError):
        return []


# Keras' own, with data whose length is not known.
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_blocks_of_a_document_run_one_after_the_other(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "runs" / "digits_rex"
    place.mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "digits_rex" / "results.parquet", place)
    # As a module: classes look up what their annotations name in the one that they are of.
    monkeypatch.setitem(sys.modules, "document", module := types.ModuleType("document"))
    names = vars(module)
    compared = sum(run(code, names, document) for code in blocks(document))
    if document in CHECKS:
        CHECKS[document](names, compared)


def check_sweeps(names, compared):
    assert len(names["table"]) == 504
    grid = Grid.of(names["get_config"]())
    assert len(grid.trials) == 2 * 2 * 2 * (2 * 3 + 3)
    programs.verify(grid)


def check_training(names, compared):
    assert compared > 10


def words_not_used():
    """Return the words in code type of the last column of the glossary's tables."""
    rows = re.findall(r"^\|.*\|(.*)\|$", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    return {word for last in rows for word in re.findall(r"`(\w+)`", last)}


def public_names(text):
    """Return what a module calls its functions, classes and arguments."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg


def parts(name):
    return (
        set() if name.startswith("_") else {p.lower() for p in re.findall("[A-Z]?[a-z0-9]+", name)}
    )


CHECKS = {"docs/sweeps.md": check_sweeps, "docs/training.md": check_training}


def test_a_line_that_returns_something_else_is_seen():
    with pytest.raises(AssertionError, match="line 2 returns 3"):
        run("x = 1\nx + 2  # 4\n", {})
    assert run("x = 1  # 4\nx + 2  # 3\nx  # one\n", {}) == 1


def test_names_have_the_words_of_the_glossary():
    """In what is public; see docs/glossary.md."""
    unused = words_not_used()
    for module in (ROOT / "keras_sched").rglob("*.py"):
        found = {name for name in public_names(module.read_text()) if parts(name) & unused}
        assert not found, f"{module.name} has {sorted(found)}"


def test_a_word_that_is_not_used_is_seen():
    assert {"verify", "anneal", "hook"} <= words_not_used()
    (name, argument) = public_names("def verify_all(anneal): ...")
    assert parts(name) & words_not_used() and parts(argument) & words_not_used()
    assert not parts("_Verified") and not parts("check_all") & words_not_used()


def test_the_table_of_options_is_that_of_the_options():
    """As `python docs/options.py` writes it."""
    spec = importlib.util.spec_from_file_location("docs_options", ROOT / "docs" / "options.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "options.md").read_text() == module.text()
