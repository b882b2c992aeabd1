"""The trials of a sweep: the product of its axes, under a protocol, frozen before any runs.

The axes are settings, schedules, momentum schedules, precisions, budgets, learning rates and seeds.
A *cell* is what a table has a number for: all of these but learning rate and seed. The protocols:

- "tuned", the papers': for every cell each learning rate is trained with the tuning seeds and
  judged on validation data; the best on average is then measured on test data, with other seeds.
- "halving": each learning rate is trained for a quarter of the cell's epochs, by a schedule that
  is stretched to these; the best two are then trained for all of them, each from its beginning, and
  the best of these is measured. Values from the middle of a training decide nothing: they change
  their order as rates fall.
- "shared": one learning rate for all cells of a setting, measured on test data.

A trial that does not know its learning rate when the grid is frozen names the trials that decide
it, and which of them it takes: the best, or the second. So its rate is a function of their results
and of nothing else. Nothing here imports TensorFlow.

Source: Chen, Wolfe and Kyrillidis, "REX" (arXiv 2107.04197), section 4: learning rates in multiples
of 3, tuned for each setting, schedule and budget. Difference: they do not say on which data; here
the measurement never sees the data it was tuned on.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import operator
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from trainers.loop.files import digest
from trainers.options.budget import trained_epochs

__all__ = [
    "EVALUATIONS",
    "GROWING",
    "JUDGED",
    "KEPT",
    "MEASUREMENT",
    "PROTOCOLS",
    "SHORT",
    "TUNING",
    "Grid",
    "Trial",
    "frozen",
]

PROTOCOLS = ("tuned", "halving", "shared")
# Of "halving": the share of the epochs of a first look at rates, and how many get a second one.
SHORT, KEPT = 0.25, 2
TUNING, MEASUREMENT = "tuning", "measurement"
# The evaluation that judges a trial, by its phase: what is measured is not what it was tuned on.
EVALUATIONS = {TUNING: "val", MEASUREMENT: "test"}
JUDGED = ("final", "best")
# What a grid says of settings: of more, if it grows.
GROWING = ("workloads", "settings", "extended")
_AXES = ("schedules", "momenta", "precisions")
# What the sweep itself gives to each trial.
_OWN = frozenset({"name", "budget", "learning_rate", "seed", "split"})


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training of a sweep.

    Attributes:
        id: Ten hexadecimal digits that everything below decides.
        cell: Ten hexadecimal digits that all trials of a cell have.
        phase: "tuning" or "measurement".
        coordinates: "setting", "schedule", "momentum" and "precision" by their names in the grid,
            "budget", "learning_rate" (None if it is tuned) and "seed"; and the "rank" of the
            candidate that it takes, where that is not the best one or it tunes.
        config: The configuration of the program; "learning_rate" is None if it is tuned.
        candidates: Ids of the trials that decide the learning rate, by rate, or by rank where their
            own rates were decided; empty if it is known.
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
        rate = "tuned" if place["learning_rate"] is None else f"{place['learning_rate']:.10g}"
        rate += f" rank {place['rank']}" if "rank" in place else ""
        parts = [place[axis] for axis in ("setting", "schedule", "momentum", "precision")]
        return (
            f"{' '.join(map(str, parts))} {100 * place['budget']:g} % lr {rate} "
            f"seed {place['seed']} {self.phase}"
        )

    def named(self) -> Self:
        """Return it with the id that its contents have."""
        contents = dataclasses.asdict(self)
        del contents["id"]
        return dataclasses.replace(self, id=digest(contents))

    def to_json(self) -> str:
        """Return one line."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read what `to_json` returned.

        Raises:
            ValueError: If its id is that of another trial.
        """
        found = json.loads(line)
        found["candidates"] = {rate: tuple(ids) for rate, ids in found["candidates"].items()}
        trial = cls(**found)
        if (right := trial.named().id) != trial.id:
            raise ValueError(
                f"the trial {trial.id!r} is not what it was: its id would be {right!r}"
            )
        return trial


@dataclasses.dataclass(frozen=True)
class Grid:
    """All trials of a sweep, in the order in which they are run.

    Attributes:
        name: Name of the sweep.
        program: What trains: the name of a task, as "classification", or "module:Class".
        protocol: "tuned", "halving" or "shared".
        goal: The metric that is judged, as "accuracy", without the name of an evaluation.
        goal_mode: "max" or "min".
        judged: "final", its value at the end, or "best", that of the best epoch.
        source: Where its settings are from, as "REX table 4"; empty for none.
        threads: Threads of a worker, so that results do not depend on how many there are; 0 for
            what TensorFlow takes.
        trials: The trials; those that decide a learning rate before those that use it.
        margin: Methods are equivalent if they differ by less, in units of the goal, in points of
            per cent for a share; None if nobody said so before the results.
        workloads: What settings train, as far as they say it: several may train the same.
        settings: For each setting ten hexadecimal digits that its own configuration decides.
        extended: Learning rates by cell that were added to those of the configuration.
    """

    name: str
    program: str
    protocol: str
    goal: str
    goal_mode: str
    judged: str
    source: str
    threads: int
    trials: tuple[Trial, ...] = dataclasses.field(repr=False)
    margin: float | None = None
    workloads: Mapping[str, str] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    extended: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, sweep: Mapping[str, Any]) -> Self:
        """Return the grid of a sweep's configuration; see `configs.sweeps.base.sweep`.

        Raises:
            ValueError: If an axis is empty or has something twice, the protocol is unknown or lacks
                what it needs, the goal has the name of an evaluation, or two budgets are one.
        """
        _check_words(sweep)
        for name, each in sweep["settings"].items():
            if lacking := {"config", "learning_rates"} - set(each):
                raise ValueError(
                    f"A setting must have its `config` and `learning_rates`, as "
                    f"`configs.sweeps.base.setting` makes it. Received: no "
                    f"{' and no '.join(sorted(lacking))} in {name!r}"
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
        if not all(0.0 < budget <= 1.0 for budget in budgets):
            raise ValueError(
                f"`budgets` must be shares of a setting's epochs, above 0 and at most 1: 5 % is "
                f"0.05. Received: budgets={sweep['budgets']}"
            )
        is_tuned = sweep["protocol"] != "shared"
        if is_tuned and (not tuning_seeds or set(seeds) & set(tuning_seeds)):
            raise ValueError(
                f"Under {sweep['protocol']!r} there must be `tuning_seeds`, and none of `seeds` "
                f"among them. Received: tuning_seeds={tuning_seeds}, seeds={seeds}"
            )
        trials: list[Trial] = []
        names = [list(sweep[axis]) for axis in _AXES]
        for setting, *labels in itertools.product(sweep["settings"], *names):
            rates = _rates(sweep, setting)
            if sweep["protocol"] == "halving" and len(rates) <= KEPT:
                raise ValueError(
                    f"Under 'halving' there must be more than {KEPT} learning rates: for fewer "
                    f"'tuned' costs less. Received: {rates} in {setting!r}"
                )
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
                share = SHORT if sweep["protocol"] == "halving" else 1.0
                for rate in rates if is_tuned else ():
                    found = [cell.trial(TUNING, rate, seed, share=share) for seed in tuning_seeds]
                    decisive[repr(rate)] = tuple(trial.id for trial in found)
                    trials += found
                if sweep["protocol"] == "halving":
                    first, decisive = decisive, {}
                    for rank in range(1, KEPT + 1):
                        found = [
                            cell.trial(TUNING, None, seed, first, rank=rank)
                            for seed in tuning_seeds
                        ]
                        decisive[str(rank)] = tuple(trial.id for trial in found)
                        trials += found
                shared = None if is_tuned else rates[0]
                trials += [cell.trial(MEASUREMENT, shared, seed, decisive) for seed in seeds]
        # The first phase first; a stable sort leaves neighbours, which share a trace, together.
        trials.sort(key=lambda trial: trial.phase == MEASUREMENT)
        facts = {name: sweep[name] for name in cls.facts() if name not in GROWING}
        settings = {name: digest({**each["config"]}) for name, each in sweep["settings"].items()}
        return cls(**facts, workloads=_workloads(sweep), settings=settings, trials=tuple(trials))

    @classmethod
    def facts(cls) -> list[str]:
        """Return the names of all that it says besides its trials."""
        return [field.name for field in dataclasses.fields(cls) if field.name != "trials"]

    def metric(self, phase: str) -> str:
        """Return the metric that judges trials of a phase, as "val_accuracy" or "test_accuracy"."""
        return f"{EVALUATIONS[phase]}_{self.goal}"

    def to_lines(self) -> str:
        """Return the grid as it is frozen: a line of facts, and a line for each trial."""
        facts: dict[str, Any] = {name: getattr(self, name) for name in self.facts()}
        facts["trials"] = len(self.trials)
        facts["checksum"] = self._checksum(facts)
        lines = [json.dumps(facts, sort_keys=True), *(trial.to_json() for trial in self.trials)]
        return "\n".join(lines) + "\n"

    def _checksum(self, facts: Mapping[str, Any]) -> str:
        """Return what the facts and the trials, which their ids stand for, decide."""
        return digest([facts, [trial.id for trial in self.trials]])

    @classmethod
    def from_lines(cls, text: str) -> Self:
        """Read what `to_lines` returned.

        Raises:
            ValueError: If it is not what it was when it was frozen.
        """
        first, *rest = text.splitlines() or [""]
        facts = json.loads(first)
        checksum = facts.pop("checksum")
        if (count := facts["trials"]) != len(rest):
            raise ValueError(f"it has {len(rest)} of its {count} trials")
        trials = tuple(map(Trial.from_json, rest))
        found = cls(**{key: facts[key] for key in facts if key != "trials"}, trials=trials)
        if found._checksum(facts) != checksum:
            raise ValueError("its first line, or the order of its trials, is not what it was")
        return found

    @classmethod
    def read(cls, directory: pathlib.Path) -> Self:
        """Read the grid that is frozen in a directory: the last one, if it has grown.

        Raises:
            ValueError: If there is none, or it is damaged.
        """
        return cls.read_file(frozen(directory)[-1])

    @classmethod
    def read_file(cls, path: pathlib.Path) -> Self:
        """Read a grid.

        Raises:
            ValueError: If there is none, or it is damaged.
        """
        try:
            return cls.from_lines(path.read_text())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ValueError(
                f"`results` must be the directory of a sweep. Received: {path.parent}, where there "
                f"is no {path.name}"
            ) from error
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            said = f"no {error}" if isinstance(error, KeyError) else error
            raise ValueError(f"{path} is not the grid of a sweep, or is damaged: {said}") from error
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error}") from error

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


def frozen(directory: pathlib.Path) -> list[pathlib.Path]:
    """Return the files of the grids that are frozen in a directory, from the first on.

    The first is ``grid.jsonl``, whether it is there or not, and the others, which have all of the
    one before, ``grid-2.jsonl`` and so on.
    """
    paths = [directory / "grid.jsonl"]
    while os.path.lexists(path := directory / f"grid-{len(paths) + 1}.jsonl"):
        paths.append(path)
    return paths


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
        short = trained_epochs(config["epochs"], budget * SHORT)
        if sweep["protocol"] == "halving" and short >= self.epochs:
            raise ValueError(
                f"Under 'halving' a quarter of a budget must be fewer epochs than all of it. "
                f"Received: {budget:g} of {config['epochs']} epochs in {setting!r}, both {short}"
            )
        self._cell = digest({"sweep": sweep["name"], "place": self._place, **self._config})
        # As it is read back: lists for tuples.
        self._config = json.loads(json.dumps(self._config, default=list))

    def trial(
        self,
        phase: str,
        rate: float | None,
        seed: int,
        candidates: Mapping[str, tuple[str, ...]] | None = None,
        share: float = 1.0,
        rank: int = 0,
    ) -> Trial:
        config = {**self._config, "learning_rate": rate, "seed": seed}
        epochs = self.epochs
        if share < 1.0:
            config["budget"] *= share
            epochs = trained_epochs(config["epochs"], config["budget"])
        if phase == TUNING:
            config["split"] = "validation"
        elif config.get("split") != "both":  # Of a setting whose rates follow validation.
            config["split"] = "test"
        place = {**self._place, "budget": config["budget"], "learning_rate": rate, "seed": seed}
        place |= {"rank": rank} if rank else {}
        return Trial(
            id="",
            cell=self._cell,
            phase=phase,
            coordinates=place,
            config=config,
            candidates=dict(candidates or {}),
            epochs=float(epochs),
        ).named()


def _check_words(sweep: Mapping[str, Any]) -> None:
    """Check what of a sweep is one of a few words."""
    for name, words in (
        ("protocol", PROTOCOLS),
        ("goal_mode", ("max", "min")),
        ("judged", JUDGED),
    ):
        if sweep[name] not in words:
            raise ValueError(
                f"`{name}` must be one of {', '.join(words)}. Received: {name}={sweep[name]!r}"
            )
    margin = sweep["margin"]
    if margin is not None and (isinstance(margin, bool) or not 0.0 < margin < math.inf):
        raise ValueError(f"`margin` must be finite and above 0, or None. Received: margin={margin}")
    for evaluation in EVALUATIONS.values():
        if sweep["goal"].startswith(f"{evaluation}_"):
            raise ValueError(
                f"`goal` must be a metric without the name of an evaluation: trials that tune are "
                f"judged by 'val', those that are measured by 'test'. "
                f"Received: goal={sweep['goal']!r}"
            )


def _workloads(sweep: Mapping[str, Any]) -> dict[str, str]:
    """Return what settings train that say so."""
    named = {name: each.get("workload") for name, each in sweep["settings"].items()}
    return {name: workload for name, workload in sorted(named.items()) if workload}


def _rates(sweep: Mapping[str, Any], setting: str) -> tuple[float, ...]:
    given = tuple(sweep["settings"][setting]["learning_rates"])
    if not all(isinstance(rate, int | float) and not isinstance(rate, bool) for rate in given):
        raise ValueError(f"`learning_rates` must be numbers. Received: {given} of {setting!r}")
    rates = tuple(map(float, given))
    if sweep["protocol"] == "shared" and len(rates) != 1:
        raise ValueError(
            f"Under 'shared' a setting must have one learning rate. Received: "
            f"learning_rates={rates} of {setting!r}"
        )
    if (
        not rates
        or len(set(rates)) < len(rates)
        or not all(0.0 < rate < math.inf for rate in rates)
    ):
        raise ValueError(
            f"`learning_rates` must be distinct finite numbers above 0. Received: {rates} of "
            f"{setting!r}"
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
