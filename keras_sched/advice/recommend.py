"""Which schedule, at which rate, how sure, and on what evidence."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_sched import _validate
from keras_sched.advice import notes, precision
from keras_sched.advice.answer import TIED, Advice, Recommendation
from keras_sched.advice.effects import Effects, band, regrets
from keras_sched.advice.evidence import FAMILIES, Evidence, checked, distinct, kind_of, load
from keras_sched.advice.methods import METHODS, SLOPE, Method, prior
from keras_sched.advice.question import (
    FEARS,
    Optimizer,
    Question,
    attends,
    of_norms,
    of_optimizer,
)
from keras_sched.schedules import Constant

__all__ = ["recommend"]

# Rates for cosine decay where none was given: usual ones.
_USUAL = {"sgd": 0.1, "adam": 1e-3}
# Steps on which theory looks at a run, at most: enough for a limit; and the fewest, on which the
# steps of Step are not at one place.
_STEPS, _FEWEST = 10_000, 4
_HIGHEST = 1e6
# What is for whom, and by how much it may be worse than the best, in units of the loss. A rate that
# is wrong by a factor r costs r^(1/5) with cosine and r^(1/3) with linear decay and what ends like
# it (arXiv 2503.09411), of which trainings see a share: that much for a factor of 3.
_FOR: Mapping[str, tuple[tuple[str, ...], float]] = {
    "divergence": (("Warmup REX", "Warmup Linear"), np.inf),
    "open end": (("WSD 20 %",), np.inf),
    "tuning": (("Cosine",), SLOPE * (1 / 3 - 1 / 5) * float(np.log(3.0))),
}


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
    norms: Sequence[float] | np.ndarray | Mapping[str, Any] | None = None,
    evidence: Sequence[Any] = (),
    setting: str | None = None,
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
        optimizer: The optimizer, or the name of one of Keras, as "sgd" or "adamw". Of an optimizer
            the learning rate and the momentum are used, and methods that it cannot follow are left
            out.
        budget: Share of the usual number of epochs, in (0, 1]: below a quarter is a short budget,
            and all of these are treated alike. None for a full-length training.
        steps: Steps of the run, at least 4: for the rates, and a warmup in steps.
        model: The model: with attention layers a warmup is recommended.
        batch_size: Examples of a batch: the notes say what a larger one means for the rate.
        learning_rate: The rate that was tuned for the baseline, above 0. None for that of the
            optimizer, or for a usual one.
        fear: What is feared most: "tuning", a rate that is wrong; "divergence"; "open end", a run
            of unknown length; "cost", of arithmetic. None for nothing but the loss.
        norms: Norms of the gradient over a run at a constant rate: the history of
            ``StepLogger(norms=True)``, or one of its columns, "grad_norm" for SGD and its kin and
            "grad_l1" for Adam and its kin; at least 10. What theory says is then said of them.
        evidence: Files that `python -m trainers.evidence` made, and `ks.Evidence`, beside what is
            in the package.
        setting: A setting of the evidence, as one of your own: what was measured there counts as
            being of this task. None for a new one.
        metric: "last", the value at the end, or "best", that of the best epoch: it changes a note
            only, as all evidence is of the end.
        baseline: The method that gains and rates are compared with, as "Cosine".

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If a task, an optimizer, a fear, a setting or a baseline is unknown, the
            optimizer cannot follow the baseline, a number is out of range, or evidence is of
            another form.
        FileNotFoundError: If a file of evidence is not there.

    Example:
        >>> import keras_sched as ks
        >>> advice = ks.recommend("image classification", optimizer="sgd", budget=0.1)
        >>> advice.rows[0].grade
        'A'
    """
    _validate.choice("task", task, FAMILIES)
    found = of_optimizer(optimizer)
    if budget is not None:
        _validate.real("budget", budget, low=0.0, high=1.0, open_low=True)
    methods = _followed(found)
    _validate.choice("baseline", baseline, tuple(each.name for each in methods))
    _validate.choice("metric", metric, ("best", "last"))
    if fear is not None:
        _validate.choice("fear", fear, FEARS)
    if steps is not None:
        steps = _validate.integer("steps", steps, low=_FEWEST)
    if batch_size is not None:
        _validate.integer("batch_size", batch_size, low=1)
    if learning_rate is not None:
        _validate.real("learning_rate", learning_rate, low=0.0, high=_HIGHEST, open_low=True)
    elif found.learning_rate is not None and not 0.0 < found.learning_rate <= _HIGHEST:
        raise ValueError(
            f"`optimizer` must have a learning rate in (0, {_HIGHEST:g}], or `learning_rate=` must "
            f"say another. Received: an optimizer with {found.learning_rate:g}"
        )
    if model is not None and not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. Received: model={_validate.shown(model)}")
    measured = None if norms is None else of_norms(norms, kind_of(found.name))
    added = _added(checked(evidence))
    if setting is not None:
        known = {row.setting for row in (*load(), *added)}
        _validate.choice("setting", setting, tuple(sorted(known)))
    asked = Question(
        family=task,
        optimizer=found,
        budget=budget,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        fear=fear,
        metric=metric,
        model=model,
        norms=measured,
        setting=setting,
        baseline=baseline,
    )
    return _answered(asked, added)


def _followed(optimizer: Optimizer) -> list[Method]:
    """Return the methods that an optimizer can follow."""
    return [each for each in METHODS.values() if optimizer.momentum or each.momentum is None]


def _added(rows: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """Return rows that are not in the package.

    Raises:
        ValueError: If one is of a method in a column of the package, and not the same.
    """
    known = set(load())
    distinct((*load(), *rows), hint=" and in the package: give yours another source (`--source`)")
    return tuple(row for row in rows if row not in known)


def _answered(asked: Question, added: tuple[Evidence, ...]) -> Advice:
    effects = _effects(added)
    by_regret = _rows(effects, asked)
    rows, reason = _ordered(by_regret, asked)
    if asked.fear == "open end":  # Of a run without a length only the first part is known.
        constant = Constant(rows[0].learning_rate)
        rows = (dataclasses.replace(rows[0], schedule=constant), *rows[1:])
    return Advice(
        rows=rows,
        baseline=asked.baseline,
        question=asked.said,
        assumed=notes.assumed(asked, _USUAL[asked.kind]),
        momentum=notes.of_momentum(rows, asked),
        precision=precision.advice(asked, (*load(), *added)),
        notes=notes.of_answer(rows, asked, added, effects.rows),
        reason=reason,
        columns=tuple(effects.rows),
    )


@functools.lru_cache(maxsize=8)
def _effects(added: tuple[Evidence, ...]) -> Effects:
    rows = [row for row in (*load(), *added) if row.precision == "float32"]
    return Effects(rows, prior())


def _rows(effects: Effects, asked: Question) -> list[Recommendation]:
    methods = _followed(asked.optimizer)
    names = [method.name for method in methods]
    draws = effects.drawn(names, asked.family, asked.kind, asked.share, asked.setting)
    steps = min(asked.steps or _STEPS, _STEPS)
    given: dict[str, Any] = {"sums": asked.optimizer.sums, "start": asked.optimizer.start}
    flat = [method.bounded(steps, **given) for method in methods]
    here = flat
    if asked.norms is not None:
        given |= {"norms": asked.norms, "kind": "l2" if asked.kind == "sgd" else "l1"}
        here = [method.bounded(steps, **given) for method in methods]
        # Theory with these norms, in the place of theory with constant ones.
        draws = draws + SLOPE * np.log([b.value / a.value for a, b in zip(flat, here, strict=True)])
    over = regrets(draws)
    gains = 100.0 * (1.0 - np.exp(draws - draws[:, [names.index(asked.baseline)]]))
    tuned = here[names.index("Cosine" if asked.rate is None else asked.baseline)].base_rate
    rate = _USUAL[asked.kind] if asked.rate is None else asked.rate
    base = here[names.index(asked.baseline)].base_rate
    found = []
    for place, method in enumerate(methods):
        low, middle, high = np.quantile(gains[:, place], [0.05, 0.5, 0.95]).tolist()
        peak = float(f"{rate * here[place].base_rate / tuned:.3g}")
        found.append(
            Recommendation(
                **_known(method, effects.rows, asked),
                schedule=method.rate(peak),
                learning_rate=peak,
                rate_factor=here[place].base_rate / base,
                gain=middle,
                gain_range=(low, high),
                chance_better=float((gains[:, place] > 0.0).mean()),
                chance_best=float((over[:, place] == 0.0).mean()),
                chance_tied=float((over[:, place] <= TIED).mean()),
                regret=100.0 * float(over[:, place].mean()),
                bound=None if asked.norms is None else here[place].value,
            )
        )
    return sorted(found, key=lambda row: row.regret)


def _known(method: Method, rows: Sequence[Evidence], asked: Question) -> dict[str, Any]:
    """Return what of a recommendation does not depend on any draw."""
    mine = tuple(row for row in rows if row.method == method.name)
    near = [
        row
        for row in mine
        if (row.family, row.optimizer, band(row.budget))
        == (asked.family, asked.kind, band(asked.share))
    ]
    return {
        "method": method.name,
        "momentum": None if method.momentum is None else method.momentum(asked.optimizer.start),
        "momentum_name": asked.optimizer.momentum or "momentum",
        "grade": "A" if near else "B" if mine else "C",
        "evidence": mine,
        "near": tuple(near),
        "why": method.why,
    }


def _ordered(
    rows: Sequence[Recommendation], asked: Question
) -> tuple[tuple[Recommendation, ...], str]:
    """Return the rows in the order in which they are recommended, and why if not by regret."""
    wish = asked.fear or ""
    if wish not in _FOR and asked.model is not None and attends(asked.model):
        wish = "divergence"
    if wish not in _FOR:
        return tuple(rows), ""
    wanted, most = _FOR[wish]
    place = next(place for place, row in enumerate(rows) if row.method in wanted)
    if rows[place].regret > rows[0].regret + 100.0 * most:
        return tuple(rows), ""
    first = (rows[place], *rows[:place], *rows[place + 1 :])
    return first, notes.reason(wish, first[0], asked)
