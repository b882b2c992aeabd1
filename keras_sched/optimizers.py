"""Every optimizer of Keras, with a schedule wherever it takes a number; and Demon Adam.

``ks.optimizers.SGD(learning_rate=schedule, momentum=schedule)`` is `keras.optimizers.SGD` with the
schedules attached (see `keras_sched.hyperparameters`). Its variables are those of the Keras
optimizer with numbers in these places, so weights and checkpoints load both ways. Each class takes
the arguments of its Keras namesake, after the first by keyword, and `per`: what schedules count
under gradient accumulation, "update" (the default) or "micro".

Schedules must have their length in steps; without one use `keras_sched.Scheduler`, which reads the
run's from ``fit``. A schedule as `weight_decay` is relative to the learning rate, as the number is:
Keras subtracts ``weight_decay * learning_rate * weight``. A schedule cannot be assigned over:
``optimizer.momentum = 0.5`` raises a TypeError.

A model that was compiled with such an optimizer is saved with it and its schedules. Import
keras_sched before it is loaded: ``keras.models.load_model`` says "Could not locate class"
otherwise, or, with ``compile=False``, loads the model without its optimizer.

Example:
    >>> import keras_sched as ks
    >>> optimizer = ks.optimizers.SGD(
    ...     learning_rate=ks.REX(0.1, steps=10_000), momentum=ks.Demon(0.9, steps=10_000)
    ... )
    >>> optimizer.get_config()["momentum"]["class_name"]
    'Demon'
"""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

import keras
from keras import ops

from keras_sched import _validate
from keras_sched._demon_adam import DemonAdamOfNumbers
from keras_sched._scheduled import Debiased, Number, Options, Scheduled

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


@_register
class SGD(Scheduled, keras.optimizers.SGD):
    r"""`keras.optimizers.SGD` with schedules, in either of two forms of momentum.

    With velocity v, gradient g, learning rate eta and momentum beta at step t:

    - "keras" (also Demon, Algorithm 1): ``v = beta_t v - eta_t g``, ``w = w + v``. The velocity
      remembers the learning rates of its gradients; a lower rate takes effect slowly.
    - "pytorch": ``v = beta_t v + g``, ``w = w - eta_t v``. A lower rate slows old gradients too.

    They are the same while the learning rate is constant.

    Args:
        learning_rate: Number or schedule, eta.
        momentum: Number in [0, 1) or schedule, beta; 0 makes no velocities.
        nesterov: Whether the step looks ahead along the velocity.
        weight_decay: Number or schedule, relative to the learning rate; None for none.
        form: "keras" or "pytorch".
        **options: As in `keras.optimizers.SGD`, and `per`.

    Raises:
        ValueError: If an argument is out of its range, or a schedule has an open length.

    Example:
        >>> import keras_sched as ks
        >>> SGD(ks.Linear(0.1, steps=10), momentum=0.9, form="pytorch").form
        'pytorch'
    """

    def __init__(
        self,
        learning_rate: Number = 0.01,
        *,
        momentum: Number = 0.0,
        nesterov: bool = False,
        weight_decay: Number | None = None,
        form: str = "keras",
        **options: Unpack[Options],
    ) -> None:
        self.__dict__["form"] = _validate.choice("form", form, ("keras", "pytorch"))
        super().__init__(
            learning_rate,
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=weight_decay,
            **options,
        )

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
class Adam(Debiased, keras.optimizers.Adam):
    """`keras.optimizers.Adam` with schedules.

    Args:
        learning_rate: Number or schedule.
        beta_1: Number in [0, 1) or schedule.
        beta_2: Number in [0, 1) or schedule.
        epsilon: Number or schedule.
        amsgrad: Whether the largest mean of squares is kept.
        weight_decay: Number or schedule, relative to the learning rate; None for none.
        exact_bias_correction: Whether means are corrected for the betas that they were made with,
            rather than for those of now; it changes nothing unless a beta is scheduled.
        **options: As in `keras.optimizers.Adam`, and `per`.

    Example:
        >>> import keras_sched as ks
        >>> momentum = ks.OneCycleMomentum(steps=100)
        >>> Adam(ks.OneCycle(1e-3, steps=100), beta_1=momentum).name
        'adam'
    """

    _corrected: ClassVar[dict[str, float]] = {"beta_1": 1.0, "beta_2": -0.5}

    def __init__(
        self,
        learning_rate: Number = 0.001,
        *,
        beta_1: Number = 0.9,
        beta_2: Number = 0.999,
        epsilon: Number = 1e-07,
        amsgrad: bool = False,
        weight_decay: Number | None = None,
        exact_bias_correction: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            amsgrad=amsgrad,
            weight_decay=weight_decay,
            exact_bias_correction=exact_bias_correction,
            **options,
        )


@_register
class AdamW(Debiased, keras.optimizers.AdamW):
    """`keras.optimizers.AdamW` with schedules; see `Adam` for `exact_bias_correction`."""

    _corrected: ClassVar[dict[str, float]] = {"beta_1": 1.0, "beta_2": -0.5}

    def __init__(
        self,
        learning_rate: Number = 0.001,
        *,
        weight_decay: Number = 0.004,
        beta_1: Number = 0.9,
        beta_2: Number = 0.999,
        epsilon: Number = 1e-07,
        amsgrad: bool = False,
        exact_bias_correction: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            learning_rate,
            weight_decay=weight_decay,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            amsgrad=amsgrad,
            exact_bias_correction=exact_bias_correction,
            **options,
        )


@_register
class Adamax(Debiased, keras.optimizers.Adamax):
    """`keras.optimizers.Adamax` with schedules; see `Adam` for `exact_bias_correction`."""

    _corrected: ClassVar[dict[str, float]] = {"beta_1": 1.0}

    def __init__(
        self,
        learning_rate: Number = 0.001,
        *,
        beta_1: Number = 0.9,
        beta_2: Number = 0.999,
        epsilon: Number = 1e-07,
        weight_decay: Number | None = None,
        exact_bias_correction: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            weight_decay=weight_decay,
            exact_bias_correction=exact_bias_correction,
            **options,
        )


@_register
class Adadelta(Scheduled, keras.optimizers.Adadelta):
    """`keras.optimizers.Adadelta` with schedules."""

    def __init__(
        self,
        learning_rate: Number = 0.001,
        *,
        rho: Number = 0.95,
        epsilon: Number = 1e-07,
        weight_decay: Number | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            learning_rate,
            rho=rho,
            epsilon=epsilon,
            weight_decay=weight_decay,
            **options,
        )


@_register
class Adafactor(Scheduled, keras.optimizers.Adafactor):
    """`keras.optimizers.Adafactor` with schedules; under one, Keras ignores `relative_step`."""

    def __init__(
        self,
        learning_rate: Number = 0.001,
        *,
        beta_2_decay: float = -0.8,
        epsilon_1: Number = 1e-30,
        epsilon_2: Number = 0.001,
        clip_threshold: Number = 1.0,
        relative_step: bool = True,
        weight_decay: Number | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            learning_rate,
            beta_2_decay=beta_2_decay,
            epsilon_1=epsilon_1,
            epsilon_2=epsilon_2,
            clip_threshold=clip_threshold,
            relative_step=relative_step,
            weight_decay=weight_decay,
            **options,
        )


@_register
class Adagrad(Scheduled, keras.optimizers.Adagrad):
    """`keras.optimizers.Adagrad` with schedules."""

    def __init__(
        self,
        learning_rate: Number = 0.001,
        *,
        initial_accumulator_value: float = 0.1,
        epsilon: Number = 1e-07,
        weight_decay: Number | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            learning_rate,
            initial_accumulator_value=initial_accumulator_value,
            epsilon=epsilon,
            weight_decay=weight_decay,
            **options,
        )


@_register
class Ftrl(Scheduled, keras.optimizers.Ftrl):
    """`keras.optimizers.Ftrl` with schedules."""

    def __init__(
        self,
        learning_rate: Number = 0.001,
        *,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: Number = 0.0,
        l2_regularization_strength: Number = 0.0,
        l2_shrinkage_regularization_strength: Number = 0.0,
        beta: Number = 0.0,
        weight_decay: Number | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            learning_rate,
            learning_rate_power=learning_rate_power,
            initial_accumulator_value=initial_accumulator_value,
            l1_regularization_strength=l1_regularization_strength,
            l2_regularization_strength=l2_regularization_strength,
            l2_shrinkage_regularization_strength=l2_shrinkage_regularization_strength,
            beta=beta,
            weight_decay=weight_decay,
            **options,
        )


@_register
class Lamb(Scheduled, keras.optimizers.Lamb):
    """`keras.optimizers.Lamb` with schedules; its trust ratio undoes any bias correction."""

    def __init__(
        self,
        learning_rate: Number = 0.001,
        *,
        beta_1: Number = 0.9,
        beta_2: Number = 0.999,
        epsilon: Number = 1e-07,
        weight_decay: Number | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            weight_decay=weight_decay,
            **options,
        )


@_register
class Lion(Scheduled, keras.optimizers.Lion):
    """`keras.optimizers.Lion` with schedules."""

    def __init__(
        self,
        learning_rate: Number = 0.001,
        *,
        beta_1: Number = 0.9,
        beta_2: Number = 0.99,
        weight_decay: Number | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            weight_decay=weight_decay,
            **options,
        )


@_register
class Muon(Scheduled, keras.optimizers.Muon):
    """`keras.optimizers.Muon` with schedules."""

    def __init__(
        self,
        learning_rate: Number = 0.001,
        *,
        adam_beta_1: Number = 0.9,
        adam_beta_2: Number = 0.999,
        adam_weight_decay: Number = 0.004,
        epsilon: Number = 1e-07,
        weight_decay: Number = 0.004,
        exclude_layers: list[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: Number = 3.4445,
        muon_b: float = -4.775,
        muon_c: Number = 2.0315,
        adam_lr_ratio: Number = 1,
        momentum: Number = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: Number | None = 0.2,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            learning_rate,
            adam_beta_1=adam_beta_1,
            adam_beta_2=adam_beta_2,
            adam_weight_decay=adam_weight_decay,
            epsilon=epsilon,
            weight_decay=weight_decay,
            exclude_layers=exclude_layers,
            exclude_embeddings=exclude_embeddings,
            muon_a=muon_a,
            muon_b=muon_b,
            muon_c=muon_c,
            adam_lr_ratio=adam_lr_ratio,
            momentum=momentum,
            ns_steps=ns_steps,
            nesterov=nesterov,
            rms_rate=rms_rate,
            **options,
        )


@_register
class Nadam(Scheduled, keras.optimizers.Nadam):
    """`keras.optimizers.Nadam` with schedules; it corrects its mean by the product of its betas."""

    def __init__(
        self,
        learning_rate: Number = 0.001,
        *,
        beta_1: Number = 0.9,
        beta_2: Number = 0.999,
        epsilon: Number = 1e-07,
        weight_decay: Number | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            weight_decay=weight_decay,
            **options,
        )


@_register
class RMSprop(Scheduled, keras.optimizers.RMSprop):
    """`keras.optimizers.RMSprop` with schedules."""

    def __init__(
        self,
        learning_rate: Number = 0.001,
        *,
        rho: Number = 0.9,
        momentum: Number = 0.0,
        epsilon: Number = 1e-07,
        centered: bool = False,
        weight_decay: Number | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            learning_rate,
            rho=rho,
            momentum=momentum,
            epsilon=epsilon,
            centered=centered,
            weight_decay=weight_decay,
            **options,
        )


@_register
class ScheduleFreeAdamW(Scheduled, keras.optimizers.ScheduleFreeAdamW):
    """`keras.optimizers.ScheduleFreeAdamW` with schedules.

    Keras' form weights every step alike and evaluates the weights it trains, not their average. In
    Keras 3.15 `beta_1` has no effect on it, scheduled or not: the average is taken out of the
    weights with the iterate after its move, where beta_1 cancels.
    """

    def __init__(
        self,
        learning_rate: Number = 0.0025,
        *,
        beta_1: Number = 0.9,
        beta_2: Number = 0.999,
        epsilon: Number = 1e-08,
        warmup_steps: int = 0,
        weight_decay: Number | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            warmup_steps=warmup_steps,
            weight_decay=weight_decay,
            **options,
        )


@_register
class DemonAdam(Scheduled, DemonAdamOfNumbers):
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
        weight_decay: Number or schedule, relative to the learning rate; None for none.
        **options: As in `keras.optimizers.Optimizer`, and `per`.

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

    def __init__(
        self,
        learning_rate: Number = 0.001,
        *,
        beta_1: Number = 0.9,
        beta_2: Number = 0.999,
        epsilon: Number = 1e-8,
        weight_decay: Number | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            weight_decay=weight_decay,
            **options,
        )
