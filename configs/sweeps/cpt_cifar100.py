"""Cyclic precision beside static bits, on CIFAR-100.

Source:    CPT (arXiv 2101.09868), figure on CIFAR-100: ResNets and MobileNetV2 at 3-8 bits with
           gradients of 8, 3-6 with 6 and 3-4 with 6, beside static 8, 6 and 4 bits. Left out:
           ResNet-164, which is not in the released code.
Published: points of accuracy above static bits, at 3-8, 3-6 and 3-4 bits:
           RN38  .44 1.11 .32    RN74        .91 .52 .33    RN110 .73 .95 .77
           RN152 .48  .78 .77    MobileNetV2 .37 .87 .47
Expected:  cyclic precision ahead of static bits in each pair, at 30 to 37 % fewer bit operations.
Command:   python -m trainers.sweep --config=configs/sweeps/cpt_cifar100.py --results=DIR
Cost:      90 trials, 14,760 epochs; `--dry_run` measures it where it is to run; not run in full.
Differs:   64,000 steps are counted as 164 epochs of 390. MobileNetV2 has the rate of the later
           paper's scripts, 0.03, as CPT's released one does not run.
"""

from ml_collections import ConfigDict

from configs import mobilenetv2_cifar10_cyclic, rn152_cifar100_cyclic
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import STEP, cyclic


def get_config() -> ConfigDict:
    """Return the sweep."""
    resnet, mobile = rn152_cifar100_cyclic.get_config(), mobilenetv2_cifar10_cyclic.get_config()
    settings = {
        f"RN{depth}-CIFAR100-SGDM": setting(resnet, [0.1], model=f"resnet{depth}_projected")
        for depth in (38, 74, 110, 152)
    }
    settings["MobileNetV2-CIFAR100-SGDM"] = setting(mobile, [0.03], dataset="cifar100")
    return sweep(
        "cpt_cifar100",
        settings=settings,
        schedules=STEP,
        precisions=cyclic((3, 8, 8), (3, 6, 6), (3, 4, 6)),
        budgets=(1.0,),
        protocol="shared",
        judged="best",
        source="CPT",
    )
