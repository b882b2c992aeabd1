"""What `recommend` answers: methods with what is expected of them, and on which evidence."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from keras_sched.advice.evidence import Evidence
from keras_sched.schedules import Schedule

__all__ = ["Advice", "Recommendation"]

# Regrets that are no further apart, in %, are not told apart.
_NEAR = 2.5
_GRADES = {
    "A": "measured on tasks of this family, with this kind of optimizer, at such budgets",
    "B": "measured on other tasks, with other optimizers or at other budgets",
    "C": "not measured: what theory says",
}


@dataclasses.dataclass(frozen=True)
class Recommendation:
    """What is expected of a method.

    Attributes:
        method: Its name in the evidence.
        schedule: The schedule of the learning rate, ready to use; open lengths are read off `fit`.
        momentum: The schedule of the momentum; None for a constant one.
        rate_factor: What to multiply the rate that was tuned for the baseline with.
        gain: How much lower the loss is than the baseline's, in %: the median.
        gain_range: Its interval of 90 %.
        chance_better: Probability of a lower loss than the baseline's.
        chance_best: Probability of being the best of the methods.
        chance_tied: Probability of a loss that is at most 2.5 % above the best one.
        regret: How much the loss is expected to lie above the best one, in %.
        grade: "A", "B" or "C"; see `Advice.GRADES`.
        evidence: The rows that say so.
        near: How many of them are of this family of tasks, with this kind of optimizer.
        why: A sentence.
    """

    method: str
    schedule: Schedule
    momentum: Schedule | None
    rate_factor: float
    gain: float
    gain_range: tuple[float, float]
    chance_better: float
    chance_best: float
    chance_tied: float
    regret: float
    grade: str
    evidence: tuple[Evidence, ...]
    near: int
    why: str

    @property
    def call(self) -> str:
        """The call that makes its callback, as a text that runs."""
        given = f"learning_rate=ks.{self.schedule!r}"
        if self.momentum is not None:
            given += f", momentum=ks.{self.momentum!r}"
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
        momentum: What is to be said of the momentum.
        precision: What is to be said of numeric precision.
        notes: What is assumed, and what is not known.
        reason: Why the first one is first where that is not for its regret; empty else.
    """

    rows: tuple[Recommendation, ...]
    baseline: str
    momentum: str
    precision: str
    notes: tuple[str, ...]
    reason: str = ""

    GRADES = _GRADES

    @property
    def best(self) -> Schedule:
        """The schedule that is recommended, ready to use."""
        return self.rows[0].schedule

    def why(self, method: str | None = None) -> str:
        """Return why a method has its place, with the evidence, a line for each setting.

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
        by_setting: dict[tuple[str, str, str], list[Evidence]] = {}
        for each in row.evidence:
            by_setting.setdefault((each.setting, each.source, each.measured_by), []).append(each)
        lines = [
            f"{row.method}: {row.why}",
            f"Grade {row.grade}: {_GRADES[row.grade]}.",
            f"Rate: {row.rate_factor:.2f} times the one tuned for {self.baseline}, by the bound.",
        ]
        for (setting, source, who), members in sorted(by_setting.items()):
            budgets = ", ".join(f"{100 * each.budget:g} %" for each in members)
            lines.append(f"  {setting} ({source}, by {who}): {members[0].metric} at {budgets}")
        return "\n".join(lines)

    def __str__(self) -> str:
        head = [*HEAD]
        head[2] = f"gain over {self.baseline}"
        rows = [cells(row) for row in self.rows]
        widths = [max(len(line[place]) for line in [head, *rows]) for place in range(len(head))]
        lines = [_line(line, widths) for line in [head, *rows]]
        said = [self.momentum, self.precision, *self.notes]
        legend = LEGEND.format(baseline=self.baseline)
        return "\n".join([self.said, "", *lines, legend, "", *(f"- {each}" for each in said)])

    @property
    def said(self) -> str:
        """What to use, and how sure that is, in a sentence or two."""
        first, *others = self.rows
        text = (
            f"Use {first.method}:\n\n"
            f"    model.fit(..., callbacks=[{first.call}])\n\n"
            f"{self.reason or first.why}"
        )
        if first.method != self.baseline:
            text += (
                f" Its loss is lower than that of {self.baseline} with a probability of "
                f"{100 * first.chance_better:.0f} %."
            )
        near = [row.method for row in others if row.regret < first.regret + _NEAR]
        if near and not self.reason:
            text += f" About as good, as far as is known: {', '.join(near)}."
        return text


LEGEND = (
    "rate: what to multiply the rate tuned for {baseline} with; gain: how much lower the loss is "
    "than that of {baseline}, with an interval of 90 % (of 1 - accuracy, of the perplexity); "
    "better: chance of that; best, tied: chances of being the best, and of being within 2.5 % of "
    "it; regret: expected % above the best; evidence (not quality): A of this family, optimizer "
    "and budget, B of others, C theory alone; rows: near this question, of all, by whom"
)
HEAD = ("method", "rate", "gain", "better", "best", "tied", "regret", "evidence", "rows, by whom")


def cells(row: Recommendation) -> list[str]:
    """Return a row of the table of an answer, as texts."""
    low, high = row.gain_range
    return [
        row.method,
        f"x{row.rate_factor:.2f}",
        f"{row.gain:+.1f} % [{low:+.1f}, {high:+.1f}]" if low < high else "-",
        f"{100 * row.chance_better:.0f} %",
        f"{100 * row.chance_best:.0f} %",
        f"{100 * row.chance_tied:.0f} %",
        f"{row.regret:.1f} %",
        row.grade,
        f"{row.near} of {len(row.evidence)}: {row.measured_by}" if row.evidence else "none",
    ]


def _line(fields: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(text.ljust(width) for text, width in zip(fields, widths, strict=True)).rstrip()
