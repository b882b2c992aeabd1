"""The dtype policy as a hyperparameter: most of a training in 16 bits, its end in float32.

Keras reads the policies of layers while it traces a training step, so that assigning them later
changes nothing. `PrecisionPolicy` assigns them and has the step traced anew, once for each policy.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras

from keras_sched._backend import check_tensorflow
from keras_sched._training import Member
from keras_sched._use import mark_numbers
from keras_sched.duration import Run, Span
from keras_sched.precision.phases import LADDER, Ladder, Lengths, Phase
from keras_sched.precision.policy_layers import GovernedLayers, patterns
from keras_sched.schedules import Schedule

__all__ = ["PrecisionPolicy"]

_SCALED = "mixed_float16"
_KEY = "_keras_sched_precision_policy"


class PrecisionPolicy(Member):
    """Train a compiled model in one dtype policy after another.

    Layers compute in the policy of the phase; variables, and what the optimizer keeps, stay float32
    throughout. The step is traced once for each distinct policy, however often they alternate, and
    evaluation uses the policy of the batch before it. A `tf.function` of somebody else's, as one
    that another callback has traced with the model, cannot be reached: it computes in the policy
    that it was traced in. When training ends, also by an error, all policies are those it began
    with.

    Phases count data steps of the run, ``epoch * steps + batch`` as `fit` numbers them: they need
    no state, so a training that is continued (``initial_epoch``, or a loop with checkpoints) is in
    the phase it would have been in, and updates that loss scaling skips move no boundary. A call
    of several steps (``steps_per_execution``) is computed in the policy of its first step: a
    boundary within it takes effect with the next call.

    float16 needs a `keras.optimizers.LossScaleOptimizer`, given to `compile`. Outside of float16
    phases its scale is held at 1, after a gradient that is not finite from the end of the epoch on;
    a float16 phase after another begins with its `initial_scale`.

    A model saved in the middle of a phase has float32 weights and the state of its optimizer; its
    layers have the policies of that phase, its output layers float32. Saved within another phase,
    a `LossScaleOptimizer` is saved with its scale held at 1, and this callback lets it go.

    16 bits are fast on GPUs and TPUs made for them. A CPU without such units emulates them: expect
    a step in bfloat16 to take about ten times as long as in float32.

    Args:
        phases: Pairs (policy, length): "float32", "mixed_bfloat16" or "mixed_float16", and a share
            of the run above 0 (shares sum to 1) or a text as "3ep", "500st" or "0.9dur". The last
            length may be None, the rest of the run.
        schedule: Instead of phases, a schedule of numbers that `ladder` gives policies to.
        ladder: The policy of each number of the schedule; a value between two takes the nearer
            one, and in the middle the higher. By default bits: 16 is "mixed_bfloat16", 32 is
            "float32".
        exclude: Regular expressions for the whole name or path of layers to leave as they are,
            with all within them. By default the output layers are held in float32 instead: from
            the outputs back to the last layer with a weight matrix, for each output; of a
            subclassed model, the last of its `layers`. A layer that is held and gives its values
            to layers that are not, as where features in the middle are an output, is named in a
            warning.
        batch_size: Samples of a batch, for lengths in samples.
        seconds_per_step: Measured seconds of a step, for lengths in seconds.

    Attributes:
        phases: Once training has begun, a tuple of `Phase`, in order.
        policy: The name of the policy in effect, or None outside of training.
        held: Once training has begun, the paths of the layers that are held in float32.

    Raises:
        RuntimeError: If Keras computes with another backend than TensorFlow.
        TypeError: If an argument is of the wrong type.
        ValueError: If a policy or a length is unknown, lengths do not sum to the run's, or a value
            of the schedule is outside the ladder; when training begins, also if the model is not
            built, `fit` does not know its steps, float16 has no loss scaling, a pattern of
            `exclude` matches no layer, or the other layers have not all the same plain policy
            (layers quantized by Keras and those of a `DTypePolicyMap` have not: exclude them). A
            model of `keras_sched.precision.quantize` must have at most 8 bits in bfloat16 and 10
            in float16.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input([4]), keras.layers.Dense(8, name="hidden"),
        ...                           keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.1), "mse")
        >>> policy = PrecisionPolicy([("mixed_bfloat16", 0.9), ("float32", 0.1)])
        >>> x, y = np.ones([20, 4]), np.ones([20, 1])
        >>> _ = model.fit(x, y, batch_size=2, epochs=2, verbose=0, callbacks=[policy])
        >>> policy.phases
        (Phase(start=0, policy='mixed_bfloat16'), Phase(start=18, policy='float32'))
        >>> model.get_layer("hidden").dtype_policy.name
        'float32'
    """

    def __init__(
        self,
        phases: Sequence[tuple[str, float | Span | None]] | None = None,
        *,
        schedule: Schedule | None = None,
        ladder: Mapping[float, str] | None = None,
        exclude: Iterable[str] | None = None,
        batch_size: int | None = None,
        seconds_per_step: float | None = None,
    ) -> None:
        check_tensorflow("`PrecisionPolicy`")
        super().__init__()
        if (phases is None) == (schedule is None):
            raise ValueError(
                "`PrecisionPolicy` needs either `phases`, as [('mixed_bfloat16', 0.9), "
                f"('float32', 0.1)], or `schedule`. Received: phases={phases!r}, "
                f"schedule={schedule!r}"
            )
        self._plan: Lengths | Ladder
        if schedule is not None:
            self._plan = Ladder(schedule, LADDER if ladder is None else ladder)
        elif ladder is not None:
            raise ValueError(f"`ladder` is for a schedule. Received: phases and ladder={ladder!r}")
        else:
            self._plan = Lengths(phases)
        self._exclude = None if exclude is None else patterns(exclude)
        self._facts = Run(steps=1, batch_size=batch_size, seconds_per_step=seconds_per_step)
        self.phases: tuple[Phase, ...] = ()
        self.policy: str | None = None
        self.held: tuple[str, ...] = ()
        self._layers: GovernedLayers | None = None
        self._steps_per_epoch = self._epoch = 0

    # --- Keras' hooks -------------------------------------------------------------------------

    def on_train_begin(self, logs: Any = None) -> None:
        """Check everything; the first batch changes the first policy."""
        with self.joined() as training:
            model: Any = self.model
            attributes: Any = vars(model)
            if _KEY in attributes:
                raise ValueError(
                    "The policy of a model must be scheduled in one place. Received: two "
                    "`PrecisionPolicy` in one training"
                )
            phases = self._plan.phases(self._count())
            if _SCALED in {phase.policy for phase in phases}:
                _check_loss_scaling(model)
            layers = GovernedLayers(model, self._exclude)
            if not model.optimizer.built:
                # Its loss scale would be a constant of a step traced before it has variables.
                with model.distribute_strategy.scope():
                    model.optimizer.build(model.trainable_variables)
            self.phases, self._layers, self.held = phases, layers, layers.held
            attributes[_KEY] = True  # past Keras' tracking: nothing new is saved
            training.on_undo(self, self._restore)
            mark_numbers(training, model.optimizer)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Take on the policy of this step, if it is another than that of the step before."""
        step = self._epoch * self._steps_per_epoch + batch
        found = bisect.bisect_right(self.phases, step, key=lambda phase: phase.start)
        policy = self.phases[found - 1].policy
        if policy != self.policy:
            self._switch(policy)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Hold the loss scale again, if a gradient that was not finite has let it go."""
        if self.policy not in (None, _SCALED):
            _hold_scale(self.model.optimizer, hold=True)

    def on_train_end(self, logs: Any = None) -> None:
        """Leave the model as it was found."""
        self.leave()

    # --- the mechanism ------------------------------------------------------------------------

    def _restore(self) -> None:
        """Put back the policies and the loss scale."""
        layers, self._layers = self._layers, None
        if layers is None:
            return
        layers.restore()
        model: Any = layers.model  # by now the callback may have been given another one
        # A gradient that is not finite may have let it go before the epoch ended.
        _hold_scale(model.optimizer, hold=False, restart=self.policy not in (None, _SCALED))
        vars(model).pop(_KEY, None)
        self.policy = None

    def _count(self) -> Run:
        """Return the facts of this run, in data steps."""
        if getattr(self.model, "optimizer", None) is None or not self.model.built:
            raise ValueError(
                "`PrecisionPolicy` needs a model that is compiled and built, so that all its "
                f"layers are known. Received: {self.model.name!r}. Call `model.compile(...)`, and "
                f"the model on a batch."
            )
        epochs, steps = self.parameters.get("epochs"), self.parameters.get("steps")
        if not epochs or not steps:
            raise ValueError(
                f"`PrecisionPolicy` must know the run's length, and `fit` does not know its steps. "
                f"Received: epochs={epochs}, steps={steps}. Give `fit(..., steps_per_epoch=...)`, "
                f"or data of known length."
            )
        self._steps_per_epoch = steps
        return Run(
            steps=epochs * steps,
            steps_per_epoch=steps,
            batch_size=self._facts.batch_size,
            seconds_per_step=self._facts.seconds_per_step,
        )

    def _switch(self, policy: str) -> None:
        training = self.under_way()
        if self._layers is None or training is None:
            raise RuntimeError("`on_train_begin` must be called before the first batch.")
        # Only now has every callback attached what it schedules; later, bits may have been set.
        named = {phase.policy for phase in self.phases} if self.policy is None else {policy}
        self._layers.check_bits(named)
        self._layers.assign(policy)
        if policy != _SCALED:
            _hold_scale(self.model.optimizer, hold=True)
        else:
            _hold_scale(self.model.optimizer, hold=False, restart=self.policy is not None)
        # Each policy has its own trace; one that was there before is taken again.
        training.mark("policy", (policy, self._layers.key), evaluation=True)
        self.policy = policy


def _check_loss_scaling(model: keras.Model) -> None:
    """Raise a ValueError for float16 without it, or with one that a saved file would not have."""
    kind = keras.optimizers.LossScaleOptimizer
    optimizer = model.optimizer
    given = getattr(getattr(model, "_compile_config", None), "config", {}).get("optimizer")
    if isinstance(optimizer, kind) and isinstance(given, kind):
        return
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    name = type(inner).__name__
    received = f"{name}" if inner is optimizer else f"{name}, which Keras has wrapped by itself"
    raise ValueError(
        f"'mixed_float16' needs loss scaling, given to `compile`: without it small gradients are "
        f"lost, and with Keras' own a saved file loses the optimizer's state. "
        f"Received: {received}. Compile with "
        f"`model.compile(keras.optimizers.LossScaleOptimizer({name}(...)), ...)`"
    )


def _hold_scale(optimizer: Any, hold: bool, restart: bool = False) -> None:
    """Hold the loss scale at 1, or let go of it: then it begins with its initial value.

    It doubles when its counter comes to `dynamic_growth_steps`. Held, the counter is past it. So it
    is known from the optimizer's own variables, which checkpoints have, whether it is held.
    """
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer) or not optimizer.built:
        return
    growth = optimizer.dynamic_growth_steps
    is_held = int(keras.ops.convert_to_numpy(optimizer.step_counter)) >= growth
    if hold and not is_held:
        optimizer.step_counter.assign(growth)
        optimizer.dynamic_scale.assign(1.0)
    elif not hold and (is_held or restart):
        optimizer.step_counter.assign(0)
        optimizer.dynamic_scale.assign(optimizer.initial_scale)
