"""ResNet-38 on CIFAR-10.

Source:    REX (arXiv 2107.04197), table 2 (profiles and sampling rates).
Published: the table varies profile and sampling rate; see the paper. The number of epochs is the
           one of its figure 3 for the sister setting.
Command:   python -m trainers.cifar --config=configs/rn38_cifar10.py --data_dir=DIR --budget=0.05
Cost:      not measured in full; see benchmarks/throughput.py for images a second.
Differs:   The papers tune the learning rate in multiples of 3 for each schedule and budget and do
           not print it, nor the weight decay; 0.1 and 1e-4 are He et al.'s (arXiv 1512.03385).
"""

from ml_collections import ConfigDict

from configs.base import setting


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        name="rn38_cifar10",
        dataset="cifar10",
        model="resnet38",
        epochs=100,
    )
