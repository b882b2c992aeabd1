"""Quantized training of a model that exists: its layers' calls are wrapped, and nothing else.

`quantize` gives a handle, which is also a context manager. Variables, their names and order, the
model's configuration and its saved file are those of the plain model; ranges of activations and
counts of operations belong to the handle. `Quantized.detach` leaves the model as it was found, to
the bit.
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
from keras_sched.precision import rules
from keras_sched.precision.bits import NO_CLOCK, BitWidth, clock_of
from keras_sched.precision.checks import (
    BITS,
    CURRENT,
    HANDLE,
    MAXIMUM,
    check_built,
    check_dtypes,
    check_optimizer,
    check_some,
    check_unquantized,
    evaluated_bits,
    evaluation_code,
    most_bits,
)
from keras_sched.precision.cost import Cost, LayerCost
from keras_sched.precision.macs import attention_layers
from keras_sched.precision.passes import (
    CountedAttention,
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
from keras_sched.precision.widths import BitsAttachment, WidthOf, Widths
from keras_sched.schedules import Schedule

__all__ = ["BITS", "Quantized", "find", "quantize"]


def quantize(
    model: keras.Model,
    *,
    weights: Schedule | int | None = 8,
    activations: Schedule | int | None = 8,
    gradients: Schedule | int | None = None,
    layers: str | Sequence[tuple[str, Any]] = "cpt_cifar",
    evaluation: str | int = "max",
    symmetric: bool = False,
    seed: int = 0,
    optimizer: keras.optimizers.Optimizer | None = None,
) -> Quantized:
    r"""Train a model with quantized weights, activations and gradients.

    Every layer with a weight matrix W and inputs X computes with ``Q(W)`` and ``Q(X)``, where

        Q(x) = round((x - low) / s) s + low,   s = (high - low) / (2^b - 1),

    low and high being the least and greatest number of the tensor: of each output channel for
    weights, of the whole tensor for activations. Gradients pass through Q unchanged; the gradient
    of the layer's outputs is itself quantized with stochastic rounding before it goes on to weights
    and inputs. Biases, normalisation, activation functions, additions, the products within an
    attention, the optimizer and the weights it updates stay in full precision.

    Bits are values at run time: changing them traces nothing anew. Compile before or after; the
    compiled functions are made anew. A call that says nothing on training is one of training if a
    `tf.GradientTape` records it.

    Args:
        model: A built model of any kind. Another model that holds it must be compiled after this,
            and again after `detach`.
        weights: Bits of weights: a number in [2, 16], a schedule with its length in steps, or None
            for full precision. `ks.Scheduler(bits=...)` schedules them with the length of `fit`.
        activations: Bits of activations, likewise.
        gradients: Bits of gradients, likewise.
        layers: Which layers: "all"; "cpt_cifar", all but the last; "cpt_imagenet", all but the
            first, the last and strided 1x1 convolutions; or rules, pairs of a regular expression
            for the layer's whole path and None or {"weights": 8, ...}. The first that matches
            decides, and a layer that none matches follows the model.
        evaluation: Bits of weights and activations in evaluation and prediction: "max", the
            highest of their schedule; "current", those of the present step, as the papers do; or a
            number. Activations then have their running range, also as in the papers.
        symmetric: Whether levels lie symmetric about 0, and 0 is one of them.
        seed: Of the stochastic rounding, which is a function of it, the step and the place.
        optimizer: Whose steps are counted; by default the one that `model` is compiled with.

    Returns:
        The handle.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If a number is out of range, a layer unknown, the model not built, quantized
            already or by Keras, or computes in a dtype with fewer bits, or if bits are asked for
            and `layers` leaves every layer in full precision. The model is untouched.

    Example:
        >>> import keras, numpy as np, keras_sched as ks
        >>> model = keras.Sequential([keras.Input([4]), keras.layers.Dense(3, name="in"),
        ...                           keras.layers.Dense(1, name="out")])
        >>> model.compile("sgd", "mse")
        >>> with ks.precision.quantize(model, weights=4, activations=4, gradients=8) as handle:
        ...     _ = model.fit(np.ones([8, 4]), np.ones([8, 1]), batch_size=4, verbose=0)
        ...     handle.weights.assign(8)
        >>> handle.cost().quantized_only().relative_to_static(4, gradient_bits=8)
        1.0

    References:
        Fu et al., "CPT" (arXiv 2101.09868); Wolfe and Kyrillidis (arXiv 2403.02243). Differences:
        evaluation is at "max" unless asked otherwise, as the metric would swing with the cycle; the
        running range begins with the first batch, not with 0.
    """
    check_built(model)
    check_unquantized(rules.walk(model))
    plan = dict(zip(BITS, (weights, activations, gradients), strict=True))
    found = rules.targets(model)
    if not found:
        raise ValueError(f"`model` has no layer to quantize. Received: {model.name!r}")
    chosen = rules.resolve(found, layers)
    check_some(found, chosen, plan, layers)
    check_dtypes(found, chosen, most_bits(plan))
    code = evaluation_code(evaluation)
    check_dtypes(found, chosen, evaluated_bits(code, plan), f"{evaluation=}")
    if not isinstance(symmetric, bool):
        raise TypeError(f"`symmetric` must be True or False. Received: {symmetric!r}")
    check_optimizer(optimizer)
    seed = _validate.integer("seed", seed)
    strategy = getattr(model, "_distribute_strategy", None) or tf.distribute.get_strategy()
    with strategy.scope():
        handle = Quantized(model, found, chosen, plan, code, symmetric, seed, optimizer)
    handle.enable()
    return handle


def find(model: keras.Model) -> Quantized | None:
    """Return the handle of a quantized model, or of a part of it; None if there is none.

    Raises:
        ValueError: If parts of it have handles of their own.
    """
    handles = _handles(model)
    if len(handles) > 1:
        raise ValueError(
            f"A model must be quantized as a whole, so that one handle has its bits and its cost. "
            f"Received: {model.name!r}, with {len(handles)} parts quantized apart. Quantize the "
            f"whole, and choose by `layers=`."
        )
    return handles[0] if handles else None


def _handles(model: keras.Model) -> list[Quantized]:
    """Return the handles of a model and of its parts."""
    found = [vars(layer).get(HANDLE) for layer in rules.walk(model)]
    return list({id(handle): handle for handle in found if handle is not None}.values())


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
    ) -> None:
        self.model = model
        self.symmetric = symmetric
        self._layers = list(layers)
        self._chosen = list(chosen)
        self._attentions = attention_layers(model)
        self._optimizer = optimizer
        self._local = threading.local()
        self._undo = contextlib.ExitStack()
        self._is_on = False
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
        unseen = np.tile(np.array([1.0, -1.0], np.float32), (len(self._layers), 1))
        self._bounds = _variable("activation_bounds", unseen, "mean")
        rows = len(self._layers) + len(self._attentions)
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
        clock: Callable[[], Any] = lambda: optimizer or self._counted  # noqa: E731
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
            steps: Steps of the training; see `keras_sched.hyperparameters.replace`.

        Raises:
            ValueError: If the names are not those of `attached()`, or a schedule is none of bits.
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
        if self._counted is None:
            raise ValueError(NO_CLOCK)
        return self._counted

    @property
    def _counted(self) -> keras.optimizers.Optimizer | None:
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
            self._wrap(layer, QuantizedLayer(layer, index, self, *self._resolved(bits)))
        for index, layer in enumerate(self._attentions):
            self._wrap(layer, CountedAttention(layer, len(self._layers) + index, self))
        self._wrap(self.model, ModelCall(self))
        self._is_on = True
        self._retrace()

    def detach(self) -> None:
        """Leave the model as it was found; doing so twice is allowed, and `enable` undoes it."""
        if self._is_on:
            self._undo.close()
            self._is_on = False
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

    def most_bits(self) -> list[tuple[keras.layers.Layer, int]]:
        """Return each quantized layer with the most bits that anything of it may have."""
        evaluated = int(keras.ops.convert_to_numpy(self._evaluation))  # Not above 0 if no number.

        def most(width: BitWidth | int) -> int:
            if isinstance(width, int):
                return width
            return width.most if width is self.gradients else max(width.most, evaluated)

        found = []
        for layer, chosen in zip(self._layers, self._chosen, strict=True):
            widths = [width for width in self._resolved(chosen) if width is not None]
            if widths:
                found.append((layer, max(map(most, widths))))
        return found

    def followers(self) -> list[keras.layers.Layer]:
        """Return the layers whose weights or activations have the bits of the model."""
        free = {self.weights, self.activations} - {None}
        return [
            layer
            for layer, chosen in zip(self._layers, self._chosen, strict=True)
            if free.intersection(self._resolved(chosen))
        ]

    @property
    def variables(self) -> list[keras.Variable]:
        """The state of the handle, to save and restore beside the model's."""
        widths = [width.variable for width in self.widths.given]
        return [*widths, self._seed, self._evaluation, self._bounds, self._work]

    # --- for the layers -------------------------------------------------------------------------

    @contextlib.contextmanager
    def within_pass(self) -> Iterator[Pass]:
        """Give the present pass, or begin one; replicas trace in threads of their own."""
        stack = self._local.__dict__.setdefault("stack", [])
        with opened(stack, self._begin_pass, self._finish_pass) as current:
            yield current

    def running_bounds(self, index: int, x: Any) -> tuple[Any, Any]:
        """Return the running range of a layer's inputs, or that of `x` if none was seen yet."""
        return bounds_of(tf.convert_to_tensor(self._bounds.value)[index], x)

    def noise_key(self, index: int, call: int) -> Any:
        """Return the uint32 key of the noise at this step, replica, layer and call of the pass."""
        step = clock_of(self.optimizer).count("micro")
        return noise_key(self._seed.value, f"{index}/{call}", step)

    def _begin_pass(self) -> Pass:
        if is_training():
            return Pass(True, BitWidth.value)
        code = tf.convert_to_tensor(self._evaluation.value)
        return Pass(False, functools.partial(evaluated, code=code))

    def _finish_pass(self, done: Pass) -> None:
        """Move the running ranges and count the operations, in one assignment each."""
        self._unknown |= done.unknown
        if not done.training or not done.is_within:
            return
        if done.bounds:
            self._bounds.assign(moved_bounds(self._bounds.value, done.bounds))
        if done.work:
            rows = len(self._layers) + len(self._attentions)
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
        return found + [(f"{layer.path}/scores", False) for layer in self._attentions]

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
