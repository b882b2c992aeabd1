"""A schedule that is refined from the norms of gradients that an earlier run has measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY
from typing import Any, Self

import numpy as np

from keras_sched import _validate
from keras_sched._arrays import FLOAT, between, namespace
from keras_sched.duration import Span
from keras_sched.schedules._arguments import positive
from keras_sched.schedules.base import register_schedule
from keras_sched.schedules.decay import Decay

__all__ = ["Refined"]

# What a profile is kept as: few enough to be read, and saved with a model.
_POINTS = 101
# Of the run: the width of the median by which norms are smoothed.
_WIDTH = 0.1
# Norms that are needed; and the largest ratio of two, whose square does not overflow.
_LEAST, _FARTHEST = 10, 1e100
# Norms at either end that are dropped, as smoothing knows least of them.
_DROPPED = 2


@register_schedule
class Refined(Decay):
    r"""Go from point to point of a profile of one's own: ``end + (start - end) profile(s)``.

    `from_norms` makes the profile of the norms of gradients over an earlier run. With weights
    :math:`w_t = G_t^{-2}` for L2 norms, as of SGD, or :math:`w_t = G_t^{-1}` for L1 norms, as of
    Adam,

    .. math::
        \eta_t \propto w_t \sum_{s \ge t} w_s,

    which is the best of all schedules for a convex function with gradients of these norms. Norms
    that do not change give linear decay.

    Args:
        start: The highest value, where the profile is 1; at least 0.
        profile: Two or more numbers from 0 to 1, evenly spaced over the length: from its first step
            to where it ends. Straight lines join them.
        end: The value where the profile is 0; at least 0.
        length: Length with its unit, or `steps=`, `epochs=`, `fraction=`, `samples=`, `seconds=`;
            without one, the run's.

    Raises:
        TypeError: If `profile` is no sequence of numbers.
        ValueError: If a value is negative or not finite, or a number of the profile is not in
            [0, 1].

    Example:
        >>> import keras_sched as ks
        >>> refined = Refined(0.1, profile=[0.5, 1.0, 0.0], steps=4)
        >>> [round(float(refined(t)), 4) for t in range(5)]
        [0.05, 0.075, 0.1, 0.05, 0.0]
        >>> flat = Refined.from_norms(0.1, [2.0] * 1000, steps=4)
        >>> [round(float(flat(t)), 3) for t in range(5)]
        [0.1, 0.075, 0.05, 0.025, 0.0]

    References:
        Defazio et al., 2023 (arXiv 2310.07831), theorem 3 and algorithm 1. Here the profile is kept
        at 101 points, and smoothed at the ends by what is there.
    """

    start: float
    _: KW_ONLY
    profile: Sequence[float]
    end: float = 0.0

    def _check(self) -> None:
        super()._check()
        given = _validate.sequence("profile", self.profile)
        values = tuple(_validate.real("profile", each, low=0.0, high=1.0) for each in given)
        if len(values) < 2:
            raise ValueError(
                f"`profile` must have two or more numbers. Received: "
                f"profile={_validate.shown(self.profile)}"
            )
        self._set("profile", values)

    @classmethod
    def from_norms(
        cls,
        start: float,
        norms: Sequence[float] | np.ndarray,
        *,
        kind: str = "l2",
        end: float = 0.0,
        length: Span | None = None,
        **lengths: Any,
    ) -> Self:
        """Return the schedule that is refined from norms.

        They are smoothed by a median over a tenth of the run. Measure them at a constant rate:
        while a rate falls norms change because of that (docs/advice.md).

        The highest value of such a schedule is of a few steps only where norms change much. A rate
        that was tuned for another schedule is to be scaled by `keras_sched.rate_factor`.

        Args:
            start: The highest value; at least 0.
            norms: Norms of the gradient over a run, as `StepLogger(norms=True)` logs them: at least
                10, above 0, after NaN of steps before the first update, which are left out. Of
                several runs take the median, step by step.
            kind: "l2" for L2 norms ("grad_norm"), as of SGD and its kin, or "l1" for L1 norms
                ("grad_l1"), as of Adam and its kin.
            end: The value where the profile is 0; at least 0.
            length: Length with its unit, or `steps=` and so on, as of all schedules.
            **lengths: The latter.

        Raises:
            TypeError: If `norms` are no numbers.
            ValueError: If there are fewer than 10 norms, one is not above 0, or `kind` is unknown.

        Example:
            >>> import numpy as np, keras_sched as ks
            >>> norms = np.linspace(4.0, 1.0, 1000)  # of a run at the constant rate 0.05
            >>> profile = Refined.from_norms(1.0, norms)
            >>> factor = ks.rate_factor(profile, ks.Constant(1.0), steps=1000, norms=norms)
            >>> refined = Refined.from_norms(0.05 * factor, norms)
            >>> round(refined.start, 3)
            0.085
        """
        _validate.choice("kind", kind, ("l1", "l2"))
        found = _validate.norms(norms, least=_LEAST)
        if length is not None:
            positive("length", length)
        smooth = _smoothed(found)
        if smooth.max() / _FARTHEST > smooth.min():
            raise ValueError(
                f"`norms` must not be so far apart. Received: norms from {found.min():g} to "
                f"{found.max():g}"
            )
        # The profile does not depend on the unit.
        weights = (smooth / smooth.min()) ** (-2.0 if kind == "l2" else -1.0)
        left = np.cumsum(weights[::-1])[::-1]
        rates = weights * left
        # The sum after the last step is nothing: there the profile has come to 0.
        rates = np.append(rates, 0.0)
        at = np.linspace(0.0, len(rates) - 1, min(_POINTS, len(rates)))
        points = np.interp(at, np.arange(len(rates)), rates)
        profile = (points / points.max()).tolist()
        return cls(start, profile=profile, end=end, length=length, **lengths)

    def _at(self, s: Any, xp: Any) -> Any:
        return between(self.start, self.end, self._profile(s))

    def _profile(self, s: Any) -> Any:
        xp = namespace(s)
        values = np.array(self.profile)
        last = len(values) - 1
        place = s * float(last)
        piece = xp.minimum(xp.cast(place, "int32"), last - 1)
        old = xp.take(xp.cast(values[:-1], FLOAT), piece)
        new = xp.take(xp.cast(values[1:], FLOAT), piece)
        return between(new, old, place - xp.cast(piece, FLOAT))


def _smoothed(norms: np.ndarray) -> np.ndarray:
    """Return norms by their median over a tenth of the run, without the last ones at either end."""
    half = max(1, int(_WIDTH * len(norms) / 2))
    # As it is at the beginning, where norms may peak; mirrored at the end.
    padded = np.concatenate([np.full(half, norms[0]), norms, norms[: -half - 1 : -1]])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    found = np.median(windows, axis=1)
    return found[_DROPPED:-_DROPPED]
