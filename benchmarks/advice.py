"""What was said before the sweeps of `configs/sweeps/advice.py` were run, and what came of it.

    python -m benchmarks.advice

It reads the results in `docs/advice`, `docs/advice_precision` and `docs/advice_refined`, and prints
the tests that docs/advice.md has written down, in its numbers; no training is run. A task is a part
of the sweep; the means of its settings weigh equally. What is not there yet is left out, and the
number of tasks is said.
"""

from __future__ import annotations

import itertools
import math
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import pandas

import keras_sched as ks
from benchmarks.held_out import FEWEST, Held, constant, held_out, weighed
from configs.sweeps.refined import REFERENCES
from keras_sched.advice.answer import TIED
from keras_sched.advice.evidence import Evidence, load
from keras_sched.advice.methods import METHODS
from trainers.reports.statistics import difference, holm

_DOCS = pathlib.Path(__file__).parents[1] / "docs"
# Bits are equivalent to float32 if the loss is within so much of it.
_EQUIVALENT = 0.05
_DRAWS = 10_000
_CYCLED = ("static 8/8", "CR 3-8/8", "RR 3-8/8", "ER 3-8/8")
_RATED = ("Linear", "Cosine", "REX", "WSD 20 %")
Column = dict[str, Evidence]


def columns() -> list[Column]:
    """Return the columns that were measured here: evidence by method."""
    found: dict[object, Column] = {}
    for row in load():
        if row.source.startswith("advice_"):
            found.setdefault(row.column, {})[row.method] = row
    return list(found.values())


def by_task(found: Sequence[Column], method: str, other: str) -> dict[str, float]:
    """Return the mean difference of the logarithms of two losses in each task."""
    values: dict[str, list[float]] = {}
    for column in found:
        if method in column and other in column:
            apart = math.log(column[method].loss / column[other].loss)
            values.setdefault(column[method].setting, []).append(apart)
    return {task: float(np.mean(each)) for task, each in values.items()}


def flipped(values: Sequence[float]) -> float:
    """Return the two-sided p of a mean that is 0, by flipping all signs."""
    given = np.array(values)
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=len(given))))
    return float((np.abs(signs @ given) >= abs(given.sum()) - 1e-12).mean())


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the interval of 90 % of a mean, by drawing tasks again."""
    draw = np.random.default_rng(0)
    means = draw.choice(np.array(values), (_DRAWS, len(values))).mean(axis=1)
    low, high = np.quantile(means, [0.05, 0.95]).tolist()
    return low, high


def said(name: str, tasks: Mapping[str, float], p: float) -> None:
    """Print a comparison."""
    values = [*tasks.values()]
    low, high = (100.0 * (math.exp(x) - 1.0) for x in interval(values))
    mean = 100.0 * (math.exp(float(np.mean(values))) - 1.0)
    below = sum(value < 0.0 for value in values)
    print(
        f"   {name}: {mean:+.1f} % [{low:+.1f}, {high:+.1f}], lower in {below} of {len(values)} "
        f"tasks, p = {p:.3f}"
    )


def compared(found: Sequence[Column], pairs: Sequence[tuple[str, str]]) -> None:
    """Print comparisons of one claim."""
    tasks = {f"{one} over {other}": by_task(found, one, other) for one, other in pairs}
    corrected = holm({name: flipped([*each.values()]) for name, each in tasks.items()})
    for name, each in tasks.items():
        said(name, each, corrected[name])


def advised(found: Sequence[Held]) -> None:
    """Print what is recommended for each task from the papers and all other tasks."""
    over: dict[str, list[float]] = {}
    for task in sorted({each.setting for each in found}):
        mine = [each for each in found if each.setting == task]
        over[task] = [
            math.log(each.true[each.picked].loss / each.true["Cosine"].loss) for each in mine
        ]
        print(f"   {task}: regret {weighed(mine):.1%}, of Cosine {weighed(mine, 'Cosine'):.1%}")
    tied = sum(each.is_tied() for each in found)
    own, its = weighed(found), weighed(found, "Cosine")
    print(f"   tied in {tied} of {len(found)} columns; regret {own:.1%}, of Cosine {its:.1%}")
    print("   beside the test, as the best of eleven noisy means is in part the luckiest:")
    indistinct = sum(each.is_indistinguishable() for each in found)
    print(f"   not to be told from the best by a t-test: in {indistinct} of {len(found)} columns")
    means = {task: float(np.mean(values)) for task, values in over.items()}
    said("recommended over Cosine", means, flipped([*means.values()]))
    for method in (name for name in METHODS if all(name in each.true for each in found)):
        count, regret = constant(found, method)
        print(f"   always {method}: tied in {count}; regret {regret:.1%}")


def early_winners(rows: Sequence[Evidence]) -> None:
    """Print what the best method at a short budget costs at 100 %, beside REX, settings alike.

    Where several are the best the mean of what they cost counts.
    """
    runs: dict[tuple[str, ...], dict[float, Column]] = {}
    for row in rows:
        if row.precision == "float32" and row.method in METHODS:
            key = row.source, row.setting, row.optimizer, row.metric
            runs.setdefault(key, {}).setdefault(row.budget, {})[row.method] = row
    for budget in (0.05, 0.1, 0.25):
        costs: dict[str, list[tuple[float, float]]] = {}
        for (_, setting, *_), found in runs.items():
            names = found.get(budget, {}).keys() & found.get(1.0, {}).keys()
            if len(names) < FEWEST or "REX" not in names:
                continue
            short, full = ({name: found[at][name].loss for name in names} for at in (budget, 1.0))
            least = min(full.values())
            best = [full[name] for name in names if math.isclose(short[name], min(short.values()))]
            cost = float(np.mean(best)) / least - 1.0, full["REX"] / least - 1.0
            costs.setdefault(setting, []).append(cost)
        means = 100.0 * np.mean([np.mean(each, axis=0) for each in costs.values()], axis=0)
        every = 100.0 * np.array([cost for each in costs.values() for cost in each])
        medians = np.median(every, axis=0)
        print(
            f"   the best at {budget:.0%}: {means[0]:.1f} % above the best at 100 % (median "
            f"{medians[0]:.1f} %), always REX: {means[1]:.1f} % ({medians[1]:.1f} %); {len(every)} "
            f"columns, {len(costs)} settings"
        )


def rates() -> None:
    """Print how the best rates of two methods are beside what theory says, and beside no change."""
    every = 0
    apart: dict[str, list[float]] = {"theory": [], "no change": []}
    for path in sorted(_DOCS.glob("advice/*/results.parquet")):
        table = pandas.read_parquet(path)
        tuned = table[(table["phase"] == "tuning") & (table["budget"] == 1.0)]
        is_max = (table["goal_mode"] == "max").all()
        for _, group in tuned.groupby("setting"):
            best = {}
            for name in _RATED:
                rows = group[group["schedule"] == name]
                mine = rows.groupby("learning_rate")["value"].mean().dropna()
                loss = np.log(_losses(mine, rows["count"].iloc[0]) if is_max else mine)
                best[name] = _lowest(np.log(loss.index.to_numpy()), loss.to_numpy())
            for one, other in itertools.combinations(_RATED, 2):
                if math.isnan(best[one] - best[other]):
                    continue
                theory = METHODS[one].bound.base_rate / METHODS[other].bound.base_rate
                every += 1
                apart["theory"].append(abs(best[one] - best[other] - math.log(theory)))
                apart["no change"].append(abs(best[one] - best[other]))
    for name, values in apart.items():
        near = sum(value <= math.log(1.5) for value in values)
        print(
            f"   {name}: {near} of {every} pairs within a factor of 1.5; median factor "
            f"{math.exp(float(np.median(values))):.2f}"
        )


def _losses(accuracies: pandas.Series, count: float) -> pandas.Series:
    """Return shares of errors: half an error where there is none, as it has no logarithm."""
    return (1.0 - accuracies).clip(lower=0.5 / count)


def _lowest(at: np.ndarray, values: np.ndarray) -> float:
    """Return where a parabola through the lowest point and its neighbours is lowest."""
    if len(at) < 3:
        return math.nan
    place = min(max(int(values.argmin()), 1), len(at) - 2)
    a, b, _ = np.polyfit(at[place - 1 : place + 2], values[place - 1 : place + 2], 2)
    if a <= 0.0:
        return float(at[values.argmin()])
    return float(np.clip(-b / (2.0 * a), at[0], at[-1]))


def losses(axis: str, directory: str) -> dict[str, dict[str, pandas.Series]]:
    """Return the logarithms of measured losses by setting, method on an axis, and seed."""
    found = {}
    for path in sorted(_DOCS.glob(f"{directory}/*/results.parquet")):
        table = pandas.read_parquet(path)
        table = table[table["phase"] == "measurement"]
        is_max = (table["goal_mode"] == "max").all()
        values = table["value"]
        table["loss"] = np.log(_losses(values, table["count"].iloc[0]) if is_max else values)
        for setting, group in table.groupby("setting"):
            found[str(setting)] = {
                str(name): each.set_index("seed")["loss"] for name, each in group.groupby(axis)
            }
    return found


def beside(
    found: Mapping[str, Mapping[str, pandas.Series]],
    pairs: Sequence[tuple[str, str]],
    margin: float,
) -> None:
    """Print differences over seeds: whether they are none, and whether they are small."""
    apart = {
        (setting, one, other): difference(
            [(methods[one] - methods[other]).tolist()], margin=math.log1p(margin)
        )
        for setting, methods in found.items()
        for one, other in pairs
    }
    small = holm({name: each.p_apart for name, each in apart.items()})
    none = holm({name: each.p_value for name, each in apart.items()})
    for name, each in apart.items():
        setting, one, other = name
        mean, low, high = (100.0 * math.expm1(x) for x in (each.mean, each.low, each.high))
        print(
            f"   {setting}, {one} over {other}: {mean:+.1f} % [{low:+.1f}, {high:+.1f}], n = "
            f"{each.blocks}; equal: p = {none[name]:.2g}; {margin:.1%} apart: p = {small[name]:.2g}"
        )
    shown = sum(p < 0.05 for p in small.values())
    print(f"   equivalent: {shown} of {len(small)}")


def bit_operations() -> None:
    """Print what share of the bit operations of float32 is counted."""
    for path in sorted(_DOCS.glob("advice_precision/*/results.parquet")):
        table = pandas.read_parquet(path)
        counted = table.groupby("precision", sort=False)["relative_to_fp32"].mean()
        shares = ", ".join(f"{name} {share:.1%}" for name, share in counted.items())
        print(f"   {path.parent.name}: {shares}")


def main() -> None:
    """Print all of it."""
    found = columns()
    low = [column for column in found if next(iter(column.values())).budget in (0.05, 0.1)]
    sgd = [column for column in found if next(iter(column.values())).optimizer == "sgd"]
    tasks = {row.setting for column in found for row in column.values()}
    print(f"{len(tasks)} of 8 tasks: {', '.join(sorted(tasks))} (keras_sched {ks.__version__})")
    print("1. Short budgets: losses at 5 and 10 %")
    pairs = [("REX", other) for other in ("None", "Step", "OneCycle", "Exp")]
    compared(low, [*pairs, ("Linear", "None"), ("Linear", "Step")])
    print("2. Demon at a constant rate, momentum SGD, all budgets")
    compared(sgd, [("Demon", "Cosine"), ("Demon", "Step")])
    print("3. Advice: predicted from the papers and the other tasks")
    advised(held_out("advice_"))
    for whose, is_here in (("papers", False), ("here", True)):
        print(f"   winners of short runs, {whose}:")
        early_winners([row for row in load() if (row.measured_by == "here") == is_here])
    print("4. Rates at 100 %")
    rates()
    print("5. Precision: the loss over that of float32, and counted bit operations")
    bits = losses("precision", "advice_precision")
    beside(bits, [(name, "float32") for name in _CYCLED], _EQUIVALENT)
    bit_operations()
    print("6. Refined schedules over linear decay after a warmup")
    for name in REFERENCES:
        beside(losses("schedule", "advice_refined"), [(name, "Warmup Linear")], TIED)


if __name__ == "__main__":
    main()
