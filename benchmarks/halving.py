"""What looking at learning rates in a quarter of the epochs would have cost, and lost.

    python -m benchmarks.halving [TABLE ...]

Of sweeps in which every learning rate was trained at a quarter of a budget and at all of it, as
those in `docs/advice` (the default), it takes the two rates that were best at a quarter, as the
protocol "halving" does, and of these the one that was best at the end, on validation data with one
tuning seed. Beside it stands the best of all rates at the end, which the protocol "tuned" takes.
What is lost is of the validation loss of that seed, which is what rates are chosen by: at least
nothing. No training is run.
"""

from __future__ import annotations

import argparse
import pathlib
import statistics

import pandas

from trainers.sweeps.grid import KEPT, SHORT

_ROOT = pathlib.Path(__file__).parents[1]
_CELL = ["setting", "schedule", "momentum", "precision"]


def looked_at(table: pandas.DataFrame) -> list[tuple[float, bool, float]]:
    """Return for each cell its cost, whether the rate is the same, and what is lost in %."""
    tuned = table[table["phase"] == "tuning"]
    is_max = (table["goal_mode"] == "max").all()
    loss = tuned["value"]
    if is_max:  # Half an error where there is none.
        loss = (1.0 - loss).clip(lower=0.5 / tuned["count"].iloc[0])
    tuned = tuned.assign(loss=loss.fillna(float("inf")))
    found = []
    for _, cell in tuned.groupby(_CELL):
        by_budget = {
            budget: group.groupby("learning_rate")["loss"].mean().sort_index()
            for budget, group in cell.groupby("budget")
        }
        short, full = by_budget.get(SHORT), by_budget.get(1.0)
        if short is None or full is None:
            continue
        # Rates that were added at an edge of the full trainings are not there to be looked at.
        short = short[sorted(set(short.index) & set(full.index))]
        again = full[short.nsmallest(KEPT).index]
        cost = (SHORT * len(short) + KEPT) / len(full)
        lost = 100.0 * (again.min() / full.min() - 1.0)
        found.append((cost, again.idxmin() == full.idxmin(), lost))
    return found


def main() -> None:
    """Read the tables, and print what comes out, ratios last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", type=pathlib.Path)
    given = parser.parse_args()
    tables = given.tables or sorted((_ROOT / "docs" / "advice").glob("*/results.parquet"))
    every = []
    for path in tables:
        found = looked_at(pandas.read_parquet(path))
        every += found
        same = sum(is_same for _, is_same, _ in found)
        lost = [each for *_, each in found]
        print(
            f"{path.parent.name}: {same} of {len(found)} rates the same; lost "
            f"{statistics.median(lost):.1f} % in the median, {statistics.fmean(lost):.1f} % on "
            f"average, {max(lost):.1f} % at most"
        )
    print(f"cost_over_tuned: {statistics.fmean(cost for cost, *_ in every):.3f}")
    print(f"same_rate_over_cells: {statistics.fmean(same for _, same, _ in every):.3f}")
    print(f"loss_over_tuned: {1.0 + statistics.fmean(lost for *_, lost in every) / 100:.4f}")


if __name__ == "__main__":
    main()
