"""A log as the dashboard reads it."""

from __future__ import annotations

from tensorboard.context import RequestContext

from tensorboard_plugins.schedules.alone import Alone


def read_log(place):
    """Return all that a directory has."""
    app = Alone(place)
    app.wait()
    found = app.reader.read(RequestContext(), "")
    app.close()
    return found


def read_run(place):
    """Return the only run below a directory."""
    (run,) = read_log(place).runs.values()
    return run
