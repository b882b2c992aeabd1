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

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_sched import _validate
from keras_sched._backend import check_tensorflow
from keras_sched._driver import LEARNING_RATE, Driver, Source, driver_of
from keras_sched._reading import check_length, read
from keras_sched.schedules import Schedule

__all__ = [
    "Attachment",
    "attach",
    "attached",
    "begin",
    "current",
    "driver_of",
    "groups",
    "replace",
    "schedulable",
]

# At 1 these averages never forget what they have seen.
_AVERAGES = frozenset(
    {"adam_beta_1", "adam_beta_2", "beta_1", "beta_2", "ema_momentum", "momentum", "rho"}
)
# Numbers that Keras reads once, when it builds the optimizer, or counts with; and those that are
# below 0, as no schedule is.
_FIXED = frozenset(
    {
        "beta_2_decay",
        "ema_overwrite_frequency",
        "gradient_accumulation_steps",
        "initial_accumulator_value",
        "learning_rate_power",
        "loss_scale_factor",
        "muon_b",
        "ns_steps",
        "warmup_steps",
    }
)


class Attachment:
    """Schedules that are attached to an optimizer; `detach` takes them off again."""

    def __init__(self, bound: list[tuple[Driver, str]]) -> None:
        self._bound = bound

    def detach(self) -> None:
        """Leave the optimizer as it was found; doing so twice is allowed."""
        for driver, name in self._bound:
            driver.release(name, self)
        self._bound = []


def attach(
    optimizer: keras.optimizers.Optimizer,
    *,
    schedules: Mapping[str, Schedule],
    per: str = "update",
    first_step: int | None = 0,
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
            stay at their first value. None: where `begin` says, at first 0.

    Returns:
        The attachment.

    Raises:
        TypeError: If a value is no schedule.
        ValueError: If a hyperparameter is unknown, already scheduled or cannot be scheduled, a
            schedule has an open length, or leaves the range of its hyperparameter.

    Example:
        >>> import keras, keras_sched as ks
        >>> optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
        >>> attachment = attach(optimizer, schedules={"momentum": ks.Demon(0.9, steps=100)})
        >>> _ = optimizer.iterations.assign(50)
        >>> round(float(current(optimizer)["momentum"]), 4)
        0.8182
        >>> attachment.detach()
        >>> optimizer.momentum
        0.9
    """
    check_tensorflow("`attach`")
    _validate.choice("per", per, ("update", "micro"))
    if first_step is not None:
        first_step = _validate.integer("first_step", first_step)
    plan = []
    drivers: dict[int, Driver] = {}
    for path, schedule in schedules.items():
        part, name = _find(optimizer, path)
        driver = drivers.setdefault(id(part), driver_of(part))
        _check(part, driver, name, schedule)
        plan.append((driver, name, schedule))
    attachment = Attachment([(driver, name) for driver, name, _ in plan])
    for driver, name, schedule in plan:
        first = driver.offset(per) if first_step is None else first_step
        driver.bind(name, Source(schedule, per, first, attachment))
    return attachment


def begin(optimizer: keras.optimizers.Optimizer, *, step: int, per: str = "update") -> None:
    """Let the schedules that are attached with `first_step=None` stand at a step now.

    A training step that was traced before follows.

    Args:
        optimizer: Any Keras optimizer, with or without schedules.
        step: The step of the schedules at the optimizer's present count; at least 0.
        per: The clock: "update" or "micro", as in `attach`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import keras, keras_sched as ks
        >>> optimizer = keras.optimizers.SGD(0.1)
        >>> _ = optimizer.iterations.assign(50)
        >>> schedules = {"learning_rate": ks.Linear(1.0, steps=10)}
        >>> attachment = attach(optimizer, schedules=schedules, first_step=None)
        >>> begin(optimizer, step=2)
        >>> round(float(current(optimizer)["learning_rate"]), 4)
        0.8
    """
    check_tensorflow("`begin`")
    step = _validate.integer("step", step)
    _validate.choice("per", per, ("update", "micro"))
    for part in groups(optimizer).values():
        driver = driver_of(part)
        driver.offset(per).assign(keras.ops.cast(driver.count(per), "int64") - step)


def current(optimizer: keras.optimizers.Optimizer) -> dict[str, Any]:
    """Return the live value of the learning rate and of everything scheduled, by name.

    In a group of a `MultiOptimizer` the name is "group/name". Within a traced function the values
    are tensors of that graph.
    """
    parts = groups(optimizer)
    found: dict[str, Any] = {}
    for group, part in parts.items():
        prefix = f"{group}/" if group else ""
        driver = driver_of(part)
        if LEARNING_RATE not in driver.scheduled:
            found[prefix + LEARNING_RATE] = keras.ops.convert_to_tensor(part.learning_rate)
        for name in sorted(driver.scheduled, key=lambda name: (name != LEARNING_RATE, name)):
            found[prefix + name] = driver.value(name)
    return found


def attached(optimizer: keras.optimizers.Optimizer) -> dict[str, Schedule]:
    """Return the schedules that are attached to an optimizer, by the names that `attach` takes."""
    return {path: source.schedule for path, source in _sources(optimizer).items()}


def replace(
    optimizer: keras.optimizers.Optimizer, *, schedules: Mapping[str, Schedule], steps: int
) -> None:
    """Let other schedules drive what is scheduled already, in steps that stay as they are traced.

    A training step that was traced after the first call follows every later one. So trainings that
    differ in their schedules alone share one trace.

    Args:
        optimizer: An optimizer with schedules attached.
        schedules: A schedule for each of `attached(optimizer)`, with its length in steps.
        steps: Steps of the training, at least 1: a schedule is read at these, and stays at the last
            one's value.

    Raises:
        TypeError: If a value is no schedule.
        ValueError: If the names are not those that are attached, a schedule has an open length or
            leaves the range of its hyperparameter, `steps` is out of range, the learning rate
            follows a schedule that is not attached, which is a constant of the trace, or an
            optimizer corrects its bias exactly, by constants too.

    Example:
        >>> import keras, keras_sched as ks
        >>> optimizer = ks.optimizers.SGD(ks.REX(0.1, steps=10))
        >>> new = {"learning_rate": ks.Linear(0.4, steps=20)}
        >>> replace(optimizer, schedules=new, steps=20)
        >>> _ = optimizer.iterations.assign(10)
        >>> round(float(current(optimizer)["learning_rate"]), 4)
        0.2
    """
    check_tensorflow("`replace`")
    steps = _validate.integer("steps", steps, low=1)
    sources = _sources(optimizer)
    if set(schedules) != set(sources):
        raise ValueError(
            f"`schedules` must replace all that are attached. Received: {sorted(schedules)}. "
            f"Expected: {sorted(sources)}"
        )
    for group, part in groups(optimizer).items():
        rate = vars(part)["_learning_rate"]
        if callable(rate) and driver_of(part).source(LEARNING_RATE) is None:
            raise ValueError(
                f"The learning rate of {type(part).__name__} {group!r} must not follow a schedule "
                f"that is not attached. Received: {rate!r}. Use `ks.optimizers`, or `attach`."
            )
        if (fixed_by := driver_of(part).fixed_by) is not None:
            raise ValueError(
                f"The schedules of {type(part).__name__} {group!r} must not be in the trace. "
                f"Received: {fixed_by}, which has their products there."
            )
    for path, schedule in schedules.items():
        _check_schedule(path.rpartition("/")[2], schedule)
    for path, schedule in schedules.items():
        sources[path].replace(schedule, steps)


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
    """Return the names of the hyperparameters of one optimizer that a schedule can drive.

    They are the numbers of its configuration, except those that Keras reads only once. `momentum`
    is one of them if the optimizer was built with it, `ema_momentum` if it uses it.

    Example:
        >>> import keras
        >>> schedulable(keras.optimizers.SGD(0.1, momentum=0.9, clipnorm=1.0))
        ['clipnorm', 'learning_rate', 'momentum', 'weight_decay']
    """
    config = _configuration(optimizer)
    return sorted(
        name
        for name, value in config.items()
        if name not in _FIXED
        and (
            name in (LEARNING_RATE, "weight_decay")
            or (isinstance(value, float | int | dict) and not isinstance(value, bool))
        )
        and hasattr(optimizer, name)
        and not (name == "momentum" and _has_no_velocities(optimizer, value))
        and not (name == "ema_momentum" and not config.get("use_ema"))
    )


def _configuration(optimizer: keras.optimizers.Optimizer) -> dict[str, Any]:
    """Return the configuration of an optimizer, also of one whose schedule has none."""
    attributes = vars(optimizer)
    with driver_of(optimizer).paused():
        rate = attributes["_learning_rate"]
        if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
            attributes["_learning_rate"] = None
        try:
            return type(optimizer).get_config(optimizer)
        finally:
            attributes["_learning_rate"] = rate


def _has_no_velocities(optimizer: keras.optimizers.Optimizer, momentum: Any) -> bool:
    return momentum == 0 and not isinstance(optimizer, keras.optimizers.Muon)


def _sources(optimizer: keras.optimizers.Optimizer) -> dict[str, Source]:
    found: dict[str, Source] = {}
    for group, part in groups(optimizer).items():
        for name in sorted(driver_of(part).scheduled):
            source = driver_of(part).source(name)
            if source is not None:
                found[f"{group}/{name}" if group else name] = source
    return found


def _find(
    optimizer: keras.optimizers.Optimizer, path: str
) -> tuple[keras.optimizers.Optimizer, str]:
    parts = groups(optimizer)
    group, _, name = path.rpartition("/")
    if group not in parts:
        known = ", ".join(f"'{found}/{name}'" for found in parts) if "" not in parts else repr(name)
        raise ValueError(f"`{path}` names no group of the optimizer. Expected: {known}")
    return parts[group], name


def _check(optimizer: keras.optimizers.Optimizer, driver: Driver, name: str, schedule: Any) -> None:
    kind = type(optimizer).__name__
    if name == "momentum" and _has_no_velocities(optimizer, driver.found(name)):
        raise ValueError(
            f"{kind} was built with momentum 0, so it has no velocities to schedule. "
            f"Build it with a momentum above 0: `{kind}(..., momentum=0.9)`."
        )
    if name == "ema_momentum" and not optimizer.use_ema:
        raise ValueError(
            f"{kind} was built without a moving average to schedule. "
            f"Build it with one: `{kind}(..., use_ema=True)`."
        )
    allowed = schedulable(optimizer)
    if name not in allowed:
        if _configuration(optimizer).get(name, 0) is None:
            raise ValueError(
                f"{kind} was built without `{name}`, and so does not read it. Received: a "
                f"schedule of {name!r}. Build it with a number, as `{kind}(..., {name}=1.0)`."
            )
        raise ValueError(
            f"{kind} has no hyperparameter to schedule of this name. Received: {name!r}. "
            f"Expected one of: {', '.join(allowed)}"
        )
    if driver.is_taken(name):
        raise ValueError(
            f"`{name}` of this {kind} is scheduled already. "
            f"Received a second schedule: {schedule!r}. Schedule it in one place; a model that is "
            f"compiled with a plain optimizer takes the other."
        )
    _check_schedule(name, schedule)


def _check_schedule(name: str, schedule: Any) -> None:
    check_length(name, schedule)
    _check_range(name, schedule)


def _check_range(name: str, schedule: Schedule) -> None:
    """Read the schedule over its whole length: a momentum of 1 must not wait until step 90,000."""
    steps, values = read(schedule)
    high = 1.0 if name in _AVERAGES else np.inf
    inside = (values >= 0.0) & (values < high)
    if not inside.all():
        at = int(np.argmin(inside))
        raise ValueError(
            f"`{name}` must be a finite number in [0, {high:g}) at every step. "
            f"Received: {name}={values[at]} at step {steps[at]} of {schedule!r}"
        )
