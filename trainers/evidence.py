"""Make evidence for advice: `python -m trainers.evidence SWEEP ... --out=FILE`.

A row for each method in a setting at a budget, of the sweeps whose directories, or tables of
results, are given; `keras_sched.recommend(evidence=[FILE])` adds them to what is known. With
`--published` the papers' numbers are in it, too: so the table of the package was made.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys

from keras_sched.advice.evidence import FAMILIES, distinct, written
from trainers.reports.evidence import of_published, of_sweep

_BAD_USAGE = 2


def main(arguments: list[str] | None = None) -> int:
    """Write the file; return 0, or 2 if it could not be made."""
    options = _parser().parse_args(arguments)
    if options.out.exists() and not options.replace:
        sys.stderr.write(
            f"`--out` must be a new file, unless `--replace` is given. Received: {options.out}, "
            f"which is there\n"
        )
        return _BAD_USAGE
    if not options.out.parent.is_dir():
        sys.stderr.write(f"`--out` must be in a directory that is there. Received: {options.out}\n")
        return _BAD_USAGE
    if options.source and not options.sweeps:
        sys.stderr.write("`--source` must be of a sweep. Received: none\n")
        return _BAD_USAGE
    try:
        rows = [*of_published()] if options.published else []
        for sweep in options.sweeps:
            found, left = of_sweep(sweep, options.family)
            source = options.source
            rows += [dataclasses.replace(row, source=source) for row in found] if source else found
            sys.stderr.writelines(f"Left out: {each}\n" for each in left)
        if not rows:
            raise ValueError("There must be a sweep, or `--published`. Received: none")
        rows = distinct(rows, hint=": make a file for each sweep, with a `--source` of its own")
        options.out.write_text(written(rows), "utf-8")
    except (OSError, TypeError, ValueError) as error:
        sys.stderr.write(f"trainers.evidence: {error}\n")
        return _BAD_USAGE
    sys.stdout.write(f"{options.out}: {len(rows)} rows\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainers.evidence", description="Make evidence of sweeps, for advice."
    )
    parser.add_argument("sweeps", metavar="SWEEP", nargs="*", type=pathlib.Path)
    parser.add_argument("--out", metavar="FILE", type=pathlib.Path, required=True)
    parser.add_argument("--family", choices=FAMILIES, help="of the tasks; by default the program's")
    parser.add_argument(
        "--source", metavar="NAME", help="of the sweeps' rows; by default the sweep's name"
    )
    parser.add_argument("--published", action="store_true", help="also the papers' numbers")
    parser.add_argument("--replace", action="store_true", help="write over a file that is there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
