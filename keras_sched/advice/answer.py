"""What `recommend` answers: methods with what is expected of them, and on which evidence."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from keras_sched.advice.evidence import Evidence
from keras_sched.schedules import Schedule, label

__all__ = ["Advice", "Recommendation"]

# A chance of being the best that is worth to be told as one.
_SURE = 0.5
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
    why: str

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
    """

    rows: tuple[Recommendation, ...]
    baseline: str
    momentum: str
    precision: str
    notes: tuple[str, ...]

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
        return "\n".join([*lines, "", self.said, self.momentum, self.precision, *self.notes])

    @property
    def said(self) -> str:
        """What to use, and how sure that is, in a sentence or two."""
        first, second = self.rows[:2]
        text = f"Use {label(first.schedule)}. {first.why}"
        if first.method != self.baseline:
            text += (
                f" It has a lower loss than {self.baseline} with a probability of "
                f"{100 * first.chance_better:.0f} %."
            )
        if first.chance_best < _SURE:
            text += (
                f" Which one is best for a task of your own nobody can say from this: the best of "
                f"the {len(self.rows)} it is with {100 * first.chance_best:.0f} %. If you can "
                f"train twice, try {second.method}, too."
            )
        return text


HEAD = ("method", "rate", "gain", "better", "best", "tied", "regret", "grade", "rows, by whom")


def cells(row: Recommendation) -> list[str]:
    """Return a row of the table of an answer, as texts."""
    low, high = row.gain_range
    return [
        row.method,
        f"x{row.rate_factor:.2f}",
        f"{row.gain:+.1f} % [{low:+.1f}, {high:+.1f}]",
        f"{100 * row.chance_better:.0f} %",
        f"{100 * row.chance_best:.0f} %",
        f"{100 * row.chance_tied:.0f} %",
        f"{row.regret:.1f} %",
        row.grade,
        row.measured_by,
    ]


def _line(fields: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(text.ljust(width) for text, width in zip(fields, widths, strict=True)).rstrip()
