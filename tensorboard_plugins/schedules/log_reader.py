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
from tensorboard_plugins.schedules.runs import Found, Run, Warned, read

__all__ = ["Log", "LogReader"]

_RATE = re.compile(r"(^|/)(lr|learning[_-]?rate|epoch_learning_rate|lr-.*)$")
# Of runs that have only logged a learning rate, at most so many are shown, by so many points.
_MOST_PLAIN, _POINTS = 200, 200
# Listing scalars is slow where there are many: what was found is believed for so many seconds.
_BELIEVED = 30.0


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
            (sweep, cell["cell"]): cell["method"]
            for sweep, plan in self.sweeps.items()
            for cell in plan["cells"]
        }


class LogReader:
    """Reads a log, again and again.

    Args:
        provider: A data provider of TensorBoard.
    """

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[Any, Found]] = {}
        self._log = Log({}, {}, {}, (), "")
        self._plain: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._plain_stamps: list[Any] = []
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
                    self._kept[run] = stamps[run], read(run, listed[run], found.get(run, {}))
            self._read_plain(context, experiment)
            plain = {run: tags for run, tags in self._plain.items() if run not in listed}
            silent = [
                run
                for run, (_, found) in self._kept.items()
                if found.run is not None and found.run.status == "silent"
            ]
            seen = (sorted(stamps.items()), plain, self._plain_stamps, silent)
            revision = hashlib.sha256(repr(seen).encode()).hexdigest()
            if revision != self._log.revision:
                self._log = self._made(plain, revision)
            return self._log

    def has_plain(self) -> bool:
        """Return whether there are runs that have logged a learning rate; see `Log.plain`."""
        with self._lock:
            self._read_plain(RequestContext(), "")
            return bool(self._plain)

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
        warnings = [warned for _, (_, found) in kept for warned in found.warnings]
        runs: dict[str, Run] = {}
        latest: dict[tuple[str, str], str] = {}
        # Trials whose results are those of others: see `layout`.
        same: dict[tuple[str, str], str] = {}
        for name, (_, found) in kept:
            run = found.run
            if run is None:
                continue
            key = run.trial["sweep"], run.trial["id"]
            if run.trial["same_as"] is not None:
                same[key] = str(run.trial["same_as"])
                continue
            # A copied folder is the same trial: the one that wrote last counts.
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
        plans = self._plans(warnings)
        planned = {
            (sweep, trial)
            for sweep, plan in plans.items()
            for cell in plan["cells"]
            for trial in cell["trials"]
        }
        for key in planned & same.keys() - latest.keys():
            origin = latest.get(_origin(key, same))
            if origin is not None:
                trial = {**runs[origin].trial, "id": key[1]}
                runs[origin] = dataclasses.replace(runs[origin], trial=trial)
        return Log(runs, plans, plain, tuple(warnings), revision)

    def _plans(self, warnings: list[Warned]) -> dict[str, Mapping[str, Any]]:
        """Return the last plan of each sweep, and add what is wrong."""
        last: dict[str, tuple[int, str]] = {}
        for name, (_, found) in sorted(self._kept.items()):
            if not found.plan:
                continue
            sweep, other = found.plan["name"], last.get(found.plan["name"])
            if other is not None:
                older = min((found.number, name), other)
                said = f"There is another plan of the sweep {sweep!r}, which is shown"
                warnings.append(Warned(older[1], "twice", said))
            last[sweep] = max((found.number, name), other or (-1, ""))
        return {sweep: self._kept[name][1].plan for sweep, (_, name) in last.items()}

    def _read_plain(self, context: Any, experiment: str) -> None:
        """Look for runs that have logged a learning rate as a number."""
        if time.monotonic() < self._plain_until:
            return
        self._plain_until = time.monotonic() + _BELIEVED
        found = self._provider.list_scalars(
            context, experiment_id=experiment, plugin_name="scalars"
        )
        self._plain, self._plain_stamps = {}, []
        for run, tags in sorted(found.items()):
            rates = sorted(tag for tag in tags if _RATE.search(tag))
            if rates and len(self._plain) < _MOST_PLAIN:
                others = tuple(sorted(tag for tag in tags if tag not in rates))
                self._plain[run] = rates[0], others
                self._plain_stamps.append((run, max(s.max_wall_time for s in tags.values())))


def _origin(key: tuple[str, str], same: Mapping[tuple[str, str], str]) -> tuple[str, str]:
    """Return the trial whose result a trial has, through all that took it over."""
    sweep, trial = key
    seen = {trial}
    while (sweep, trial) in same and same[sweep, trial] not in seen:
        trial = same[sweep, trial]
        seen.add(trial)
    return sweep, trial


def _said(found: Any) -> str:
    """Return the text of a tensor of texts."""
    parts = np.ravel(found).tolist()
    return "\n".join(x.decode(errors="replace") if isinstance(x, bytes) else str(x) for x in parts)
