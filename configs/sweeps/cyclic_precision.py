"""Ten schedules of precision, CPT and static bits: ResNet-74 and MobileNetV2 on CIFAR-10 and -100.

Source:    Wolfe and Kyrillidis, "Better Schedules for Low Precision Training" (arXiv 2403.02243),
           released scripts: 3-8 bits (4-8 for MobileNetV2) with gradients of 8, eight cycles, three
           trials; 64,000 steps, a tenth of the rate at 50 and 75 %.
Published: the tables were not at hand; the findings are that many schedules beat static bits, and
           that quality follows cost.
Expected:  schedules with many bits on average ahead of those with few, all near static 8 bits.
Command:   python -m trainers.sweep --config=configs/sweeps/cyclic_precision.py --results=DIR
           Other networks and bits: copy the file.
Cost:      144 trials, 23,616 epochs; `--dry_run` measures it where it is to run; not run in full.
Differs:   MobileNetV2 has three trials, not two. See `configs/rn74_cifar10_cyclic.py`.
"""

from ml_collections import ConfigDict

from configs import mobilenetv2_cifar10_cyclic, rn74_cifar10_cyclic
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import PRECISIONS, STEP


def get_config() -> ConfigDict:
    """Return the sweep."""
    resnet, mobile = rn74_cifar10_cyclic.get_config(), mobilenetv2_cifar10_cyclic.get_config()
    return sweep(
        "cyclic_precision",
        settings={
            f"{name}-{data.upper()}-SGDM": setting(config, [rate], dataset=data)
            for name, config, rate in (("RN74", resnet, 0.1), ("MobileNetV2", mobile, 0.03))
            for data in ("cifar10", "cifar100")
        },
        schedules=STEP,
        precisions=PRECISIONS,
        budgets=(1.0,),
        protocol="shared",
        judged="best",
    )
