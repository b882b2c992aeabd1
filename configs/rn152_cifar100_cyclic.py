"""ResNet-152 on CIFAR-100 with cyclic precision.

Source:    Wolfe and Kyrillidis, "Better Schedules for Low Precision Training" (arXiv 2403.02243),
           released scripts; CPT (arXiv 2101.09868), released code and figures. As ResNet-74.
Published: CPT's gains over static 8 or 6 bits: +.48 points at 36.67 % fewer BitOPs (3-8 bits), +.78
           at 30.04 % (3-6).
Command:   python -m trainers.cifar --config=configs/rn152_cifar100_cyclic.py --data_dir=DIR
           3-6 bits: --bits_max=6 --gradient_bits=6
Cost:      not run in full; a GPU is needed.
Differs:   64,000 steps are counted as 164 epochs of 390. As there, evaluation is at the current
           bits and the figure is the best over training; --config.evaluation_bits=max is steadier.
"""

from ml_collections import ConfigDict

from configs.base import setting


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        name="rn152_cifar100_cyclic",
        dataset="cifar100",
        model="resnet152_projected",
        precision_schedule="cr",
        epochs=164,
        schedule="multistep",
        evaluation_bits="current",
    )
