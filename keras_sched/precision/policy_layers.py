"""Which layers a dtype policy by schedule governs, and the policies it found them with."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import keras

from keras_sched.precision.attach import find
from keras_sched.precision.checks import MOST_BITS
from keras_sched.precision.phases import POLICIES
from keras_sched.precision.rules import walk

__all__ = ["GovernedLayers", "patterns"]


class GovernedLayers:
    """The layers of a model that follow the phases, those held in float32, and their policies."""

    def __init__(self, model: keras.Model, exclude: Sequence[re.Pattern[str]] | None) -> None:
        self.model = model
        every = walk(model)
        excluded = _output_layers(model)[0] if exclude is None else _matching(every, exclude)
        if exclude is None:
            _warn_of_inner(every, excluded)
        left = {id(part) for layer in excluded for part in walk(layer)}
        self._governed = [layer for layer in every if id(layer) not in left and _computes(layer)]
        _check_one_policy(self._governed)
        # A model is no layer that computes: it governs what is written in its `call` at most.
        if not any(not isinstance(layer, keras.Model) for layer in self._governed):
            raise ValueError(
                f"No layer is left to change the policy of in {model.name!r}. Received: all of "
                f"them excluded, or none that computes. Expected, to have the output layers in it: "
                f"`exclude=[]`"
            )
        self._held = [
            layer
            for layer in every
            if exclude is None and id(layer) in left and _is_plain(layer.dtype_policy)
        ]
        self._found = [(layer, layer.dtype_policy) for layer in (*self._governed, *self._held)]

    @property
    def held(self) -> tuple[str, ...]:
        """Paths of the layers that are held in float32."""
        return tuple(layer.path or layer.name for layer in self._held)

    @property
    def key(self) -> tuple[int, ...]:
        """Equal for the same layers of the same model."""
        return (*map(id, self._governed), 0, *map(id, self._held))

    def assign(self, policy: str) -> None:
        """Give the layers that are governed a policy."""
        # A new object for each: Keras gives many layers the same one.
        for layer in self._governed:
            layer.dtype_policy = keras.DTypePolicy(policy)
        for layer in self._held:
            layer.dtype_policy = keras.DTypePolicy("float32")

    def restore(self) -> None:
        """Give every layer back the policy that it had."""
        for layer, policy in self._found:
            layer.dtype_policy = policy

    def check_bits(self, names: set[str]) -> None:
        """Raise a ValueError for policies in which the levels of a quantized model coincide."""
        handle = find(self.model)
        if handle is None:
            return
        governed = {id(layer) for layer in self._governed}
        for name in sorted(names):
            dtype = keras.DTypePolicy(name).compute_dtype
            for layer, bits in handle.most_bits():
                if id(layer) in governed and bits > MOST_BITS.get(dtype, bits):
                    raise ValueError(
                        f"{layer.path!r} is quantized to up to {bits} bits, and {name!r} holds "
                        f"levels of at most {MOST_BITS[dtype]}. Received: policy={name!r}. "
                        f"Quantize to fewer bits, or train in 'float32'."
                    )


def _computes(layer: keras.layers.Layer) -> bool:
    """Whether a policy matters to a layer: not to inputs, nor to those for integers or texts."""
    if isinstance(layer, keras.layers.InputLayer):
        return False
    return _is_plain(layer.dtype_policy) or "float" in (layer.compute_dtype or "float")


def _is_plain(policy: Any) -> bool:
    is_stock = type(policy) in (keras.DTypePolicy, keras.FloatDTypePolicy)
    return is_stock and policy.name in POLICIES


def _check_one_policy(layers: Sequence[keras.layers.Layer]) -> None:
    kinds: dict[str, list[str]] = {}
    for layer in layers:
        is_plain = _is_plain(layer.dtype_policy)
        # A model that was loaded has the global policy, whatever its layers have.
        if not (is_plain and isinstance(layer, keras.Model)):
            name = layer.dtype_policy.name if is_plain else repr(layer.dtype_policy)
            kinds.setdefault(name, []).append(layer.path or layer.name)
    if len(kinds) <= 1 and set(kinds) <= set(POLICIES):
        return
    shown = "; ".join(
        f"{name}: {', '.join(paths[:5])}{' ...' if len(paths) > 5 else ''}"
        for name, paths in kinds.items()
    )
    raise ValueError(
        f"All layers must begin with the same policy, one of {', '.join(POLICIES)}. "
        f"Received: {shown}. Name those to leave as they are, and the output layer: "
        f"`PrecisionPolicy(..., exclude=[...])`"
    )


def patterns(exclude: Any) -> list[re.Pattern[str]]:
    """Return the patterns of `exclude`, or raise a TypeError or ValueError."""
    if isinstance(exclude, str) or not isinstance(exclude, Iterable):
        raise TypeError(
            f"`exclude` must be a list of regular expressions. Received: exclude={exclude!r}"
        )
    try:
        return [re.compile(pattern) for pattern in exclude]
    except (re.error, TypeError) as error:
        raise ValueError(
            f"`exclude` must be a list of regular expressions. Received: exclude={exclude!r} "
            f"({error})"
        ) from error


def _matching(
    layers: Sequence[keras.layers.Layer], patterns: Sequence[re.Pattern[str]]
) -> list[keras.layers.Layer]:
    found = []
    for pattern in patterns:
        matches = [
            layer
            for layer in layers
            if pattern.fullmatch(layer.name) or pattern.fullmatch(layer.path or layer.name)
        ]
        if not matches:
            raise ValueError(
                f"`exclude` names no layer. Received: {pattern.pattern!r}. Expected a regular "
                f"expression for one of: {', '.join(layer.path or layer.name for layer in layers)}"
            )
        found += matches
    return found


def _goes_on(layer: keras.layers.Layer, ends: set[int]) -> bool:
    """Whether a layer, or one of those within it if there are any, is not held."""
    parts = walk(layer)
    return any(id(part) not in ends for part in parts[1:] or parts)


def _warn_of_inner(every: Sequence[keras.layers.Layer], held: Sequence[keras.layers.Layer]) -> None:
    """Warn of layers held in float32 whose values go on to layers that are not."""
    ends = {id(part) for layer in held for part in walk(layer)}
    inner = []
    for model in every:
        own = {id(operation) for operation in getattr(model, "operations", ())}
        for operation in getattr(model, "operations", ()):
            nodes = operation._outbound_nodes if id(operation) in ends else ()
            users = [node.operation for node in nodes if id(node.operation) in own]
            if any(_goes_on(user, ends) for user in users if isinstance(user, keras.layers.Layer)):
                inner.append(operation.path or operation.name)
    if inner:
        warnings.warn(
            f"Layers in the middle of the model are held in float32, as they lead to an output, "
            f"and lower precision begins anew behind them. Received: {', '.join(inner)}. To say "
            f"which layers are held, give `PrecisionPolicy(..., exclude=[...])`.",
            stacklevel=2,
        )


def _output_layers(
    model: keras.Model, only: int | None = None
) -> tuple[list[keras.layers.Layer], bool]:
    """Return the layers from the outputs back to the last weight matrix, and whether it has any.

    With `only` those of one output, the others being used elsewhere or not at all.
    """
    found: list[keras.layers.Layer] = []
    ends_all = False
    outputs = getattr(model, "outputs", None)
    if not outputs:
        for layer in reversed(model.layers):
            part, ends = _last_of(layer, None)
            found += part
            if ends:
                return found, True
        return found, False
    pending = keras.tree.flatten(outputs)
    pending = pending if only is None else [pending[only]]
    seen: set[tuple[int, int, int]] = set()
    while pending:
        operation, index, of = pending.pop()._keras_history
        inputs = operation._inbound_nodes[index].input_tensors
        if (id(operation), index, of) in seen or not inputs:
            continue
        seen.add((id(operation), index, of))
        part, ends = _last_of(operation, of)
        found += [layer for layer in part if layer not in found]
        ends_all |= ends
        if not ends:
            pending += inputs
    return found, ends_all


def _last_of(operation: Any, output: int | None) -> tuple[list[keras.layers.Layer], bool]:
    """Return the last layers of an operation that lead to one of its outputs, or to all."""
    if isinstance(operation, keras.Model):
        return _output_layers(operation, output if getattr(operation, "outputs", None) else None)
    if not isinstance(operation, keras.layers.Layer):
        return [], False
    return [operation], any(len(weight.shape) >= 2 for weight in operation.weights)
