"""The handle of a quantized model: its bits, what it has cost, and the way back.

Ranges of activations and counts of operations belong to it. It is made by
`keras_sched.precision.quantize`.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf

from keras_sched import _validate
from keras_sched._patch import forget_functions, wrap
from keras_sched._waiting import waiting_for
from keras_sched.hyperparameters import groups
from keras_sched.precision import rules
from keras_sched.precision.bits import NO_CLOCK, BitWidth, clock_of
from keras_sched.precision.checks import (
    CURRENT,
    HANDLE,
    MAXIMUM,
    check_dtypes,
    check_optimizer,
    check_unquantized,
    evaluated_bits,
    evaluation_code,
)
from keras_sched.precision.cost import Cost, LayerCost
from keras_sched.precision.macs import counted_layers
from keras_sched.precision.passes import (
    ModelCall,
    Pass,
    QuantizedLayer,
    bounds_of,
    evaluated,
    is_training,
    moved_bounds,
    noise_key,
    opened,
    operations,
)
from keras_sched.precision.products import (
    CountedLayer,
    QuantizedAttention,
    QuantizedProduct,
    factors,
)
from keras_sched.precision.widths import BitsAttachment, WidthOf, Widths
from keras_sched.schedules import Schedule

__all__ = ["Quantized"]


class Quantized:
    """The handle of a quantized model; `quantize` makes it.

    Attributes:
        model: The model.
        weights: The bits of weights, a `BitWidth` to `assign`; None in full precision.
        activations: The bits of activations, or None.
        gradients: The bits of gradients, or None.
        symmetric: Whether levels lie symmetric about 0.
        widths: All three, and the schedules they follow.
    """

    weights, activations, gradients = WidthOf(), WidthOf(), WidthOf()

    def __init__(
        self,
        model: keras.Model,
        layers: Sequence[keras.layers.Layer],
        chosen: Sequence[rules.LayerBits],
        plan: Mapping[str, Schedule | int | None],
        evaluation: float,
        symmetric: bool,
        seed: int,
        optimizer: keras.optimizers.Optimizer | None,
        declared: Mapping[int, Any],
        products: bool,
    ) -> None:
        self.model = model
        self.symmetric = symmetric
        self._layers = list(layers)
        self._chosen = list(chosen)
        self._counted = counted_layers(model, layers, declared)
        self._declared = declared
        self._products = products
        self._optimizer = optimizer
        self._local = threading.local()
        self._undo = contextlib.ExitStack()
        self._is_on = False
        self._guarded: keras.optimizers.Optimizer | None = None
        self._unknown: set[int] = set()
        self.widths = Widths(plan, self._check_dtypes)
        # A variable, so that trainings of other seeds share a trace; it has 32 bits of any number.
        self._seed = _variable(
            "seed", np.asarray(zlib.crc32(str(seed).encode()), np.int64), "only_first_replica"
        )
        self._evaluation = _variable(
            "evaluation", np.asarray(evaluation, np.float32), "only_first_replica"
        )
        # No range yet: its low end lies above its high one.
        ranges = len(self._layers)
        if products:
            ranges += sum(factors(layer) for layer, _ in self._counted)
        unseen = np.tile(np.array([1.0, -1.0], np.float32), (ranges, 1))
        self._bounds = _variable("activation_bounds", unseen, "mean")
        rows = len(self._layers) + len(self._counted)
        self._work = _variable("bit_operations", np.zeros((rows, 4)), "sum")
        for name, bits in plan.items():
            if isinstance(bits, Schedule):
                self.attach({name: bits})

    # --- what the user changes ------------------------------------------------------------------

    def attach(
        self,
        schedules: Mapping[str, Schedule],
        *,
        optimizer: keras.optimizers.Optimizer | None = None,
        per: str = "update",
        first_step: int | None = 0,
        retrace: bool = True,
    ) -> BitsAttachment:
        """Let bits follow schedules, as `ks.Scheduler` does.

        Args:
            schedules: Schedules with their length in steps, by "weight_bits", "activation_bits",
                "gradient_bits", or "bits" for the first two.
            optimizer: Whose steps are counted; by default the model's.
            per: What is counted under gradient accumulation: "update" or "micro".
            first_step: The count at which the schedules begin, at least 0. None: where
                `keras_sched.hyperparameters.begin` says.
            retrace: Whether the compiled functions of the model are made anew, now and when the
                schedules are detached. False if the caller sees to that.

        Returns:
            The attachment; its `detach` takes the schedules off again.

        Raises:
            TypeError: If a value is no schedule.
            ValueError: If a name is unknown, in full precision or scheduled already, a schedule
                leaves the whole numbers in [2, 16] or what a layer's dtype can tell apart, or
                `first_step` is None and there is no optimizer yet.
        """
        _validate.choice("per", per, ("update", "micro"))
        check_optimizer(optimizer)
        first: Any = None
        if first_step is not None:
            first = _validate.integer("first_step", first_step)
        else:
            optimizer = optimizer or self.optimizer
            first = clock_of(optimizer).offset(per)
        attachment = BitsAttachment(functools.partial(self._detach_schedules, retrace=retrace))
        clock: Callable[[], Any] = lambda: optimizer or self._clock  # noqa: E731
        if self.widths.attach(schedules, clock, per, first, attachment) and retrace:
            self._retrace()
        return attachment

    def detach_schedules(self) -> None:
        """Take all schedules off; the bits are those set before."""
        self._detach_schedules(None)

    def attached(self) -> dict[str, Schedule]:
        """Return the schedules that bits follow, by the names that `attach` takes."""
        return self.widths.attached()

    def _detach_schedules(self, attachment: BitsAttachment | None, retrace: bool = True) -> None:
        if self.widths.detach(attachment) and retrace:  # Who followed nothing has traced nothing.
            self._retrace()

    def replace(self, schedules: Mapping[str, Schedule], *, steps: int) -> None:
        """Let other schedules drive bits that follow one, in steps that stay as they are traced.

        Args:
            schedules: A schedule for each of `attached()`.
            steps: Steps of the training, at least 1; see `keras_sched.hyperparameters.replace`.

        Raises:
            TypeError: If a value is no schedule.
            ValueError: If the names are not those of `attached()`, a schedule is none of bits or
                has more than a layer's dtype can tell apart, or `steps` is out of range.
        """
        self.widths.replace(schedules, steps)

    @property
    def evaluation(self) -> str | int:
        """Bits of evaluation: "max", "current" or a number; it can be set at any time."""
        code = float(keras.ops.convert_to_numpy(self._evaluation))
        return {CURRENT: "current", MAXIMUM: "max"}.get(code, int(code))

    @evaluation.setter
    def evaluation(self, bits: str | int) -> None:
        code = evaluation_code(bits)
        self._check_dtypes(evaluated_bits(code, self.widths.by_name), f"evaluation={bits}")
        self._evaluation.assign(code)

    @property
    def optimizer(self) -> keras.optimizers.Optimizer:
        """The optimizer whose steps are counted."""
        if self._clock is None:
            raise ValueError(NO_CLOCK)
        return self._clock

    @property
    def _clock(self) -> keras.optimizers.Optimizer | None:
        return self._optimizer or getattr(self.model, "optimizer", None)

    # --- on and off -----------------------------------------------------------------------------

    def enable(self) -> None:
        """Quantize; the compiled functions are traced anew. Doing so twice is allowed.

        Raises:
            ValueError: If another handle, or Keras, has quantized the model meanwhile.
        """
        if self._is_on:
            return
        check_unquantized(rules.walk(self.model))
        for index, (layer, bits) in enumerate(zip(self._layers, self._chosen, strict=True)):
            said = self._declared.get(id(layer))
            self._wrap(layer, QuantizedLayer(layer, index, self, said, *self._resolved(bits)))
        self._wrap_counted()
        self._wrap(self.model, ModelCall(self))
        for layer in {id(each): each for each in (self.model, *self._layers)}.values():
            self._undo.callback(wrap(layer, "quantize", _not_by_keras))
        self._is_on = True
        self._retrace()

    def _wrap_counted(self) -> None:
        """Wrap the layers whose products have no weights."""
        first = len(self._layers)
        for index, (layer, _) in enumerate(self._counted, len(self._layers)):
            said = self._declared.get(id(layer))
            if not self._products:
                self._wrap(layer, CountedLayer(layer, index, self, said))
                continue
            is_attention = isinstance(layer, keras.layers.MultiHeadAttention)
            kind = QuantizedAttention if is_attention else QuantizedProduct
            bits = self.activations, self.gradients
            self._wrap(layer, kind(layer, index, first, self, said, *bits))
            first += factors(layer)

    def detach(self) -> None:
        """Leave the model as it was found; doing so twice is allowed, and `enable` undoes it."""
        if self._is_on:
            self._undo.close()
            self._is_on, self._guarded = False, None
            self._retrace()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Compute in full precision for a while."""
        was_on = self._is_on
        self.detach()
        try:
            yield
        finally:
            if was_on:
                self.enable()

    def __enter__(self) -> Self:
        self.enable()
        return self

    def __exit__(self, *unused: object) -> None:
        self.detach()

    # --- what there is to see -------------------------------------------------------------------

    def current(self) -> dict[str, Any]:
        """Return the bits of the present training step by name; tensors within a traced function.

        Weights and activations that have the same bits by construction are both there.
        """
        return {width.name: width.value() for width in self.widths.given}

    def cost(self) -> Cost:
        """Return the cost of all training passes so far."""
        work = keras.ops.convert_to_numpy(self._work)
        paths = self._paths()
        return Cost(
            tuple(
                LayerCost(path, quantized, *map(float, row))
                for index, ((path, quantized), row) in enumerate(zip(paths, work, strict=True))
                if index not in self._unknown
            ),
            tuple(paths[index][0] for index in sorted(self._unknown)),
        )

    def _rounded(self) -> list[tuple[keras.layers.Layer, list[BitWidth | int | None]]]:
        """Return what is rounded: the bits of each layer, and those of products without weights."""
        pairs = list(zip(self._layers, self._chosen, strict=True))
        if self._products:
            pairs += [(layer, rules.PRODUCT) for layer, _ in self._counted]
        return [(layer, self._resolved(chosen)) for layer, chosen in pairs]

    def most_bits(self) -> list[tuple[keras.layers.Layer, int]]:
        """Return each quantized layer with the most bits that anything of it may have."""
        evaluated = int(keras.ops.convert_to_numpy(self._evaluation))  # Not above 0 if no number.

        def most(width: BitWidth | int) -> int:
            if isinstance(width, int):
                return width
            return width.most if width is self.gradients else max(width.most, evaluated)

        found = []
        for layer, widths in self._rounded():
            if given := [width for width in widths if width is not None]:
                found.append((layer, max(map(most, given))))
        return found

    def free_layers(self) -> list[keras.layers.Layer]:
        """Return the layers whose weights or activations have the bits of the model."""
        free = {self.weights, self.activations} - {None}
        return [layer for layer, widths in self._rounded() if free.intersection(widths)]

    @property
    def variables(self) -> list[keras.Variable]:
        """The state of the handle, to save and restore beside the model's."""
        widths = [width.variable for width in self.widths.given]
        return [*widths, self._seed, self._evaluation, self._bounds, self._work]

    # --- for the layers -------------------------------------------------------------------------

    @contextlib.contextmanager
    def within_pass(self, *given: Any) -> Iterator[Pass]:
        """Give the present pass, or begin one; replicas trace in threads of their own.

        Args:
            *given: What the call is given that may begin a pass.
        """
        stack = self._local.__dict__.setdefault("stack", [])
        begin = functools.partial(self._begin_pass, given)
        with opened(stack, begin, self._finish_pass) as current:
            yield current

    def running_bounds(self, index: int, x: Any) -> tuple[Any, Any]:
        """Return the running range of a layer's inputs, or that of `x` if none was seen yet."""
        return bounds_of(tf.convert_to_tensor(self._bounds.value)[index], x)

    def noise_key(self, index: int, call: int) -> Any:
        """Return the uint32 key of the noise at this step, replica, layer and call of the pass."""
        step = clock_of(self.optimizer).count("micro")
        return noise_key(self._seed.value, f"{index}/{call}", step)

    def _begin_pass(self, given: Any) -> Pass:
        if is_training():
            self._guard_clock()
            return Pass(True, BitWidth.value, given)
        code = tf.convert_to_tensor(self._evaluation.value)
        return Pass(False, functools.partial(evaluated, code=code), given)

    def _guard_clock(self) -> None:
        """Let the count at which bits are read move only with gradients, before they are applied.

        An optimizer with schedules of its own does so anyway.
        """
        scheduled = self.gradients is not None or self.widths.attached()
        if not scheduled or self._clock is None or self._guarded is self._clock:
            return
        self._guarded = self._clock
        for part in groups(self._guarded).values():
            self._undo.callback(wrap(part, "apply", _apply_waiting))

    def _finish_pass(self, done: Pass) -> None:
        """Move the running ranges and count the operations, in one assignment each."""
        self._unknown |= done.unknown
        if not done.training or not done.is_within:
            return
        # An epoch of data of unknown length ends with a step that has no batch, and in which all
        # is done that needs none: so these need it.
        with tf.control_dependencies(done.given):
            if done.bounds:
                self._bounds.assign(moved_bounds(self._bounds.value, done.bounds))
            if done.work:
                rows = len(self._layers) + len(self._counted)
                self._work.assign_add(operations(done.work, rows))

    # --- within ---------------------------------------------------------------------------------

    def _resolved(self, bits: rules.LayerBits) -> list[BitWidth | int | None]:
        widths = self.widths.by_name.values()
        return [
            width if of == "follow" else of  # type: ignore[misc]
            for of, width in zip(bits, widths, strict=True)
        ]

    def _paths(self) -> list[tuple[str, bool]]:
        found = [
            (layer.path, any(part is not None for part in self._resolved(bits)))
            for layer, bits in zip(self._layers, self._chosen, strict=True)
        ]
        rounded = self._products and not (self.activations is None and self.gradients is None)
        return found + [(path, rounded) for _, path in self._counted]

    def _check_dtypes(self, bits: Mapping[str, int], received: str | None = None) -> None:
        check_dtypes(self._layers, self._chosen, bits, received)

    def _wrap(self, layer: keras.layers.Layer, wrapper: Callable[..., Any]) -> None:
        self._undo.callback(wrap(layer, "call", wrapper))
        attributes: Any = vars(layer)
        attributes[HANDLE] = self  # past Keras' tracking, so that nothing new is saved
        self._undo.callback(attributes.pop, HANDLE, None)

    def _retrace(self) -> None:
        for layer in rules.walk(self.model):
            forget_functions(layer)


def _apply_waiting(inner: Callable[..., Any], grads: Any, *args: Any, **kwargs: Any) -> Any:
    """Stand in the place of `apply` of an optimizer."""
    with waiting_for(grads):
        return inner(grads, *args, **kwargs)


def _not_by_keras(inner: Any, *args: Any, **kwargs: Any) -> Any:
    """Stand in the place of `quantize` of a model or a layer."""
    raise ValueError(
        f"A model that `ks.precision.quantize` has quantized cannot be quantized by Keras as well, "
        f"as its weights would no longer be trained. Received: quantize{args or ''}. Detach the "
        f"handle first: `ks.precision.find(model).detach()`."
    )


def _variable(name: str, value: Any, aggregation: str) -> keras.Variable:
    return keras.Variable(
        value,
        dtype=str(np.asarray(value).dtype),
        trainable=False,
        name=name,
        autocast=False,  # a layer that computes in 16 bits reads the numbers as they are
        aggregation=aggregation,
        synchronization="auto" if aggregation == "only_first_replica" else "on_read",
    )
