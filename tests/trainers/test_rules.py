"""Rules that hold for everything in the trainers."""

import ast
import pathlib

ROOT = pathlib.Path(__file__).parents[2]
# What changes while something runs.
CHANGING = {"_Slot"}


def dataclasses_of(text):
    """Return the names of dataclasses, and whether they are frozen."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            for each in node.decorator_list:
                named = each.func if isinstance(each, ast.Call) else each
                if ast.unparse(named) == "dataclasses.dataclass":
                    keywords = each.keywords if isinstance(each, ast.Call) else []
                    yield (
                        node.name,
                        any(k.arg == "frozen" and ast.unparse(k.value) == "True" for k in keywords),
                    )


def test_what_is_said_once_cannot_be_changed():
    found = {}
    for path in (ROOT / "trainers").rglob("*.py"):
        found |= dict(dataclasses_of(path.read_text()))
    assert len(found) > 20
    assert {name for name, is_frozen in found.items() if not is_frozen} == CHANGING


def test_one_that_can_be_is_seen():
    text = (
        "@dataclasses.dataclass\nclass A: ...\n@dataclasses.dataclass(frozen=False)\nclass B: ..."
    )
    assert dict(dataclasses_of(text)) == {"A": False, "B": False}
