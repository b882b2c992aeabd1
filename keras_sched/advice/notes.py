"""What is to be said beside a table of methods: of rates, of momentum, and what is assumed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_sched.advice.answer import TIED, Recommendation
from keras_sched.advice.effects import band
from keras_sched.advice.evidence import Evidence, load
from keras_sched.advice.methods import METHODS, MOMENTUM, prior
from keras_sched.advice.question import Question, attends, recurs

__all__ = ["assumed", "of_answer", "of_momentum", "reason"]

# Momenta that are closer count as the same.
_NEAR = 0.05
# Optimizers whose rates are usual ones of their kind.
_USUAL = ("adam", "adamax", "adamw", "nadam", "rmsprop", "sgd", "sgdm")


def reason(wish: str, first: Recommendation, asked: Question) -> str:
    """Return why a method is first that need not have the least regret."""
    if wish == "tuning":
        return (
            "In theory a rate that is wrong by a factor of 3 costs 25 % with Cosine and 44 % with "
            "schedules that end like linear decay (arXiv 2503.09411). The table assumes a tuned "
            "rate."
        )
    if wish == "divergence":
        who = "" if asked.fear == wish else "Networks with attention need a warmup: "
        return f"{who}{'i' if who else 'I'}ts rate begins low, where the first steps are unsafe."
    return (
        f"{first.method} is a constant rate, then a decay over the last fifth. This is the "
        f"constant part: keep it for as long as you like. To end after N epochs, call `fit` again "
        f"on the same model, without `initial_epoch`:\n\n"
        f"    model.fit(..., epochs=N // 4, callbacks=[ks.Scheduler(learning_rate="
        f"ks.Linear({first.learning_rate!r}))])\n\n"
        f"All schedules below but None need to know the length beforehand."
    )


def assumed(asked: Question, usual: float) -> str:
    """Return what the answer assumes of the length and of the rate.

    Args:
        asked: The question.
        usual: The rate for Cosine that is taken where none is known.
    """
    parts = ["training from scratch"]
    if asked.budget is None and asked.fear != "open end":
        what = "this" if asked.steps is None else f"{asked.steps:,} steps"
        parts.append(f"{what} is a full-length training (else pass `budget=`)")
    if asked.learning_rate is not None:
        parts.append(f"{asked.learning_rate:g} was tuned with {asked.baseline}")
        return f"Assumed: {'; '.join(parts)}."
    if asked.rate is not None:
        parts.append(
            f"your optimizer's rate, {asked.rate:.6g}, suits {asked.baseline} (else pass "
            f"`learning_rate=`, or the schedule that it suits as `baseline=`)"
        )
    else:
        known = "a pretrained network takes a tenth or less"
        if asked.optimizer.name not in _USUAL:
            known = f"it is one of Adam's, and {asked.optimizer.name} may need quite another"
        if asked.family == "language model" and asked.kind == "sgd":
            known = "a recurrent language model takes 1 to 30"
        parts.append(
            f"a rate of {usual:g} for Cosine, which is a GUESS: {known} (pass one that works as "
            f"`learning_rate=`)"
        )
    check = (
        "`ks.LRRangeTest` finds where training diverges: stay below a third of that"
        if asked.fear == "tuning"
        else "try a third and three times as much"
    )
    return f"Assumed: {'; '.join(parts)}. A wrong rate costs more than the wrong schedule: {check}."


def of_momentum(rows: Sequence[Recommendation], asked: Question) -> str:
    """Return what is to be said of the momentum, in a sentence."""
    if asked.optimizer.momentum is None:
        return (
            "Momentum: this optimizer has none, and methods that change it are left out "
            "(`SGD(momentum=0.9)` has one)."
        )
    least = min(rows, key=lambda row: row.regret)
    moved = rows[0].momentum is not None
    if moved:
        said = "Momentum: it changes with the rate, as in the call above"
    elif least.momentum is not None and least.regret < rows[0].regret - 100.0 * TIED:
        said = f"Momentum: let it change, as in {least.method}"
    else:
        said = "Momentum: keep it constant"
    if moved and asked.optimizer.is_named and asked.kind == "sgd":
        said += ". SGD must be made with one: `SGD(momentum=0.9)`"
    if abs(asked.optimizer.start - MOMENTUM) > _NEAR:
        said += (
            f". Methods that change it were measured from about {MOMENTUM:g}; yours begins at "
            f"{asked.optimizer.start:g}"
        )
    return f"{said}."


def of_answer(
    rows: Sequence[Recommendation],
    asked: Question,
    added: Sequence[Evidence],
    used: Sequence[Evidence],
) -> tuple[str, ...]:
    """Return what the evidence covers, and what to look out for.

    Args:
        rows: The answer.
        asked: The question.
        added: Evidence of one's own.
        used: All rows that can be compared.
    """
    first = rows[0]
    notes = [_of_evidence(first, asked)]
    if asked.batch_size is not None:
        ratio = f"{asked.batch_size} / that size"
        factor = ratio if asked.kind == "sgd" else f"sqrt({ratio})"
        notes.append(f"A rate tuned at another batch size: multiply it by {factor}.")
    if asked.steps is not None and first.method.startswith("Warmup"):
        notes.append(f"A warmup of 5 % is {max(1, asked.steps // 20):,} of your steps.")
    if asked.fear == "tuning" and first.method != "Cosine":
        notes.append(
            f"Cosine tolerates a wrong rate best, but is expected to be worse than {first.method} "
            f"by more than a rate costs that is wrong by a factor of 3."
        )
    if asked.metric == "best":
        notes.append(
            "All evidence is of the value at the end. Where the best epoch counts, schedules that "
            "reach a low rate early lose less; no numbers of that are here."
        )
    if asked.norms is not None:
        notes.append(
            "Your norms move what theory expects of each schedule (column bound: over linear "
            "decay, lower is better), not what was measured. In trainings here they did not "
            "tell which schedule was best (docs/advice.md)."
        )
    if asked.model is not None:
        notes += _of_model(asked.model, first, asked)
    notes += _of_added(added, used)
    notes += _of_setting(asked, added)
    return tuple(notes)


def _of_evidence(first: Recommendation, asked: Question) -> str:
    """Return what the first method was measured on."""
    if not first.near:
        where = "elsewhere" if first.evidence else "nowhere"
        return (
            f"{first.method} was measured {where}, not on tasks of the family {asked.family!r} "
            f"with such an optimizer at such a length: this is what other tasks and theory say."
        )
    settings = sorted({row.setting for row in first.near})
    budgets = sorted({row.budget for row in first.near})
    alike = "; budgets below 25 % are treated alike" if band(asked.share) == "low" else ""
    at = ", ".join(f"{100 * each:g}" for each in budgets)
    ours = {row for row in load() if row.measured_by == "here"}
    size = " (ours, small)" if ours.issuperset(first.near) else ""
    return (
        f"{first.method} was measured near this question on {', '.join(settings)}{size}, at {at} % "
        f"of full length{alike}."
    )


def _of_model(model: Any, first: Recommendation, asked: Question) -> list[str]:
    """Return what is to be said of a network."""
    notes = []
    if recurs(model) and not asked.optimizer.clips:
        notes.append("A recurrent network: clip the norm of its gradient, as with `clipnorm=1.0`.")
    if attends(model) and not first.method.startswith("Warmup"):
        notes.append('Networks with attention need a warmup: add one, as `.warmup("0.05dur")`.')
    if not recurs(model) and not attends(model):
        notes.append(f"Of the {len(list(model.layers))} layers none calls for another schedule.")
    return notes


def _of_added(added: Sequence[Evidence], used: Sequence[Evidence]) -> list[str]:
    """Return what of one's own evidence does not count."""
    known = METHODS.keys() | prior().keys()
    float32 = [row for row in added if row.precision == "float32"]
    notes = []
    if unknown := sorted({row.method for row in float32 if row.method not in known}):
        notes.append(
            f"Your evidence has rows of {', '.join(unknown)}, of which no advice is given: the "
            f"methods are {', '.join(METHODS)}."
        )
    if alone := len(set(float32) - set(used)):
        what = "1 row of your evidence is" if alone == 1 else f"{alone} rows of your evidence are"
        notes.append(
            f"{what} alone in the column, with no other method to be compared with: nothing "
            f"follows from that."
        )
    if others := sorted({row.precision for row in added} - {"float32"}):
        notes.append(
            f"Rows of {', '.join(others)} count for what is said of precision alone, where cost is "
            f"feared and the run is not short."
        )
    return notes


def _of_setting(asked: Question, added: Sequence[Evidence]) -> list[str]:
    """Return what is to be said of the settings of evidence."""
    settings = sorted({row.setting for row in added if row.precision == "float32"})
    notes = []
    if settings and asked.setting is None:
        notes.append(
            f"Your evidence counts as of other tasks. If this one is among {', '.join(settings)}, "
            f"pass `setting=`."
        )
    if shared := {row.setting for row in load()}.intersection(settings):
        known = ", ".join(sorted(shared))
        notes.append(f"Settings of your evidence count as those of the package: {known}.")
    rows = [row for row in (*load(), *added) if row.setting == asked.setting]
    families = sorted({row.family for row in rows})
    if rows and asked.family not in families:
        notes.append(f"The setting {asked.setting} is of the family {', '.join(families)}.")
    return notes
