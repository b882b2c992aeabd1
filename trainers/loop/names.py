"""Names that Keras counts over all that a process makes, begun anew."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Iterator

# What Keras has counted of each kind of object has no public name.
from keras.src.backend.common import global_state

__all__ = ["names_anew"]

_COUNTED = "object_name_uids"


@contextlib.contextmanager
def names_anew() -> Iterator[None]:
    """Let what is made within have the names that it has in a new process.

    Keras numbers layers, optimizers and variables over all models of a process: without this a
    pattern of names would mean other layers in the second training of a process than in the first.
    And TensorFlow keeps for good what it has prepared to make a variable of each name: 36 kB.
    """
    before = global_state.get_global_attribute(_COUNTED)
    global_state.set_global_attribute(_COUNTED, collections.defaultdict(int))
    try:
        yield
    finally:
        global_state.set_global_attribute(_COUNTED, before)
