"""Report on a sweep: `python -m trainers.report RESULTS ... [--format=md|tex|csv|html|screen]`.

It reads what `trainers.sweep` wrote, also while the sweep is running, and writes the report to
standard output: tables by setting, the paper's numbers beside them where the settings are a
paper's, ranks, rates and tests. Of several directories it is one report, if no cell is in two.
`--figures=DIR` also draws it, as PNG, SVG and PDF.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

from trainers.reports import figures, formats, results, tables

_BAD_USAGE = 2


def main(arguments: list[str] | None = None) -> int:
    """Write the report; return 0, or 2 if there is nothing to report on."""
    options = _parser().parse_args(arguments)
    try:
        found = results.read(*map(pathlib.Path, options.results))
        report = tables.build(found, options.baseline)
        drawn: dict[str, pathlib.Path] = {}
        if options.figures is not None:
            drawn = figures.save(found, pathlib.Path(options.figures))
        if options.format == "screen":
            formats.to_screen(report, drawn)
        else:
            pictures = figures.pictures(found) if options.format == "html" else []
            text = formats.written(options.format, found, report, drawn, pictures)
            sys.stdout.write(text)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"trainers.report: {error}\n")
        return _BAD_USAGE
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainers.report", description="Report on the results of a sweep."
    )
    parser.add_argument("results", metavar="RESULTS", nargs="+", help="the directories of sweeps")
    parser.add_argument(
        "--format", choices=formats.FORMATS, default="screen", help="default: %(default)s"
    )
    parser.add_argument(
        "--figures", metavar="DIR", help="also save figures there, as PNG, SVG and PDF"
    )
    parser.add_argument(
        "--baseline", metavar="METHOD", help="compare with it, not with the best of each column"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
