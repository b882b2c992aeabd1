"""The dashboard without TensorBoard's own pages, and as one file."""

from __future__ import annotations

import base64
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from tensorboard.backend.event_processing import (
    data_provider,
    plugin_event_accumulator,
    plugin_event_multiplexer,
)
from tensorboard.context import RequestContext
from tensorboard.data import server_ingester
from tensorboard.util import grpc_util
from werkzeug import serving, wrappers

from tensorboard_plugins.schedules import export
from tensorboard_plugins.schedules.curves import AXES, curves, packed
from tensorboard_plugins.schedules.layout import written
from tensorboard_plugins.schedules.leaderboard import leaderboard
from tensorboard_plugins.schedules.log_reader import Log, LogReader
from tensorboard_plugins.schedules.manifest import manifest
from tensorboard_plugins.schedules.pages import Pages, static
from tensorboard_plugins.schedules.summary import STATISTICS

__all__ = ["Alone", "exported", "server"]

# Nothing of another place, and nothing that is made of texts.
_POLICY = (
    "default-src 'self'; object-src 'none'; img-src 'self' data: blob:; connect-src 'self'; "
    "script-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'"
)
_SECONDS = 5
_HEAD = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,">'
    "<title>Schedules</title>"
)
_VIEWPORT = '<meta name="viewport" content="width=device-width, initial-scale=1">'
_POINTS = 128
# Tensors that are kept of a series: all that matters is its last one.
_KEPT = 10
# Seconds between two looks at a directory, and those of no news after which it has no more.
_PAUSE, _PATIENCE = 0.2, 2.0


class Alone:
    """A WSGI application that serves the dashboard of a directory.

    Args:
        logdir: The directory.
    """

    def __init__(self, logdir: str | os.PathLike[str]) -> None:
        self._log = _Directory(logdir)
        pages = Pages(self._log.reader, lambda environ: (RequestContext(), ""), "alone")
        self._apps = pages.apps()

    @property
    def reader(self) -> LogReader:
        """What reads the directory."""
        return self._log.reader

    def wait(self) -> None:
        """Wait until all that the directory has is read."""
        self._log.whole()

    def close(self) -> None:
        """Let go of what reads the directory."""
        self._log.close()

    def watch(self) -> None:
        """Read the directory again and again, until the process ends."""
        threading.Thread(target=self._log.watch, daemon=True).start()

    def __call__(self, environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request."""
        path = environ.get("PATH_INFO", "/")
        if path in self._apps:
            return self._apps[path](environ, start_response)
        code = 200 if path == "/" else 404
        text = (
            f'{_HEAD}{_VIEWPORT}<script type="module" src="index.js"></script>'
            f'</head><body data-alone="1"></body></html>'
        )
        found = wrappers.Response(text if code == 200 else "", code, content_type="text/html")
        found.headers["Content-Security-Policy"] = _POLICY
        found.headers["X-Content-Type-Options"] = "nosniff"
        return found(environ, start_response)


def server(app: Alone, host: str, port: int) -> serving.BaseWSGIServer:
    """Return what serves the dashboard, at a port that is free or, for 0, any such.

    Raises:
        OSError: If the port is not free.
    """
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # It says each request.
    return serving.make_server(host, port, app, threaded=True)


def exported(logdir: str | os.PathLike[str]) -> str:
    """Return the dashboard of a directory as one page, which needs no server.

    It has every table, and curves of all runs with fewer points; single runs are not in it.
    """
    directory = _Directory(logdir)
    log = directory.whole()
    directory.close()
    about = manifest(log, "alone")
    tables, texts = {}, {}
    lines: dict[str, str] = {}
    for sweep in about["sweeps"]:
        for metric in sweep["metrics"]:
            for statistic in STATISTICS:
                key = _key(sweep["name"], metric["name"], statistic)
                table = tables[key] = leaderboard(log, sweep["name"], metric["name"], statistic)
                texts[key] = {kind: export.table(table, kind) for kind in export.ENDINGS}
        lines |= _lines(log, sweep["name"])
    held = {"manifest": about, "tables": tables, "texts": texts, "curves": lines}
    data = written(held)
    files = {name: held.decode() for name, held in static().items()}
    # What would end the element that it stands in.
    script, said = files["index.js"].replace("</", "<\\/"), data.replace("<", "\\u003c")
    return (
        f'{_HEAD}{_VIEWPORT}<style data-schedules="1">{files["styles.css"]}</style></head><body>'
        f'<script type="application/json" id="data">{said}</script>'
        f'<script type="module">{script}</script></body></html>\n'
    )


def _lines(log: Log, sweep: str) -> dict[str, str]:
    """Return all curves of a sweep, packed, by what the page asks for."""
    runs = {name: run for name, run in log.runs.items() if run.trial["sweep"] == sweep}
    columns = {
        name: None
        for run in runs.values()
        for table in ("steps", "evaluations")
        for name in run.columns(table)
        if name not in ("step", "seconds", "epoch") and not name.startswith("planned ")
    }
    found = {}
    for name in columns:
        for axis in AXES:
            arrays = curves([*runs.values()], name, axis, _POINTS)
            head = {"column": name, "axis": axis, "runs": [*runs], "revision": log.revision}
            found[_key(sweep, name, axis)] = base64.b64encode(packed(head, arrays)).decode()
    return found


def _key(*parts: str) -> str:
    """Return what the page finds a part by."""
    return json.dumps(parts, separators=(",", ":"), ensure_ascii=False)


class _Directory:
    """A directory of logs: TensorBoard's own server of data reads it, or if it lacks one, we do.

    Args:
        logdir: The directory.
    """

    def __init__(self, logdir: str | os.PathLike[str]) -> None:
        self._place = os.fspath(logdir)
        self._events: Any = None
        self._ingester: Any = None
        try:
            provider = self._served()
        except (server_ingester.NoDataServerError, server_ingester.DataServerStartupError):
            provider = self._read()
        self.reader = LogReader(provider)

    def whole(self) -> Log:
        """Return the log when all that is there has been read."""
        files = [sum("tfevents" in name for name in names) for _, _, names in os.walk(self._place)]
        wanted = sum(count > 0 for count in files)
        last, since = "", time.monotonic()
        while True:
            log = self.reader.read(RequestContext(), "")
            seen = len(log.runs) + len(log.sweeps) + len(log.plain) + len(log.warnings)
            # A file that goes on may have more, and so may one of which there is another.
            is_there = seen >= wanted and max(files) < 2
            is_there = is_there and all(run.has_ended for run in log.runs.values())
            if log.revision != last:
                last, since = log.revision, time.monotonic()
            elif is_there or time.monotonic() - since > _PATIENCE:
                return log
            time.sleep(_PAUSE)

    def close(self) -> None:
        """Let the server of data end."""
        if self._ingester is not None:
            self._ingester._stdin_handle.close()

    def watch(self) -> None:
        """Read what is new again and again; the server of data does so itself."""
        while self._events is not None:
            time.sleep(_SECONDS)
            self._load()

    def _served(self) -> Any:
        ingester = server_ingester.SubprocessServerDataIngester(
            server_binary=server_ingester.get_server_binary(),
            logdir=self._place,
            reload_interval=_SECONDS,
            channel_creds_type=grpc_util.ChannelCredsType.LOCAL,
            samples_per_plugin={},
        )
        ingester.start()
        self._ingester = ingester  # The server ends with it.
        return ingester.data_provider

    def _read(self) -> Any:
        sizes = {**plugin_event_accumulator.DEFAULT_SIZE_GUIDANCE, "tensors": _KEPT}
        self._events = plugin_event_multiplexer.EventMultiplexer(size_guidance=sizes)
        self._load()
        return data_provider.MultiplexerDataProvider(self._events, self._place)

    def _load(self) -> None:
        self._events.AddRunsFromDirectory(self._place)
        self._events.Reload()
