"""How a schedule reaches the hyperparameters of any Keras optimizer, inside the compiled step.

Keras reads momentum, betas and weight decay as Python numbers while it traces a training step, so
that assigning them later changes nothing. `attach` puts an object in the number's place that Keras
reads as a tensor (`__tf_tensor__`), the schedule at ``optimizer.iterations``, and that Python
compares as a number above 0. No variable is added and nothing is registered, so weights,
checkpoints and configurations are those of the stock optimizer; `Attachment.detach` leaves it as it
was found.

A training step must be traced after `attach` and again after `detach`; `keras_sched.Scheduler` and
`keras_sched.optimizers` see to that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_sched import _validate
from keras_sched.schedules import Schedule

__all__ = ["Attachment", "attach", "current", "driver_of", "groups", "schedulable"]

_KEY = "_keras_sched_driver"
_LEARNING_RATE = "learning_rate"
# At 1 these averages never forget what they have seen.
_AVERAGES = frozenset(
    {"adam_beta_1", "adam_beta_2", "beta_1", "beta_2", "ema_momentum", "momentum", "rho"}
)
# Numbers that Keras reads once, when it builds the optimizer, or counts with.
_FIXED = frozenset(
    {
        "ema_overwrite_frequency",
        "gradient_accumulation_steps",
        "initial_accumulator_value",
        "loss_scale_factor",
        "ns_steps",
        "warmup_steps",
    }
)
# Schedules are read at every step to verify their range; of longer ones, at this many.
_MOST_READINGS = 1_000_000
# Values of a schedule that are kept to be looked up: 4 MiB.
_LONGEST_TABLE = 2**20


# --- the public functions -------------------------------------------------------------------------


class Attachment:
    """Schedules that are attached to an optimizer; `detach` takes them off again."""

    def __init__(self, bound: list[tuple[_Driver, str]]) -> None:
        self._bound = bound

    def detach(self) -> None:
        """Leave the optimizer as it was found; doing so twice is allowed."""
        for driver, name in self._bound:
            driver.release(name, self)
        self._bound = []


def attach(
    optimizer: keras.optimizers.Optimizer,
    schedules: Mapping[str, Schedule],
    *,
    per: str = "update",
    first_step: int = 0,
    owner: object | None = None,
) -> Attachment:
    """Let schedules drive hyperparameters of an optimizer.

    Args:
        optimizer: Any Keras optimizer. A `LossScaleOptimizer` is unwrapped; the parts of a
            `MultiOptimizer` are groups, named by their `name`.
        schedules: Schedules, with every length in steps, by the name of the hyperparameter, as
            "momentum"; in a group as "group/momentum".
        per: What a schedule counts under gradient accumulation: "update" (weight updates) or
            "micro" (calls, as Keras' own schedules do).
        first_step: The count at which the schedules are at their step 0; at least 0. Before it they
            stay at their first value.
        owner: Whose attachment this is. One of a different owner, left behind by a training that
            was interrupted, is replaced.

    Returns:
        The attachment.

    Raises:
        TypeError: If a value is no schedule.
        ValueError: If a hyperparameter is unknown, already scheduled or cannot be scheduled, a
            schedule has an open length, or leaves the range of its hyperparameter.

    Example:
        >>> import keras, keras_sched as ks
        >>> optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
        >>> attachment = attach(optimizer, {"momentum": ks.Demon(0.9, steps=100)})
        >>> _ = optimizer.iterations.assign(50)
        >>> round(float(current(optimizer)["momentum"]), 4)
        0.8182
        >>> attachment.detach()
        >>> optimizer.momentum
        0.9
    """
    _validate.choice("per", per, ("update", "micro"))
    first_step = _validate.integer("first_step", first_step)
    plan = []
    drivers: dict[int, _Driver] = {}
    for path, schedule in schedules.items():
        part, name = _find(optimizer, path)
        driver = drivers.setdefault(id(part), driver_of(part))
        _verify(part, driver, name, schedule, owner)
        plan.append((driver, name, schedule))
    attachment = Attachment([(driver, name) for driver, name, _ in plan])
    for driver, name, schedule in plan:
        driver.bind(name, _Source(schedule, per, first_step, owner, attachment))
    return attachment


def current(optimizer: keras.optimizers.Optimizer) -> dict[str, Any]:
    """Return the live value of the learning rate and of everything scheduled, by name.

    In a group of a `MultiOptimizer` the name is "group/name". Within a traced function the values
    are tensors of that graph.
    """
    parts = groups(optimizer)
    found: dict[str, Any] = {}
    for group, part in parts.items():
        prefix = f"{group}/" if group else ""
        found[prefix + _LEARNING_RATE] = keras.ops.convert_to_tensor(part.learning_rate)
        for name in sorted(driver_of(part).scheduled - {_LEARNING_RATE}):
            found[prefix + name] = driver_of(part).value(name)
    return found


def groups(optimizer: keras.optimizers.Optimizer) -> dict[str, keras.optimizers.Optimizer]:
    """Return the optimizers that update weights: one under "", or those of a `MultiOptimizer`.

    Raises:
        TypeError: If `optimizer` is no Keras optimizer.
        ValueError: If two groups have the same name, or they are not known yet.
    """
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return groups(optimizer.inner_optimizer)
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise TypeError(f"`optimizer` must be a Keras optimizer. Received: optimizer={optimizer!r}")
    if not isinstance(optimizer, keras.optimizers.MultiOptimizer):
        return {"": optimizer}
    parts = {part.name: part for part in optimizer.optimizers}
    if len(parts) < len(optimizer.optimizers):
        names = [part.name for part in optimizer.optimizers]
        raise ValueError(
            f"The optimizers of a MultiOptimizer must have names of their own. "
            f"Received: {names}. Give them, as `keras.optimizers.SGD(..., name='encoder')`."
        )
    if not parts:
        raise ValueError(
            "A MultiOptimizer made from a function knows its optimizers only once it is built. "
            "Build it first: `optimizer.build(model.trainable_variables)`."
        )
    return parts


def schedulable(optimizer: keras.optimizers.Optimizer) -> list[str]:
    """Return the names of the hyperparameters of one optimizer that a schedule can drive."""
    config = optimizer.get_config()
    return sorted(
        name
        for name, value in config.items()
        if name not in _FIXED
        and (
            name in (_LEARNING_RATE, "weight_decay")
            or (isinstance(value, float | int | dict) and not isinstance(value, bool))
        )
        and hasattr(optimizer, name)
    )


def _find(
    optimizer: keras.optimizers.Optimizer, path: str
) -> tuple[keras.optimizers.Optimizer, str]:
    parts = groups(optimizer)
    group, _, name = path.rpartition("/")
    if group not in parts:
        known = ", ".join(f"'{found}/{name}'" for found in parts) if "" not in parts else repr(name)
        raise ValueError(f"`{path}` names no group of the optimizer. Expected: {known}")
    return parts[group], name


def _verify(
    optimizer: keras.optimizers.Optimizer,
    driver: _Driver,
    name: str,
    schedule: Any,
    owner: object | None,
) -> None:
    kind = type(optimizer).__name__
    if not isinstance(schedule, Schedule):
        raise TypeError(f"`{name}` must be a keras_sched schedule. Received: {name}={schedule!r}")
    allowed = schedulable(optimizer)
    if name not in allowed:
        raise ValueError(
            f"{kind} has no hyperparameter to schedule of this name. Received: {name!r}. "
            f"Expected one of: {', '.join(allowed)}"
        )
    if not schedule.is_resolved:
        raise ValueError(
            f"The schedule of `{name}` must have its length in steps. Received: {schedule!r}. "
            f"Give one, as `steps=1000`, or use `ks.Scheduler`, which reads the run's from `fit`."
        )
    if driver.is_taken(name, owner):
        raise ValueError(
            f"`{name}` of this {kind} is scheduled already. "
            f"Received a second schedule: {schedule!r}. Schedule it in one place."
        )
    if name == "momentum" and driver.found(name) == 0:
        raise ValueError(
            f"{kind} was built with momentum 0, so it has no velocities to schedule. "
            f"Build it with a momentum above 0: `{kind}(..., momentum=0.9)`."
        )
    _verify_range(name, schedule)


def _verify_range(name: str, schedule: Schedule) -> None:
    """Read the schedule over its whole length: a momentum of 1 must not wait until step 90,000."""
    last = schedule.span or _MOST_READINGS
    steps = np.unique(np.linspace(0, last, min(last + 1, _MOST_READINGS)).astype(np.int64))
    values = schedule(steps)
    high = 1.0 if name in _AVERAGES else np.inf
    inside = (values >= 0.0) & (values < high)
    if not inside.all():
        at = int(np.argmin(inside))
        raise ValueError(
            f"`{name}` must be a finite number in [0, {high:g}) at every step. "
            f"Received: {name}={values[at]} at step {steps[at]} of {schedule!r}"
        )


# --- the mechanism --------------------------------------------------------------------------------


def driver_of(optimizer: keras.optimizers.Optimizer) -> _Driver:
    """Return the one driver of an optimizer (a part, not a wrapper); it is idle without sources."""
    found = vars(optimizer).get(_KEY)
    return found if found is not None else _Driver(optimizer)


class _Source:
    """A schedule with the clock it is read by.

    Where it settles soon enough its values are looked up: one operation a step instead of dozens,
    with the same bits, as they are the values that the schedule has in NumPy.
    """

    def __init__(
        self,
        schedule: Schedule,
        per: str,
        first_step: int,
        owner: object | None,
        attachment: Attachment,
    ) -> None:
        self.schedule = schedule
        self.per = per
        self.first_step = first_step
        self.owner = owner
        self.attachment = attachment
        last = schedule.span
        self._values: np.ndarray | None = None
        if last is not None and last <= _LONGEST_TABLE:
            self._values = schedule(np.arange(last + 1))
        self._table: Any = None

    def value(self, count: Any) -> Any:
        """Return the float32 value at a count of the clock."""
        step = count - self.first_step if self.first_step else count
        if self._values is None:
            return self.schedule(step)
        if self._table is None:
            # Outside of any graph, so that all of them share it and none has it inside.
            with tf.init_scope():
                self._table = tf.constant(self._values)
        return tf.gather(self._table, tf.clip_by_value(step, 0, len(self._values) - 1))


class _Driver:
    """Computes the driven hyperparameters of one optimizer, each once per update and graph.

    A hyperparameter is driven by a source (a schedule), by factors (variables that multiply it),
    or by both. It is set into the instance past Keras' tracking: the variable of the learning rate
    stays in the list of variables, and nothing new enters it.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer) -> None:
        self._optimizer = optimizer
        self._found: dict[str, Any] = {}
        self._sources: dict[str, _Source] = {}
        self._factors: dict[str, list[Any]] = {}
        self._cache: dict[tuple[str, int], Any] | None = None

    @property
    def scheduled(self) -> set[str]:
        """Names of the hyperparameters that are driven."""
        return set(self._found)

    def found(self, name: str) -> Any:
        """Return what the optimizer has where nothing is attached."""
        return self._found.get(name, getattr(self._optimizer, _attribute(name), None))

    def source(self, name: str) -> _Source | None:
        """Return the schedule of a hyperparameter and its clock, if it has one."""
        return self._sources.get(name)

    def is_taken(self, name: str, owner: object | None) -> bool:
        """Whether a schedule is attached that is not left over from an interrupted training."""
        source = self._sources.get(name)
        return source is not None and (source.owner is None or source.owner is owner)

    def bind(self, name: str, source: _Source) -> None:
        """Drive a hyperparameter by a schedule."""
        self._sources[name] = source
        self._drive(name)

    def release(self, name: str, attachment: Attachment) -> None:
        """Stop the schedule of `attachment`, unless another has taken its place."""
        source = self._sources.get(name)
        if source is not None and source.attachment is attachment:
            del self._sources[name]
            self._undrive(name)

    def multiply(self, name: str, factor: Any) -> None:
        """Multiply a hyperparameter by a scalar variable, whatever drives it."""
        self._factors.setdefault(name, []).append(factor)
        self._drive(name)

    def unmultiply(self, name: str, factor: Any) -> None:
        """Take a factor off again."""
        kept = [other for other in self._factors.pop(name, []) if other is not factor]
        if kept:
            self._factors[name] = kept
        self._undrive(name)

    def value(self, name: str) -> Any:
        """Return the float32 scalar that a hyperparameter has at the optimizer's present step."""
        return self.once(name, lambda: self._compute(name))

    def once(self, name: str, compute: Callable[[], Any]) -> Any:
        """Compute within one update at most once per graph: a branch cannot see another's."""
        if self._cache is None:
            return compute()
        key = (name, id(tf.compat.v1.get_default_graph()) if not tf.executing_eagerly() else 0)
        if key not in self._cache:
            self._cache[key] = compute()
        return self._cache[key]

    def count(self, per: str) -> Any:
        """Return how many updates, or how many calls, the optimizer has behind it."""
        optimizer = self._optimizer
        count = optimizer.iterations if per == "update" else optimizer._iterations
        return keras.ops.convert_to_tensor(count)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Show the optimizer as it was found."""
        attributes = vars(self._optimizer)
        driven = {name: attributes[_attribute(name)] for name in self._found}
        for name, value in self._found.items():
            attributes[_attribute(name)] = value
        try:
            yield
        finally:
            for name, value in driven.items():
                attributes[_attribute(name)] = value

    def _compute(self, name: str) -> Any:
        source = self._sources.get(name)
        if source is not None:
            per = source.per
            value = source.value(self.once(per, lambda: self.count(per)))
        else:
            value = self._found[name]
            if name == _LEARNING_RATE and callable(value):
                value = (
                    value(self._optimizer._iterations)
                    if isinstance(value, keras.optimizers.schedules.LearningRateSchedule)
                    else value()
                )
            value = keras.ops.cast(value, "float32")
        for factor in self._factors.get(name, ()):
            value = value * keras.ops.cast(factor, "float32")
        return value

    def _drive(self, name: str) -> None:
        attributes = vars(self._optimizer)
        if name in self._found:
            return
        if not self._found:
            attributes[_KEY] = self
            attributes["apply"] = self._apply
            attributes["get_config"] = self._get_config
        self._found[name] = attributes[_attribute(name)]
        kind = _DrivenRate if name == _LEARNING_RATE else _DrivenNumber
        attributes[_attribute(name)] = kind(self, name)

    def _undrive(self, name: str) -> None:
        if name in self._sources or name in self._factors or name not in self._found:
            return
        attributes = vars(self._optimizer)
        attributes[_attribute(name)] = self._found.pop(name)
        if not self._found:
            for added in (_KEY, "apply", "get_config"):
                del attributes[added]

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        """Apply gradients; within one call every value is computed once."""
        self._cache = {}
        try:
            return type(self._optimizer).apply(self._optimizer, *args, **kwargs)
        finally:
            self._cache = None

    def _get_config(self) -> dict[str, Any]:
        """Return the configuration of the optimizer as it was found."""
        with self.paused():
            return type(self._optimizer).get_config(self._optimizer)


def _attribute(name: str) -> str:
    return "_learning_rate" if name == _LEARNING_RATE else name


class _DrivenRate(keras.optimizers.schedules.LearningRateSchedule):
    """Stands in the place of the learning rate: Keras calls it with the iterations."""

    def __init__(self, driver: _Driver, name: str) -> None:
        self._driver = driver
        self._name = name

    def __call__(self, step: Any) -> Any:
        return self._driver.value(self._name)


class _DrivenNumber:
    """Stands in the place of a number: a tensor for Keras, above 0 for Python."""

    __hash__ = object.__hash__

    def __init__(self, driver: _Driver, name: str) -> None:
        self._driver = driver
        self._name = name

    def _tensor(self) -> Any:
        return self._driver.value(self._name)

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        value = self._tensor()
        return value if dtype is None else tf.cast(value, dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self._tensor(), dtype=dtype)

    def __float__(self) -> float:
        return float(self._tensor())

    def __repr__(self) -> str:
        return f"<{self._name}: {self._driver.source(self._name)!r}>"

    def __add__(self, other: Any) -> Any:
        return self._tensor() + _like(other)

    def __sub__(self, other: Any) -> Any:
        return self._tensor() - _like(other)

    def __rsub__(self, other: Any) -> Any:
        return _like(other) - self._tensor()

    def __mul__(self, other: Any) -> Any:
        return self._tensor() * _like(other)

    def __truediv__(self, other: Any) -> Any:
        return self._tensor() / _like(other)

    def __rtruediv__(self, other: Any) -> Any:
        return _like(other) / self._tensor()

    def __neg__(self) -> Any:
        return -self._tensor()

    __radd__ = __add__
    __rmul__ = __mul__

    # Keras asks `momentum != 0` and `clipnorm > 0` while it traces, to decide what to build.

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return self is other

    def __gt__(self, other: Any) -> bool:
        return self._above(other)

    def __ge__(self, other: Any) -> bool:
        return self._above(other)

    def __lt__(self, other: Any) -> bool:
        return not self._above(other)

    def __le__(self, other: Any) -> bool:
        return not self._above(other)

    def _above(self, other: Any) -> bool:
        if isinstance(other, int | float) and other <= 0:
            return True
        raise TypeError(
            f"A scheduled `{self._name}` has no one value to compare with. Received: {other!r}"
        )


def _like(other: Any) -> Any:
    """Return the other operand as what a float32 scalar combines with."""
    return other.value if isinstance(other, keras.Variable) else other
