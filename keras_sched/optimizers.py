"""Every optimizer of Keras, with a schedule wherever it takes a number; and Demon Adam.

``ks.optimizers.SGD(learning_rate=schedule, momentum=schedule)`` is `keras.optimizers.SGD` with the
schedules attached (see `keras_sched.hyperparameters`). Its variables are those of the Keras
optimizer with numbers in these places, so weights and checkpoints load both ways. Each class takes
the arguments of its Keras namesake, and `per`: what schedules count under gradient accumulation,
"update" (the default) or "micro".

Schedules must have their length in steps; without one use `keras_sched.Scheduler`, which reads the
run's from ``fit``. A schedule as `weight_decay` is relative to the learning rate, as the number is:
Keras subtracts ``weight_decay * learning_rate * weight``.

Example:
    >>> import keras_sched as ks
    >>> optimizer = ks.optimizers.SGD(
    ...     learning_rate=ks.REX(0.1, steps=10_000), momentum=ks.Demon(0.9, steps=10_000)
    ... )
    >>> optimizer.get_config()["momentum"]["class_name"]
    'Demon'
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar, Self

import keras
import numpy as np
from keras import ops

from keras_sched import _validate
from keras_sched.hyperparameters import attach, attached, driver_of
from keras_sched.schedules import Schedule

__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "DemonAdam",
    "Ftrl",
    "Lamb",
    "Lion",
    "Muon",
    "Nadam",
    "RMSprop",
    "ScheduleFreeAdamW",
]

_register = keras.saving.register_keras_serializable(package="keras_sched")


class _Scheduled:
    """Takes schedules where its Keras optimizer takes numbers."""

    _per: str
    _schedules: dict[str, Schedule]

    def __init__(self, *args: Any, per: str = "update", **kwargs: Any) -> None:
        # Keras is given numbers, so that it builds every variable that a schedule can need.
        given = inspect.signature(super().__init__).bind(*args, **kwargs).arguments
        given.update(given.pop("kwargs", {}))
        schedules = {name: s for name, s in given.items() if isinstance(s, Schedule)}
        for name, schedule in schedules.items():
            if not schedule.is_resolved:
                raise ValueError(
                    f"`{name}` must be a schedule with its length in steps. Received: {schedule!r}."
                    f" Give one, as `steps=1000`, or use `ks.Scheduler`, which reads the run's."
                )
            given[name] = float(schedule(0)) if name == "learning_rate" else 0.5
        super().__init__(**given)
        # Past Keras' tracking: they hold no variable.
        self.__dict__["_per"] = _validate.choice("per", per, ("update", "micro"))
        self.__dict__["_schedules"] = schedules
        attach(self, schedules=schedules, per=per)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments; schedules in their saved form."""
        config = super().get_config()  # type: ignore[misc]
        saved = {
            name: keras.saving.serialize_keras_object(schedule)
            for name, schedule in attached(self).items()
            if name in self._schedules
        }
        return {**config, **saved, "per": self._per}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """Rebuild the optimizer from what `get_config` returned."""
        return cls(
            **{
                name: keras.saving.deserialize_keras_object(value, custom_objects=custom_objects)
                if isinstance(value, dict)
                else value
                for name, value in config.items()
            }
        )

    def load_own_variables(self, store: Any) -> None:
        """Load saved variables, also those of a Keras optimizer with a schedule of its own.

        Such an optimizer has no variable for the learning rate. Keras would skip all variables
        then, with a warning, and the schedule would begin again at 0. An optimizer that is not
        built yet has no place for them: as in Keras they are skipped with a warning.

        Raises:
            ValueError: If the saved variables are not those of this optimizer.
        """
        if not self.built:  # type: ignore[attr-defined]
            super().load_own_variables(store)  # type: ignore[misc]
            return
        variables = list(self.variables)  # type: ignore[attr-defined]
        if len(store.keys()) == len(variables) - 1:
            variables = [v for v in variables if v is not self._rate_variable()]
        saved = [np.asarray(store[str(i)]) for i in range(len(store.keys()))]
        never_built = len(saved) <= 2 and all(value.ndim == 0 for value in saved)
        if never_built and len(variables) > len(saved):
            return
        shapes = [tuple(value.shape) for value in saved]
        expected = [tuple(variable.shape) for variable in variables]
        if shapes != expected:
            raise ValueError(
                f"The saved variables must be those of this {type(self).__name__}. "
                f"Received: {len(shapes)} of shapes {shapes}. "
                f"Expected: {len(expected)} of shapes {expected}"
            )
        for variable, value in zip(variables, saved, strict=True):
            variable.assign(value)

    def _rate_variable(self) -> Any:
        return driver_of(self).found("learning_rate")


class _Debiased(_Scheduled):
    """Adam's kin, whose bias correction is only right while the betas stay what they are.

    Keras divides by ``1 - beta_1 ** t`` with the beta of now; a mean that forgot with beta_1(0),
    beta_1(1) ... is too small by ``1 - beta_1(0) beta_1(1) ... beta_1(t)``. With
    `exact_bias_correction` the update is scaled by the ratio of the two, and by that of the square
    roots for beta_2. It matters in early steps and short ramps only: a fall of beta_1 from 0.95 to
    0.85 in a step at t = 6 leaves 0.55 of the mean, along 1,000 steps 0.998.
    """

    _corrected: ClassVar[dict[str, float]]
    _exact: bool
    _products: dict[str, np.ndarray]

    def __init__(self, *args: Any, exact_bias_correction: bool = False, **kwargs: Any) -> None:
        self.__dict__["_exact"] = bool(exact_bias_correction)
        super().__init__(*args, **kwargs)
        self.__dict__["_products"] = {
            name: _products(schedule, self._micro_steps())
            for name, schedule in self._schedules.items()
            if name in self._corrected and exact_bias_correction
        }
        if self._products:
            driver_of(self).fixed_by = "exact_bias_correction=True"

    def get_config(self) -> dict[str, Any]:
        """Return the arguments; schedules in their saved form."""
        return {**super().get_config(), "exact_bias_correction": self._exact}

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable."""
        if self._products:
            factor = driver_of(self).once("bias correction", self._correction)
            learning_rate = ops.cast(learning_rate, "float32") * factor
        super().update_step(gradient, variable, learning_rate)  # type: ignore[misc]

    def _micro_steps(self) -> int:
        """Return how many steps of the schedule's clock an update takes."""
        steps = self.gradient_accumulation_steps  # type: ignore[attr-defined]
        return steps if steps and self._per == "micro" else 1

    def _correction(self) -> Any:
        """Return what Keras' correction must be multiplied by, (wrong / right) ** power."""
        step = ops.convert_to_tensor(self.iterations)  # type: ignore[attr-defined]
        factor = 1.0
        for name, products in self._products.items():
            right = 1.0 - ops.take(
                ops.cast(products, "float32"), ops.minimum(step, len(products) - 1)
            )
            beta = driver_of(self).value(name)
            wrong = 1.0 - ops.power(beta, ops.cast(step + 1, "float32"))
            factor = factor * ops.power(wrong / right, self._corrected[name])
        return factor


def _products(schedule: Schedule, micro_steps: int) -> np.ndarray:
    """Return beta(0) beta(1) ... beta(t) for t = 0, 1, 2 ... until nothing is left of it."""
    products = np.ones(0)
    last, chunk = 1.0, 1024
    while last > 1e-9 and len(products) < 1_000_000:
        t = np.arange(len(products), len(products) + chunk) * micro_steps + micro_steps - 1
        more = last * np.cumprod(schedule(t).astype(np.float64))
        products = np.concatenate([products, more])
        last, chunk = float(products[-1]), chunk * 2
    return products


@_register
class SGD(_Scheduled, keras.optimizers.SGD):
    r"""`keras.optimizers.SGD` with schedules, in either of two forms of momentum.

    With velocity v, gradient g, learning rate eta and momentum beta at step t:

    - "keras" (also Demon, Algorithm 1): ``v = beta_t v - eta_t g``, ``w = w + v``. The velocity
      remembers the learning rates of its gradients; a lower rate takes effect slowly.
    - "pytorch": ``v = beta_t v + g``, ``w = w - eta_t v``. A lower rate slows old gradients too.

    They are the same while the learning rate is constant.

    Args:
        *args: As in `keras.optimizers.SGD`; numbers or schedules.
        form: "keras" or "pytorch".
        **kwargs: As in `keras.optimizers.SGD`, and `per`.

    Raises:
        ValueError: If an argument is out of its range, or a schedule has an open length.

    Example:
        >>> import keras_sched as ks
        >>> SGD(ks.Linear(0.1, steps=10), momentum=0.9, form="pytorch").form
        'pytorch'
    """

    def __init__(self, *args: Any, form: str = "keras", **kwargs: Any) -> None:
        self.__dict__["form"] = _validate.choice("form", form, ("keras", "pytorch"))
        super().__init__(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments; schedules in their saved form."""
        return {**super().get_config(), "form": self.form}

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable."""
        if self.form == "keras" or self.momentum == 0:
            super().update_step(gradient, variable, learning_rate)
            return
        rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        momentum = ops.cast(self.momentum, variable.dtype)
        velocity = self.momentums[self._get_variable_index(variable)]
        self.assign(velocity, velocity * momentum + gradient)
        step = gradient + velocity * momentum if self.nesterov else velocity
        self.assign_sub(variable, step * rate)


@_register
class Adam(_Debiased, keras.optimizers.Adam):
    """`keras.optimizers.Adam` with schedules.

    Args:
        *args: As in `keras.optimizers.Adam`; numbers or schedules.
        exact_bias_correction: Whether means are corrected for the betas that they were made with,
            rather than for those of now; it changes nothing unless a beta is scheduled.
        **kwargs: As in `keras.optimizers.Adam`, and `per`.

    Example:
        >>> import keras_sched as ks
        >>> momentum = ks.OneCycleMomentum(steps=100)
        >>> Adam(ks.OneCycle(1e-3, steps=100), beta_1=momentum).name
        'adam'
    """

    _corrected: ClassVar[dict[str, float]] = {"beta_1": 1.0, "beta_2": -0.5}


@_register
class AdamW(_Debiased, keras.optimizers.AdamW):
    """`keras.optimizers.AdamW` with schedules; see `Adam` for `exact_bias_correction`."""

    _corrected: ClassVar[dict[str, float]] = {"beta_1": 1.0, "beta_2": -0.5}


@_register
class Adamax(_Debiased, keras.optimizers.Adamax):
    """`keras.optimizers.Adamax` with schedules; see `Adam` for `exact_bias_correction`."""

    _corrected: ClassVar[dict[str, float]] = {"beta_1": 1.0}


@_register
class Adadelta(_Scheduled, keras.optimizers.Adadelta):
    """`keras.optimizers.Adadelta` with schedules."""


@_register
class Adafactor(_Scheduled, keras.optimizers.Adafactor):
    """`keras.optimizers.Adafactor` with schedules; under one, Keras ignores `relative_step`."""


@_register
class Adagrad(_Scheduled, keras.optimizers.Adagrad):
    """`keras.optimizers.Adagrad` with schedules."""


@_register
class Ftrl(_Scheduled, keras.optimizers.Ftrl):
    """`keras.optimizers.Ftrl` with schedules."""


@_register
class Lamb(_Scheduled, keras.optimizers.Lamb):
    """`keras.optimizers.Lamb` with schedules; its trust ratio undoes any bias correction."""


@_register
class Lion(_Scheduled, keras.optimizers.Lion):
    """`keras.optimizers.Lion` with schedules."""


@_register
class Muon(_Scheduled, keras.optimizers.Muon):
    """`keras.optimizers.Muon` with schedules."""


@_register
class Nadam(_Scheduled, keras.optimizers.Nadam):
    """`keras.optimizers.Nadam` with schedules; it corrects its mean by the product of its betas."""


@_register
class RMSprop(_Scheduled, keras.optimizers.RMSprop):
    """`keras.optimizers.RMSprop` with schedules."""


@_register
class ScheduleFreeAdamW(_Scheduled, keras.optimizers.ScheduleFreeAdamW):
    """`keras.optimizers.ScheduleFreeAdamW` with schedules.

    Keras' form weights every step alike and evaluates the weights it trains, not their average. In
    Keras 3.15 `beta_1` has no effect on it, scheduled or not: the average is taken out of the
    weights with the iterate after its move, where beta_1 cancels.
    """


class _DemonAdam(keras.optimizers.Optimizer):
    """Algorithm 2 with numbers."""

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        name: str = "demon_adam",
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.beta_1 = _validate.momentum("beta_1", beta_1)
        self.beta_2 = _validate.momentum("beta_2", beta_2)
        self.epsilon = _validate.real("epsilon", epsilon, low=0.0, open_low=True)

    def build(self, variables: list[Any]) -> None:
        """Make the momenta and the velocities of the variables."""
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(
            variables, ["momentum", "velocity"]
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable."""
        dtype = variable.dtype
        index = self._get_variable_index(variable)
        momentum, velocity = self._momentums[index], self._velocities[index]
        gradient = ops.cast(gradient, dtype)
        beta_1, beta_2, epsilon = (
            ops.cast(value, dtype) for value in (self.beta_1, self.beta_2, self.epsilon)
        )
        self.assign(velocity, beta_2 * velocity + (1.0 - beta_2) * ops.square(gradient))
        self.assign(momentum, gradient + beta_1 * momentum)
        rate = ops.cast(learning_rate, dtype)
        self.assign_sub(variable, rate * momentum / ops.sqrt(velocity + epsilon))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        own = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return {**super().get_config(), **own}


@_register
class DemonAdam(_Scheduled, _DemonAdam):
    r"""Adam whose momentum is not averaged with the gradient but added to it: Demon Adam.

    With gradient g, E the mean of its squares and m the momentum:
    ``E = beta_2 E + (1 - beta_2) g ** 2``, ``m = g + beta_1 m``, ``w = w - eta m / sqrt(E + eps)``.
    There is no factor 1 - beta_1 and no bias correction, and epsilon is inside the root; so the
    momentum decides how long a gradient acts and not how large the step is.

    Args:
        learning_rate: Number or schedule, eta; about (1 - beta_1) of Adam's does as much.
        beta_1: Number in [0, 1) or schedule, as ``ks.Demon(0.9, steps=...)``.
        beta_2: Number in [0, 1) or schedule.
        epsilon: Number above 0.
        **kwargs: As in `keras.optimizers.Optimizer`, and `per`.

    Raises:
        ValueError: If an argument is out of its range, or a schedule has an open length.

    Example:
        >>> import keras_sched as ks
        >>> DemonAdam(1e-4, beta_1=ks.Demon(0.9, steps=1000)).name
        'demon_adam'

    References:
        Chen, Wolfe, Li, Kyrillidis, "Demon: Improved Neural Network Training with Momentum Decay"
        (arXiv 1910.04952), Algorithm 2.
    """
