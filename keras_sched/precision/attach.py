"""Quantized training of a model that exists: its layers' calls are replaced, and nothing else.

`quantize` gives a handle, which is also a context manager. Variables, their names and order, the
model's configuration and its saved file are those of the plain model; ranges of activations and
counts of operations belong to the handle. `Quantized.detach` leaves the model as it was found, to
the bit.
"""

from __future__ import annotations

import contextlib
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf

from keras_sched import _validate
from keras_sched._driver import Source
from keras_sched.precision import quantizers, rules
from keras_sched.precision._replaced import Replaced
from keras_sched.precision.bits import (
    MOST_BITS,
    BitWidth,
    count_of,
    highest_of,
    verify_schedule,
    whole_bits,
)
from keras_sched.precision.cost import Cost, LayerCost
from keras_sched.precision.macs import attention_layers
from keras_sched.precision.passes import (
    CountedAttention,
    ModelCall,
    Pass,
    QuantizedLayer,
    is_training,
    opened,
)
from keras_sched.schedules import Schedule

__all__ = ["BITS", "Quantized", "find", "quantize"]

_KEY = "_keras_sched_quantized"
BITS = ("weight_bits", "activation_bits", "gradient_bits")
# Weight of the past in the running range of activations, as in the papers' code.
_MOMENTUM = 0.9
_CURRENT, _MAXIMUM = 0.0, -1.0


def quantize(
    model: keras.Model,
    weights: Schedule | int | None = 8,
    activations: Schedule | int | None = 8,
    gradients: Schedule | int | None = None,
    *,
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
    compiled functions are made anew.

    Args:
        model: A built model of any kind.
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
            already or by Keras, or computes in a dtype with fewer bits. The model is untouched.

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
    _verify_model(model)
    plan = dict(zip(BITS, (weights, activations, gradients), strict=True))
    found = rules.targets(model)
    if not found:
        raise ValueError(f"`model` has no layer to quantize. Received: {model.name!r}")
    chosen = rules.resolve(found, layers)
    for name, value in plan.items():
        if isinstance(value, Schedule):
            verify_schedule(name, value)
        elif value is not None:
            whole_bits(name, value)
    evaluation_code = _evaluation_code(evaluation)
    if not isinstance(symmetric, bool):
        raise TypeError(f"`symmetric` must be True or False. Received: {symmetric!r}")
    _verify_layers(found, chosen, plan)
    seed = _validate.integer("seed", seed)
    strategy = getattr(model, "_distribute_strategy", None) or tf.distribute.get_strategy()
    with strategy.scope():
        handle = Quantized(model, found, chosen, plan, evaluation_code, symmetric, seed, optimizer)
    handle.enable()
    return handle


def find(model: keras.Model) -> Quantized | None:
    """Return the handle of a quantized model, or of a part of it; None if there is none."""
    for layer in rules.walk(model):
        if _KEY in vars(layer):
            return vars(layer)[_KEY]
    return None


class Quantized:
    """The handle of a quantized model; `quantize` makes it.

    Attributes:
        model: The model.
        weights: The bits of weights, a `BitWidth` to `assign`; None in full precision.
        activations: The bits of activations, or None.
        gradients: The bits of gradients, or None.
        symmetric: Whether levels lie symmetric about 0.
    """

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
        self._seed = seed
        self._optimizer = optimizer
        self._local = threading.local()
        self._replaced: list[Replaced] = []
        self._unknown: set[int] = set()
        self._widths = {
            name: None
            if bits is None
            else BitWidth(name, highest_of(bits) if isinstance(bits, Schedule) else bits)
            for name, bits in plan.items()
        }
        self.weights, self.activations, self.gradients = self._widths.values()
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
                self.follow({name: bits})

    # --- what the user changes ------------------------------------------------------------------

    def follow(
        self,
        schedules: Mapping[str, Schedule],
        *,
        optimizer: keras.optimizers.Optimizer | None = None,
        per: str = "update",
        first_step: int = 0,
        owner: object | None = None,
    ) -> object:
        """Let bits follow schedules, as `ks.Scheduler` does.

        Args:
            schedules: Schedules with their length in steps, by "weight_bits", "activation_bits",
                "gradient_bits", or "bits" for the first two.
            optimizer: Whose steps are counted; by default the model's.
            per: What is counted under gradient accumulation: "update" or "micro".
            first_step: The count at which the schedules begin.
            owner: Whose schedules these are. One of a different owner, left behind by a training
                that was interrupted, is replaced.

        Returns:
            What `unfollow` takes.

        Raises:
            TypeError: If a value is no schedule.
            ValueError: If a name is unknown, in full precision or scheduled already, or a schedule
                leaves the whole numbers in [2, 16].
        """
        plan: dict[str, Schedule] = {}
        for name, schedule in schedules.items():
            for each in BITS[:2] if name == "bits" else (name,):
                self._verify_free(each, owner)
                verify_schedule(each, schedule)
                plan[each] = schedule
        attachment = object()
        sources: dict[int, Source] = {}
        for name, schedule in plan.items():
            source = sources.setdefault(
                id(schedule), Source(schedule, per, first_step, owner, attachment)
            )
            width = self._widths[name]
            if width is not None:
                width.bind(source, lambda: optimizer or self.optimizer)
        self._retrace()
        return attachment

    def unfollow(self, attachment: object) -> None:
        """Stop following the schedules of `follow`; the bits are those set before."""
        for width in self._widths.values():
            if width is not None:
                width.release(attachment)
        self._retrace()

    @property
    def evaluation(self) -> str | int:
        """Bits of evaluation: "max", "current" or a number; it can be set at any time."""
        code = float(keras.ops.convert_to_numpy(self._evaluation))
        return {_CURRENT: "current", _MAXIMUM: "max"}.get(code, int(code))

    @evaluation.setter
    def evaluation(self, bits: str | int) -> None:
        self._evaluation.assign(_evaluation_code(bits))

    @property
    def optimizer(self) -> keras.optimizers.Optimizer:
        """The optimizer whose steps are counted."""
        found = self._optimizer or getattr(self.model, "optimizer", None)
        if found is None:
            raise ValueError(
                "Schedules of bits, and stochastic gradients, count the steps of an optimizer. "
                "Received: a model that is not compiled. Compile it, or give "
                "`quantize(..., optimizer=optimizer)`."
            )
        return found

    # --- on and off -----------------------------------------------------------------------------

    def enable(self) -> None:
        """Quantize; the compiled functions are traced anew. Doing so twice is allowed."""
        if self._replaced:
            return
        vars(self.model)[_KEY] = self
        self._replaced = [
            QuantizedLayer(layer, index, self, *(self._resolved(bits)))
            for index, (layer, bits) in enumerate(zip(self._layers, self._chosen, strict=True))
        ]
        self._replaced += [
            CountedAttention(layer, len(self._layers) + index, self)
            for index, layer in enumerate(self._attentions)
        ]
        self._replaced.append(ModelCall(self.model, self))
        self._retrace()

    def detach(self) -> None:
        """Leave the model as it was found; doing so twice is allowed, and `enable` undoes it."""
        for replaced in reversed(self._replaced):
            replaced.remove()
        if self._replaced:
            del vars(self.model)[_KEY]
            self._retrace()
        self._replaced = []

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Compute in full precision for a while."""
        was_on = bool(self._replaced)
        self.detach()
        try:
            yield
        finally:
            if was_on:
                self.enable()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        self.detach()

    # --- what there is to see -------------------------------------------------------------------

    def current(self) -> dict[str, Any]:
        """Return the bits of the present training step by name; tensors within a traced function.

        Weights and activations that have the same bits by construction are both there.
        """
        return {name: width.value() for name, width in self._widths.items() if width is not None}

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
        found = []
        for layer, chosen in zip(self._layers, self._chosen, strict=True):
            widths = [width for width in self._resolved(chosen) if width is not None]
            if widths:
                found.append((layer, max(w if isinstance(w, int) else w.most for w in widths)))
        return found

    @property
    def variables(self) -> list[keras.Variable]:
        """The state of the handle, to save and restore beside the model's."""
        widths = [width.variable for width in self._widths.values() if width is not None]
        return [*widths, self._evaluation, self._bounds, self._work]

    # --- for the layers -------------------------------------------------------------------------

    @contextlib.contextmanager
    def within_pass(self) -> Iterator[Pass]:
        """Give the present pass, or begin one; replicas trace in threads of their own."""
        stack = self._local.__dict__.setdefault("stack", [])
        with opened(stack, self._begin_pass, self._finish_pass) as current:
            yield current

    def running_bounds(self, index: int, x: Any) -> tuple[Any, Any]:
        """Return the running range of a layer's inputs, or that of `x` if none was seen yet."""
        bounds = tf.convert_to_tensor(self._bounds.value)[index]
        exact = tf.cast(x, tf.float32)
        seen = bounds[0] <= bounds[1]
        return (
            tf.where(seen, bounds[0], tf.reduce_min(exact)),
            tf.where(seen, bounds[1], tf.reduce_max(exact)),
        )

    def noise_key(self, call: int) -> Any:
        """Return the uint32 key of the noise at this step, replica and call within the pass."""
        context = tf.distribute.get_replica_context()
        replica = 0 if context is None else context.replica_id_in_sync_group
        place = zlib.crc32(f"{self._seed}/{call}".encode())
        step = tf.cast(count_of(self.optimizer, "micro"), tf.uint32)
        key = quantizers.mix(step + tf.constant(place, tf.uint32))
        return quantizers.mix(key + tf.cast(replica, tf.uint32))

    def _begin_pass(self) -> Pass:
        training = is_training()
        return Pass(training, BitWidth.value if training else self._evaluation_bits)

    def _evaluation_bits(self, width: BitWidth) -> Any:
        code = tf.convert_to_tensor(self._evaluation.value)
        otherwise = tf.where(code == _MAXIMUM, width.highest(), width.value())
        return tf.where(code > 0.0, code, otherwise)

    def _finish_pass(self, done: Pass) -> None:
        """Move the running ranges and count the operations, in one assignment each."""
        self._unknown |= done.unknown
        if not done.training or not done.is_within:
            return
        if done.bounds:
            old = tf.convert_to_tensor(self._bounds.value)
            new = tf.stack(
                [
                    tf.stack(done.bounds[index]) if index in done.bounds else old[index]
                    for index in range(len(self._layers))
                ]
            )
            seen = old[:, :1] <= old[:, 1:]
            self._bounds.assign(tf.where(seen, _MOMENTUM * old + (1.0 - _MOMENTUM) * new, new))
        if done.work:
            rows = len(self._layers) + len(self._attentions)
            self._work.assign_add(_operations(done.work, rows))

    # --- within ---------------------------------------------------------------------------------

    def _resolved(self, bits: rules.LayerBits) -> list[BitWidth | int | None]:
        widths = self._widths.values()
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

    def _verify_free(self, name: str, owner: object | None) -> None:
        _validate.choice("name", name, BITS)
        width = self._widths[name]
        if width is None:
            argument = name.removesuffix("_bits").replace("activation", "activations")
            raise ValueError(
                f"`{name}` cannot be scheduled, as it was left in full precision. Give "
                f"`quantize(..., {argument}=8)` a number to begin with."
            )
        source = width.source
        if source is not None and (source.owner is None or source.owner is owner):
            raise ValueError(
                f"`{name}` is scheduled already, by {source.schedule!r}. Schedule it in one place."
            )

    def _retrace(self) -> None:
        for layer in rules.walk(self.model):
            for name in ("train_function", "test_function", "predict_function"):
                if getattr(layer, name, None) is not None:
                    setattr(layer, name, None)


def _verify_model(model: Any) -> None:
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. Received: {model!r}")
    if not model.built:
        raise ValueError(
            f"`model` must be built, so that it has weights. Received: {model.name!r}. Call it on "
            f"a batch, or `model.build(input_shape)`."
        )
    for layer in rules.walk(model):
        if _KEY in vars(layer) or isinstance(vars(layer).get("call"), Replaced):
            raise ValueError(
                f"`model` is quantized already, at {layer.path!r}. Detach that handle first: "
                f"`ks.precision.find(model).detach()`."
            )
        if getattr(layer, "quantization_mode", None) is not None:
            raise ValueError(
                f"Keras has quantized {layer.path!r} already, to "
                f"{layer.quantization_mode!r}: its weights are no longer trained. Expected a model "
                f"without `Model.quantize`."
            )


def _verify_layers(
    layers: Sequence[keras.layers.Layer],
    chosen: Sequence[rules.LayerBits],
    plan: Mapping[str, Schedule | int | None],
) -> None:
    for layer, bits in zip(layers, chosen, strict=True):
        if layer.compute_dtype not in MOST_BITS:
            continue
        for of, name in zip(bits, BITS, strict=True):
            value = plan[name] if of == "follow" else of
            if isinstance(value, Schedule):
                value = highest_of(value)
            if isinstance(value, int) and value > MOST_BITS[layer.compute_dtype]:
                raise ValueError(
                    f"{layer.path!r} computes in {layer.compute_dtype}, which holds levels of at "
                    f"most {MOST_BITS[layer.compute_dtype]} bits. Received: {name}={value}"
                )


def _evaluation_code(bits: Any) -> float:
    if isinstance(bits, str):
        _validate.choice("evaluation", bits, ("current", "max"))
        return _CURRENT if bits == "current" else _MAXIMUM
    return float(whole_bits("evaluation", bits))


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


def _operations(work: Sequence[tuple[int, Any, tuple[Any, ...]]], rows: int) -> Any:
    """Return MACs and the three products of every layer in one pass, float64 of (rows, 4)."""
    # Few layers differ in their bits: each distinct set is multiplied once.
    sets = {tuple(map(id, bits)): bits for _, _, bits in work}
    number = {key: index for index, key in enumerate(sets)}
    w, a, g = (
        tf.stack([tf.cast(bits, tf.float64) for bits in part])
        for part in zip(*sets.values(), strict=True)
    )
    products = tf.stack([tf.ones_like(w), w * a, w * g, a * g], axis=1)
    counts = tf.stack([tf.cast(count, tf.float64) for _, count, _ in work])
    each = tf.gather(products, [number[tuple(map(id, bits))] for _, _, bits in work])
    layers = [index for index, _, _ in work]
    return tf.math.unsorted_segment_sum(counts[:, None] * each, layers, rows)
