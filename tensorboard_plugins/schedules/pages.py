"""The pages and answers of the dashboard, as a WSGI application for each route.

All of them read; none takes a path. A fault in the data is a warning in the manifest; one of the
program is an answer with code 500, which says under which number the log has it.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tensorboard import errors
from tensorboard import version as tensorboard_version
from tensorboard.backend import http_util
from werkzeug import wrappers

from tensorboard_plugins.schedules import export, layout
from tensorboard_plugins.schedules.curves import curves, packed
from tensorboard_plugins.schedules.leaderboard import leaderboard
from tensorboard_plugins.schedules.log_reader import Log, LogReader
from tensorboard_plugins.schedules.manifest import about, manifest
from tensorboard_plugins.schedules.summary import STATISTICS

__all__ = ["App", "Pages", "static"]

App = Callable[..., Iterable[bytes]]
Request = wrappers.Request
_JSON, _BYTES = "application/json", "application/octet-stream"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".txt": "text/plain"}
# Of a request that is sent; names of runs are long.
_MOST_SENT = 4 * 2**20
_SAFE = {"X-Content-Type-Options": "nosniff"}
_PNG = b"\x89PNG"
_logger = logging.getLogger("tensorboard")


class Pages:
    """Answers requests.

    Args:
        reader: Reads the log.
        context: Returns the context of a request, from its environment, and its experiment.
        loader: Which data server reads: "rust", "python" or "unknown".
    """

    def __init__(
        self, reader: LogReader, context: Callable[[Any], tuple[Any, str]], loader: str
    ) -> None:
        self._reader = reader
        self._context = context
        self._loader = loader

    def apps(self) -> dict[str, App]:
        """Return what answers at each route."""
        answers: dict[str, Callable[[Request], wrappers.Response]] = {
            "/api/manifest": self._manifest,
            "/api/curves": self._curves,
            "/api/table": self._table,
            "/api/run": self._run,
            "/api/image": self._image,
            "/api/plain": self._plain,
            "/api/export": self._export,
            "/api/health": self._health,
        }
        found = {route: _answering(answer) for route, answer in answers.items()}
        return found | {f"/{name}": _file(name, data) for name, data in static().items()}

    # --- answers ---------------------------------------------------------------------------------

    def _log(self, request: Request) -> Log:
        return self._reader.read(*self._context(request.environ))

    def _manifest(self, request: Request) -> wrappers.Response:
        log = self._log(request)
        if request.args.get("revision") == log.revision:
            return wrappers.Response(status=204, headers=_SAFE)
        return _json(request, manifest(log, self._loader))

    def _curves(self, request: Request) -> wrappers.Response:
        log, asked = self._log(request), _sent(request)
        names = _runs(asked, log)
        chosen = [log.runs[name] for name in names]
        name, axis = str(asked.get("column", "loss")), str(asked.get("x", "share"))
        points = _whole(asked.get("k", 256), "k")
        arrays = curves(chosen, name, axis, points)
        head = {"column": name, "axis": axis, "runs": names, "revision": log.revision}
        return http_util.Respond(request, packed(head, arrays), _BYTES)

    def _table(self, request: Request) -> wrappers.Response:
        log, asked = self._log(request), _sent(request)
        return _json(request, _leaderboard(log, asked))

    def _run(self, request: Request) -> wrappers.Response:
        log = self._log(request)
        name = request.args.get("run", "")
        if name not in log.runs:
            raise errors.NotFoundError(f"There is no run {name!r}")
        shown = self._reader.shown(*self._context(request.environ), name)
        return _json(request, {**about(log.runs[name], log), "shown": shown})

    def _image(self, request: Request) -> wrappers.Response:
        name, tag = request.args.get("run", ""), request.args.get("tag", "")
        png = self._reader.image(*self._context(request.environ), name, tag)
        if png is None or not png.startswith(_PNG):
            raise errors.NotFoundError(f"There is no image {tag!r} of {name!r}")
        return http_util.Respond(request, png, "image/png")

    def _plain(self, request: Request) -> wrappers.Response:
        log, asked = self._log(request), _sent(request)
        names = [name for name in _list(asked, "runs") if name in log.plain]
        tags = sorted({tag for name in names for tag in (log.plain[name][0], *log.plain[name][1])})
        wanted = [tag for tag in _list(asked, "tags") if tag in tags] or tags
        context, experiment = self._context(request.environ)
        found = self._reader.scalars(context, experiment, names, wanted) if names else {}
        return _json(
            request,
            {
                run: {tag: x.T.tolist() for tag, x in series.items()}
                for run, series in found.items()
            },
        )

    def _export(self, request: Request) -> wrappers.Response:
        log, asked = self._log(request), _sent(request)
        what, kind = str(asked.get("what", "table")), str(asked.get("format", "csv"))
        if what == "table":
            text = export.table(_leaderboard(log, asked), kind)
        else:
            text = export.runs(log, [log.runs[name] for name in _runs(asked, log)], what, kind)
        made = http_util.Respond(request, text, "text/plain")
        made.headers["Content-Disposition"] = f"attachment; filename={what}.{export.ENDINGS[kind]}"
        return made

    def _health(self, request: Request) -> wrappers.Response:
        log = self._log(request)
        return _json(
            request,
            {
                "tensorboard": tensorboard_version.VERSION,
                "version": layout.VERSION,
                "loader": self._loader,
                "runs": len(log.runs),
                "sweeps": len(log.sweeps),
                "plain": len(log.plain),
                "warnings": len(log.warnings),
            },
        )


@functools.cache
def static() -> dict[str, bytes]:
    """Return the files of the page by name."""
    place = importlib.resources.files("tensorboard_plugins.schedules") / "static"
    return {each.name: each.read_bytes() for each in place.iterdir() if each.is_file()}


def _leaderboard(log: Log, asked: Mapping[str, Any]) -> dict[str, Any]:
    statistic = str(asked.get("statistic", "final"))
    if statistic not in STATISTICS:
        raise errors.InvalidArgumentError(
            f"`statistic` must be one of {', '.join(STATISTICS)}. Received: {statistic!r}"
        )
    chosen = _list(asked, "runs") if "runs" in asked else None
    return leaderboard(
        log, str(asked.get("sweep", "")), str(asked.get("metric", "")), statistic, chosen
    )


def _sent(request: Request) -> dict[str, Any]:
    """Return the JSON that a request has sent, or its arguments: some servers cannot send."""
    if request.method != "POST":
        return {**request.args.to_dict()}
    if (request.content_length or 0) > _MOST_SENT:
        raise errors.InvalidArgumentError(f"A request must be at most {_MOST_SENT} bytes long")
    try:
        found = json.loads(request.get_data() or b"{}")
    except (ValueError, RecursionError) as error:
        raise errors.InvalidArgumentError(f"A request must be JSON: {error}") from error
    if not isinstance(found, dict):
        raise errors.InvalidArgumentError("A request must be a JSON object")
    return found


def _runs(asked: Mapping[str, Any], log: Log) -> list[str]:
    """Return the runs that are asked for and are there; all those of a sweep if none are named."""
    if "runs" in asked:
        return [name for name in _list(asked, "runs") if name in log.runs]
    sweep = str(asked.get("sweep", ""))
    return [name for name, run in log.runs.items() if run.trial["sweep"] == sweep]


def _list(asked: Mapping[str, Any], name: str) -> list[str]:
    given = asked.get(name, [])
    return [str(each) for each in given] if isinstance(given, list) else [str(given)]


def _whole(value: Any, name: str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise errors.InvalidArgumentError(
            f"`{name}` must be a whole number. Received: {value!r:.50}"
        ) from error


def _json(request: Request, found: Any) -> wrappers.Response:
    text = layout.written(found, separators=(",", ":"))
    return http_util.Respond(request, text, _JSON)


def _answering(answer: Callable[[Request], wrappers.Response]) -> App:
    @Request.application
    def app(request: Request) -> wrappers.Response:
        try:
            return answer(request)
        except errors.PublicError as error:
            text = json.dumps({"error": str(error)})
            return http_util.Respond(request, text, _JSON, code=error.http_code)
        except Exception:
            number = uuid.uuid4().hex[:8]
            _logger.exception("Schedules: fault %s", number)
            text = json.dumps({"error": f"A fault of the dashboard: {number} in the log"})
            return http_util.Respond(request, text, _JSON, code=500)

    return app


def _file(name: str, data: bytes) -> App:
    kind = _TYPES.get(name[name.rfind(".") :], "application/octet-stream")

    @Request.application
    def app(request: Request) -> wrappers.Response:
        return http_util.Respond(request, data, kind)

    return app
