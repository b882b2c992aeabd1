"""The methods that advice is given on: how each is written, and what theory says of it."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

import numpy as np

from keras_sched.plotting import simulate
from keras_sched.schedules import (
    REX,
    WSD,
    Constant,
    Cosine,
    Demon,
    Exponential,
    Linear,
    MultiStep,
    OneCycle,
    Schedule,
)
from keras_sched.theory import Bound, bound

__all__ = ["METHODS", "MOMENTUM", "SLOPE", "Method", "prior"]

# Steps on which theory looks at a method: enough for a limit, and done in a blink.
_STEPS = 10_000
# How much of what the bound says of a schedule is seen in trainings: between 0.18 / 0.45 for a
# constant rate and less for others (docs/advice.md).
SLOPE = 0.3
# Where momenta began in what was measured.
MOMENTUM = 0.9


@dataclasses.dataclass(frozen=True)
class Method:
    """A method.

    Attributes:
        name: As in the evidence.
        rate: Makes the schedule of the learning rate, of its peak.
        momentum: Makes the schedule of the momentum, of its start, but for 1cycle, which has values
            of its own; None for a constant one.
        why: What is to be said for it, in a sentence.
    """

    name: str
    rate: Callable[[float], Schedule]
    momentum: Callable[[float], Schedule] | None
    why: str

    @functools.cached_property
    def bound(self) -> Bound:
        """What theory says of it."""
        return self.bounded(_STEPS)

    def bounded(
        self,
        steps: int,
        *,
        sums: bool = True,
        start: float = MOMENTUM,
        norms: np.ndarray | None = None,
        kind: str = "l2",
    ) -> Bound:
        """Return what theory says of it; the base rate is that of the peak of the learning rate.

        Args:
            steps: Steps of the run.
            sums: See `effective`.
            start: See `effective`.
            norms: Norms of the gradient, or None for constant ones.
            kind: Which norms they are.
        """
        rates = self.effective(steps, sums=sums, start=start)
        found = bound(rates, norms=norms, kind=kind)
        # The momentum may be another one at the peak than at the start.
        return Bound(found.value, found.base_rate / float(rates.max()))

    def effective(self, steps: int, *, sums: bool = True, start: float = MOMENTUM) -> np.ndarray:
        """Return the rates of all steps, with what a momentum that moves makes of them.

        Args:
            steps: Steps of the run.
            sums: Whether the momentum sums steps, as of SGD; else, as of Adam, each is a mean,
                however large the momentum is.
            start: The momentum of the methods that keep it.
        """
        rates = simulate(self.rate(1.0), n=steps).astype(np.float64)
        if self.momentum is None or not sums:
            return rates
        momenta = simulate(self.momentum(start), n=steps).astype(np.float64)
        return rates * (1.0 - start) / (1.0 - momenta)


_OF_NO_END = "It needs no length: a run may end, or go on, at any time before its cooldown."
_ALL = [
    Method(
        "None", Constant, None, "Nothing to choose; in theory it gives up most of what decay gains."
    ),
    Method("Linear", Linear, None, "The best of all schedules in theory, where gradients stay."),
    Method("Cosine", Cosine, None, "The usual choice, and forgiving of a rate that is wrong."),
    Method("REX", REX, None, "Holds the rate longer than linear decay, then falls to 0 faster."),
    Method(
        "Step",
        functools.partial(MultiStep, at=("0.5dur", "0.75dur")),
        None,
        "What older recipes have; it is rarely the best at any budget.",
    ),
    Method("Exp", Exponential, None, "Falls fast at first: for rates that are too high."),
    Method(
        "OneCycle",
        OneCycle.triangle,
        lambda _: OneCycle.triangle(1.0).momentum(),
        "Up for half of the run and down again, with the momentum the other way: for high peaks.",
    ),
    Method(
        "WSD 20 %",
        functools.partial(WSD, warmup_length=0, cooldown_length="0.2dur", profile="linear"),
        None,
        _OF_NO_END,
    ),
    Method(
        "Warmup REX",
        lambda peak: REX(peak).warmup("0.05dur"),
        None,
        "REX after a short warmup: for networks with attention, or whose first steps are unsafe.",
    ),
    Method(
        "Warmup Linear",
        lambda peak: Linear(peak).warmup("0.05dur"),
        None,
        "What theory and large language models agree on.",
    ),
    Method("Demon", Constant, Demon, "The momentum falls, and the rate stays."),
    Method("Demon REX", REX, Demon, "Learning rate and momentum both fall."),
]
METHODS = {method.name: method for method in _ALL}


# Methods of the papers that are evidence and no advice: theory has them near these.
_NEAR = {
    "Plateau": "Step",
    "OneCycle momentum": "None",
    "Cosine momentum": "None",
    "Linear momentum": "None",
    "Exp momentum": "None",
}


@functools.cache
def prior() -> dict[str, float]:
    """Return the mean effect of each method before anything is measured: in theory, with SGD.

    What Adam makes of a momentum that moves is left to what was measured with it.
    """
    found = {name: SLOPE * math.log(method.bound.value) for name, method in METHODS.items()}
    return found | {name: found[near] for name, near in _NEAR.items()}
