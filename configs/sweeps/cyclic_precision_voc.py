"""Ten schedules of precision, CPT and static bits: RetinaNet on Pascal VOC 2012.

Source:    Wolfe and Kyrillidis, "Better Schedules for Low Precision Training" (arXiv 2403.02243),
           released scripts: ResNet-18 and -101, 5-8 bits with gradients of 8 and 5-6 with 6, eight
           cycles, two trials.
Published: the tables were not at hand; the findings are that many schedules beat static bits, and
           that quality follows cost.
Expected:  schedules with many bits on average ahead of those with few, all near static 8 bits.
Command:   python -m trainers.sweep --config=configs/sweeps/cyclic_precision_voc.py --results=DIR
           The ResNets begin at random: with weights from `python -m trainers.fetch`, copy the file
           and give each setting its `backbone_weights`.
Cost:      48 trials, 5,760 epochs; `--dry_run` measures it where it is to run; not run in full.
           5-6 bits: copy the file.
Differs:   See `configs/retinanet18_voc2012.py`.
"""

from ml_collections import ConfigDict

from configs import retinanet18_voc2012, retinanet101_voc2012
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import TEN


def get_config() -> ConfigDict:
    """Return the sweep."""
    networks = {
        "RetinaNet-18-VOC": retinanet18_voc2012,
        "RetinaNet-101-VOC": retinanet101_voc2012,
    }
    return sweep(
        "cyclic_precision_voc",
        settings={
            name: setting(network.get_config(), [3e-6]) for name, network in networks.items()
        },
        schedules={"Constant": {}},
        precisions=TEN,
        budgets=(1.0,),
        seeds=(0, 1),
        protocol="shared",
        judged="best",
        program="detection",
        goal="voc_map",
    )
