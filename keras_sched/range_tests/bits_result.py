"""What a precision range test saw, and the range of bits that it suggests."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_sched.plotting import new_axes
from keras_sched.range_tests import _results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PrecisionRangeResult"]

# Progress below this multiple of the spread of single steps is no progress that can be told.
_CERTAIN = 2.0


@dataclasses.dataclass(frozen=True)
class PrecisionRangeResult(_results.Result):
    """What a precision range test saw, up to the last finite step of each number of bits.

    Attributes:
        bits: The numbers of bits, rising by one.
        losses: For each of them, the loss of each step's batch.
        values: For each of them, the judged metric of each step's batch.
        steps: Steps that each of them trained, or fewer if the loss was no longer finite.
        mode: "restart" or "single_pass".
        metric: The name of the judged metric.
        direction: "min" if less of it is better, else "max".
        window: Steps whose mean is the figure.
        threshold: As the test had it.
        tolerance: As the test had it.
    """

    bits: tuple[int, ...]
    losses: tuple[tuple[float, ...], ...] = dataclasses.field(repr=False)
    values: tuple[tuple[float, ...], ...] = dataclasses.field(repr=False)
    steps: int
    mode: str
    metric: str
    direction: str
    window: int
    threshold: float
    tolerance: float | None

    @property
    def figures(self) -> tuple[float, ...]:
        """Return, for each number of bits, the mean of the last `window` steps.

        Where the loss was no longer finite it is infinite, and worse than any other.
        """
        worst = math.inf if self.direction == "min" else -math.inf
        return tuple(
            math.fsum(values[-self.window :]) / self.window if len(values) == self.steps else worst
            for values in self.values
        )

    @property
    def shares(self) -> tuple[float, ...]:
        """Return what each number of bits learned, as a share of what the most bits learned.

        Raises:
            ValueError: If the most bits learned nothing.
        """
        start, end = self._learning()
        shares, before = [], start
        for figure in self.figures:
            shares.append((before - figure) / (start - end))
            if self.mode == "single_pass" and math.isfinite(figure):
                before = figure
        return tuple(shares)

    @property
    def bits_min(self) -> int:
        """Return the fewest bits to train with, q_min.

        Raises:
            ValueError: If the most bits learned nothing, or no number of bits is good enough.
        """
        for bits, share in zip(self.bits, self.shares, strict=True):
            if share >= 1.0 - self.threshold if self.mode == "restart" else share > self.threshold:
                return bits
        raise ValueError(
            f"No number of bits improved `{self.metric}` by more than `threshold` of the whole. "
            f"Received: threshold={self.threshold:g}, shares={_rounded(self.shares)}. Lower it."
        )

    @property
    def bits_max(self) -> int:
        """Return the most bits to train with, q_max.

        Raises:
            ValueError: As of `bits_min`.
        """
        lowest, (start, end) = self.bits_min, self._learning()
        if self.tolerance is None:
            return self.bits[-1]
        limit = end + self.tolerance * (start - end)
        return next(
            bits
            for bits, figure in zip(self.bits, self.figures, strict=True)
            if bits >= lowest and (figure <= limit if self.direction == "min" else figure >= limit)
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the figure over the bits, with its spread and, if there are any, the suggestions."""
        ax = new_axes("`plot`") if ax is None else ax
        figures = np.array(self.figures)
        finite = np.isfinite(figures)
        ax.errorbar(
            np.array(self.bits)[finite],
            figures[finite],
            np.array(self._spreads())[finite],
            marker="o",
            capsize=3,
            elinewidth=1,
            label=f"mean of the last {self.window} steps, and their spread",
        )
        for bits in np.array(self.bits)[~finite].tolist():
            ax.axvline(bits, color="C3", linestyle="--", label=f"not finite with {bits} bits")
        with contextlib.suppress(ValueError):
            start, end = self._learning()
            ax.axhline(start, color="0.6", linestyle="--", linewidth=1, label="first step")
            for index, name in enumerate(("bits_min", "bits_max")):
                bits = getattr(self, name)
                ax.axvline(bits, color=f"C{index + 1}", linestyle=":", label=f"{name} {bits}")
            if self.mode == "restart":
                ax.axhline(
                    end + self.threshold * (start - end),
                    color="C1",
                    linewidth=1,
                    linestyle=":",
                    label=f"{1 - self.threshold:.0%} of what {self.bits[-1]} bits learned",
                )
        ax.set(xlabel="bits of weights and activations", ylabel=self.metric, xticks=self.bits)
        ax.legend(loc="upper right" if self.direction == "min" else "lower right")
        return ax

    def _learning(self) -> tuple[float, float]:
        """Return the first value and the figure of the most bits, which must be a progress."""
        first = self.values[0 if self.mode == "single_pass" else -1]
        end = self.figures[-1]
        if not first or not math.isfinite(end):
            raise ValueError(
                f"There is nothing to suggest, as `{self.metric}` must be finite at every step of "
                f"{self.bits[-1]} bits. Received: {len(self.values[-1])} finite steps of "
                f"{self.steps}. Lower the learning rate."
            )
        progress = first[0] - end if self.direction == "min" else end - first[0]
        spread = self._spreads()[-1]
        if progress <= _CERTAIN * spread:
            raise ValueError(
                f"There is nothing to suggest, as nothing was learned: `{self.metric}` must "
                f"improve by more than {_CERTAIN:g} times its spread. Received: {first[0]:.4g} at "
                f"the first step, {end:.4g} with {self.bits[-1]} bits, spread {spread:.2g}. Raise "
                f"`steps`, or begin with a model that is not trained yet."
            )
        return first[0], end

    def _spreads(self) -> list[float]:
        """Return, for each number of bits, the standard deviation of the last `window` values."""
        return [
            float(np.std(values[-self.window :])) if values else math.nan for values in self.values
        ]


def _rounded(shares: Sequence[float]) -> list[float]:
    return [round(share, 3) for share in shares]
