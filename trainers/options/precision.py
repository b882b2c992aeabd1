"""What every configuration says of numeric precision: bits by schedule, and a dtype policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from trainers.options.fields import Options, option, shown

__all__ = ["NONE", "Precision", "ProductPrecision"]

NONE = "none"
_LEAST, _MOST = 2, 16


@dataclasses.dataclass(frozen=True)
class Precision(Options):
    """Bits of weights, activations and gradients, and the dtype policy."""

    precision_schedule: str = option(
        NONE, "Schedule of the bits, as 'cr'; 'none' for full precision.", flag=True
    )
    precision_options: Mapping[str, Any] = option({}, "Further options of that schedule.")
    bits_min: int = option(
        3, "Fewest bits of weights and activations.", low=_LEAST, high=_MOST, flag=True
    )
    bits_max: int = option(
        8, "Most bits; those of the schedule 'static'.", low=_LEAST, high=_MOST, flag=True
    )
    gradient_bits: int = option(
        8, "Bits of gradients; 0 for full precision.", low=0, high=_MOST, flag=True
    )
    cycles: int = option(8, "Cycles of the schedule of bits.", low=1, high=1_000_000, flag=True)
    quantized_layers: str = option(
        "cpt_cifar", "Which layers are quantized; see `ks.precision.quantize`."
    )
    evaluation_bits: str | int = option(
        "max",
        "Bits of evaluation: the highest of the schedule, those of the present step, or a number.",
        choices=("max", "current"),
        low=_LEAST,
        high=_MOST,
    )
    policies: tuple[str, ...] = option(
        (), "Dtype policies, one after another, as 'mixed_bfloat16'; none for float32.", flag=True
    )
    policy_lengths: tuple[str, ...] = option(
        (),
        "How long each policy lasts, as '0.9dur'; the last may have no length, for the rest.",
        flag=True,
    )

    @property
    def products(self) -> bool:
        """Whether products without weights are quantized too; most networks have none."""
        return False

    def check(self) -> None:
        if self.precision_options and self.precision_schedule == NONE:
            raise ValueError(
                f"`precision_options` must be empty without a schedule of the bits. Received: "
                f"precision_options={shown(self.precision_options)}, precision_schedule={NONE!r}"
            )
        if self.gradient_bits == 1:
            raise ValueError(
                f"`gradient_bits` must be 0, for full precision, or at least {_LEAST}. "
                f"Received: gradient_bits=1"
            )
        if not 0 <= len(self.policies) - len(self.policy_lengths) <= bool(self.policies):
            raise ValueError(
                f"`policy_lengths` must have a length for each policy; the last may have none. "
                f"Received: policies={shown(self.policies)}, "
                f"policy_lengths={shown(self.policy_lengths)}"
            )


@dataclasses.dataclass(frozen=True)
class ProductPrecision(Precision):
    """As `Precision`, of networks that may have products without weights."""

    quantized_products: bool = option(
        False,
        "Whether products without weights are quantized too: those of an attention, and the sums "
        "over the neighbours in a graph.",
        flag=True,
    )

    @property
    def products(self) -> bool:
        return self.quantized_products

    def check(self) -> None:
        super().check()
        if self.quantized_products and self.precision_schedule == NONE:
            raise ValueError(
                f"`quantized_products` must be False without a schedule of the bits. Received: "
                f"quantized_products=True, precision_schedule={NONE!r}"
            )
