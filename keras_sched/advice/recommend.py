"""Which schedule, at which rate, how sure, and on what evidence."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_sched import _validate
from keras_sched.advice import precision as precisions
from keras_sched.advice.answer import Advice, Recommendation
from keras_sched.advice.effects import Effects, band, regrets
from keras_sched.advice.evidence import FAMILIES, Evidence, checked, load
from keras_sched.advice.methods import METHODS, prior
from keras_sched.schedules import Constant
from keras_sched.theory import bound

__all__ = ["FEARS", "recommend"]

FEARS = ("cost", "divergence", "open end", "tuning")
# What is for whom: the first of these that is no worse by more than `_TIED` is recommended.
_FOR = {
    "divergence": ("Warmup REX", "Warmup Linear"),
    "tuning": ("Cosine", "Linear"),
    "open end": ("WSD 20 %",),
}
_REASONS = {
    "divergence": "It is first as its rate begins low, and not for its regret.",
    "tuning": "It is first as a rate that is wrong costs it least: by theory one that is wrong by "
    "a factor r costs r^(1/5) with cosine and r^(1/3) with linear decay (arXiv 2503.09411).",
    "open end": "It is first as it needs no length until its cooldown, and all others below need "
    "one: the rate is constant until you want to end. Then go on for a quarter of the steps that "
    "are done, with a `ks.Linear` from that rate on.",
}
_TIED = 0.025
# Rates for cosine decay where nothing was tuned: usual ones.
_USUAL = {"sgd": 0.1, "adam": 1e-3}
# Norms that rise by so much were likely measured while the rate fell.
_RISE = 1.25
# Steps on which norms are looked at.
_STEPS = 10_000


def recommend(
    task: str,
    *,
    optimizer: str | keras.optimizers.Optimizer,
    budget: float | None = None,
    steps: int | None = None,
    model: keras.Model | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    fear: str | None = None,
    norms: Sequence[float] | np.ndarray | None = None,
    evidence: Sequence[Any] = (),
    metric: str = "last",
    baseline: str = "Cosine",
) -> Advice:
    """Return which schedules to use for a task, with what is expected of each.

    The logarithm of the loss is modelled as a sum of effects of the method, alone and with the
    budget, the optimizer, the family of tasks and the setting, each shrunken towards what theory
    says of the schedule; see docs/advice.md. The methods are in the order of their expected regret.

    Args:
        task: The family of the task: "detection", "graph", "image classification", "image
            generation", "language model", "segmentation", "tabular", "text classification",
            "video classification" or "other".
        optimizer: "sgd" or "adam", for all of its kin, or the optimizer.
        budget: Share of the usual number of epochs, in (0, 1]: below a quarter is a short budget.
            None for a whole one.
        steps: Steps of the run, at least 2: the notes say how many a warmup is.
        model: The model, of which the notes say whether it is recurrent, or attends.
        batch_size: Examples of a batch: the notes say what a larger one means for the rate.
        learning_rate: The rate that was tuned for the baseline, above 0. None for a usual one.
        fear: What is feared most: "tuning", a rate that is wrong; "divergence"; "open end", a run
            of unknown length; "cost", of arithmetic. None for nothing but the loss.
        norms: Norms of the gradient over a run at a constant rate, as for `bound`: the schedules
            are ranked by the bound with these first.
        evidence: Files that `python -m trainers.evidence` made, and `ks.Evidence`, beside what is
            in the package.
        metric: "last", the value at the end, or "best", that of the best epoch.
        baseline: The method that gains and rates are compared with, as "Cosine".

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If a task, an optimizer, a fear or a baseline is unknown, a number is out of
            range, or evidence is of another form.
        FileNotFoundError: If a file of evidence is not there.

    Example:
        >>> import keras_sched as ks
        >>> advice = ks.recommend("image classification", optimizer="sgd", budget=0.1)
        >>> advice.rows[0].grade
        'A'
    """
    family = _validate.choice("task", task, FAMILIES)
    kind = _kind(optimizer)
    share = (
        1.0
        if budget is None
        else _validate.real("budget", budget, low=0.0, high=1.0, open_low=True)
    )
    _validate.choice("baseline", baseline, tuple(METHODS))
    _validate.choice("metric", metric, ("best", "last"))
    if fear is not None:
        _validate.choice("fear", fear, FEARS)
    if steps is not None:
        steps = _validate.integer("steps", steps, low=2)
    if batch_size is not None:
        _validate.integer("batch_size", batch_size, low=1)
    rate = (
        _USUAL[kind]
        if learning_rate is None
        else _validate.real("learning_rate", learning_rate, low=0.0, open_low=True)
    )
    if model is not None and not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. Received: model={_validate.shown(model)}")
    added = tuple(checked(evidence))
    ranked = None if norms is None else _by_norms(norms)
    found = _rows(_effects(added), family, kind, share, baseline, rate)
    rows = _ordered(found, fear, ranked)
    reason = ""
    if rows[0].method in _FOR.get(fear or "", ()) and rows[0] is not found[0]:
        reason = _REASONS[fear or ""]
    if fear == "open end":  # Of a run without a length only the first part is known.
        peak = float(f"{rate * rows[0].rate_factor:.3g}")
        rows = (dataclasses.replace(rows[0], schedule=Constant(peak)), *rows[1:])
    asked = _Question(family, kind, budget, steps, batch_size, learning_rate, fear, metric, model)
    precision = precisions.advice(share, fear, (*load(), *added))
    return Advice(rows, baseline, _momentum(rows), precision, _notes(rows, asked), reason)


@dataclasses.dataclass(frozen=True)
class _Question:
    """What was asked; see `recommend`."""

    family: str
    kind: str
    budget: float | None
    steps: int | None
    batch_size: int | None
    learning_rate: float | None
    fear: str | None
    metric: str
    model: keras.Model | None


def _kind(optimizer: Any) -> str:
    """Return "sgd" or "adam" for an optimizer."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    if isinstance(optimizer, keras.optimizers.Optimizer):
        name = type(optimizer).__name__.casefold()
        return "sgd" if name in ("sgd", "adagrad", "ftrl") else "adam"
    names = ("adam", "adamw", "sgd", "sgdm")
    found = optimizer.casefold() if isinstance(optimizer, str) else optimizer
    return "sgd" if _validate.choice("optimizer", found, names).startswith("sgd") else "adam"


@functools.lru_cache(maxsize=8)
def _effects(added: tuple[Evidence, ...]) -> Effects:
    rows = [row for row in (*load(), *added) if row.precision == "float32"]
    return Effects(rows, prior())


def _rows(
    effects: Effects, family: str, kind: str, share: float, baseline: str, rate: float
) -> list[Recommendation]:
    names = list(METHODS)
    draws = effects.drawn(names, family, kind, share)
    over = regrets(draws)
    gains = 100.0 * (1.0 - np.exp(draws - draws[:, [names.index(baseline)]]))
    tuned = METHODS[baseline].bound.base_rate
    found = []
    for place, name in enumerate(names):
        method = METHODS[name]
        rows = tuple(row for row in effects.rows if row.method == name)
        factor = method.bound.base_rate / tuned
        low, middle, high = np.quantile(gains[:, place], [0.05, 0.5, 0.95]).tolist()
        found.append(
            Recommendation(
                method=name,
                schedule=method.rate(float(f"{rate * factor:.3g}")),
                momentum=None if method.momentum is None else method.momentum(0.9),
                rate_factor=factor,
                gain=middle,
                gain_range=(low, high),
                chance_better=float((gains[:, place] > 0.0).mean()),
                chance_best=float((over[:, place] == 0.0).mean()),
                chance_tied=float((over[:, place] <= _TIED).mean()),
                regret=100.0 * float(over[:, place].mean()),
                grade=_grade(rows, family, kind, share),
                evidence=rows,
                near=sum((row.family, row.optimizer) == (family, kind) for row in rows),
                why=method.why,
            )
        )
    return sorted(found, key=lambda row: row.regret)


def _grade(rows: Sequence[Evidence], family: str, kind: str, share: float) -> str:
    here = [
        row
        for row in rows
        if (row.family, row.optimizer, band(row.budget)) == (family, kind, band(share))
    ]
    return "A" if here else "B" if rows else "C"


def _by_norms(norms: Any) -> dict[str, float]:
    """Return the bound of each method with measured norms."""
    found = np.asarray(norms, np.float64)
    values = {
        name: bound(method.effective(_STEPS), norms=norms).value for name, method in METHODS.items()
    }
    tenth = max(1, len(found) // 10)
    rise = float(np.median(found[-tenth:]) / np.median(found[:tenth]))
    if rise > _RISE:
        warnings.warn(
            f"`norms` rise by a factor of {rise:.2f}, as they do while a learning rate falls: such "
            f"norms call for still more decay. Measure them at a constant rate.",
            stacklevel=3,
        )
    return values


def _ordered(
    rows: list[Recommendation], fear: str | None, ranked: dict[str, float] | None
) -> tuple[Recommendation, ...]:
    """Return the rows in the order in which they are recommended."""
    if ranked is not None:
        rows = sorted(rows, key=lambda row: (round(ranked[row.method], 2), row.regret))
    for name in _FOR.get(fear or "", ()):
        place = [row.method for row in rows].index(name)
        near = rows[place].regret <= rows[0].regret + 100.0 * _TIED
        if near or fear == "open end":
            return (rows[place], *rows[:place], *rows[place + 1 :])
    return tuple(rows)


def _momentum(rows: Sequence[Recommendation]) -> str:
    """Return what is to be said of the momentum, in a sentence or two."""
    found = {row.method: row for row in rows}
    both, rex = found["Demon REX"], found["REX"]
    told = f"expected regret {both.regret:.0f} % of Demon REX, {rex.regret:.0f} % of REX"
    if both.regret < rex.regret - 100.0 * _TIED:
        return f"Momentum: let it fall, as in Demon REX ({told})."
    if both.regret < rex.regret + 100.0 * _TIED:
        return (
            f"Momentum: keep it constant; letting it fall makes no difference that shows ({told})."
        )
    return f"Momentum: keep it constant ({told})."


def _notes(rows: Sequence[Recommendation], asked: _Question) -> tuple[str, ...]:
    """Return what is assumed, and what is not known."""
    first, fear = rows[0].method, asked.fear
    notes = []
    if rows[0].grade != "A":
        notes.append(
            f"No row of this table is of {first} on a task of the family {asked.family!r} with "
            f"such an optimizer at such a budget: this is what other tasks and theory say."
        )
    if asked.budget is None and fear != "open end":
        notes.append("The budget is taken for a whole one: say `budget=` if the run is shorter.")
    if asked.learning_rate is None:
        notes.append(_of_rate(asked))
    if asked.batch_size is not None:
        law = "in proportion to it" if asked.kind == "sgd" else "with its square root"
        notes.append(
            f"If the rate was tuned for another batch than {asked.batch_size}, scale it {law}."
        )
    if asked.steps is not None:
        warmup = max(1, asked.steps // 20)
        notes.append(f"Of {asked.steps:,} steps a warmup of 5 % is {warmup:,}.")
    if fear in _FOR and first not in _FOR[fear]:
        notes.append(
            f"None of {', '.join(_FOR[fear])}, which are for who fears {fear}, is expected to "
            f"come within 2.5 % of {first}."
        )
    if asked.metric == "best":
        notes.append(
            "All evidence is of the value at the end. Where the best epoch counts, schedules that "
            "reach a low rate early lose less; no numbers of that are here."
        )
    if asked.model is not None:
        notes.append(_of_model(asked.model))
    notes.append(
        "Rows of ours (here) are of small networks, seconds a training; how such advice did on "
        "tasks that were left out is in docs/advice.md."
    )
    return tuple(notes)


def _of_rate(asked: _Question) -> str:
    """Return what is to be said of a rate that was not tuned."""
    known = "recurrent language models take 1 to 30, " if asked.kind == "sgd" else ""
    what = (
        "ask `ks.LRRangeTest`"
        if asked.fear == "tuning"
        else "try a third and three times as much: it matters more than the schedule"
    )
    return (
        f"No rate was tuned. {_USUAL[asked.kind]:g} for cosine decay is a guess, from networks for "
        f"images that are trained from scratch; {known}pretrained networks a tenth or less. Give "
        f"one that you know to work as `learning_rate=`, or {what}."
    )


def _of_model(model: keras.Model) -> str:
    """Return what is to be said of a network."""
    layers = list(model._flatten_layers(include_self=False))
    if any(isinstance(layer, keras.layers.RNN) for layer in layers):
        return (
            "A recurrent network: clip the norm of its gradient, as `clipnorm=1.0`; of the papers' "
            "LSTM `ks.Plateau` was among the best."
        )
    if any(isinstance(layer, keras.layers.MultiHeadAttention) for layer in layers):
        return "A network that attends: warm up for 1 to 10 % of the run, whatever follows."
    return f"Of the {len(layers)} layers nothing calls for another schedule than others get."
