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

from keras_sched._arrays import namespace
from keras_sched._patch import wrap
from keras_sched._placed import DrivenNumber, DrivenRate
from keras_sched._waiting import waiting_for
from keras_sched.schedules import Schedule

__all__ = ["LEARNING_RATE", "Driver", "Source", "driver_of"]

LEARNING_RATE = "learning_rate"
_KEY = "_keras_sched_driver"
# Values of a schedule that are kept to be looked up: 4 MiB.
_LONGEST_TABLE = 2**20
# By optimizer and clock. They outlive an attachment, as does a traced step that reads them.
_GUARDED: weakref.WeakValueDictionary[Any, type] = weakref.WeakValueDictionary()
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
        self._tables: dict[str, Any] = {}
        self._held: dict[str, tf.Variable] = {}
        self._replaced = False

    def replace(self, schedule: Schedule, steps: int) -> None:
        """Let another schedule give the values from now on, for `steps` steps.

        They are held in a variable, so that what was traced after the first time follows.
        """
        self._values = schedule(np.arange(steps + 1))
        self.schedule, self._replaced = schedule, True
        for dtype, held in self._held.items():
            held.assign(self._list(dtype))

    def value(self, count: Any) -> Any:
        """Return the float32 value at a count of the clock."""
        step = self.step(count)
        if self._values is None:
            return self.schedule(step)
        if tf.executing_eagerly():
            return tf.constant(self._values[self._index(step)])
        return self._look_up(step, "float32")

    def exact(self, count: Any) -> Any:
        """Return the value before it is rounded to float32: a float, or in a graph a tensor."""
        step = self.step(count)
        if tf.executing_eagerly():
            at = int(step) if self._values is None else self._index(step)
            return float(_exact(self.schedule, np.int64(at)))
        if self._values is None:
            return _exact(self.schedule, tf.cast(step, tf.int64))
        return self._look_up(step, "float64")

    def _index(self, step: Any) -> int:
        return int(np.clip(int(tf.convert_to_tensor(step)), 0, len(self._list("float32")) - 1))

    def _look_up(self, step: Any, dtype: str) -> Any:
        if self._replaced:
            if dtype not in self._held:
                self._held[dtype] = _variable(self._list(dtype), shape=[None])
            held = self._held[dtype]
            last = tf.raw_ops.VariableShape(input=held.handle, out_type=step.dtype)[0] - 1
            return tf.gather(held, tf.clip_by_value(step, 0, last))
        if dtype not in self._tables:
            # Outside of any graph, so that all of them share it and none has it inside.
            with tf.init_scope():
                self._tables[dtype] = tf.constant(self._list(dtype))
        return tf.gather(
            self._tables[dtype], tf.clip_by_value(step, 0, len(self._list("float32")) - 1)
        )

    def _list(self, dtype: str) -> np.ndarray:
        """Return the values that are looked up."""
        values = self._values
        if values is None or dtype == "float32":
            return np.asarray(values)
        return np.asarray(_exact(self.schedule, np.arange(len(values))))

    def step(self, count: Any) -> Any:
        """Return the step of the schedule at a count of the clock."""
        first = self.first_step
        if isinstance(first, int):
            return tf.maximum(count - first, 0) if first else count
        return tf.maximum(count - tf.cast(first, count.dtype), 0)


def _exact(schedule: Schedule, step: Any) -> Any:
    """Return the float64 value of a schedule, which it rounds to float32."""
    xp = namespace(step)
    return xp.cast(schedule._value(step, xp), "float64")


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
        self._depth = 0
        self._is_building = False
        self._cache: dict[tuple[str, int], Any] = {}
        self._unwrap: list[Callable[[], None]] = []
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
        if self._depth:
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

    def exchange(self, name: str, source: Source) -> Callable[[], None]:
        """Let a schedule drive a hyperparameter for a while; return what puts back the present."""
        before = self._sources.get(name)
        self.bind(name, source)

        def put_back() -> None:
            if before is not None:
                self._sources[name] = before
            else:
                self.release(name, source.attachment)

        return put_back

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

    def exact(self, name: str) -> Any:
        """Return the number that `value` rounds: a float, or in a graph a float64 scalar."""
        return self.once(f"exact {name}", lambda: self._compute(name, exact=True))

    @property
    def is_deciding(self) -> bool:
        """Whether the optimizer builds, or updates weights, and asks what is above 0."""
        return self._is_building or self._depth > 0

    def describe(self, name: str) -> str:
        """Return what drives a hyperparameter, to be read by people."""
        source = self._sources.get(name)
        by = [] if source is None else [repr(source.schedule)]
        return " times ".join([*by, *("a factor" for _ in self._factors.get(name, ()))])

    def once(self, name: str, compute: Callable[[], Any]) -> Any:
        """Compute within one update at most once per graph: a branch cannot see another's."""
        if not self._depth:
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

    def check_free(self, attribute: str, value: Any) -> None:
        """Raise a TypeError if an attribute of the optimizer is driven, before it is assigned."""
        name = LEARNING_RATE if attribute == _attribute(LEARNING_RATE) else attribute
        if name not in self._found:
            return
        kind = type(self._optimizer).__name__
        raise TypeError(
            f"`{name}` of this {kind} is driven by {self.describe(name)}, and cannot be assigned "
            f"to. Received: {name}={value!r}. Give the value in its place, as "
            f"`ks.Scheduler({name}=...)` or `ks.optimizers.{kind}({name}=...)`, or call "
            f"`attachment.detach()` first. Leave out callbacks that assign it, as Keras' "
            f"LearningRateScheduler and ReduceLROnPlateau; `ks.Plateau` goes with any schedule."
        )

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

    def _compute(self, name: str, exact: bool = False) -> Any:
        source = self._sources.get(name)
        if source is not None:
            count = self.once(source.per, lambda: self.count(source.per))
            value = source.exact(count) if exact else source.value(count)
        else:
            value = self._found[name]
            if name == LEARNING_RATE and callable(value):
                value = (
                    value(self._optimizer._iterations)
                    if isinstance(value, keras.optimizers.schedules.LearningRateSchedule)
                    else value()
                )
            value = keras.ops.cast(value, "float64" if exact else "float32")
        for factor, floor in self._factors.get(name, ()):
            value = tf.convert_to_tensor(value, "float64" if exact else "float32")
            product = value * keras.ops.cast(factor, value.dtype)
            value = product if floor is None else tf.maximum(product, tf.minimum(value, floor))
        return float(value) if exact and tf.executing_eagerly() else value

    def _drive(self, name: str) -> None:
        attributes = vars(self._optimizer)
        self._read.discard(name)
        if name in self._found:
            return
        if not self._found:
            attributes[_KEY] = self
            self._unwrap = [
                wrap(self._optimizer, "apply", self._apply),
                wrap(self._optimizer, "build", self._build),
                wrap(self._optimizer, "get_config", self._get_config),
            ]
            if isinstance(self._optimizer, keras.optimizers.Muon):
                self._unwrap.append(wrap(self._optimizer, "zeropower_via_newtonschulz5", _as_rates))
            _swap(self._optimizer, _guarded(type(self._optimizer)))
        self._found[name] = attributes[_attribute(name)]
        kind = DrivenRate if name == LEARNING_RATE else DrivenNumber
        attributes[_attribute(name)] = kind(self, name)

    def _undrive(self, name: str) -> None:
        if name in self._sources or name in self._factors or name not in self._found:
            return
        attributes = vars(self._optimizer)
        attributes[_attribute(name)] = self._found.pop(name)
        if not self._found:
            _swap(self._optimizer, type(self._optimizer).__base__)
            for unwrap in self._unwrap:
                unwrap()
            del attributes[_KEY]

    def _apply(self, apply: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Apply gradients; within one call every value is computed once."""
        # Replicas apply side by side, in threads that take turns.
        self._depth += 1
        try:
            with waiting_for(args[0] if args else kwargs.get("grads", ())):
                return apply(*args, **kwargs)
        finally:
            self._depth -= 1
            if not self._depth:
                self._cache = {}

    def _build(self, build: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Build for values above 0."""
        before, self._is_building = self._is_building, True
        try:
            return build(*args, **kwargs)
        finally:
            self._is_building = before

    def _get_config(self, get_config: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the configuration of the optimizer as it was found."""
        with self.paused():
            return get_config()


def _as_rates(orthogonalize: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return Muon's direction in the dtype of learning rates.

    Keras multiplies the two as they are. The variable of a number promotes 16 bits, as it does
    with other optimizers; the tensor of a schedule would fail.
    """
    direction = orthogonalize(*args, **kwargs)
    return direction if direction.dtype == tf.float64 else tf.cast(direction, tf.float32)


def _guarded(kind: type) -> type:
    """Return a class like an optimizer's that refuses to assign over what is driven."""
    found = _GUARDED.get(kind)
    if found is not None:
        return found
    assign: Any = kind.__setattr__

    def set_attribute(optimizer: Any, name: str, value: Any) -> None:
        driver = vars(optimizer).get(_KEY)
        if driver is not None:
            driver.check_free(name, value)
        assign(optimizer, name, value)

    names = {
        "__setattr__": set_attribute,
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
        # Whoever asks an optimizer for its class, as Keras' serialization does, gets its own; and
        # so does pickle, for what loads it.
        "__class__": property(lambda optimizer: kind),
        "_unpickle_model": property(lambda optimizer: getattr(kind, "_unpickle_model", None)),
    }
    made = _GUARDED[kind] = type(kind.__name__, (kind,), names)
    return made


def _swap(optimizer: Any, kind: type | None) -> None:
    object.__dict__["__class__"].__set__(optimizer, kind)


def _variable(value: Any, **options: Any) -> tf.Variable:
    """Return a variable outside of any graph, that no strategy mirrors."""
    with tf.init_scope():
        return ResourceVariable(value, trainable=False, **options)


def _attribute(name: str) -> str:
    return "_learning_rate" if name == LEARNING_RATE else name
