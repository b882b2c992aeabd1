"""Download a data set: `python -m trainers.fetch NAME [--data_dir=DIR]`.

Nothing else of these trainers downloads anything. It ends with 0 if the data are there, 2 for a
name that is unknown, and 4 if they could not be had: try again, or on a machine with internet.
"""

from __future__ import annotations

import argparse
import sys

from trainers import datasets
from trainers.command import TRY_AGAIN
from trainers.datasets import scene_sources


def main(arguments: list[str] | None = None) -> int:
    """Download the data set that the command line names, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m trainers.fetch", description="Download a data set."
    )
    parser.add_argument("name", choices=[*datasets.names(), *scene_sources.names()], metavar="NAME")
    parser.add_argument("--data_dir", help="where to; by default, where it will be looked for")
    given = parser.parse_args(arguments)
    try:
        known = datasets if given.name in datasets.names() else scene_sources
        place = known.fetch(given.name, given.data_dir)
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return TRY_AGAIN
    sys.stdout.write(f"{given.name}: {place}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
