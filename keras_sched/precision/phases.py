"""When a dtype policy begins: phases given by their lengths, or by a schedule, in data steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from keras_sched import _validate
from keras_sched.duration import Duration, Run
from keras_sched.schedules import Schedule

__all__ = ["LADDER", "POLICIES", "Ladder", "Lengths", "Phase"]

# Those whose variables are float32: with any other, variables would have to change their dtype.
POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")
LADDER = {16: "mixed_bfloat16", 32: "float32"}
# Steps of a schedule that are read at once: 8 MiB.
_READ_AT_ONCE = 2**20


class Phase(NamedTuple):
    """A policy, and the data step of the run that it begins at."""

    start: int
    policy: str


class Lengths:
    """Phases that are given by their lengths."""

    def __init__(self, phases: Any) -> None:
        if isinstance(phases, str | Mapping) or not isinstance(phases, Iterable):
            raise TypeError(f"`phases` must be pairs (policy, length). Received: {phases!r}")
        pairs = list(phases)
        if not pairs:
            raise ValueError("`phases` must have at least one phase. Received: none")
        self._names: list[str] = []
        self._lengths: list[Duration | None] = []
        for i, pair in enumerate(pairs):
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise TypeError(f"`phases` must be pairs (policy, length). Received: {pair!r}")
            self._names.append(_validate.choice("policy", pair[0], POLICIES))
            self._lengths.append(_length(pair[1], is_last=i == len(pairs) - 1))
        given = [length for length in self._lengths if length is not None]
        if all(length.unit == "fraction" for length in given):
            total = math.fsum(length.value for length in given)
            is_open = len(given) < len(pairs)
            if not (total < 1.0 if is_open else math.isclose(total, 1.0, abs_tol=1e-9)):
                expected = "to less than 1, as the last one is open" if is_open else "to 1"
                raise ValueError(
                    f"The lengths of `phases` must sum {expected}. Received: {total:g} from "
                    f"{pairs!r}"
                )

    def phases(self, run: Run) -> tuple[Phase, ...]:
        ends = self._ends(run)
        shown = ", ".join(f"('{n}', {e})" for n, e in zip(self._names, ends, strict=True))
        if ends[-1] != run.steps:
            raise ValueError(
                f"The lengths of `phases` must sum to the run's. Received: ends at the data steps "
                f"{shown} of a run of {run.steps}. The last length may be None, the rest of the "
                f"run."
            )
        starts = [0, *ends[:-1]]
        if any(end <= start for start, end in zip(starts, ends, strict=True)):
            raise ValueError(
                f"Each of `phases` must have at least one data step. Received: ends at {shown} of "
                f"a run of {run.steps}"
            )
        return _merged(zip(starts, self._names, strict=True))

    def _ends(self, run: Run) -> list[int]:
        """Count where each phase ends; shares are summed before they are rounded."""
        summed: dict[str, list[float]] = {}
        ends = []
        for length in self._lengths:
            if length is None:
                ends.append(run.total)
                continue
            summed.setdefault(length.unit, []).append(length.value)
            lengths = [Duration(math.fsum(values), unit=unit) for unit, values in summed.items()]
            ends.append(sum(length.steps(run) for length in lengths))
        return ends


class Ladder:
    """Phases that a schedule gives, by the rung that its value is nearest to."""

    def __init__(self, schedule: Any, ladder: Any) -> None:
        if not isinstance(schedule, Schedule):
            raise TypeError(
                f"`schedule` must be a keras_sched schedule. Received: schedule={schedule!r}"
            )
        if not isinstance(ladder, Mapping):
            raise TypeError(
                f"`ladder` must map numbers to policies, as {LADDER}. Received: ladder={ladder!r}"
            )
        if not ladder:
            raise ValueError("`ladder` must have at least one rung. Received: none")
        self._schedule = schedule
        rungs = sorted((_validate.real("ladder", rung), name) for rung, name in ladder.items())
        self._names = [_validate.choice("policy", name, POLICIES) for _, name in rungs]
        self._rungs = np.array([rung for rung, _ in rungs])

    def phases(self, run: Run) -> tuple[Phase, ...]:
        schedule = self._schedule.resolve(run)
        low, high = self._rungs[0], self._rungs[-1]
        middles = (self._rungs[:-1] + self._rungs[1:]) / 2
        phases: tuple[Phase, ...] = ()
        for first in range(0, run.total, _READ_AT_ONCE):
            values = schedule(np.arange(first, min(first + _READ_AT_ONCE, run.total)))
            inside = (values >= low) & (values <= high)
            if not inside.all():
                at = int(np.argmin(inside))
                raise ValueError(
                    f"`schedule` must stay on the ladder, in [{low:g}, {high:g}]. "
                    f"Received: {values[at]:g} at step {first + at} of {schedule!r}"
                )
            index = np.searchsorted(middles, values, side="right")
            changes = np.flatnonzero(np.diff(index, prepend=-1))
            found = [(first + int(at), self._names[index[at]]) for at in changes]
            phases = _merged([*phases, *found])
        return phases


def _length(length: Any, is_last: bool) -> Duration | None:
    if length is None and is_last:
        return None
    if length is None:
        raise ValueError("Only the last length may be None, the rest of the run. Received: another")
    if isinstance(length, str | Duration):
        counted = Duration.parse(length)
        if counted.value == 0:
            raise ValueError(f"A phase must have a length above 0. Received: '{counted}'")
        return counted
    share = _validate.real("length", length)
    if not 0.0 < share <= 1.0:
        raise ValueError(
            f"A length without a unit must be a share of the run, in (0, 1]. Received: "
            f"length={length!r}. Expected for steps: '{length}st', for epochs: '{length}ep'"
        )
    return Duration(share, unit="fraction")


def _merged(phases: Iterable[tuple[int, str]]) -> tuple[Phase, ...]:
    merged: list[Phase] = []
    for start, policy in phases:
        if not merged or merged[-1].policy != policy:
            merged.append(Phase(start, policy))
    return tuple(merged)
