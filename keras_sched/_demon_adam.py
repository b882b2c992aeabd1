"""Demon Adam with numbers; `keras_sched.optimizers.DemonAdam` takes schedules."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_sched import _validate

__all__ = ["DemonAdamOfNumbers"]


class DemonAdamOfNumbers(keras.optimizers.Optimizer):
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
