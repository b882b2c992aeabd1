"""Decay of momentum beside decay of the learning rate: ResNets on CIFAR-10, STL-10, Tiny ImageNet.

Four sweeps, as their rows are not the same. That of ResNet-20 on CIFAR-10 and WRN 16-8 on STL-10
with SGDM, and, by `--config=configs/sweeps/demon_table_3.py:PART`, those of the part Adam and of
ResNet-56 on Tiny ImageNet, TINY-SGDM and TINY-Adam.

Source:    Demon (arXiv 1910.04952), table 3, at 25, 50 and 100 % of 300 and of 200 epochs, three
           trials each. Left out: AggMo and QHM (no such optimizers here).
Published: test error in % at 75, 150 and 300 epochs of RN20-CIFAR10:
           Demon SGDM 8.56+-.10 8.21+-.18 7.59+-.12    SGDM Step 8.82+-.25 8.43+-.07 7.32+-.14
           Demon Adam 9.68+-.07 8.90+-.18 8.50+-.12    Adam      13.63+-.22 11.90+-.06 11.94+-.06
           at 50, 100 and 200 of WRN-STL10, headed 300 there:
           Demon SGDM 20.23+-.31 16.19+-.23 14.44+-.53 SGDM Step 22.42+-.56 17.20+-.35 14.51+-.26
           Demon Adam 20.95+-.23 19.50+-.32 18.62+-.41 Adam      23.35+-.20 19.63+-.26 18.65+-.07
           in two columns without epochs of RN56-TINYIMAGENET:
           Demon SGDM 44.87 40.85 SGDM Step 45.98 41.66 Demon Adam 48.92 45.72 Adam 57.56 50.89
Expected:  Demon beside the best schedules of the learning rate, other decays of momentum behind.
Command:   python -m trainers.sweep --config=configs/sweeps/demon_table_3.py --results=DIR
Cost:      504 trials with 73,500 epochs, and 672 with 98,000; of Tiny ImageNet 28 with 3,150, and
           32 with 3,600; `--dry_run` measures it where it is to run; not run in full.
Differs:   The paper also tunes momentum, weight decay and options of schedules; here the learning
           rate alone, on held-out training images, with one seed. AdamW's decay is 0.01, k of Exp
           momentum is -5: not printed. Plateau: see `configs.sweeps.rows`.
"""

from ml_collections import ConfigDict

from configs import rn20_cifar10, rn56_tinyimagenet, wrn_stl10
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import ADAM_KIN, demon_part

_PARTS = ("SGDM", "Adam", "TINY-SGDM", "TINY-Adam")


def get_config(part: str = "SGDM") -> ConfigDict:
    """Return the sweep of a part of the table: "SGDM", "Adam", "TINY-SGDM" or "TINY-Adam"."""
    if part not in _PARTS:
        raise ValueError(f"`part` must be one of {', '.join(_PARTS)}. Received: part={part!r}")
    kind = part.removeprefix("TINY-")
    optimizer, rates, rows = demon_part(kind, ADAM_KIN)
    if part != kind:
        baseline = {"SGDM": "Step", "Adam": "None"}[kind]
        config = rn56_tinyimagenet.get_config()
        return sweep(
            f"demon_table_3_tiny_{kind.lower()}",
            settings={f"RN56-TinyImageNet-{kind}": setting(config, rates, optimizer=optimizer)},
            schedules={name: rows[name] for name in (baseline, "Demon")},
            budgets=(0.5, 1.0),
            tuning_seeds=(100,),
            source="Demon table 3",
        )
    return sweep(
        f"demon_table_3_{part.lower()}",
        settings={
            f"RN20-CIFAR10-{part}": setting(rn20_cifar10.get_config(), rates, optimizer=optimizer),
            f"WRN-STL10-{part}": setting(wrn_stl10.get_config(), rates, optimizer=optimizer),
        },
        schedules=rows,
        budgets=(0.25, 0.5, 1.0),
        tuning_seeds=(100,),
        source="Demon table 3",
    )
