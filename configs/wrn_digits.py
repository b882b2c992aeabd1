"""A small wide ResNet on scikit-learn's digits: the embedded default, without a download.

Source:    none; it shows that everything works.
Command:   python -m trainers.stl10
Cost:      24 s on two cores of an x86-64 server CPU, start included; accuracy 0.981 with seed 0.
Published: none. A reduced-scale setting: its numbers say nothing about STL-10.
"""

from ml_collections import ConfigDict

from configs.base import setting


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        name="wrn_digits",
        dataset="digits",
        model="wide_resnet10_1",
        epochs=12,
        batch_size=64,
        learning_rate=0.05,
        l2=5e-4,
        steps_per_call=11,
    )
