"""What is independent in the results of a sweep: seeds in workloads, and workloads.

All budgets of a setting are trained with the same seeds, and so are settings of one workload, as
those of two optimizers: what a seed gave at one budget says what it may give at another. So numbers
of a block are averaged before anything is tested.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

from trainers.reports.results import Cell, Results

__all__ = ["by_seed", "by_workload", "paired"]


def by_workload(results: Results) -> dict[str, dict[str, float]]:
    """Return for each workload the mean rank of each method over the columns that have all.

    They are ranks of means over seeds. A workload without such a column is left out.
    """
    found: dict[str, list[dict[str, float]]] = {}
    for column in results.full_columns:
        found.setdefault(results.workloads[column.setting], []).append(column.ranks())
    return {workload: _means(ranks) for workload, ranks in found.items()}


def by_seed(results: Results) -> dict[tuple[str, int], dict[str, float]]:
    """Return for each seed of each workload the mean rank of each method over the same columns.

    They are ranks of what was measured with that seed. A seed is left out that some method was not
    trained with.
    """
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    count: dict[str, int] = {}
    for column in results.full_columns:
        workload = results.workloads[column.setting]
        count[workload] = count.get(workload, 0) + 1
        cells = results.column(column.setting, column.budget)
        for seed in sorted(set.intersection(*(set(cell.seeds) for cell in cells))):
            scores = {cell.method: cell.values.get(seed, math.nan) for cell in cells}
            ranks = dataclasses.replace(column, scores=scores).ranks()
            found.setdefault((workload, seed), []).append(ranks)
    return {key: _means(ranks) for key, ranks in found.items() if len(ranks) == count[key[0]]}


def _means(ranks: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {method: math.fsum(r[method] for r in ranks) / len(ranks) for method in ranks[0]}


def paired(pairs: Iterable[tuple[Cell | None, Cell | None]]) -> dict[str, dict[int, float]]:
    """Return by workload and seed how much a method differs from another one, on average.

    Args:
        pairs: Cells of the one and of the other method, of the same workload. Without one of the
            two, or if a training of one failed, a pair is left out: seeds that are left of a method
            that failed do not speak for it.

    Returns:
        The means over pairs, of the seeds that all pairs of a workload have.
    """
    found: dict[str, list[dict[int, float]]] = {}
    for one, other in pairs:
        if one is None or other is None or one.failed or other.failed:
            continue
        seeds = sorted(one.values.keys() & other.values.keys())
        apart = {seed: one.values[seed] - other.values[seed] for seed in seeds}
        if apart:
            found.setdefault(one.workload, []).append(apart)
    return {workload: means for workload, parts in found.items() if (means := _common(parts))}


def _common(parts: Sequence[Mapping[int, float]]) -> dict[int, float]:
    seeds = set.intersection(*(set(part) for part in parts))
    return {s: math.fsum(part[s] for part in parts) / len(parts) for s in sorted(seeds)}
