"""What low precision saves: operations on bits, counted as if the hardware had them.

With M forward MACs, and q_w, q_a and q_g bits of weights, activations and gradients, a layer costs

- forward ``M q_w q_a``,
- for the gradient of its inputs ``M q_w q_g``,
- for the gradient of its weights ``M q_a q_g``

bit operations (BitOPs) a step. What is not quantized counts with the bits of its dtype. This is a
count of what hardware with such numbers would do: on other hardware a quantized step is slower.

Source: Fu et al., FracTrain (arXiv 2012.13113), released code; CPT (arXiv 2101.09868), where both
q_w and q_a are q: ``M (q^2 + 2 q q_g)``. As there, the first layer's unneeded gradient is counted,
and so is that of frozen weights.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_sched import _validate
from keras_sched._extras import load
from keras_sched.precision.checks import LOWEST, check_schedule, whole_bits
from keras_sched.schedules import Constant, Schedule

if TYPE_CHECKING:
    import rich.table

__all__ = ["EMULATED", "Cost", "LayerCost", "predicted_cost"]

EMULATED = "Emulated: counted as if the hardware computed with these bits; no time is saved here."
_FULL = 32


@dataclasses.dataclass(frozen=True)
class LayerCost:
    """The cost of one layer.

    Attributes:
        path: The layer.
        quantized: Whether any quantizer is on it.
        macs: Its forward MACs over all examples.
        forward: BitOPs of its outputs.
        input_gradient: BitOPs of the gradient of its inputs.
        weight_gradient: BitOPs of the gradient of its weights.
    """

    path: str
    quantized: bool
    macs: float
    forward: float
    input_gradient: float
    weight_gradient: float

    @property
    def train(self) -> float:
        """BitOPs of training: all three products."""
        return self.forward + self.input_gradient + self.weight_gradient


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of a training so far, by layer.

    Attributes:
        layers: The layers that were counted.
        uncounted: Paths of layers whose operations cannot be told, as of a kind unknown or within a
            loop; they are in no sum.

    Raises:
        ValueError: By every number, if there are such layers and no other multiplies; by every
            ratio, before the first step.

    Example:
        >>> layer = LayerCost("dense", True, 100.0, 6400.0, 6400.0, 6400.0)
        >>> cost = Cost((layer,))
        >>> cost.bitops_train, cost.relative_to_fp32, cost.effective_bits
        (19200.0, 0.0625, 8.0)
        >>> cost.relative_to_static(8)
        1.0
    """

    layers: tuple[LayerCost, ...]
    uncounted: tuple[str, ...] = ()

    @property
    def is_counted(self) -> bool:
        """Whether there is a cost to tell: False if none of the layers could be counted."""
        return not self.uncounted or any(layer.macs for layer in self.layers)

    @property
    def macs(self) -> float:
        """Forward MACs."""
        return self._sum("macs")

    @property
    def bitops_forward(self) -> float:
        """BitOPs of the forward passes."""
        return self._sum("forward")

    @property
    def bitops_train(self) -> float:
        """BitOPs of forward and backward passes."""
        return self._sum("train")

    @property
    def relative_to_fp32(self) -> float:
        """BitOPs of training over those in float32."""
        return self._ratio(_products(_FULL, _FULL) * self.macs)

    def relative_to_static(self, bits: int, *, gradient_bits: int | None = None) -> float:
        """Return the BitOPs of training over those of static widths in the quantized layers.

        Args:
            bits: Bits of weights and activations, in [2, 32]; 32 is full precision.
            gradient_bits: Bits of gradients, likewise; as many as `bits` if None.

        Raises:
            TypeError: If a number is none.
            ValueError: If a number is not whole or out of range.
        """
        q = _width("bits", bits)
        each = _products(q, q if gradient_bits is None else _width("gradient_bits", gradient_bits))
        quantized = self.quantized_only()
        static = self.bitops_train - quantized.bitops_train + each * quantized.macs
        return self._ratio(static)

    @property
    def effective_bits(self) -> float:
        """The one width that would cost the same: ``32 sqrt(relative_to_fp32)``."""
        return _FULL * math.sqrt(self.relative_to_fp32)

    def quantized_only(self) -> Cost:
        """Return the cost of the quantized layers, which is what the papers print."""
        return Cost(tuple(layer for layer in self.layers if layer.quantized), self.uncounted)

    def summary(self) -> dict[str, Any]:
        """Return the sums as JSON-able values, over all layers and over the quantized ones.

        A ratio is None before the first step, and so is every sum over layers not counted.

        Raises:
            ValueError: If no layer could be counted; ask `is_counted` before.
        """
        self._sum("macs")
        return {
            "note": EMULATED,
            "all_layers": _sums(self),
            "quantized_layers": _sums(self.quantized_only()),
            "uncounted": list(self.uncounted),
        }

    def table(self) -> rich.table.Table:
        """Return the cost by layer, to print with rich.

        Raises:
            ImportError: If rich is not installed.
        """
        tables = load("rich.table", what="`Cost.table`", extra="trainers")
        table = tables.Table(
            title="Cost of training", caption=EMULATED, title_justify="left", caption_justify="left"
        )
        # What is too long for the terminal goes on in the next line; nothing is cut.
        table.add_column("layer", overflow="fold")
        for name in ("MACs", "BitOPs forward", "BitOPs training", "of float32"):
            table.add_column(name, justify="right", overflow="fold")
        for layer in self.layers:
            table.add_row(layer.path, *_numbers(Cost((layer,))))
        table.add_section()
        table.add_row("quantized layers", *_numbers(self.quantized_only()))
        table.add_row("all", *_numbers(self))
        for path in self.uncounted:
            table.add_row(path, "not counted", "", "", "")
        return table

    def _sum(self, name: str) -> float:
        if not self.is_counted:
            raise ValueError(
                f"The cost cannot be told, as the operations of no layer are known. Received: "
                f"{', '.join(self.uncounted)}. Say how many multiplications one example takes, as "
                f"`quantize(..., macs={{{self.uncounted[0]!r}: 1000}})`, or by a method "
                f"`macs(inputs, outputs)` of the layer; a layer in a loop of the graph cannot be "
                f"counted."
            )
        return sum(getattr(layer, name) for layer in self.layers)

    def _ratio(self, full: float) -> float:
        if not full:
            raise ValueError(
                "There is no ratio before anything is multiplied. Received: 0 MACs. Train a step "
                "first."
            )
        return self.bitops_train / full


def _products(q: Any, g: Any) -> Any:
    """Return the BitOPs of one MAC, forward and backward, at q bits forward and g backward."""
    return q * q + 2 * q * g


def predicted_cost(
    forward: Schedule | int, *, gradients: Schedule | int | None, steps: int
) -> dict[str, float]:
    """Return what a bit-width schedule will cost, before any training.

    The mean over steps of ``(q^2 + 2 q q_g) / (3 32^2)``, with the same bits q for weights and
    activations, over every layer that is quantized.

    Args:
        forward: Bits of weights and activations; a schedule, or one number.
        gradients: Bits of gradients; None for full precision.
        steps: Steps of the run, at least 1; a schedule without a length takes them.

    Returns:
        "relative_to_fp32"; "relative_to_static", over the highest bits of `forward` and the
        highest of `gradients` at every step; and "effective_bits".

    Raises:
        TypeError: If an argument is neither schedule nor number.
        ValueError: If a number of bits is not whole or out of [2, 16], or `steps` is below 1.

    Example:
        >>> import keras_sched as ks
        >>> cost = predicted_cost(ks.precision.cr(3, bits_max=8), gradients=8, steps=64_000)
        >>> round(100 * (1 - cost["relative_to_static"]), 1)
        36.7

    References:
        CPT (arXiv 2101.09868), figures: 36.67 % for 3-8 bits.
    """
    at = np.arange(_validate.integer("steps", steps, low=1))
    q = _bits_at("forward", forward, at)
    g = (
        np.full(len(at), float(_FULL))
        if gradients is None
        else _bits_at("gradients", gradients, at)
    )
    spent = float(np.mean(_products(q, g)))
    relative = spent / _products(_FULL, _FULL)
    return {
        "relative_to_fp32": relative,
        "relative_to_static": spent / float(_products(q.max(), g.max())),
        "effective_bits": _FULL * math.sqrt(relative),
    }


def _width(name: str, bits: int) -> int:
    return int(_validate.real(name, _validate.integer(name, bits), low=LOWEST, high=_FULL))


def _bits_at(name: str, bits: Schedule | int, at: np.ndarray) -> np.ndarray:
    schedule = bits if isinstance(bits, Schedule) else Constant(whole_bits(name, bits))
    schedule = schedule.resolve(len(at))
    check_schedule(name, schedule)
    return schedule(at).astype(np.float64)


def _sums(cost: Cost) -> dict[str, float | None]:
    has_ratio = cost.is_counted and cost.macs > 0
    return {
        "macs": cost.macs if cost.is_counted else None,
        "bitops_forward": cost.bitops_forward if cost.is_counted else None,
        "bitops_train": cost.bitops_train if cost.is_counted else None,
        "relative_to_fp32": cost.relative_to_fp32 if has_ratio else None,
        "effective_bits": cost.effective_bits if has_ratio else None,
    }


def _numbers(cost: Cost) -> list[str]:
    if not cost.is_counted:
        return ["not counted", "", "", ""]
    share = f"{100 * cost.relative_to_fp32:.1f} %" if cost.macs else ""
    values: list[Any] = [cost.macs, cost.bitops_forward, cost.bitops_train]
    return [*(f"{value:.3g}" for value in values), share]
