"""Quantized training of a model that exists: its layers' calls are wrapped, and nothing else.

`quantize` gives a handle, which is also a context manager. Variables, their names and order, the
model's configuration and its saved file are those of the plain model; ranges of activations and
counts of operations belong to the handle. `Quantized.detach` leaves the model as it was found, to
the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_sched import _validate
from keras_sched._backend import check_tensorflow
from keras_sched.precision import rules
from keras_sched.precision.checks import (
    BITS,
    HANDLE,
    check_built,
    check_dtypes,
    check_optimizer,
    check_some,
    check_unquantized,
    evaluated_bits,
    evaluation_code,
    most_bits,
)
from keras_sched.precision.handle import Quantized
from keras_sched.precision.macs import counted_layers, declarations
from keras_sched.precision.products import check as check_product
from keras_sched.schedules import Schedule

__all__ = ["BITS", "Quantized", "find", "quantize"]


def quantize(
    model: keras.Model,
    *,
    weights: Schedule | int | None = 8,
    activations: Schedule | int | None = 8,
    gradients: Schedule | int | None = None,
    layers: str | Sequence[tuple[str, Any]] = "all_but_last",
    evaluation: str | int = "max",
    symmetric: bool = False,
    products: bool = False,
    seed: int = 0,
    optimizer: keras.optimizers.Optimizer | None = None,
    macs: Mapping[str, int | Callable[[Any, Any], Any]] | None = None,
) -> Quantized:
    r"""Train a model with quantized weights, activations and gradients.

    Every layer with a weight matrix W and inputs X computes with ``Q(W)`` and ``Q(X)``, where

        Q(x) = round((x - low) / s) s + low,   s = (high - low) / (2^b - 1),

    low and high being the least and greatest number of the tensor: of each output channel for
    weights, of the whole tensor for activations. Gradients pass through Q unchanged; the gradient
    of the layer's outputs is itself quantized with stochastic rounding before it goes on to weights
    and inputs. Biases, normalisation, activation functions, additions, the optimizer and the
    weights it updates stay in full precision, and so do the products within an attention unless
    `products` says otherwise.

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
        layers: Which layers: "all"; "all_but_last", which the papers' code does for CIFAR
            ("cpt_cifar"); "all_but_ends_and_strided_1x1", that is all but the first, the last and
            strided 1x1 convolutions, as for ImageNet ("cpt_imagenet"); "all_but_embeddings", as
            for language; or rules, pairs of a regular expression for the layer's whole path and
            None or {"weights": 8, ...}. The first that matches decides, and a layer that none
            matches follows the model.
        evaluation: Bits of weights and activations in evaluation and prediction: "max", the
            highest of their schedule; "current", those of the present step, as the papers do; or a
            number. Activations then have their running range, also as in the papers.
        symmetric: Whether levels lie symmetric about 0, and 0 is one of them.
        products: Whether products that need no weights are rounded too: queries, keys, values and
            attention weights of a `keras.layers.MultiHeadAttention`, and the first argument of a
            layer that has no weights and declares its `macs`. They have the bits of `activations`,
            and the gradients of what they give those of `gradients`.
        seed: Of the stochastic rounding, which is a function of it, the step and the place.
        optimizer: Whose steps are counted; by default the one that `model` is compiled with.
        macs: Multiplications of one example in layers whose kind is not known, for the cost: a
            regular expression for the layer's whole path, and a whole number or a function of the
            layer's inputs and outputs. A layer can say so itself, by an attribute or a method of
            the name `macs`.

    Returns:
        The handle.

    Raises:
        RuntimeError: If Keras computes with another backend than TensorFlow.
        TypeError: If an argument is of the wrong type.
        ValueError: If a number is out of range, a layer unknown, the model not built, quantized
            already or by Keras, or computes in a dtype with fewer bits, or if bits are asked for
            and `layers` leaves every layer in full precision. The model is untouched. When it is
            called, if a layer is given sparse or ragged inputs to round.

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
    check_tensorflow("`quantize`")
    check_built(model)
    check_unquantized(rules.walk(model))
    plan = dict(zip(BITS, (weights, activations, gradients), strict=True))
    found = rules.targets(model)
    if not found:
        raise ValueError(f"`model` has no layer to quantize. Received: {model.name!r}")
    chosen = rules.resolve(found, layers)
    check_dtypes(found, chosen, most_bits(plan))
    code = evaluation_code(evaluation)
    check_dtypes(found, chosen, evaluated_bits(code, plan), f"{evaluation=}")
    for name, value in (("symmetric", symmetric), ("products", products)):
        if not isinstance(value, bool):
            raise TypeError(f"`{name}` must be True or False. Received: {value!r}")
    check_optimizer(optimizer)
    seed = _validate.integer("seed", seed)
    declared = declarations(model, macs)
    multiplied = [layer for layer, _ in counted_layers(model, found, declared)] if products else []
    for layer in multiplied:
        check_product(layer)
    held = [rules.PRODUCT] * len(multiplied)
    check_dtypes(multiplied, held, most_bits(plan))
    check_dtypes(multiplied, held, evaluated_bits(code, plan), f"{evaluation=}")
    if not multiplied or activations is gradients is None:
        check_some(found, chosen, plan, layers)
    strategy = getattr(model, "_distribute_strategy", None) or tf.distribute.get_strategy()
    with strategy.scope():
        handle = Quantized(
            model, found, chosen, plan, code, symmetric, seed, optimizer, declared, products
        )
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
