"""A small ResNet on scikit-learn's digits: the embedded default, which needs no download.

Source:    none; it shows that everything works.
Command:   python -m trainers.cifar
Cost:      20 s on two cores of an x86-64 server CPU; accuracy 0.964 with seed 0.
Published: none. A reduced-scale setting: its numbers say nothing about CIFAR.
"""

from ml_collections import ConfigDict

from configs.base import setting


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        name="digits",
        dataset="digits",
        model="resnet8",
        epochs=12,
        batch_size=64,
        learning_rate=0.05,
        steps_per_call=11,
    )
