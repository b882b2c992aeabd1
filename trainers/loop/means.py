"""Running means of losses and metrics, right over as many examples as there are.

The sums of a batch are added in float32 within the compiled step. After some thousand batches they
are taken over by the host, in float64: a float32 sum that goes on stops at 16.8 million examples.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

__all__ = ["FOLDED_AFTER", "Means"]

# Batches after which the host takes the sums: what float32 loses on so many is about 1e-5 of them.
FOLDED_AFTER = 1024


class Means:
    """The running means of training, and of each evaluation.

    Args:
        names: The names of the means by phase: the name of an evaluation, or None for training.
        counts: The names of those that are counts: how many are right of how many.

    Attributes:
        variables: Every `keras.metrics.Mean` by its name in logs, as "val_loss".
    """

    def __init__(
        self, names: Mapping[str | None, Sequence[str]], counts: Collection[str] = ()
    ) -> None:
        self._counts = frozenset(counts)
        self._means = {
            phase: {name: keras.metrics.Mean(name=prefixed(phase, name)) for name in mine}
            for phase, mine in names.items()
        }
        self.variables: dict[str, keras.metrics.Mean] = {
            prefixed(phase, name): mean
            for phase, mine in self._means.items()
            for name, mean in mine.items()
        }
        self._folded: dict[str | None, np.ndarray] = {
            phase: np.zeros([2, len(mine)]) for phase, mine in names.items()
        }
        self._make_functions()

    def update(
        self, phase: str | None, name: str, values: tf.Tensor, weights: tf.Tensor | None
    ) -> None:
        """Add values, and their weights if they do not weigh 1 each; called in the trace."""
        self._means[phase][name].update_state(values, sample_weight=weights)

    def of(self, phase: str | None) -> dict[str, float]:
        """Return the means of a phase by name."""
        totals, counts = self._folded[phase] + self._sums(phase)
        # Of nothing there is no mean.
        means = np.divide(totals, counts, out=np.full_like(totals, np.nan), where=counts != 0.0)
        # As float32 divides: sums that never left the step give what they always gave. Counts are
        # whole numbers, and known exactly.
        rounded = means.astype(np.float32)
        return {
            name: float(means[i] if name in self._counts else rounded[i])
            for i, name in enumerate(self._means[phase])
        }

    def counted(self, phase: str | None) -> dict[str, int]:
        """Return by its name of how many each count of a phase is.

        Raises:
            ValueError: If one is no count.
        """
        sums = self._folded[phase] + self._sums(phase)
        found = {}
        for name, total, count in zip(self._means[phase], *sums.tolist(), strict=True):
            if name in self._counts:
                if not (total.is_integer() and count.is_integer() and 0.0 <= total <= count):
                    raise ValueError(
                        f"A metric with `is_count` must have values and weights that are 0 or 1. "
                        f"Received: {name!r} with a sum of {total:g} over weights of {count:g}"
                    )
                found[name] = int(count)
        return found

    def fold(self, phase: str | None) -> None:
        """Take the sums of a phase over to the host."""
        self._folded[phase] += self._sums(phase)
        self._reset(phase)

    def reset(self, phase: str | None) -> None:
        """Begin the means of a phase anew."""
        self._folded[phase][:] = 0.0
        self._reset(phase)

    def reset_all(self) -> None:
        """Begin all of them anew."""
        for phase in self._means:
            self.reset(phase)

    def get_state(self) -> list[list[float]]:
        """Return what the host holds of training, for a checkpoint within an epoch."""
        found: list[list[float]] = self._folded[None].tolist()
        return found

    def set_state(self, state: Sequence[Sequence[float]]) -> None:
        """Take over what `get_state` returned.

        Raises:
            ValueError: If it is of other means.
        """
        mine, sums = self._folded[None], np.asarray(state, np.float64)
        if sums.shape != mine.shape:  # NumPy would spread one over all.
            raise ValueError(f"Sums must be of shape {mine.shape}. Received: {sums.shape}")
        mine[:] = sums

    def _sums(self, phase: str | None) -> np.ndarray:
        """Return the sums of values and of weights that the step holds."""
        if not self._means[phase]:
            return np.zeros([2, 0])
        return np.asarray(self._readers[phase](), np.float64)

    def _make_functions(self) -> None:
        """Make traced functions to read and reset: op by op it outlasts a short epoch."""

        # One for each phase: of one that is traced for all TensorFlow warns.
        self._readers = {phase: _reader(mine) for phase, mine in self._means.items()}
        self._resetters = {phase: _resetter(mine) for phase, mine in self._means.items()}

    def _reset(self, phase: str | None) -> None:
        self._resetters[phase]()


def _reader(means: Mapping[str, keras.metrics.Mean]) -> Callable[[], tf.Tensor]:
    @tf.function(autograph=False)
    def read() -> tf.Tensor:
        mine = means.values()
        parts = [[_value(mean.total) for mean in mine], [_value(mean.count) for mean in mine]]
        return tf.stack([tf.stack(part) for part in parts])

    return read


def _resetter(means: Mapping[str, keras.metrics.Mean]) -> Callable[[], None]:
    @tf.function(autograph=False)
    def reset() -> None:
        for mean in means.values():
            mean.reset_state()

    return reset


def _value(variable: Any) -> tf.Tensor:
    return tf.identity(keras.ops.convert_to_tensor(variable))


def prefixed(phase: str | None, name: str) -> str:
    """Return the name that a mean has in logs and records."""
    return name if phase is None else f"{phase}_{name}"
