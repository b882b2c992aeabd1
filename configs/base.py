"""How a setting is written: what it changes in the defaults of its family's options."""

from typing import Any

from ml_collections import ConfigDict

from trainers.options.classification import Classification
from trainers.options.fields import Options
from trainers.options.flags import config_dict_of

__all__ = ["setting"]


def setting(family: type[Options] = Classification, /, **changes: Any) -> ConfigDict:
    """Return a setting: the defaults of a family's options with `changes`.

    The defaults are those that the papers share: momentum SGD, batches of 128, 300 epochs, REX.
    """
    return config_dict_of(family, changes)
