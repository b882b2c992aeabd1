"""What every schedule is: a pure function of the update step, whose lengths may still be open.

A `Schedule` is a ``keras.optimizers.schedules.LearningRateSchedule``, so every Keras optimizer
takes one as its learning rate; the same object drives momentum, weight decay, betas or bit width
through `keras_sched.hyperparameters`. It is a frozen dataclass: its fields are its configuration,
equality, hash and representation come from them, and it holds no state.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, dataclass_transform

import keras
import numpy as np

from keras_sched import _validate
from keras_sched._arrays import INT, is_tensor, namespace
from keras_sched.duration import Duration, Run, Span
from keras_sched.schedules import _written
from keras_sched.schedules._fields import from_config, leaves, levels, map_leaves, to_config

__all__ = [
    "Combinators",
    "Report",
    "Schedule",
    "part_of",
    "parts_of",
    "register_schedule",
]

PACKAGE = "keras_sched"
# Levels of schedules in schedules: Python follows so many, also while TensorFlow traces them.
DEEPEST = 50
_FAR = 2**62
if TYPE_CHECKING:
    # Keras has no types: with it as a base a type checker lets any argument of a schedule pass.
    _KerasSchedule = object
else:
    _KerasSchedule = keras.optimizers.schedules.LearningRateSchedule
_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, eq_default=True)
def register_schedule(cls: type[_T]) -> type[_T]:
    """Make a class a schedule: a frozen dataclass that Keras can save and load by name.

    The class declares its arguments as fields, as a dataclass does. It gives `_at`, its value at a
    progress in [0, 1], if it is a `ks.schedules.Profiled`, which has a length in any unit; or
    `_value`, its value at whole steps, if it is a `ks.Schedule`. Both are written with the
    functions of `xp`, which is NumPy or ``keras.ops``, so that they work in the compiled step too.

    Args:
        cls: The class. Keras knows it as "Custom>" and its name, as its own decorator does.

    Returns:
        The class, with all the methods of a schedule.

    Raises:
        TypeError: If it is no subclass of `ks.Schedule`.

    Example:
        >>> import keras_sched as ks
        >>> @ks.register_schedule
        ... class Hold(ks.schedules.Profiled):
        ...     peak: float
        ...
        ...     def _at(self, s, xp):
        ...         return self.peak * xp.minimum(1.0, 2.0 * (1.0 - s))
        >>> [float(Hold(0.5, steps=4)(t)) for t in range(5)]
        [0.5, 0.5, 0.5, 0.25, 0.0]
        >>> Hold(0.5).warmup("1ep")
        Hold(0.5).warmup('1ep')
    """
    if not (isinstance(cls, type) and issubclass(cls, Schedule)):
        raise TypeError(
            f"A schedule's class must be a subclass of `ks.Schedule`. Received: {cls!r}"
        )
    decorated: Any = dataclasses.dataclass(frozen=True, repr=False)(cls)
    decorated._registered()
    package = PACKAGE if cls.__module__.startswith(f"{PACKAGE}.") else "Custom"
    return keras.saving.register_keras_serializable(package=package)(decorated)


@dataclasses.dataclass(frozen=True)
class Report:
    """What `Schedule.check` saw: how many steps it read, and the lowest and highest value."""

    steps: int
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Combinators:
    """What the fluent methods of a schedule make: functions of modules that need this one.

    The package `keras_sched.schedules` puts them together, once, as `Schedule.combinators`.
    """

    warmup: Callable[..., Schedule]
    cooldown: Callable[..., Schedule]
    join: Callable[..., Schedule]
    product: Callable[..., Schedule]
    total: Callable[..., Schedule]
    at_least: Callable[..., Schedule]
    at_most: Callable[..., Schedule]
    skip: Callable[..., Schedule]
    until: Callable[..., Schedule]
    shift: Callable[..., Schedule]
    rounded: Callable[..., Schedule]
    repeat: Callable[..., Schedule]
    cycles: Callable[..., Schedule]
    mirrored: Callable[..., Schedule]
    sampled: Callable[..., Schedule]
    check: Callable[..., Report]


class Schedule(_KerasSchedule):
    """A value for every update step.

    Subclasses are decorated with `register_schedule`, declare their configuration as dataclass
    fields and give `_value`. Fields may hold numbers, texts, `Duration`s, other schedules, and
    tuples of them.

    Attributes:
        continuous: Whether the curve promises to have no jumps: then halving the time between steps
            halves the largest change; see `check`.
    """

    continuous: ClassVar[bool] = True
    combinators: ClassVar[Combinators]
    if TYPE_CHECKING:
        __dataclass_fields__: ClassVar[dict[str, Any]]  # `register_schedule` makes each one

    # --- the value ---------------------------------------------------------------------------

    def __call__(self, step: Any) -> Any:
        """Return the value at `step`.

        Args:
            step: Whole update steps, at least 0, of any shape: Python or NumPy, or a tensor.

        Returns:
            float32 in the shape of `step`: NumPy for Python and NumPy steps, else a tensor.

        Raises:
            TypeError: If a step on the host is not whole.
            ValueError: If a step on the host is negative, or the schedule has an open length.
        """
        self._check_resolved()
        xp = namespace(step)
        t = xp.maximum(xp.cast(step, INT), 0) if is_tensor(step) else _host_steps(step)
        return xp.cast(self._value(t, xp), "float32")

    def _value(self, t: Any, xp: Any) -> Any:
        """Return the value in float64 at the whole steps `t` >= 0, with the functions of `xp`."""
        raise NotImplementedError

    # --- lengths -----------------------------------------------------------------------------

    @property
    def span(self) -> int | None:
        """Steps after which the value no longer changes; None if it never settles."""
        return None

    @property
    def fills_room(self) -> bool:
        """Whether the schedule has no length of its own and takes the one it is given."""
        return any(part.fills_room for part in self._parts())

    @property
    def is_resolved(self) -> bool:
        """Whether every length is known in steps, so that the schedule has values."""
        return all(
            item.unit == "steps" if isinstance(item, Duration) else item.is_resolved
            for item in leaves(self._fields())
        )

    def resolve(self, run: Run | int, *, room: int | None = None) -> Schedule:
        """Return the same schedule with every length counted in update steps.

        Args:
            run: The facts of the run; a whole number stands for `Run(steps=number)`.
            room: Steps that a schedule without a length takes; the whole run if None.

        Raises:
            ValueError: If `run` lacks a fact that a length needs, or a length comes to no steps.

        Example:
            >>> import keras_sched as ks
            >>> ks.REX(0.1).warmup("1ep").resolve(ks.Run(steps=1000, steps_per_epoch=100)).span
            1000
        """
        run = run if isinstance(run, Run) else Run(steps=_validate.integer("run", run, low=1))
        if room is not None:
            room = _validate.integer("room", room, low=-(2**53))
        return self._resolve(run, run.steps if room is None else room)

    def _resolve(self, run: Run, room: int | None) -> Schedule:
        return self._map(
            lambda length: Duration(length.steps(run), unit="steps"),
            lambda part: part.resolve(run, room=room),
        )

    def stretched(self, factor: float) -> Schedule:
        """Return the schedule for a run `factor` times as long: value(f t, f T) == value(t, T)."""
        factor = _validate.real("factor", factor, low=0.0, open_low=True)
        return self._map(
            lambda length: length.stretched(factor), lambda part: part.stretched(factor)
        )

    # --- combinators -------------------------------------------------------------------------

    def warmup(
        self, length: Span, *, start: float = 0.0, profile: str = "linear", offset: int = 1
    ) -> Schedule:
        """Climb to the schedule's first value, then follow it; see `Warmup`."""
        return self.combinators.warmup(
            self, length=length, start=start, profile=profile, offset=offset
        )

    def cooldown(self, length: Span, *, end: float = 0.0, profile: str = "linear") -> Schedule:
        """Follow the schedule, then fall to `end` over the last `length`; see `Cooldown`."""
        return self.combinators.cooldown(self, cooldown_length=length, end=end, profile=profile)

    def then(self, *others: Schedule) -> Schedule:
        """Follow the schedule to its end, then each of `others` from its own start."""
        return self.combinators.join(self, *others)

    def shift(self, by: Span) -> Schedule:
        """Hold the first value for `by`, then follow the schedule; see `Shift`."""
        return self.combinators.shift(self, by=by)

    def skip(self, by: Span) -> Schedule:
        """Begin in the middle of the schedule, `by` after its start; see `Skip`."""
        return self.combinators.skip(self, by=by)

    def until(self, length: Span) -> Schedule:
        """Follow the schedule for `length` only; see `Until`."""
        return self.combinators.until(self, length=length)

    def repeat(
        self,
        times: int | None = None,
        *,
        triangular: bool = False,
        mirror: str = "time",
        stretch: float = 1.0,
        scale: float = 1.0,
        rounding: str = "floor",
        anchor: str = "low",
    ) -> Schedule:
        """Follow the schedule again and again; see `Repeat`."""
        return self.combinators.repeat(
            self,
            times=times,
            triangular=triangular,
            mirror=mirror,
            stretch=stretch,
            scale=scale,
            rounding=rounding,
            anchor=anchor,
        )

    def cycles(self, times: float, *, triangular: bool = False) -> Schedule:
        """Run through the schedule `times` times within its length; see `Cycles`."""
        return self.combinators.cycles(self, times=times, triangular=triangular)

    def mirrored(self) -> Schedule:
        """Follow the schedule backwards in time; see `Mirrored`."""
        return self.combinators.mirrored(self)

    def rounded(self) -> Schedule:
        """Round the schedule to whole numbers; see `Rounded`."""
        return self.combinators.rounded(self)

    def sampled(self, *, every: Span | None = None, at: Sequence[Span] | None = None) -> Schedule:
        """Read the schedule rarely and hold its value in between; see `Sampled`."""
        return self.combinators.sampled(self, every=every, at=at)

    def __mul__(self, other: Schedule | float) -> Schedule:
        return self.combinators.product(self, other)

    __rmul__ = __mul__

    def __add__(self, other: Schedule | float) -> Schedule:
        return self.combinators.total(self, other)

    __radd__ = __add__

    def at_least(self, other: Schedule | float) -> Schedule:
        """Take the higher of the schedule and another, or a number, step by step; see `Maximum`."""
        return self.combinators.at_least(self, other)

    def at_most(self, other: Schedule | float) -> Schedule:
        """Take the lower of the schedule and another, or a number, step by step; see `Minimum`."""
        return self.combinators.at_most(self, other)

    # --- inspection --------------------------------------------------------------------------

    def check(
        self,
        run: Run | int | None = None,
        *,
        low: float | None = None,
        high: float | None = None,
    ) -> Report:
        """Check what a schedule promises before days are spent on it.

        It must be finite at every step, stay in [`low`, `high`], have no jumps where `continuous`
        says so, give the same float32 compiled by XLA, in eager mode and in NumPy, and survive a
        round trip through its saved form.

        Args:
            run: The run to check it on; by default its own span, or 1000 steps.
            low: Lowest value allowed; no bound if None.
            high: Highest value allowed; no bound if None.

        Raises:
            ValueError: If a promise does not hold; the message names the step and the value.

        Example:
            >>> import keras_sched as ks
            >>> ks.REX(0.1, steps=1000).check(low=0.0, high=1.0).steps
            1001
        """
        return self.combinators.check(self, run, low=low, high=high)

    def __repr__(self) -> str:
        return _written.call(self)

    @property
    def is_operation(self) -> bool:
        """Whether it is written with an operator, as ``a * b``."""
        return False

    # --- saving ------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return the fields as JSON-able values; schedules and lengths in their saved form."""
        return {name: to_config(value) for name, value in self._fields().items()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Rebuild the schedule from what `get_config` returned.

        Raises:
            TypeError: If a key is missing or unknown.
            ValueError: If a value is wrong, or there are too many levels of schedules.
        """
        if levels(config) >= DEEPEST:
            raise ValueError(
                f"`config` must not be of schedules in more than {DEEPEST} levels. "
                f"Received: {levels(config) + 1} levels for {cls.__name__}"
            )
        return cls(**{name: from_config(value) for name, value in config.items()})

    def to_json(self) -> str:
        """Return the schedule as one line of JSON, which `keras.saving` reads back."""
        return json.dumps(keras.saving.serialize_keras_object(self), sort_keys=True)

    # --- the fields --------------------------------------------------------------------------

    @classmethod
    def _registered(cls) -> None:
        """Complete the class that `register_schedule` has made a dataclass."""

    def _fields(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @functools.cached_property
    def depth(self) -> int:
        """Levels of schedules made of schedules; 1 where it is made of none."""
        return 1 + max((part.depth for part in self._parts()), default=0)

    def _parts(self) -> list[Schedule]:
        return [item for item in leaves(self._fields()) if isinstance(item, Schedule)]

    def _map(
        self,
        on_length: Callable[[Duration], Duration],
        on_part: Callable[[Schedule], Schedule],
    ) -> Schedule:
        """Return a copy whose lengths and parts are replaced, wherever they stand in the fields."""
        changed = {
            name: map_leaves(value, on_length, on_part) for name, value in self._fields().items()
        }
        return type(self)(**changed)

    @property
    def can_be_saved(self) -> bool:
        """Whether Keras can save it and load it again; a `Lambda` cannot be."""
        return all(part.can_be_saved for part in self._parts())

    def _set(self, name: str, value: Any) -> None:
        """Store a checked field while the dataclass is being built."""
        object.__setattr__(self, name, value)

    def _check_resolved(self) -> None:
        if not self.is_resolved:
            raise ValueError(
                f"The schedule has no values yet: a length is open or not in steps. "
                f"Received: {self!r}. Give it a length (`steps=1000`), resolve it with "
                f"`.resolve(ks.Run(steps=...))`, or let `ks.Scheduler` read the run's from `fit`."
            )


def part_of(name: str, value: Any) -> Schedule:
    """Return `value`, which must be a schedule.

    Raises:
        TypeError: If it is none.
    """
    if not isinstance(value, Schedule):
        raise TypeError(
            f"`{name}` must be a keras_sched schedule. Received: {name}={_validate.shown(value)}"
        )
    if value.depth >= DEEPEST:
        raise ValueError(
            f"`{name}` must not be made of schedules in more than {DEEPEST} levels. "
            f"Received: {name}={_written.label(value)}"
        )
    return value


def parts_of(name: str, values: Any) -> tuple[Schedule, ...]:
    """Return `values`, which must be a sequence of schedules; see `part_of`."""
    return tuple(part_of(name, value) for value in _validate.sequence(name, values))


def _host_steps(step: Any) -> np.ndarray:
    try:
        t = np.asarray(step)
    except (TypeError, ValueError):  # a list of lists of several lengths, for one
        t = np.array(None)
    is_whole = t.dtype.kind in "iu" or (t.dtype.kind == "f" and bool((t == np.floor(t)).all()))
    if not is_whole:
        raise TypeError(f"`step` must be whole. Received: step={_validate.shown(step)}")
    if t.size and not (t.min() >= 0 and t.max() < _FAR):
        raise ValueError(
            f"`step` must be at least 0 and below 2**62. Received: step={_validate.shown(step)}"
        )
    return t.astype(np.int64)
