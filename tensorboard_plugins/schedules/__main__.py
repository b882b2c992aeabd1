"""The dashboard alone: ``python -m tensorboard_plugins.schedules LOGDIR``."""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import sys
from collections.abc import Callable, Sequence

_PORT, _MOST = 6007, 65_535


def main(arguments: Sequence[str]) -> int:
    """Serve the dashboard of a directory, or write it to a file.

    Returns:
        0, or 2 if it was called wrongly.
    """
    try:
        from tensorboard_plugins.schedules import alone
    except ImportError as error:
        sys.stderr.write(
            f"It needs TensorBoard: pip install 'keras_sched[tensorboard]'. Received: {error}\n"
        )
        return 2
    parser = argparse.ArgumentParser(
        prog="python -m tensorboard_plugins.schedules",
        description="Shows the runs of a directory: schedules, curves, and which is ahead.",
    )
    parser.add_argument("logdir", type=pathlib.Path, help="directory of the runs")
    parser.add_argument("--port", type=int, default=_PORT, help="0 for any that is free")
    parser.add_argument("--host", default="127.0.0.1", help="who may look: this machine alone")
    parser.add_argument("--export", type=pathlib.Path, help="write one page, and end")
    given = parser.parse_args(arguments)
    if not given.logdir.is_dir():
        sys.stderr.write(f"`logdir` must be a directory. Received: {given.logdir}\n")
        return 2
    if not 0 <= given.port <= _MOST:
        sys.stderr.write(f"`port` must be from 0 to {_MOST}. Received: port={given.port}\n")
        return 2
    if given.export is not None:
        return _export(alone.exported, given.logdir, given.export)
    app = alone.Alone(given.logdir)
    try:
        server = alone.server(app, given.host, given.port)
    except (OSError, OverflowError, SystemExit) as error:
        app.close()
        sys.stderr.write(
            f"`port` must be free, and `host` of this machine. Received: port={given.port}, "
            f"host={given.host!r} ({error})\n"
        )
        return 2
    app.watch()
    sys.stdout.write(f"Schedules at http://{given.host}:{server.server_port}/ (Ctrl-C to end)\n")
    sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
    return 0


def _export(
    exported: Callable[[pathlib.Path], str], logdir: pathlib.Path, path: pathlib.Path
) -> int:
    if path.exists():
        sys.stderr.write(f"`export` must be a new file. Received: {path}, which is there\n")
        return 2
    text = exported(logdir)
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        sys.stderr.write(f"`export` cannot be written: {error}\n")
        return 2
    sys.stdout.write(f"{path}: {len(text) / 1e6:.1f} MB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
