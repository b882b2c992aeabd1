"""Download a data set, or weights: `python -m trainers.fetch NAME [--data_dir=DIR]`.

Nothing else of these trainers downloads anything. It ends with 0 if the data are there, 2 for a
name that is unknown or a package that is missing, and 4 if they could not be had: try again, or on
a machine with internet.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from trainers import datasets
from trainers.command import INTERRUPTED, TRY_AGAIN
from trainers.datasets import (
    graph_sources,
    pretrained,
    scene_sources,
    sentence_sources,
    text_sources,
)
from trainers.options.flags import BAD_USAGE

_SOURCES: tuple[Any, ...] = (
    datasets,
    scene_sources,
    text_sources,
    sentence_sources,
    graph_sources,
    pretrained,
)


def main(arguments: list[str] | None = None) -> int:
    """Download what the command line names, and return the exit code."""
    sources = {name: each for each in _SOURCES for name in each.names()}
    parser = argparse.ArgumentParser(
        prog="python -m trainers.fetch", description="Download a data set, or weights."
    )
    parser.add_argument("name", choices=sources, metavar="NAME", help=", ".join(sorted(sources)))
    parser.add_argument("--data_dir", help="where to; by default, where it will be looked for")
    given = parser.parse_args(arguments)
    try:
        place = sources[given.name].fetch(given.name, given.data_dir)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return BAD_USAGE
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return TRY_AGAIN
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        return INTERRUPTED
    sys.stdout.write(f"{given.name}: {place}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
