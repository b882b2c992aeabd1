"""Products that need no weights: those of an attention, and of layers that declare them.

They are counted; with ``quantize(..., products=True)`` their factors are rounded as activations
are, and the gradients of what they give as gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_sched._patch import wrap
from keras_sched.precision.bits import BitWidth
from keras_sched.precision.macs import first_name, first_of, product_macs
from keras_sched.precision.passes import (
    Factor,
    Handle,
    Pass,
    Product,
    bits_of,
    is_symbolic,
    mapped,
    with_first,
)

__all__ = ["CountedLayer", "QuantizedAttention", "QuantizedProduct", "check", "factors"]

# Query, key, value, and the scores that values are weighted with.
_OF_ATTENTION = 4


def check(layer: keras.layers.Layer) -> None:
    """Check that the products of a layer can be rounded.

    Raises:
        ValueError: If not, with what to do.
    """
    known = keras.layers.MultiHeadAttention
    others = keras.layers.Attention | keras.layers.GroupQueryAttention
    is_own = isinstance(layer, known) and type(layer)._compute_attention is known._compute_attention
    if isinstance(layer, known | others) and not is_own:
        raise ValueError(
            f"`products` can be True for `keras.layers.MultiHeadAttention`, and for layers without "
            f"weights that declare `macs`. Received: {type(layer).__name__} at {layer.path!r}"
        )


def factors(layer: keras.layers.Layer) -> int:
    """Return how many ranges the products of a layer have."""
    return _OF_ATTENTION if isinstance(layer, keras.layers.MultiHeadAttention) else 1


class CountedLayer:
    """Wraps the call of a layer whose products no quantizer reaches, and counts them."""

    def __init__(
        self, layer: keras.layers.Layer, index: int, handle: Handle, declared: Any
    ) -> None:
        self.layer = layer
        self._index = index
        self._handle = handle
        self._declared = declared

    def __call__(self, inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call the layer."""
        if is_symbolic():
            return inner(*args, **kwargs)
        with self._handle.within_pass(args, kwargs) as current:
            outputs = self._called(inner, args, kwargs, current)
            if current.training:
                self._note_work(args, kwargs, outputs, current)
            return outputs

    def _called(self, inner: Callable[..., Any], args: Any, kwargs: Any, current: Pass) -> Any:
        return inner(*args, **kwargs)

    def _bits(self) -> tuple[BitWidth | int | None, BitWidth | int | None]:
        """Return the bits of factors and of gradients."""
        return None, None

    def _note_work(self, args: Any, kwargs: Any, outputs: Any, current: Pass) -> None:
        count = product_macs(self.layer, args, kwargs, outputs, self._declared)
        if count is None or not current.is_within:
            current.unknown.add(self._index)
            return
        factor, gradient = self._bits()
        bits = bits_of(self.layer, (factor, factor, gradient), current)
        current.work.append((self._index, count, bits))


class _QuantizedProducts(CountedLayer):
    """As `CountedLayer`, with the products rounded.

    Args:
        layer: The layer.
        index: Its number.
        first: The number of the first range of its factors.
        handle: As for `CountedLayer`.
        declared: Likewise.
        activations: Bits of the factors, or None.
        gradients: Bits of the gradients of the products, or None.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        index: int,
        first: int,
        handle: Handle,
        declared: Any,
        activations: BitWidth | int | None,
        gradients: BitWidth | int | None,
    ) -> None:
        super().__init__(layer, index, handle, declared)
        self._factors = [
            Factor(layer, first + number, handle, activations) for number in range(factors(layer))
        ]
        self._product = Product(layer, index, handle, gradients)

    def _bits(self) -> tuple[BitWidth | int | None, BitWidth | int | None]:
        return self._factors[0].bits, self._product.bits


class QuantizedProduct(_QuantizedProducts):
    """Wraps the call of a layer without weights: its first argument is what it multiplies."""

    def _called(self, inner: Callable[..., Any], args: Any, kwargs: Any, current: Pass) -> Any:
        name = first_name(self.layer)
        first = first_of(name, args, kwargs)
        (factor,) = self._factors
        rounded = mapped(lambda x: factor.rounded(x, current), first)
        outputs = with_first(name, rounded, inner, args, kwargs)()
        return mapped(lambda x: self._product.marked(x, current), outputs)


class QuantizedAttention(_QuantizedProducts):
    """Wraps the call of a `keras.layers.MultiHeadAttention`: both of its products are rounded.

    They are written out, as a fused kernel would hide the scores.
    """

    def _called(self, inner: Callable[..., Any], args: Any, kwargs: Any, current: Pass) -> Any:
        query, key, value, scores = self._factors

        def compute(
            inner: Callable[..., Any], q: Any, k: Any, v: Any, *args: Any, **kwargs: Any
        ) -> Any:
            given = (each.rounded(x, current) for each, x in ((query, q), (key, k), (value, v)))
            kwargs["return_attention_scores"] = True
            outputs, weights = inner(*given, *args[:2], **kwargs)
            return self._product.marked(outputs, current), weights

        def softmax(inner: Callable[..., Any], x: Any, *args: Any, **kwargs: Any) -> Any:
            weights = inner(self._product.marked(x, current), *args, **kwargs)
            return scores.rounded(weights, current)

        undo = [
            wrap(self.layer, "_compute_attention", compute),
            wrap(self.layer, "_masked_softmax", softmax),
        ]
        try:
            return inner(*args, **kwargs)
        finally:
            for each in reversed(undo):
                each()
