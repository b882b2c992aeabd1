"""How a setting is written: what it changes in the defaults of its family's options."""

from typing import Any

from ml_collections import ConfigDict

from trainers.options.classification import Classification
from trainers.options.flags import config_dict_of

__all__ = ["setting"]


def setting(**changes: Any) -> ConfigDict:
    """Return a setting of image classification: the options' defaults with `changes`.

    The defaults are those that the papers share: momentum SGD, batches of 128, 300 epochs, REX.
    """
    return config_dict_of(Classification, changes)
