"""ResNet-18 on scikit-learn's digits: the embedded default, without a download.

Source:    none; it shows that everything works.
Command:   python -m trainers.imagenet
Cost:      35 s on two cores of an x86-64 server CPU, start included; accuracy 0.983 with seed 0.
Published: none. A reduced-scale setting: its numbers say nothing about ImageNet.
"""

from ml_collections import ConfigDict

from configs.base import setting


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        name="rn18_digits",
        dataset="digits",
        model="resnet18",
        epochs=6,
        batch_size=64,
        learning_rate=0.05,
    )
