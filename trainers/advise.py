"""Advice on schedules: `python -m trainers.advise --task="image classification" --budget=0.1`.

It prints what `keras_sched.recommend` says: which schedules are expected to do best, at which rate,
how sure that is, and who measured it. `--why=METHOD` names the evidence.
"""

from __future__ import annotations

import argparse
import sys

from rich.console import Console, JustifyMethod
from rich.table import Table

from keras_sched.advice import Advice, recommend
from keras_sched.advice.answer import HEAD, LEGEND, cells
from keras_sched.advice.evidence import FAMILIES
from keras_sched.advice.methods import METHODS
from keras_sched.advice.recommend import FEARS

_BAD_USAGE = 2
# Columns of a screen that has fewer than so many signs in a line.
_WIDE, _NARROW = 118, ("method", "rate", "gain", "better", "best", "evidence")


def main(arguments: list[str] | None = None) -> int:
    """Print the advice; return 0, or 2 if it was asked wrongly."""
    options = _parser().parse_args(arguments)
    try:
        found = recommend(
            options.task,
            optimizer=options.optimizer,
            budget=options.budget,
            steps=options.steps,
            batch_size=options.batch_size,
            learning_rate=options.learning_rate,
            fear=options.fear,
            evidence=options.evidence,
            metric=options.metric,
            baseline=options.baseline,
        )
        why = found.why(options.why) if options.why else ""
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
    console.print(found.said, highlight=False, markup=False)
    table = Table(caption_justify="left")
    table.caption = LEGEND.format(baseline=found.baseline)
    shown = [place for place, name in enumerate(HEAD) if console.width >= _WIDE or name in _NARROW]
    for place in shown:
        name = HEAD[place]
        title = f"gain over {found.baseline} [90 %]" if name == "gain" else name
        justify: JustifyMethod = "right" if 2 < place < len(HEAD) - 2 else "left"
        table.add_column(title, justify=justify, no_wrap=place < len(HEAD) - 1)
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
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--task", choices=FAMILIES, required=True, help="family of the task")
    parser.add_argument("--optimizer", default="sgd", help="sgd, adam or adamw")
    parser.add_argument("--budget", type=float, help="share of the usual epochs, as 0.1")
    parser.add_argument("--steps", type=int, help="steps of the run")
    parser.add_argument("--batch_size", type=int, help="examples of a batch")
    parser.add_argument("--learning_rate", type=float, help="the rate tuned for the baseline")
    parser.add_argument("--fear", choices=FEARS, help="what is feared most")
    parser.add_argument("--metric", choices=("last", "best"), default="last", help="what counts")
    parser.add_argument("--baseline", choices=tuple(METHODS), default="Cosine", help="of gains")
    parser.add_argument("--why", metavar="METHOD", help="name the evidence of a method")
    parser.add_argument(
        "--evidence", metavar="FILE", action="append", default=[], help="of trainers.evidence"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
