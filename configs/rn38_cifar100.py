"""ResNet-38 on CIFAR-100.

Source:    REX (arXiv 2107.04197), figures 3 and 4 (delayed linear; sensitivity to the rate).
Published: only as figures, at 5, 25 and 100 % of the budget. The paper does not print the epochs;
           300 is that of its RN38-CIFAR10.
Command:   python -m trainers.cifar --config=configs/rn38_cifar100.py --data_dir=DIR --budget=0.05
Cost:      not measured in full; see benchmarks/throughput.py for images a second.
Differs:   The papers tune the learning rate in multiples of 3 for each schedule and budget and do
           not print it, nor the weight decay; 0.1 and 1e-4 are He et al.'s (arXiv 1512.03385).
"""

from ml_collections import ConfigDict

from configs.base import setting


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        name="rn38_cifar100",
        dataset="cifar100",
        model="resnet38",
        epochs=300,
    )
