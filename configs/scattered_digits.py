"""A small detector of scikit-learn's digits on pages: the embedded default, without a download.

Source:    none; it shows that everything works.
Command:   python -m trainers.detection
Cost:      67 s on two cores of an x86-64 server CPU, start included; mean average precision at an
           overlap of one half 0.961 with seed 0.
Published: none. A reduced-scale setting: its numbers say nothing about Pascal VOC.
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.detection import Detector


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Detector,
        name="scattered_digits",
        epochs=12,
        batch_size=16,
        optimizer="adam",
        learning_rate=2e-3,
        l2=0.0,
        evaluate_every=3,
    )
