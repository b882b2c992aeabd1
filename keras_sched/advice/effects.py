r"""What each method does to the logarithm of the loss, shrunken towards what is known of it.

Of method m in setting s at budget b, measured in column c (one who measures, one setting, one
optimizer, one budget),

.. math::
    \log L = \alpha_c + S_m + B_{m,band} + O_{m,optimizer} + F_{m,family} + T_{m,s} + A_m
    + \epsilon.

:math:`\alpha_c` is free: only differences within a column count. All others are normal with mean 0
and a variance each, but for :math:`S_m`, whose mean is what theory says of the method's schedule.
:math:`A_m` is there where a method was measured by its own authors, and is no part of a prediction.
The posterior is normal, in closed form.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_sched.advice.evidence import Evidence

__all__ = ["SPREADS", "Effects", "Spreads", "band", "estimated", "noises", "regrets"]

# REX, table 1: budgets below a quarter are low.
_LOW = 0.25
# Of a loss whose spread over seeds is not printed, in units of the loss; and seeds, likewise.
_STD, _SEEDS = 0.03, 3


@dataclasses.dataclass(frozen=True)
class Spreads:
    """Standard deviations of the effects, in units of the loss.

    Attributes:
        method: Of a method's own effect around what theory says.
        band: Of its additional effect at low or at high budgets.
        optimizer: Of its additional effect with SGD or with Adam.
        family: Of its additional effect in a family of tasks.
        setting: Of its additional effect in one setting.
        own: Of what its authors see in it, and others do not.
        rest: Of what nothing of this explains, beside the spread over seeds.
    """

    method: float
    band: float
    optimizer: float
    family: float
    setting: float
    own: float
    rest: float


# What `estimated` finds in the table of the package. `method` and `own` are set: a dozen methods
# are too few to tell how far they lie from theory, and hardly any was measured by its authors and
# by others. `family` is what 200 rounds give: it keeps decreasing slowly, and hardly changes
# what is predicted.
SPREADS = Spreads(0.03, 0.0223, 0.0174, 0.0104, 0.0750, 0.02, 0.0494)


def band(budget: float) -> str:
    """Return "low" for a budget below a quarter, else "high"."""
    return "low" if budget < _LOW else "high"


class Effects:
    """The posterior of all effects.

    Args:
        rows: The evidence.
        prior: What theory says of a method, as the mean of its effect; 0 for one that is not there.
        spreads: Standard deviations of the effects.
    """

    def __init__(
        self, rows: Iterable[Evidence], prior: Mapping[str, float], spreads: Spreads = SPREADS
    ) -> None:
        self.rows = _compared(rows)
        self.spreads = spreads
        self._prior = dict(prior)
        self._place: dict[tuple[str, ...], int] = {}
        used = [[self._at(key) for key in _keys(row)] for row in self.rows]
        for method in prior:
            self._at(("method", method))
        matrix = np.zeros((len(self.rows), len(self._place)))
        for number, places in enumerate(used):
            matrix[number, places] = 1.0
        found = np.array([math.log(row.loss) for row in self.rows])
        weights = 1.0 / (noises(self.rows) + spreads.rest**2)
        matrix, found = _centred(self.rows, matrix, found, weights)
        variances = np.array([getattr(spreads, key[0]) ** 2 for key in self._place])
        means = np.array(
            [prior.get(key[1], 0.0) if key[0] == "method" else 0.0 for key in self._place]
        )
        precision = matrix.T @ (matrix * weights[:, None]) + np.diag(1.0 / variances)
        self._covariances = np.linalg.inv(precision)
        self.means = means + self._covariances @ (matrix.T @ (weights * (found - matrix @ means)))

    def _at(self, key: tuple[str, ...]) -> int:
        return self._place.setdefault(key, len(self._place))

    def predicted(
        self,
        methods: Sequence[str],
        family: str,
        optimizer: str,
        budget: float,
        setting: str | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what methods do to the logarithm of the loss: their means and covariances.

        What is not known of a setting, or of a family, is added to the covariances.

        Args:
            methods: The methods.
            family: The family of the task.
            optimizer: "sgd" or "adam".
            budget: The budget.
            setting: One of the evidence; None for a new one.
        """
        chosen = np.zeros((len(methods), len(self._place)))
        unknown = np.zeros(len(methods))
        means = np.zeros(len(methods))
        for row, method in enumerate(methods):
            for key in _effects(method, family, optimizer, budget, setting or ""):
                if (place := self._place.get(key)) is not None:
                    chosen[row, place] = 1.0
                else:
                    unknown[row] += getattr(self.spreads, key[0]) ** 2
                    means[row] += self._prior.get(method, 0.0) if key[0] == "method" else 0.0
        covariances = chosen @ self._covariances @ chosen.T
        return means + chosen @ self.means, covariances + np.diag(unknown)

    def drawn(
        self,
        methods: Sequence[str],
        family: str,
        optimizer: str,
        budget: float,
        setting: str | None = None,
        count: int = 4_000,
    ) -> np.ndarray:
        """Return draws of what methods do in a new column, of shape `(count, methods)`.

        Beside what `predicted` knows, each has what nothing explains. Draws are the same each time.
        """
        means, covariances = self.predicted(methods, family, optimizer, budget, setting)
        root = np.linalg.cholesky(covariances + self.spreads.rest**2 * np.eye(len(methods)))
        normal = np.random.default_rng(0).normal(size=(count, len(methods)))
        found: np.ndarray = means + normal @ root.T
        return found


def regrets(draws: np.ndarray) -> np.ndarray:
    """Return by how much each loss lies above the best of its draw, as a share of that."""
    found: np.ndarray = np.exp(draws - draws.min(axis=1, keepdims=True)) - 1.0
    return found


def _effects(
    method: str, family: str, optimizer: str, budget: float, setting: str
) -> list[tuple[str, ...]]:
    return [
        ("method", method),
        ("band", method, band(budget)),
        ("optimizer", method, optimizer),
        ("family", method, family),
        ("setting", method, setting),
    ]


def _keys(row: Evidence) -> list[tuple[str, ...]]:
    """Return the effects that a row is made of."""
    found = _effects(row.method, row.family, row.optimizer, row.budget, row.setting)
    return [*found, ("own", row.method)] if row.measured_by == "authors" else found


def _compared(rows: Iterable[Evidence]) -> list[Evidence]:
    """Return the rows that are beside others in their column, in an order that is theirs."""
    columns: dict[Any, list[Evidence]] = {}
    for row in rows:
        columns.setdefault(row.column, []).append(row)
    kept = [row for members in columns.values() if len(members) > 1 for row in members]
    return sorted(kept, key=lambda row: [str(value) for value in vars(row).values()])


def noises(rows: Sequence[Evidence]) -> np.ndarray:
    """Return the variance of the logarithm of each mean over seeds.

    The spread over seeds is that of all methods of a column together: three seeds tell little of
    their own, and may be equal by chance.
    """
    squares: dict[Any, list[float]] = {}
    for row in rows:
        std = _STD if row.std is None else row.std / row.loss
        squares.setdefault(row.column, []).append(std**2)
    return np.array([np.mean(squares[row.column]) / (row.n or _SEEDS) for row in rows])


def _centred(
    rows: Sequence[Evidence], matrix: np.ndarray, found: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return both without the weighted means of the columns: as if each had a free constant."""
    names = {column: number for number, column in enumerate({row.column: None for row in rows})}
    of = np.array([names[row.column] for row in rows], np.int64)
    shares = np.zeros((len(names), len(rows)))
    shares[of, np.arange(len(rows))] = weights
    shares /= shares.sum(axis=1, keepdims=True)
    return matrix - (shares @ matrix)[of], found - (shares @ found)[of]


def estimated(
    rows: Iterable[Evidence], prior: Mapping[str, float], begin: Spreads = SPREADS, rounds: int = 50
) -> Spreads:
    """Return the spreads that make the evidence most likely; `method` and `own` are kept.

    They are found by expectation and maximisation.

    Args:
        rows: The evidence.
        prior: What theory says of a method.
        begin: Where to begin.
        rounds: Rounds.
    """
    rows = list(rows)
    for _ in range(rounds):
        fitted = Effects(rows, prior, begin)
        variances = fitted._covariances.diagonal()
        found = {"method": begin.method, "own": begin.own}
        for kind in ("band", "optimizer", "family", "setting"):
            places = [place for key, place in fitted._place.items() if key[0] == kind]
            means = fitted.means[places]
            found[kind] = math.sqrt(float((means**2 + variances[places]).mean()))
        found["rest"] = _rest(fitted, begin)
        begin = Spreads(**found)
    return begin


def _rest(fitted: Effects, begin: Spreads) -> float:
    """Return the spread of what is left, beside that over seeds."""
    matrix = np.zeros((len(fitted.rows), len(fitted._place)))
    for number, row in enumerate(fitted.rows):
        matrix[number, [fitted._place[key] for key in _keys(row)]] = 1.0
    found = np.array([math.log(row.loss) for row in fitted.rows])
    noise = noises(fitted.rows)
    weights = 1.0 / (noise + begin.rest**2)
    matrix, found = _centred(fitted.rows, matrix, found, weights)
    left = found - matrix @ fitted.means
    spread = ((matrix @ fitted._covariances) * matrix).sum(axis=1)
    # Of the free mean of its column.
    sums: dict[Any, float] = {}
    for row, weight in zip(fitted.rows, weights, strict=True):
        sums[row.column] = sums.get(row.column, 0.0) + weight
    spread += np.array([1.0 / sums[row.column] for row in fitted.rows])
    # What a row's rest is, given all of its noise: as of a sum of two.
    share = begin.rest**2 * weights
    expected = share**2 * (left**2 + spread) + begin.rest**2 * (1.0 - share)
    return math.sqrt(float(expected.mean()))
