"""What makes an optimizer of Keras take schedules where it takes numbers.

Private to `keras_sched.optimizers`.
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Self, TypedDict

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_sched import _validate
from keras_sched._backend import check_tensorflow
from keras_sched.hyperparameters import attach, attached, driver_of
from keras_sched.schedules import Schedule

__all__ = ["Debiased", "Number", "Options", "Scheduled"]

Number = float | Schedule
"""A number, or a schedule of it with its length in steps."""


class Options(TypedDict, total=False):
    """Arguments that all optimizers of Keras share, and `per`."""

    clipnorm: Number | None
    clipvalue: Number | None
    global_clipnorm: Number | None
    use_ema: bool
    ema_momentum: Number
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None
    name: str | None
    per: str


class Scheduled:
    """Takes schedules where its Keras optimizer takes numbers."""

    _per: str
    _schedules: dict[str, Schedule]
    _is_warned = False

    def __init__(self, learning_rate: Number, *, per: str = "update", **arguments: Any) -> None:
        # Keras is given numbers, so that it builds every variable that a schedule can need.
        given: dict[str, Any] = {"learning_rate": learning_rate, **arguments}
        schedules = {name: s for name, s in given.items() if isinstance(s, Schedule)}
        if schedules:
            check_tensorflow(f"`ks.optimizers.{type(self).__name__}` with schedules")
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

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Update the variables; warn if the learning rate is 0 from now on."""
        self._warn_past_end()
        super().apply(grads, trainable_variables)  # type: ignore[misc]

    @tf.autograph.experimental.do_not_convert  # AutoGraph takes the early return for a branch.
    def _warn_past_end(self) -> None:
        """Warn once of a step that runs, or is traced, after the rate has fallen to 0 for good."""
        source = driver_of(self).source("learning_rate")
        last = None if source is None else source.schedule.span
        if self._is_warned or source is None or last is None:
            return
        with tf.init_scope():
            if not tf.executing_eagerly() or source.step(driver_of(self).count(source.per)) < last:
                return
        if float(source.schedule(last)) == 0.0:
            self.__dict__["_is_warned"] = True
            warnings.warn(
                f"The learning rate of this {type(self).__name__} stays 0: its schedule, "
                f"{source.schedule!r}, is over. To train on, build an optimizer with a schedule of "
                f"the steps to come, or use `ks.Scheduler`, which begins where `fit` does.",
                stacklevel=2,
            )

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


class Debiased(Scheduled):
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

    def __init__(
        self, learning_rate: Number, *, exact_bias_correction: bool = False, **arguments: Any
    ) -> None:
        self.__dict__["_exact"] = _validate.boolean("exact_bias_correction", exact_bias_correction)
        super().__init__(learning_rate, **arguments)
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
