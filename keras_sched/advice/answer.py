"""What `recommend` answers: methods with what is expected of them, and on which evidence."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from keras_sched.advice.evidence import Evidence
from keras_sched.schedules import Schedule

__all__ = ["TIED", "Advice", "Recommendation", "cells", "heads", "legend"]

# Losses that are no further apart, as a share, are tied.
TIED = 0.025
# What is said of the chance of being better than the baseline, from so much on.
_EDGES = (
    (0.9, "Clearly better than"),
    (0.6, "A slight edge over"),
    (0.4, "A toss-up with"),
    (0.0, "Worse than"),
)
_GRADES = {
    "A": "measured on this family of tasks, with this kind of optimizer, at such lengths",
    "B": "measured elsewhere",
    "C": "not measured: theory only",
}


@dataclasses.dataclass(frozen=True)
class Recommendation:
    """What is expected of a method.

    Attributes:
        method: Its name in the evidence.
        schedule: The schedule of the learning rate, ready to use; open lengths are read off `fit`.
        learning_rate: Its highest value.
        momentum: The schedule of the momentum; None for a constant one.
        momentum_name: What the optimizer calls its momentum, "momentum" or "beta_1".
        rate_factor: What to multiply the rate that was tuned for the baseline by, in theory.
        gain: How much lower the loss is than the baseline's, in %: the median.
        gain_range: Its interval of 90 %.
        chance_better: Probability of a lower loss than the baseline's.
        chance_best: Probability of being the best of the methods.
        chance_tied: Probability of a loss that is at most 2.5 % above the best one.
        regret: How much the loss is expected to lie above the best one, in %.
        bound: What theory says with the norms that were given, over linear decay; None without.
        grade: "A", "B" or "C"; see `Advice.GRADES`.
        evidence: The rows that were measured of it.
        near: Those of this family of tasks, with this kind of optimizer, at such lengths.
        why: A sentence.
    """

    method: str
    schedule: Schedule
    learning_rate: float
    momentum: Schedule | None
    momentum_name: str
    rate_factor: float
    gain: float
    gain_range: tuple[float, float]
    chance_better: float
    chance_best: float
    chance_tied: float
    regret: float
    bound: float | None
    grade: str
    evidence: tuple[Evidence, ...] = dataclasses.field(repr=False)
    near: tuple[Evidence, ...] = dataclasses.field(repr=False)
    why: str

    @property
    def call(self) -> str:
        """The call that makes its callback, as a text that runs."""
        given = f"learning_rate=ks.{self.schedule!r}"
        if self.momentum is not None:
            given += f", {self.momentum_name}=ks.{self.momentum!r}"
        return f"ks.Scheduler({given})"

    @property
    def settings(self) -> int:
        """Settings in which it was measured."""
        return len({row.setting for row in self.evidence})

    @property
    def measured_by(self) -> str:
        """Who measured it, as "authors 12, here 24": how many rows are of whom."""
        found: dict[str, int] = {}
        for row in self.evidence:
            found[row.measured_by] = found.get(row.measured_by, 0) + 1
        return ", ".join(f"{who} {count}" for who, count in sorted(found.items())) or "nobody"


@dataclasses.dataclass(frozen=True)
class Advice:
    """Methods in the order in which they are recommended, the first one first.

    Attributes:
        rows: The methods.
        baseline: The method that gains are over.
        question: What was asked, in a line.
        assumed: What it assumes of the length and of the learning rate.
        momentum: What is to be said of the momentum.
        precision: What is to be said of numeric precision.
        notes: What the evidence covers, and what to look out for.
        reason: Why the first one is first where that is not for its regret; empty else.
        columns: All rows of evidence, as `why` compares them.
    """

    rows: tuple[Recommendation, ...]
    baseline: str
    question: str
    assumed: str
    momentum: str
    precision: str
    notes: tuple[str, ...]
    reason: str = ""
    columns: tuple[Evidence, ...] = dataclasses.field(default=(), repr=False)

    GRADES = _GRADES

    @property
    def best(self) -> Schedule:
        """The schedule that is recommended, ready to use."""
        return self.rows[0].schedule

    def why(self, method: str | None = None) -> str:
        """Return why a method has its place, with what was measured, beside the baseline's.

        Args:
            method: Its name; None for the first one.

        Raises:
            ValueError: If there is no such method.
        """
        names = [row.method for row in self.rows]
        if method is not None and method not in names:
            raise ValueError(
                f"`method` must be one of {', '.join(names)}. Received: method={method!r}"
            )
        row = self.rows[0 if method is None else names.index(method)]
        lines = [
            f"{row.method}: {row.why}",
            f"Grade {row.grade}: {_GRADES[row.grade]}.",
            f"Rate: {row.rate_factor:.2f} times the one tuned for {self.baseline}, in theory.",
        ]
        if row.evidence:
            lines.append(f"Measured, with {self.baseline} in brackets where both were:")
        beside = {each.column: each for each in self.columns if each.method == self.baseline}
        by_setting: dict[tuple[str, ...], list[str]] = {}
        for each in sorted(row.evidence, key=lambda each: each.budget):
            other = beside.get(each.column)
            value = f"{100 * each.budget:g} %: {each.value:.4g}"
            if other is not None and other is not each:
                value += f" ({other.value:.4g})"
            key = each.setting, each.optimizer, each.source, each.measured_by, each.metric
            by_setting.setdefault(key, []).append(value)
        for (setting, optimizer, source, who, metric), values in sorted(by_setting.items()):
            by = f"{source}, measured here" if who == "here" else f"{source}, by {who}"
            lines.append(f"  {setting}, {optimizer} ({by}), {metric}: {', '.join(values)}")
        return "\n".join(lines)

    def table(self, *, narrow: bool = False) -> str:
        """Return all methods with what is expected of them, and what the columns mean.

        Args:
            narrow: Whether to leave columns out.
        """
        shown = heads(self, narrow=narrow)
        lines = [shown, *([cells(row)[name] for name in shown] for row in self.rows)]
        widths = [max(len(line[place]) for line in lines) for place in range(len(shown))]
        table = [
            "  ".join(t.ljust(w) for t, w in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join([*table, legend(self, shown)])

    def __str__(self) -> str:
        said = [self.momentum, self.precision, *self.notes, "All columns: `advice.table()`."]
        return "\n".join(
            [self.said, "", self.table(narrow=True), "", *(f"- {each}" for each in said)]
        )

    @property
    def said(self) -> str:
        """What was asked, what to use, how sure that is, and what it assumes."""
        first = self.rows[0]
        parts = [
            f"For {self.question}, use {first.method}:\n\n"
            f"    model.fit(..., callbacks=[{first.call}])\n\n"
            f"{self.reason or first.why}",
            *self._verdict(),
        ]
        return f"{' '.join(parts)}\n\n{self.assumed}"

    def _verdict(self) -> list[str]:
        """Return how the first method is to the baseline, and which are not to be told from it."""
        first, *others = self.rows
        found = []
        if first.method != self.baseline:
            sure = first.chance_better
            edge = next(text for least, text in _EDGES if sure >= least)
            found.append(f"{edge} {self.baseline} ({100.0 * sure:.0f} % likely to be better).")
        near = [row.method for row in others if abs(row.regret - first.regret) < 100.0 * TIED]
        if near and not self.reason:
            found.append(f"Too close to tell apart: {_listed(near)}; take the simplest.")
        return found


def _listed(names: Sequence[str]) -> str:
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3} others"
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


_HEADS = (
    "method",
    "rate",
    "gain",
    "better",
    "best",
    "tied",
    "regret",
    "bound",
    "evidence",
    "measured by",
)
_WIDE = ("best", "tied", "measured by")
_LEGEND = {
    "rate": "what to multiply the rate tuned for {baseline} by, in theory",
    "gain": "how much lower the loss is than that of {baseline} (error rate, perplexity), median "
    "and 90 % interval",
    "better": "chance of that",
    "best": "chance of being the best of all",
    "tied": "chance of being within 2.5 % of the best",
    "regret": "expected % above the best of all; the order is by it, after the recommended method",
    "bound": "theory with your norms, over linear decay",
    "evidence": "A = measured on this family of tasks, kind of optimizer and length, in how many "
    "settings; B = measured elsewhere; C = theory only",
}


def heads(advice: Advice, *, narrow: bool = False) -> list[str]:
    """Return the columns of an answer's table; fewer for a narrow screen."""
    left = {*(_WIDE if narrow else ()), *(() if advice.rows[0].bound else ("bound",))}
    return [name for name in _HEADS if name not in left]


def legend(advice: Advice, shown: Sequence[str]) -> str:
    """Return what the columns mean."""
    parts = [f"{name}: {_LEGEND[name]}" for name in shown if name in _LEGEND]
    return "; ".join(parts).format(baseline=advice.baseline) + "."


def cells(row: Recommendation) -> dict[str, str]:
    """Return a row of the table of an answer, as texts by column."""
    low, high = row.gain_range
    near = len({each.setting for each in row.near})
    return {
        "method": row.method,
        "rate": f"x{row.rate_factor:.2f}",
        "gain": f"{row.gain:+.1f} % [{low:+.1f}, {high:+.1f}]" if low < high else "-",
        "better": f"{100 * row.chance_better:.0f} %" if low < high else "-",
        "best": f"{100 * row.chance_best:.0f} %",
        "tied": f"{100 * row.chance_tied:.0f} %",
        "regret": f"{row.regret:.1f} %",
        "bound": "" if row.bound is None else f"{row.bound:.3f}",
        "evidence": f"{row.grade}, {near} of {row.settings}" if near else row.grade,
        "measured by": row.measured_by,
    }
