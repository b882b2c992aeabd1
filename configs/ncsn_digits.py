"""A small score network of scikit-learn's digits: the embedded default, without a download.

Source:    none; it shows that everything works.
Command:   python -m trainers.ncsn
Cost:      92 s on two cores of an x86-64 server CPU, start included; digits that one can read, of a
           Fréchet distance of pixels of 0.84 with seed 0.
Published: none. A reduced-scale setting: its numbers say nothing about CIFAR-10.
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.ncsn import Scores


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Scores,
        name="ncsn_digits",
        dataset="digits8",
        channels=16,
        cascades=2,
        epochs=30,
        batch_size=64,
        optimizer="adam",
        learning_rate=2e-3,
        l2=0.0,
        samples=64,
        sampling_steps=30,
    )
