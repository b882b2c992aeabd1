"""What data sets share whose images are read by their number: their parts."""

from __future__ import annotations

import dataclasses
from typing import Any, Generic, Self, TypeVar

import numpy as np

from trainers.datasets.images import HELD_OUT, check_split

__all__ = ["Part", "PartOf", "Parted"]


@dataclasses.dataclass(frozen=True)
class Part:
    """Images of a source: all of them, or some.

    Attributes:
        source: Gives an image by its number.
        numbers: Which of them, int64 of shape `(n,)`.
    """

    source: Any
    numbers: np.ndarray

    def of(self, chosen: np.ndarray) -> Self:
        """Return those at some places."""
        return dataclasses.replace(self, numbers=self.numbers[chosen])


PartOf = TypeVar("PartOf", bound=Part)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parted(Generic[PartOf]):
    """A data set of images to train on, and images to be evaluated with.

    Args:
        description: What it is, for people.
        train_part: Images to train on.
        test_part: Test images.
        val_part: Held-out images; None where there are none.
    """

    description: str
    train_part: PartOf = dataclasses.field(repr=False)
    test_part: PartOf = dataclasses.field(repr=False)
    val_part: PartOf | None = dataclasses.field(default=None, repr=False)

    @property
    def num_train(self) -> int:
        """Number of training images."""
        return len(self.train_part.numbers)

    def split(self, name: str) -> Self:
        """Return what to train on and what to be evaluated with; see `Images.split`.

        Raises:
            ValueError: If the name is unknown.
        """
        check_split(name)
        if name == "test":
            return self
        held = np.arange(self.num_train) % HELD_OUT == 0
        none = np.zeros(0, np.int64)
        return dataclasses.replace(
            self,
            description=f"{self.description}, every tenth of the former held out",
            train_part=self.train_part.of(~held),
            val_part=self.train_part.of(held),
            test_part=self.test_part if name == "both" else self.test_part.of(none),
        )

    def evaluated(self, evaluation: str) -> PartOf:
        """Return the images of "test" or "val".

        Raises:
            ValueError: If there are none.
        """
        part = {"test": self.test_part, "val": self.val_part}.get(evaluation)
        if part is None or not len(part.numbers):
            raise ValueError(
                f"`evaluation` must be one that has images. Received: evaluation={evaluation!r} of "
                f"{self.description}"
            )
        return part
