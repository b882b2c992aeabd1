"""What is in a log directory, read through a data provider of TensorBoard, and kept.

The providers list what there is in milliseconds; only runs that have changed are read again.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tensorboard.context import RequestContext
from tensorboard.data import provider as providers

from tensorboard_plugins.schedules import layout

__all__ = ["Log", "LogReader", "Run", "Warned"]

# What is said of a run that has been silent for so many seconds, and says that it is running.
_SILENT = 600.0
_RATE = re.compile(r"(^|/)(lr|learning[_-]?rate|epoch_learning_rate|lr-.*)$")
# Of runs that have only logged a learning rate, at most so many are shown, by so many points.
_MOST_PLAIN, _POINTS = 200, 200
# Listing scalars is slow where there are many: what was found is believed for so many seconds.
_BELIEVED = 30.0
# What the parts of a description are.
_KINDS: dict[str, type] = {
    **dict.fromkeys(("budget", "full_epochs", "epochs", "steps", "seed", "learning_rate"), float),
    **dict.fromkeys(("config", "metrics"), dict),
    **dict.fromkeys(("id", "name", "label", "sweep", "phase", "cell", "setting", "method"), str),
    **dict.fromkeys(("schedule", "momentum", "precision", "goal", "mode"), str),
}


@dataclasses.dataclass(frozen=True)
class Warned:
    """What is wrong with a run.

    Attributes:
        run: Its name.
        what: "trial", "state", "tables", "twice" or "silent".
        said: For people.
    """

    run: str
    what: str
    said: str


@dataclasses.dataclass(frozen=True)
class Run:
    """A run.

    Attributes:
        name: As TensorBoard calls it: the path of its directory below that of the logs.
        trial: What it is; see `layout`.
        state: How it stands.
        steps: float64 (n, columns), what was applied and the loss.
        evaluations: float64 (n, columns), what was measured at the ends of epochs.
        planned: Points of the schedules, float64 (k, 2), by hyperparameter.
        at: When it last said something, in seconds since 1970.
    """

    name: str
    trial: Mapping[str, Any]
    state: Mapping[str, Any]
    steps: np.ndarray
    evaluations: np.ndarray
    planned: Mapping[str, np.ndarray]
    at: float

    @property
    def status(self) -> str:
        """How it stands: "running", "silent" for one that has long said nothing, or its end."""
        status = str(self.state.get("status", "running"))
        is_silent = status == "running" and time.time() - self.at > _SILENT
        return "silent" if is_silent else status

    def column(self, table: str, name: str) -> np.ndarray:
        """Return a column of "steps" or "evaluations"; NaN where it has none."""
        rows = self.steps if table == "steps" else self.evaluations
        columns = self.columns(table)
        if name not in columns:
            return np.full(len(rows), np.nan)
        return rows[:, columns.index(name)]

    def columns(self, table: str) -> list[str]:
        """Return the names of the columns of a table."""
        found = self.state.get("columns", {})
        return list(found.get(table, ())) if isinstance(found, Mapping) else []


@dataclasses.dataclass(frozen=True)
class Log:
    """All that a directory has.

    Attributes:
        runs: The runs of this plugin by name, in order.
        sweeps: Plans of sweeps by name.
        plain: Runs that have logged a learning rate as a number alone: its tag, and the others.
        warnings: What is wrong.
        revision: Another one where anything is another.
    """

    runs: Mapping[str, Run]
    sweeps: Mapping[str, Mapping[str, Any]]
    plain: Mapping[str, tuple[str, tuple[str, ...]]]
    warnings: tuple[Warned, ...]
    revision: str

    @functools.cached_property
    def methods(self) -> dict[tuple[str, str], str]:
        """What sweeps call the method of each of their cells, by sweep and cell."""
        return {
            (sweep, str(cell["cell"])): str(cell["method"])
            for sweep, plan in self.sweeps.items()
            for cell in plan.get("cells", ())
        }


class LogReader:
    """Reads a log, again and again.

    Args:
        provider: A data provider of TensorBoard.
    """

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[Any, Run | None, dict[str, Any], tuple[Warned, ...]]] = {}
        self._log = Log({}, {}, {}, (), "")
        self._plain: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._plain_until = 0.0

    def read(self, context: Any, experiment: str) -> Log:
        """Return what there is now.

        Args:
            context: Of the request.
            experiment: The experiment; empty for a directory of this machine.
        """
        with self._lock:
            listed = self._provider.list_tensors(
                context, experiment_id=experiment, plugin_name=layout.PLUGIN
            )
            stamps = {
                run: tuple(sorted((tag, s.max_step, s.max_wall_time) for tag, s in tags.items()))
                for run, tags in listed.items()
            }
            self._kept = {run: kept for run, kept in self._kept.items() if run in listed}
            changed = [
                run
                for run, stamp in stamps.items()
                if run not in self._kept or self._kept[run][0] != stamp
            ]
            if changed:
                found = self._provider.read_tensors(
                    context,
                    experiment_id=experiment,
                    plugin_name=layout.PLUGIN,
                    downsample=1,
                    run_tag_filter=providers.RunTagFilter(runs=changed),
                )
                for run in changed:
                    made = _read(run, listed[run], found.get(run, {}))
                    self._kept[run] = (stamps[run], *made)
            found = self._read_plain(context, experiment)
            plain = {run: tags for run, tags in found.items() if run not in listed}
            revision = hashlib.sha256(repr((sorted(stamps.items()), plain)).encode()).hexdigest()
            if revision != self._log.revision:
                self._log = self._made(plain, revision)
            return self._log

    def has_plain(self) -> bool:
        """Return whether there are runs that have logged a learning rate; see `Log.plain`."""
        with self._lock:
            return bool(self._read_plain(RequestContext(), ""))

    def scalars(
        self, context: Any, experiment: str, runs: Sequence[str], tags: Sequence[str]
    ) -> Mapping[str, Mapping[str, np.ndarray]]:
        """Return numbers that others have logged, thinned out: (n, 3) of step, time and value."""
        found = self._provider.read_scalars(
            context,
            experiment_id=experiment,
            plugin_name="scalars",
            downsample=_POINTS,
            run_tag_filter=providers.RunTagFilter(runs=runs, tags=tags),
        )
        return {
            run: {
                tag: np.array([(d.step, d.wall_time, d.value) for d in data], np.float64)
                for tag, data in series.items()
            }
            for run, series in found.items()
        }

    def shown(self, context: Any, experiment: str, run: str) -> dict[str, list[dict[str, Any]]]:
        """Return the last images and texts of a run: their names and steps, and what texts say."""
        wanted = providers.RunTagFilter(runs=[run])
        images = self._provider.list_blob_sequences(
            context, experiment_id=experiment, plugin_name="images", run_tag_filter=wanted
        )
        texts = self._provider.read_tensors(
            context,
            experiment_id=experiment,
            plugin_name="text",
            downsample=1,
            run_tag_filter=wanted,
        )
        return {
            "images": [
                {"tag": tag, "step": series.max_step}
                for tag, series in sorted(images.get(run, {}).items())
            ],
            "texts": [
                {"tag": tag, "step": data[-1].step, "text": _said(data[-1].numpy)}
                for tag, data in sorted(texts.get(run, {}).items())
                if data
            ],
        }

    def image(self, context: Any, experiment: str, run: str, tag: str) -> bytes | None:
        """Return the last image of a name, a PNG; None if there is none."""
        found = self._provider.read_blob_sequences(
            context,
            experiment_id=experiment,
            plugin_name="images",
            downsample=1,
            run_tag_filter=providers.RunTagFilter(runs=[run], tags=[tag]),
        )
        data = found.get(run, {}).get(tag, ())
        # Width and height come first.
        if not data or len(data[-1].values) < 3:
            return None
        png: bytes = self._provider.read_blob(context, blob_key=data[-1].values[2].blob_key)
        return png

    def _made(self, plain: Mapping[str, Any], revision: str) -> Log:
        kept = sorted(self._kept.items())
        warnings = [warned for _, (*_, said) in kept for warned in said]
        runs: dict[str, Run] = {}
        latest: dict[tuple[str, str], str] = {}
        for name, (_, run, _, _) in kept:
            if run is None:
                continue
            # A copied folder is the same trial: the one that wrote last counts.
            key = run.trial["sweep"], run.trial["id"]
            other = latest.get(key)
            if other is not None and key[0]:
                first, last = sorted((other, name), key=lambda each: (runs | {name: run})[each].at)
                said = f"It is the same trial as {last}, which wrote last and is shown"
                warnings.append(Warned(first, "twice", said))
                if first == name:
                    continue
                del runs[first]
            latest[key] = name
            runs[name] = run
        sweeps = {str(each["name"]): each for _, (_, _, each, _) in kept if each}
        return Log(runs, sweeps, plain, tuple(warnings), revision)

    def _read_plain(self, context: Any, experiment: str) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Return runs that have logged a learning rate as a number."""
        if time.monotonic() < self._plain_until:
            return self._plain
        self._plain_until = time.monotonic() + _BELIEVED
        found = self._provider.list_scalars(
            context, experiment_id=experiment, plugin_name="scalars"
        )
        self._plain = {}
        for run, tags in sorted(found.items()):
            rates = sorted(tag for tag in tags if _RATE.search(tag))
            if rates and len(self._plain) < _MOST_PLAIN:
                others = tuple(sorted(tag for tag in tags if tag not in rates))
                self._plain[run] = rates[0], others
        return self._plain


def _said(found: Any) -> str:
    """Return the text of a tensor of texts."""
    parts = np.ravel(found).tolist()
    return "\n".join(x.decode(errors="replace") if isinstance(x, bytes) else str(x) for x in parts)


def _sound(trial: Mapping[str, Any]) -> dict[str, Any]:
    """Return a description whose parts are what they should be: what is not is left out."""
    found = {name: value for name, value in trial.items() if name not in _KINDS}
    for name, kind in _KINDS.items():
        value = trial.get(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if kind is float:
            found[name] = value if is_number else None
        elif kind is dict:
            found[name] = value if isinstance(value, dict) else {}
        else:
            found[name] = None if value is None else str(value)
    found["metrics"] = {k: v for k, v in found["metrics"].items() if isinstance(v, dict)}
    return found


def _read(
    name: str, listed: Mapping[str, Any], found: Mapping[str, Sequence[Any]]
) -> tuple[Run | None, dict[str, Any], tuple[Warned, ...]]:
    """Return a run, or the plan of a sweep, and what is wrong; nothing is raised."""
    arrays = {tag: data[-1].numpy for tag, data in found.items() if data}
    warnings: list[Warned] = []

    def json_of(what: str, data: Any) -> dict[str, Any]:
        try:
            return layout.parsed(
                data if isinstance(data, bytes) else bytes(np.asarray(data).item())
            )
        except (TypeError, ValueError) as error:
            warnings.append(Warned(name, what, str(error)))
            return {}

    sweep = json_of("state", arrays[layout.SWEEP]) if layout.SWEEP in arrays else {}
    if sweep and not isinstance(sweep.get("name"), str):
        sweep = {}
    if layout.TRIAL not in listed:
        return None, sweep, tuple(warnings)
    trial = json_of("trial", listed[layout.TRIAL].plugin_content)
    if not trial:
        return None, sweep, tuple(warnings)
    state = json_of("state", arrays[layout.STATE]) if layout.STATE in arrays else {}
    trial = _sound({"id": name, "sweep": "", "phase": "", **trial})
    said = state.get("columns")
    columns = said if isinstance(said, dict) else {}

    def table_of(tag: str, key: str) -> np.ndarray:
        width = len(columns.get(key, ()))
        table = np.asarray(arrays.get(tag, np.zeros((0, width))))
        if table.ndim != 2 or table.shape[1] != width:
            warnings.append(Warned(name, "tables", f"The table {key!r} is not of its columns"))
            table = np.zeros((0, width))
        return table.astype(np.float64)

    steps = table_of(layout.STEPS, "steps")
    evaluations = table_of(layout.EVALUATIONS, "evaluations")
    planned = {
        tag.removeprefix(layout.PLANNED): np.asarray(array, np.float64)
        for tag, array in arrays.items()
        if tag.startswith(layout.PLANNED) and np.ndim(array) == 2 and np.shape(array)[1] == 2
    }
    at = max(series.max_wall_time for series in listed.values())
    run = Run(name, trial, state, steps, evaluations, planned, at)
    return run, sweep, tuple(warnings)
