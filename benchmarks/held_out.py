"""What `keras_sched.recommend` says of settings that it does not know, beside what is true of them.

    python -m benchmarks.held_out

Each setting is predicted from all others: those of REX's paper, and those of our own sweeps; these
also by published numbers alone. The paper's are asked for again without what authors measured of
their own methods: with these methods to choose or without, and with our sweeps as evidence or
without. Beside it stand methods that are always the same. No training is run; the tests of
`tests/advice` hold the numbers to what docs/advice.md says.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import scipy.stats

from keras_sched.advice.answer import TIED
from keras_sched.advice.effects import SPREADS, Effects, Spreads, noises, regrets
from keras_sched.advice.evidence import Evidence, load
from keras_sched.advice.methods import METHODS, prior

__all__ = [
    "FEWEST",
    "Held",
    "by_others",
    "constant",
    "coverage",
    "every",
    "held_out",
    "published",
    "published_by_others",
    "table",
    "weighed",
]

# Columns with fewer methods choose among too few.
FEWEST = 4
_ALPHA, _LEVEL = 0.05, 0.90
_FIXED = ("Cosine", "Linear", "REX", "Warmup REX", "WSD 20 %")


@dataclasses.dataclass(frozen=True)
class Held:
    """A column of a setting that was left out.

    Attributes:
        true: What was measured, by method.
        picked: The method that is recommended.
        hits: Whether each gain over Cosine lies in its interval.
    """

    true: Mapping[str, Evidence]
    picked: str
    hits: tuple[bool, ...]

    @property
    def setting(self) -> str:
        return next(iter(self.true.values())).setting

    @property
    def best(self) -> Evidence:
        return min(self.true.values(), key=lambda row: row.loss)

    def regret(self, method: str | None = None) -> float:
        """Return by how much a method, by default the recommended one, is above the best."""
        return self.true[method or self.picked].loss / self.best.loss - 1.0

    def is_tied(self, method: str | None = None) -> bool:
        """Return whether it is within 2.5 % of the best."""
        return self.regret(method) <= TIED

    def is_indistinguishable(self, method: str | None = None) -> bool:
        """Return whether a method, by default the recommended one, cannot be told from the best.

        By a t-test with the spread of all methods of the column together; where none is known 2.5 %
        count.
        """
        known = [row for row in self.true.values() if row.std is not None]
        if not known:
            return self.is_tied(method)
        seeds = [row.n or 3 for row in known]
        error = math.sqrt(
            float(np.mean([row.std**2 for row in known if row.std is not None])) * 2.0 / min(seeds)
        )
        least = float(scipy.stats.t.ppf(1.0 - _ALPHA / 2.0, sum(n - 1 for n in seeds)))
        return self.true[method or self.picked].loss - self.best.loss <= least * error


def every(row: Evidence) -> bool:
    """Return that a row counts."""
    return True


def by_others(row: Evidence) -> bool:
    """Return whether others measured the method than its authors."""
    return row.measured_by != "authors"


def published(row: Evidence) -> bool:
    """Return whether a paper has it."""
    return row.measured_by != "here"


def published_by_others(row: Evidence) -> bool:
    """Return whether others measured the method than its authors or this project."""
    return row.measured_by == "others"


@functools.cache
def held_out(
    source: str,
    *,
    known: Callable[[Evidence], bool] = every,
    asked: Callable[[Evidence], bool] = every,
    spreads: Spreads = SPREADS,
) -> list[Held]:
    """Recommend for each setting whose source begins so from all other settings.

    Args:
        source: As "REX", or "advice_" for our own.
        known: Says which rows are evidence.
        asked: Says which rows of the setting are there to choose from.
        spreads: Of the effects.
    """
    rows = [row for row in load() if row.precision == "float32"]
    wanted = [row for row in rows if row.source.startswith(source) and asked(row)]
    found = []
    for setting in sorted({row.setting for row in wanted}):
        rest = [row for row in rows if row.setting != setting and known(row)]
        effects = Effects(rest, prior(), spreads)
        columns: dict[object, dict[str, Evidence]] = {}
        for row in wanted:
            if row.setting == setting and row.method in METHODS:
                columns.setdefault(row.column, {})[row.method] = row
        found += [_held(effects, true) for true in columns.values() if len(true) >= FEWEST]
    return found


def _held(effects: Effects, true: Mapping[str, Evidence]) -> Held:
    names, one = list(true), next(iter(true.values()))
    draws = effects.drawn(names, one.family, one.optimizer, one.budget)
    picked = names[int(regrets(draws).mean(axis=0).argmin())]
    hits: list[bool] = []
    if "Cosine" in true:
        # As `recommend` prints them, and with the noise of the seeds that were measured.
        gains = draws - draws[:, [names.index("Cosine")]]
        noise = np.sqrt(noises(list(true.values())))
        drawn = np.random.default_rng(1).normal(size=gains.shape) * noise
        gains = gains + drawn - drawn[:, [names.index("Cosine")]]
        ends = (0.5 - _LEVEL / 2.0, 0.5 + _LEVEL / 2.0)
        low, high = np.quantile(gains, ends, axis=0)
        for place, name in enumerate(names):
            if name != "Cosine":
                seen = math.log(true[name].loss / true["Cosine"].loss)
                hits.append(bool(low[place] <= seen <= high[place]))
    return Held(true, picked, tuple(hits))


def weighed(found: Sequence[Held], method: str | None = None) -> float:
    """Return the mean regret, settings weighing equally."""
    by_setting: dict[str, list[float]] = {}
    for each in found:
        if method is None or method in each.true:
            by_setting.setdefault(each.setting, []).append(each.regret(method))
    return float(np.mean([np.mean(values) for values in by_setting.values()]))


def coverage(found: Sequence[Held]) -> float:
    """Return the share of gains over Cosine that lie in their interval of 90 %."""
    return float(np.mean([hit for each in found for hit in each.hits]))


def constant(found: Sequence[Held], method: str) -> tuple[int, float]:
    """Return in how many columns a method is tied with the best, and its regret."""
    return sum(each.is_tied(method) for each in found if method in each.true), weighed(
        found, method
    )


_ASKED = (
    ("of REX's paper", "REX", every, every),
    ("the same, without what authors measured of their own methods", "REX", by_others, by_others),
    ("the same by published numbers alone", "REX", published_by_others, by_others),
    ("the same, with the authors' methods to choose", "REX", published_by_others, every),
    ("the same, with our own trainings as evidence, too", "REX", by_others, every),
    ("our own", "advice_", every, every),
    ("the same by published numbers alone", "advice_", published, every),
)


def table() -> str:
    """Return all of it as a table for docs/advice.md."""
    lines = [
        "| settings that are left out | what is recommended | within 2.5 % of the best | cannot be "
        "told from the best | mean regret | intervals hold |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for what, source, known, asked in _ASKED:
        found = held_out(source, known=known, asked=asked)
        count = len(found)
        tied = sum(each.is_tied() for each in found)
        indistinct = sum(each.is_indistinguishable() for each in found)
        lines.append(
            f"| {what}, {count} columns | by the model | {_share(tied / count)} | "
            f"{_share(indistinct / count)} | {_share(weighed(found), 1)} | "
            f"{_share(coverage(found))} |"
        )
        # What is always the same does not depend on what is known.
        for method in _FIXED if known is asked else ():
            if all(method in each.true for each in found):
                always, regret = constant(found, method)
                untold = sum(each.is_indistinguishable(method) for each in found) / count
                lines.append(
                    f"| | always {method} | {_share(always / count)} | {_share(untold)} | "
                    f"{_share(regret, 1)} | |"
                )
    return "\n".join(lines)


def _share(value: float, digits: int = 0) -> str:
    return f"{100.0 * value:.{digits}f} %"


if __name__ == "__main__":
    print(table())
