"""What stands in the place of a scheduled number, and computes it once per update and graph.

Private to `keras_sched.hyperparameters`, which says what may be scheduled.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.ops.resource_variable_ops import ResourceVariable

from keras_sched.schedules import Schedule

__all__ = ["LEARNING_RATE", "Driver", "Source", "driver_of"]

LEARNING_RATE = "learning_rate"
_KEY = "_keras_sched_driver"
# Values of a schedule that are kept to be looked up: 4 MiB.
_LONGEST_TABLE = 2**20
# By optimizer and clock. They outlive an attachment, as does a traced step that reads them.
_OFFSETS: weakref.WeakKeyDictionary[Any, dict[str, tf.Variable]] = weakref.WeakKeyDictionary()


def driver_of(optimizer: keras.optimizers.Optimizer) -> Driver:
    """Return the one driver of an optimizer (a part, not a wrapper); it is idle without sources."""
    found = vars(optimizer).get(_KEY)
    return found if found is not None else Driver(optimizer)


class Source:
    """A schedule with the clock it is read by.

    Where it settles soon enough its values are looked up: one operation a step instead of dozens,
    with the same bits, as they are the values that the schedule has in NumPy.

    Args:
        schedule: A schedule with its length in steps.
        per: The clock, "update" or "micro".
        first_step: The count at which the schedule is at its step 0, or a variable that holds it.
        attachment: What it is released by.
    """

    def __init__(
        self, schedule: Schedule, per: str, first_step: int | tf.Variable, attachment: object
    ) -> None:
        self.schedule = schedule
        self.per = per
        self.first_step = first_step
        self.attachment = attachment
        last = schedule.span
        self._values: np.ndarray | None = None
        if last is not None and last <= _LONGEST_TABLE:
            self._values = schedule(np.arange(last + 1))
        self._table: Any = None
        self._held: tf.Variable | None = None

    def replace(self, schedule: Schedule, steps: int) -> None:
        """Let another schedule give the values from now on, for `steps` steps.

        They are held in a variable, so that what was traced after the first time follows.
        """
        self._values = schedule(np.arange(steps + 1))
        if self._held is None:
            self._held = _variable(self._values, shape=[None])
        else:
            self._held.assign(self._values)
        self.schedule = schedule

    def value(self, count: Any) -> Any:
        """Return the float32 value at a count of the clock."""
        step = self._step(count)
        if self._values is None:
            return self.schedule(step)
        if tf.executing_eagerly():
            index = np.clip(int(tf.convert_to_tensor(step)), 0, len(self._values) - 1)
            return tf.constant(self._values[index])
        if self._held is not None:
            last = tf.raw_ops.VariableShape(input=self._held.handle, out_type=step.dtype)[0] - 1
            return tf.gather(self._held, tf.clip_by_value(step, 0, last))
        if self._table is None:
            # Outside of any graph, so that all of them share it and none has it inside.
            with tf.init_scope():
                self._table = tf.constant(self._values)
        return tf.gather(self._table, tf.clip_by_value(step, 0, len(self._values) - 1))

    def _step(self, count: Any) -> Any:
        """Return the step of the schedule at a count of the clock."""
        first = self.first_step
        if isinstance(first, int):
            return tf.maximum(count - first, 0) if first else count
        return tf.maximum(count - tf.cast(first, count.dtype), 0)


class Driver:
    """Computes the driven hyperparameters of one optimizer, each once per update and graph.

    A hyperparameter is driven by a source (a schedule), by factors (variables that multiply it),
    or by both. It is set into the instance past Keras' tracking: the variable of the learning rate
    stays in the list of variables, and nothing new enters it.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer) -> None:
        self._optimizer = optimizer
        self._found: dict[str, Any] = {}
        self._sources: dict[str, Source] = {}
        self._factors: dict[str, list[tuple[Any, float | None]]] = {}
        self._read: set[str] = set()
        self._cache: dict[tuple[str, int], Any] | None = None
        # Why the sources cannot be replaced, if what was made of them is in the trace.
        self.fixed_by: str | None = None

    @property
    def scheduled(self) -> set[str]:
        """Names of the hyperparameters that are driven."""
        return set(self._found)

    def found(self, name: str) -> Any:
        """Return what the optimizer has where nothing is attached."""
        return self._found.get(name, getattr(self._optimizer, _attribute(name), None))

    def source(self, name: str) -> Source | None:
        """Return the schedule of a hyperparameter and its clock, if it has one."""
        return self._sources.get(name)

    def is_taken(self, name: str) -> bool:
        """Whether a schedule is attached."""
        return name in self._sources

    def unread(self) -> set[str]:
        """Return what is driven and was not read by an update since it was bound.

        An update is a call of `apply`, also one that is traced. A step that was traced before and
        runs again reads nothing anew.
        """
        return set(self._found) - self._read

    def note(self, name: str) -> None:
        """Remember that what stands in the place of a number is read, if by an update."""
        if self._cache is not None:
            self._read.add(name)

    def offset(self, per: str) -> tf.Variable:
        """Return the count at which schedules with `first_step=None` are at their step 0.

        It is an int64 scalar, at first 0, made once for an optimizer and a clock, and never saved.
        """
        offsets = _OFFSETS.setdefault(self._optimizer, {})
        if per not in offsets:
            offsets[per] = _variable(np.int64(0))
        return offsets[per]

    def bind(self, name: str, source: Source) -> None:
        """Drive a hyperparameter by a schedule."""
        self._sources[name] = source
        self._drive(name)

    def release(self, name: str, attachment: object) -> None:
        """Stop the schedule of `attachment`, unless another has taken its place."""
        source = self._sources.get(name)
        if source is not None and source.attachment is attachment:
            del self._sources[name]
            self._undrive(name)

    def multiply(self, name: str, factor: Any, floor: float | None = None) -> None:
        """Multiply a hyperparameter by a scalar variable, whatever drives it.

        With a `floor` the product goes no lower than that, unless the value itself does:
        ``max(value * factor, min(floor, value))``.
        """
        self._factors.setdefault(name, []).append((factor, floor))
        self._drive(name)

    def unmultiply(self, name: str, factor: Any) -> None:
        """Take a factor off again."""
        kept = [pair for pair in self._factors.pop(name, []) if pair[0] is not factor]
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
            if name == LEARNING_RATE and callable(value):
                value = (
                    value(self._optimizer._iterations)
                    if isinstance(value, keras.optimizers.schedules.LearningRateSchedule)
                    else value()
                )
            value = keras.ops.cast(value, "float32")
        for factor, floor in self._factors.get(name, ()):
            lowest = None if floor is None else tf.minimum(value, floor)
            value = value * keras.ops.cast(factor, "float32")
            value = value if lowest is None else tf.maximum(value, lowest)
        return value

    def _drive(self, name: str) -> None:
        attributes = vars(self._optimizer)
        self._read.discard(name)
        if name in self._found:
            return
        if not self._found:
            attributes[_KEY] = self
            attributes["apply"] = self._apply
            attributes["get_config"] = self._get_config
        self._found[name] = attributes[_attribute(name)]
        kind = DrivenRate if name == LEARNING_RATE else DrivenNumber
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


def _variable(value: Any, **options: Any) -> tf.Variable:
    """Return a variable outside of any graph, that no strategy mirrors."""
    with tf.init_scope():
        return ResourceVariable(value, trainable=False, **options)


def _attribute(name: str) -> str:
    return "_learning_rate" if name == LEARNING_RATE else name


class DrivenRate(keras.optimizers.schedules.LearningRateSchedule):
    """Stands in the place of the learning rate: Keras calls it with the iterations."""

    def __init__(self, driver: Driver, name: str) -> None:
        self._driver = driver
        self._name = name

    def __call__(self, step: Any) -> Any:
        self._driver.note(self._name)
        return self._driver.value(self._name)


class DrivenNumber:
    """Stands in the place of a number: a tensor for Keras, above 0 for Python."""

    __hash__ = object.__hash__

    def __init__(self, driver: Driver, name: str) -> None:
        self._driver = driver
        self._name = name

    def _tensor(self) -> Any:
        self._driver.note(self._name)
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
