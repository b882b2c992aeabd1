"""The trials of a sweep: the product of its axes, under a protocol, frozen before any runs.

The axes are settings, schedules, momentum schedules, precisions, budgets, learning rates and seeds.
A *cell* is what a table has a number for: all of these but learning rate and seed. Two protocols:

- "tuned", the papers': for every cell each learning rate is trained with the tuning seeds and
  judged on validation data; the best on average is then measured on test data, with other seeds.
- "shared": one learning rate for all cells of a setting, measured on test data.

A trial of the measurement under "tuned" does not know its learning rate when the grid is frozen; it
names the trials that decide it, so that its rate is a function of their results and of nothing
else. Nothing here imports TensorFlow.

Source: Chen, Wolfe and Kyrillidis, "REX" (arXiv 2107.04197), section 4: learning rates in multiples
of 3, tuned for each setting, schedule and budget. Difference: they do not say on which data; here
the measurement never sees the data it was tuned on.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import operator
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

from trainers.options.budget import trained_epochs

__all__ = ["MEASUREMENT", "PROTOCOLS", "TUNING", "Grid", "Trial", "chosen_rate", "value_of"]

PROTOCOLS = ("tuned", "shared")
TUNING, MEASUREMENT = "tuning", "measurement"
_AXES = ("schedules", "momenta", "precisions")
# What the sweep itself gives to each trial.
_OWN = frozenset({"name", "budget", "learning_rate", "seed", "split"})


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training of a sweep.

    Attributes:
        id: Ten hexadecimal digits that depend on everything below.
        cell: Ten hexadecimal digits that all trials of a cell have.
        phase: "tuning" or "measurement".
        coordinates: "setting", "schedule", "momentum" and "precision" by their names in the grid,
            "budget", "learning_rate" (None if it is tuned) and "seed".
        config: The configuration of the program; "learning_rate" is None if it is tuned.
        candidates: Ids of the trials that decide the learning rate, by rate; empty if it is known.
        epochs: Epochs that are trained.
    """

    id: str
    cell: str
    phase: str
    coordinates: Mapping[str, Any]
    config: Mapping[str, Any]
    candidates: Mapping[str, tuple[str, ...]]
    epochs: float

    @property
    def name(self) -> str:
        """What people call it."""
        place = self.coordinates
        rate = "tuned" if place["learning_rate"] is None else f"{place['learning_rate']:g}"
        parts = [place[axis] for axis in ("setting", "schedule", "momentum", "precision")]
        return (
            f"{' '.join(map(str, parts))} {100 * place['budget']:g} % lr {rate} "
            f"seed {place['seed']} {self.phase}"
        )

    def to_json(self) -> str:
        """Return one line."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read what `to_json` returned."""
        found = json.loads(line)
        found["candidates"] = {rate: tuple(ids) for rate, ids in found["candidates"].items()}
        return cls(**found)


@dataclasses.dataclass(frozen=True)
class Grid:
    """All trials of a sweep, in the order in which they are run.

    Attributes:
        name: Name of the sweep.
        program: What trains, as "trainers.sweeps.trials:Classification".
        protocol: "tuned" or "shared".
        goal: The measure that is judged, as "val_accuracy".
        goal_mode: "max" or "min".
        source: Where its settings are from, as "REX table 4"; empty for none.
        threads: Threads of a worker, so that results do not depend on how many there are; 0 for
            what TensorFlow takes.
        trials: The trials; those that decide a learning rate before those that use it.
    """

    name: str
    program: str
    protocol: str
    goal: str
    goal_mode: str
    source: str
    threads: int
    trials: tuple[Trial, ...] = dataclasses.field(repr=False)

    @classmethod
    def of(cls, sweep: Mapping[str, Any]) -> Self:
        """Return the grid of a sweep's configuration; see `configs.sweeps.base.sweep`.

        Raises:
            ValueError: If an axis is empty or has something twice, the protocol is unknown or lacks
                what it needs, the goal is judged the wrong way round, or two budgets are one.
        """
        if sweep["protocol"] not in PROTOCOLS:
            raise ValueError(
                f"`protocol` must be one of {', '.join(PROTOCOLS)}. "
                f"Received: protocol={sweep['protocol']!r}"
            )
        if sweep["goal_mode"] not in ("max", "min"):
            raise ValueError(
                f"`goal_mode` must be 'max' or 'min'. Received: goal_mode={sweep['goal_mode']!r}"
            )
        for word, mode in (("accuracy", "max"), ("loss", "min"), ("error", "min")):
            if word in sweep["goal"] and sweep["goal_mode"] != mode:
                raise ValueError(
                    f"`goal_mode` must be {mode!r} for such a goal. Received: "
                    f"goal={sweep['goal']!r}, goal_mode={sweep['goal_mode']!r}"
                )
        for axis in ("settings", *_AXES, "budgets", "seeds"):
            if not len(sweep[axis]):
                raise ValueError(f"`{axis}` must have at least one entry. Received: none")
        budgets = _distinct(sweep, "budgets", float)
        seeds = _distinct(sweep, "seeds", operator.index)
        tuning_seeds = _distinct(sweep, "tuning_seeds", operator.index)
        if min([*seeds, *tuning_seeds]) < 0:
            raise ValueError(
                f"`seeds` and `tuning_seeds` must be at least 0. Received: seeds={seeds}, "
                f"tuning_seeds={tuning_seeds}"
            )
        if not all(0.0 < budget < math.inf for budget in budgets):
            raise ValueError(
                f"`budgets` must be finite and above 0. Received: budgets={sweep['budgets']}"
            )
        is_tuned = sweep["protocol"] == "tuned"
        if is_tuned and (not tuning_seeds or set(seeds) & set(tuning_seeds)):
            raise ValueError(
                f"Under 'tuned' there must be `tuning_seeds`, and none of `seeds` among them. "
                f"Received: tuning_seeds={tuning_seeds}, seeds={seeds}"
            )
        trials: list[Trial] = []
        names = [sorted(sweep[axis]) for axis in _AXES]
        for setting, *labels in itertools.product(sorted(sweep["settings"]), *names):
            rates = _rates(sweep, setting)
            changes = [sweep[axis][label] for axis, label in zip(_AXES, labels, strict=True)]
            lengths: dict[int, float] = {}
            for budget in budgets:
                cell = _Cell(sweep, setting, labels, changes, budget)
                if (other := lengths.setdefault(cell.epochs, budget)) != budget:
                    raise ValueError(
                        f"Budgets must differ in the epochs that are trained. Received: "
                        f"{other:g} and {budget:g}, both of {cell.epochs} epochs in {setting!r}"
                    )
                decisive: dict[str, tuple[str, ...]] = {}
                for rate in rates if is_tuned else ():
                    found = [cell.trial(TUNING, rate, seed) for seed in tuning_seeds]
                    decisive[repr(rate)] = tuple(trial.id for trial in found)
                    trials += found
                shared = None if is_tuned else rates[0]
                trials += [cell.trial(MEASUREMENT, shared, seed, decisive) for seed in seeds]
        # The first phase first; a stable sort leaves neighbours, which share a trace, together.
        trials.sort(key=lambda trial: trial.phase == MEASUREMENT)
        facts = {
            key: sweep[key]
            for key in ("name", "program", "protocol", "goal", "goal_mode", "source", "threads")
        }
        return cls(**facts, trials=tuple(trials))

    def to_lines(self) -> str:
        """Return the grid as it is frozen: a line of facts, and a line for each trial."""
        facts = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "trials"
        }
        facts["trials"] = len(self.trials)
        lines = [json.dumps(facts, sort_keys=True), *(trial.to_json() for trial in self.trials)]
        return "\n".join(lines) + "\n"

    @classmethod
    def from_lines(cls, text: str) -> Self:
        """Read what `to_lines` returned."""
        first, *rest = text.splitlines() or [""]
        facts = json.loads(first)
        trials = tuple(map(Trial.from_json, rest))
        if (count := facts.pop("trials")) != len(trials):
            raise ValueError(f"it has {len(trials)} of its {count} trials")
        return cls(**facts, trials=trials)

    @classmethod
    def read(cls, directory: pathlib.Path) -> Self:
        """Read the grid that is frozen in a directory.

        Raises:
            ValueError: If there is none, or it is damaged.
        """
        path = directory / "grid.jsonl"
        try:
            return cls.from_lines(path.read_text())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ValueError(
                f"`results` must be the directory of a sweep. Received: {directory}, where there "
                f"is no grid.jsonl"
            ) from error
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{path} is not the grid of a sweep, or is damaged: {error}"
            ) from error

    def shard(self, index: int, count: int) -> tuple[Trial, ...]:
        """Return the trials of every `count`-th cell: a part that needs no result of another part.

        Raises:
            ValueError: If `index` is not in [0, `count`).
        """
        if not 0 <= index < count:
            raise ValueError(
                f"A shard must be one of 0 to {count - 1}. Received: index={index} of {count}"
            )
        cells = list(dict.fromkeys(trial.cell for trial in self.trials))
        mine = set(cells[index::count])
        return tuple(trial for trial in self.trials if trial.cell in mine)


class _Cell:
    """One cell of the grid, which makes its trials."""

    def __init__(
        self,
        sweep: Mapping[str, Any],
        setting: str,
        labels: Sequence[str],
        changes: Sequence[Mapping[str, Any]],
        budget: float,
    ) -> None:
        self._place: dict[str, Any] = {
            "setting": setting,
            **dict(zip(("schedule", "momentum", "precision"), labels, strict=True)),
            "budget": budget,
        }
        config: dict[str, Any] = {**sweep["settings"][setting]["config"]}
        changed: set[str] = set()
        for part in changes:
            if taken := sorted(_OWN & set(part)):
                raise ValueError(
                    f"A change must leave {', '.join(sorted(_OWN))} to the sweep. Received: "
                    f"{', '.join(taken)} changed in {' '.join(map(str, labels))}"
                )
            if changed & set(part):
                raise ValueError(
                    f"A key must be changed by one axis only. Received: "
                    f"{sorted(changed & set(part))} changed by two in {' '.join(map(str, labels))}"
                )
            changed |= set(part)
            config |= part
        self._config = {**config, "name": sweep["name"], "budget": budget}
        self.epochs = trained_epochs(config["epochs"], budget)
        self._cell = _digest({"sweep": sweep["name"], "place": self._place, **self._config})

    def trial(
        self,
        phase: str,
        rate: float | None,
        seed: int,
        candidates: Mapping[str, tuple[str, ...]] | None = None,
    ) -> Trial:
        split = "validation" if phase == TUNING else "test"
        config = {**self._config, "learning_rate": rate, "seed": seed, "split": split}
        place = {**self._place, "learning_rate": rate, "seed": seed}
        named: dict[str, Any] = {
            "cell": self._cell,
            "phase": phase,
            "coordinates": place,
            "config": config,
            "candidates": dict(candidates or {}),
        }
        return Trial(id=_digest(named), **named, epochs=float(self.epochs))


def value_of(record: Mapping[str, Any], goal: str) -> float:
    """Return the goal at the end of a trial; NaN if it diverged or stalled."""
    if record["status"] != "finished" or not record["final"]:
        return math.nan
    value = record["final"].get(goal)
    return math.nan if value is None else float(value)


def chosen_rate(trial: Trial, records: Mapping[str, Mapping[str, Any]], grid: Grid) -> float:
    """Return the learning rate of a trial: its own, or the best of its candidates.

    The best has the best mean of the goal over its seeds. A rate with a diverged training is worse
    than any other; of equal ones the lower is taken.

    Args:
        trial: The trial.
        records: Results by trial id, with those of all candidates.
        grid: The grid.

    Raises:
        KeyError: If the result of a candidate is missing.
    """
    if not trial.candidates:
        return float(trial.coordinates["learning_rate"])
    sign = 1.0 if grid.goal_mode == "max" else -1.0
    found: list[tuple[float, float]] = []
    for rate, ids in trial.candidates.items():
        values = [sign * value_of(records[each], grid.goal) for each in ids]
        mean = math.fsum(values) / len(values)
        found.append((-math.inf if math.isnan(mean) else mean, -float(rate)))
    return -max(found)[1]


def _rates(sweep: Mapping[str, Any], setting: str) -> tuple[float, ...]:
    rates = tuple(float(rate) for rate in sweep["settings"][setting]["learning_rates"])
    if sweep["protocol"] == "shared" and len(rates) != 1:
        raise ValueError(
            f"Under 'shared' a setting must have one learning rate. Received: "
            f"learning_rates={rates} of {setting!r}"
        )
    if not rates or len(set(rates)) < len(rates) or not all(rate > 0.0 for rate in rates):
        raise ValueError(
            f"`learning_rates` must be distinct numbers above 0. Received: {rates} of {setting!r}"
        )
    return rates


def _distinct(sweep: Mapping[str, Any], axis: str, number: Callable[[Any], Any]) -> list[Any]:
    what = "whole numbers" if number is operator.index else "numbers"
    wrong = f"`{axis}` must be {what}. Received: {axis}={sweep[axis]}"
    if any(isinstance(value, bool | str) for value in sweep[axis]):  # They would pass for some.
        raise ValueError(wrong)
    try:
        values = [number(value) for value in sweep[axis]]
    except (TypeError, ValueError) as error:
        raise ValueError(wrong) from error
    if len(set(values)) < len(values):
        raise ValueError(f"`{axis}` must be distinct. Received: {axis}={values}")
    return values


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, allow_nan=False, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _plain(value: Any) -> Any:
    if isinstance(value, Iterable):
        return list(value)
    raise ValueError(f"A configuration must be JSON-able. Received: {value!r}")
