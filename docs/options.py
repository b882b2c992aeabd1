"""Writes docs/options.md, what configurations and sweeps may say: `python docs/options.py`."""

from __future__ import annotations

import dataclasses
import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

# The tree is found only now.
from trainers import datasets, models  # noqa: E402
from trainers.options.capsnet import Capsules  # noqa: E402
from trainers.options.classification import Classification  # noqa: E402
from trainers.options.detection import Detector  # noqa: E402
from trainers.options.fields import Leaf, Options  # noqa: E402
from trainers.options.glue import Glue  # noqa: E402
from trainers.options.graphs import Graphs  # noqa: E402
from trainers.options.lm import Language  # noqa: E402
from trainers.options.ncsn import Scores  # noqa: E402
from trainers.options.vae import VariationalAutoencoder  # noqa: E402
from trainers.sweeps import columns  # noqa: E402

FAMILIES: dict[str, type[Options]] = {
    "trainers.capsnet": Capsules,
    "trainers.cifar": Classification,
    "trainers.detection": Detector,
    "trainers.glue": Glue,
    "trainers.graphs": Graphs,
    "trainers.lm": Language,
    "trainers.ncsn": Scores,
    "trainers.vae": VariationalAutoencoder,
}
HEAD = """# Options of the trainers

What a file in `configs/` may say, and `--config.NAME=VALUE` change. Those with a flag can be given
as `--NAME=VALUE` too, which goes before the file. Names are the same in files, flags, records and
sweeps.
*Shared* says whether trials of a sweep that differ in it can share a compiled step. Made by
`python docs/options.py`.
"""


def table(leaves: list[Leaf]) -> str:
    """Return options as a table of Markdown."""
    rows = ["| option | default | flag | shared | what |", "|---|---|---|---|---|"]
    for leaf in leaves:
        required = leaf.default is dataclasses.MISSING
        default = "must be given" if required else f"`{leaf.default!r}`"
        flag = "yes" if leaf.is_flag else ""
        shared = "" if leaf.is_traced else "yes"
        rows.append(f"| `{leaf.name}` | {default} | {flag} | {shared} | {leaf.help} |")
    return "\n".join(rows)


def text() -> str:
    """Return the document: the options of each family, and those that all have, once."""
    common: dict[str, list[Leaf]] = {}
    own: dict[str, list[Leaf]] = {}
    for program, options in FAMILIES.items():
        for leaf in options.leaves().values():
            if leaf.path:
                group = common.setdefault(leaf.path[0], [])
                if leaf.name not in {each.name for each in group}:
                    group.append(leaf)
            else:
                own.setdefault(program, []).append(leaf)
    parts = [HEAD]
    for group, leaves in common.items():
        parts.append(f"## {group.capitalize()}\n\n{table(leaves)}\n")
    for program, leaves in own.items():
        parts.append(f"## Of `{program}` alone\n\n{table(leaves)}\n")
    parts += [_models(), _datasets(), _columns()]
    return "\n".join(parts)


def _models() -> str:
    return f"## Models\n\n{', '.join(f'`{name}`' for name in models.names())}.\n"


def _datasets() -> str:
    rows = ["| data set | images | classes | to train | to test | augmented |", "|---" * 6 + "|"]
    for name in datasets.names():
        facts = datasets.facts(name)
        height, width, channels = facts.input_shape
        augmented = f"shifted by up to {facts.shift}" + ", mirrored" * facts.flip
        rows.append(
            f"| `{name}` | {height} x {width} x {channels} | {facts.classes} "
            f"| {facts.num_train:,} | {facts.num_test:,} | {augmented} |"
        )
    note = (
        "`digits` and `digits8` come with scikit-learn, the others from TensorFlow Datasets, in "
        "`--data_dir`."
    )
    return "## Data sets\n\n" + note + "\n\n" + "\n".join(rows) + "\n"


def _columns() -> str:
    rows = ["| column | trials | cells | what |", "|---|---|---|---|"]
    for name, column in columns.COLUMNS.items():
        marks = " | ".join("yes" if each else "" for each in (column.trials, column.cells))
        rows.append(f"| `{name}` | {marks} | {column.help} |")
    note = (
        "Of trials in `results.parquet` of a sweep, of cells in the CSV of a report. The goal and "
        "all that is made of it are in its own unit: of a share 0.975, not 97.5."
    )
    return "## Columns of results\n\n" + note + "\n\n" + "\n".join(rows) + "\n"


if __name__ == "__main__":
    (ROOT / "docs" / "options.md").write_text(text())
