"""Ten schedules of precision, CPT and static bits: RetinaNet on Pascal VOC 2012.

Source:    Wolfe and Kyrillidis, "Better Schedules for Low Precision Training" (arXiv 2403.02243),
           released scripts: ResNet-18 and -101, 5-8 bits with gradients of 8 and 5-6 with 6, eight
           cycles, two trials.
Published: the tables were not at hand; the findings are that many schedules beat static bits, and
           that quality follows cost.
Expected:  schedules with many bits on average ahead of those with few, all near static 8 bits.
Command:   python -m trainers.sweep --config=configs/sweeps/cyclic_precision_voc.py --results=DIR
           with --config=configs/sweeps/cyclic_precision_voc.py:FOLDER for what is published:
           FOLDER has resnet_18_imagenet.weights.h5 and resnet_101_imagenet.weights.h5, which
           `python -m trainers.fetch` downloads. Without it the ResNets begin at random, and the
           rate, which is one for fine-tuning, trains next to nothing.
Cost:      48 trials, 5,760 epochs; `--dry_run` measures it where it is to run; not run in full.
           5-6 bits: copy the file.
Differs:   See `configs/retinanet18_voc2012.py`.
"""

from ml_collections import ConfigDict

from configs import retinanet18_voc2012, retinanet101_voc2012
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import PRECISIONS


def get_config(folder: str = "") -> ConfigDict:
    """Return the sweep.

    Args:
        folder: Where the weights of the ResNets are; empty for new ones.
    """
    configs = {18: retinanet18_voc2012.get_config(), 101: retinanet101_voc2012.get_config()}
    for depth, config in configs.items():
        if folder:
            config.backbone_weights = f"{folder}/resnet_{depth}_imagenet.weights.h5"
    return sweep(
        "cyclic_precision_voc",
        settings={
            f"RetinaNet-{depth}-VOC": setting(config, [3e-6]) for depth, config in configs.items()
        },
        schedules={"Constant": {}},
        precisions=PRECISIONS,
        budgets=(1.0,),
        seeds=(0, 1),
        protocol="shared",
        judged="best",
        program="detection",
        goal="voc_map",
    )
