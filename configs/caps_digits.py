"""A small capsule network on scikit-learn's digits: the embedded default, without a download.

Source:    none; it shows that everything works.
Command:   python -m trainers.capsnet
Cost:      22 s on two cores of an x86-64 server CPU, start included; accuracy 0.986 with seed 0.
Published: none. A reduced-scale setting: its numbers say nothing about Fashion-MNIST.
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.capsnet import Capsules


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Capsules,
        name="caps_digits",
        channels=16,
        primary=2,
        epochs=10,
        batch_size=32,
        optimizer="adam",
        learning_rate=3e-3,
        l2=0.0,
    )
