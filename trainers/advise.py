"""Advice on schedules: `python -m trainers.advise --task="image classification" --optimizer=sgd`.

It prints what `keras_sched.recommend` says: which schedules are expected to do best, at which rate,
how sure that is, and who measured it. `--why=METHOD` shows what was measured. Norms and models are
for Python alone.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table

if TYPE_CHECKING:
    from keras_sched.advice import Advice

_BAD_USAGE = 2
# A terminal with fewer columns is narrow.
_WIDE = 118


def main(arguments: list[str] | None = None) -> int:
    """Print the advice; return 0, or 2 if it was asked wrongly."""
    options = vars(_parser().parse_args(arguments))
    # After the flags are read: it loads TensorFlow.
    from keras_sched.advice import recommend

    method = options.pop("why")
    try:
        found = recommend(options.pop("task"), **options)
        why = found.why(method) if method else ""
    except (OSError, TypeError, ValueError) as error:
        sys.stderr.write(f"trainers.advise: {error}\n")
        return _BAD_USAGE
    console = Console()
    if why:
        console.print(why, markup=False, highlight=False)
    else:
        show(found, console)
    return 0


def show(found: Advice, console: Console) -> None:
    """Print advice as a table, with what is to be said beside it."""
    from keras_sched.advice.answer import cells, heads, legend

    # Lines that are code are to be copied: they are not broken.
    console.print(found.said, highlight=False, markup=False, soft_wrap=True)
    shown = heads(found, narrow=console.width < _WIDE)
    table = Table(
        box=box.SIMPLE, pad_edge=False, caption=legend(found, shown), caption_justify="left"
    )
    for name in shown:
        title = f"gain over {found.baseline} [90 %]" if name == "gain" else name
        is_number = name in ("better", "best", "tied", "regret", "bound")
        justify: JustifyMethod = "right" if is_number else "left"
        table.add_column(title, justify=justify, overflow="fold")
    for place, row in enumerate(found.rows):
        texts = cells(row)
        table.add_row(*(texts[each] for each in shown), style="bold" if place == 0 else None)
    console.print(table)
    for said in (found.momentum, found.precision, *found.notes):
        console.print(f"- {said}", highlight=False, markup=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainers.advise",
        description="Which schedule, at which rate, how sure, and on what evidence.",
    )
    parser.add_argument("--task", required=True, help="family of the task, as 'language model'")
    parser.add_argument("--optimizer", default="adam", help="its name, as sgd; adam by default")
    parser.add_argument("--budget", type=float, help="share of the usual epochs, as 0.1")
    parser.add_argument("--steps", type=int, help="steps of the run")
    parser.add_argument("--batch_size", type=int, help="examples of a batch")
    parser.add_argument("--learning_rate", type=float, help="the rate tuned for the baseline")
    parser.add_argument("--fear", help="what is feared most, as tuning, divergence or 'open end'")
    parser.add_argument("--metric", default="last", help="what counts: last or best")
    parser.add_argument("--baseline", default="Cosine", help="method that gains are over")
    parser.add_argument("--why", metavar="METHOD", help="show what was measured of a method")
    parser.add_argument("--setting", help="setting of the evidence that counts as this task")
    parser.add_argument(
        "--evidence", metavar="FILE", action="append", default=[], help="of trainers.evidence"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
