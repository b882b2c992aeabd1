"""A small ResNet on CIFAR-10: the papers' setting at a reduced scale.

Source:    none: `configs/rn20_cifar10.py` with ResNet-8 and few epochs.
Command:   python -m trainers.cifar --config=configs/cifar10_reduced.py --data_dir=DIR
Cost:      5 minutes 22 s on two cores of an x86-64 server CPU, start included; accuracy 0.758 with
           seed 0 on a copy of CIFAR-10 whose pixels are re-encoded as JPEG.
Published: none. A reduced-scale setting: its numbers say nothing about ResNet-20.
"""

from ml_collections import ConfigDict

from configs.base import setting


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        name="cifar10_reduced",
        dataset="cifar10",
        model="resnet8",
        epochs=8,
        l2=5e-4,
    )
