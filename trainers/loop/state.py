"""Everything that a training must remember to go on to the bit, in one list.

The variables of the model, among them the states of its random seed generators and what its batch
normalisation has seen; those of the optimizer, of a wrapper that scales the loss, and of the parts
of a `MultiOptimizer`; what quantizers of the model have seen and counted; those of the running
means of the epoch; and the counters of the loop. Layers
must draw from seed generators of their own (Keras' do): a generator of the whole process is not in
any variable. Schedules have no state. The order of the data is a function of seed and step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import keras
import numpy as np

from keras_sched import precision
from trainers.loop.checkpoints import CheckpointError

__all__ = ["inventory", "restore", "snapshot"]

_Key = TypeVar("_Key")


def inventory(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    means: Mapping[str, keras.metrics.Metric],
    counters: Mapping[str, Any],
) -> dict[str, Any]:
    """Return every variable of a training by a name that is the same in every process.

    Args:
        model: The model, built.
        optimizer: The optimizer, built.
        means: The running means of the epoch by name.
        counters: The variables of the loop by name.
    """
    found: dict[str, Any] = {}
    found.update(_numbered("model", model.variables))
    found.update(_numbered("optimizer", optimizer.variables))
    quantized = precision.find(model)
    if quantized is not None:
        found.update(_numbered("precision", quantized.variables))
    for name, metric in means.items():
        found.update(_numbered(f"means/{name}", metric.variables))
    found.update({f"loop/{name}": variable for name, variable in counters.items()})
    return found


def _numbered(group: str, variables: Iterable[Any]) -> dict[str, Any]:
    """Number variables: their paths are not unique, and counted within a process."""
    return {f"{group}/{number:04d}": variable for number, variable in enumerate(variables)}


def snapshot(variables: Mapping[_Key, Any]) -> dict[_Key, np.ndarray]:
    """Return the values of variables."""
    return {name: np.array(_tensor(variable)) for name, variable in variables.items()}


def restore(variables: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Give variables their saved values: all of them, or none.

    Raises:
        CheckpointError: If names, shapes or types are not the same.
    """
    missing, surplus = set(variables) - set(arrays), set(arrays) - set(variables)
    both = sorted(set(variables) & set(arrays))
    values = {name: _typed(arrays[name], _dtype(variables[name])) for name in both}
    misshapen = [name for name in both if tuple(variables[name].shape) != values[name].shape]
    mistyped = [name for name in both if values[name].dtype != _dtype(variables[name])]
    if missing or surplus or misshapen or mistyped:
        raise CheckpointError(
            f"The checkpoint must hold the variables of this model and optimizer. Missing: "
            f"{sorted(missing)}; unknown: {sorted(surplus)}; of another shape: {misshapen}; of "
            f"another type: {mistyped}"
        )
    for name, variable in variables.items():
        variable.assign(values[name])


def _dtype(variable: Any) -> np.dtype:
    return np.dtype(keras.backend.standardize_dtype(variable.dtype))


def _typed(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Give an array the type that its file has no name for: bfloat16 is none of NumPy's own."""
    is_nameless = array.dtype.type is np.void and array.dtype.names is None
    return array.view(dtype) if is_nameless and array.dtype.itemsize == dtype.itemsize else array


def _tensor(variable: Any) -> Any:
    return keras.ops.convert_to_tensor(variable)
