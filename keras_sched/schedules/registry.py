"""Schedules by name, for configuration files and flags."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from keras_sched.schedules.base import Schedule
from keras_sched.schedules.cyclic import (
    CosineRestarts,
    ExpRange,
    PolynomialRestarts,
    Triangular,
    Triangular2,
)
from keras_sched.schedules.decay import (
    REX,
    Cosine,
    DelayedLinear,
    Exponential,
    InverseSqrt,
    InverseTime,
    Linear,
    Noam,
    Polynomial,
    Tanh,
)
from keras_sched.schedules.momentum import (
    CosineMomentum,
    Demon,
    ExponentialMomentum,
    LinearMomentum,
)
from keras_sched.schedules.phased import WSD, OneCycle, OneCycleMomentum
from keras_sched.schedules.powers import InversePower, Power
from keras_sched.schedules.refined import Refined
from keras_sched.schedules.steps import (
    Constant,
    MultiStep,
    PiecewiseConstant,
    PiecewiseLinear,
    Step,
)

__all__ = ["arguments", "get", "look_up", "names"]

_BY_NAME: dict[str, Callable[..., Schedule]] = {
    "constant": Constant,
    "step": Step,
    "multistep": MultiStep,
    "piecewise_constant": PiecewiseConstant,
    "piecewise_linear": PiecewiseLinear,
    "linear": Linear,
    "polynomial": Polynomial,
    "exponential": Exponential,
    "inverse_time": InverseTime,
    "inverse_sqrt": InverseSqrt,
    "inverse_power": InversePower,
    "power": Power,
    "noam": Noam,
    "cosine": Cosine,
    "tanh": Tanh,
    "cosine_restarts": CosineRestarts,
    "polynomial_restarts": PolynomialRestarts,
    "triangular": Triangular,
    "triangular2": Triangular2,
    "exp_range": ExpRange,
    "one_cycle": OneCycle,
    "one_cycle_triangle": OneCycle.triangle,
    "one_cycle_momentum": OneCycleMomentum,
    "wsd": WSD,
    "rex": REX,
    "refined": Refined,
    "delayed_linear": DelayedLinear,
    "demon": Demon,
    "cosine_momentum": CosineMomentum,
    "linear_momentum": LinearMomentum,
    "exponential_momentum": ExponentialMomentum,
}


def names() -> list[str]:
    """Return the names that `get` knows, sorted."""
    return sorted(_BY_NAME)


def get(name: str, /, *first: Any, **options: Any) -> Schedule:
    """Return the schedule of that name.

    Args:
        name: One of `names()`, as "rex".
        *first: Its first argument, as the peak learning rate; it may be given by name too.
        **options: Its other arguments by name, a length among them.

    Raises:
        ValueError: If the name or an option is unknown, or an argument has a wrong value.
        TypeError: If an argument is missing or has a wrong type.

    Example:
        >>> get("rex", 0.1, d=0.9, steps=100)
        REX(0.1, d=0.9, steps=100)
    """
    return look_up(_BY_NAME, name, *first, **options)


def arguments(name: str) -> list[str]:
    """Return the names of the arguments of the schedule of that name, the first one first.

    Raises:
        ValueError: If the name is unknown.

    Example:
        >>> arguments("triangular")
        ['start', 'peak', 'half_period']
    """
    return _options(_found(_BY_NAME, name))


def look_up(
    table: Mapping[str, Callable[..., Schedule]], name: str, *args: Any, **options: Any
) -> Schedule:
    """Return the schedule that a table has under a name, as `get` does."""
    make = _found(table, name)
    known = _options(make)
    unknown = sorted(set(options) - set(known))
    if unknown:
        close = difflib.get_close_matches(unknown[0], known, n=1)
        meant = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"Unknown options of {name!r}. Received: {', '.join(unknown)}. "
            f"Expected among: {', '.join(known)}.{meant}"
        )
    return make(*args, **options)


def _found(table: Mapping[str, Callable[..., Schedule]], name: str) -> Callable[..., Schedule]:
    if not isinstance(name, str) or name not in table:
        close = difflib.get_close_matches(str(name), table, n=1)
        meant = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"`name` must be one of {', '.join(sorted(table))}. Received: name={name!r}.{meant}"
        )
    return table[name]


def _options(make: Callable[..., Schedule]) -> list[str]:
    """Return the names of the arguments; `triangle` passes its length on to the class."""
    parameters = inspect.signature(make).parameters.values()
    found = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
    if len(found) < len(parameters):
        lengths = inspect.signature(Linear).parameters.values()
        found += [p.name for p in lengths if p.kind is p.KEYWORD_ONLY]
    return found
