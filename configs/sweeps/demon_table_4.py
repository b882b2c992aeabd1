"""Decay of momentum beside decay of the learning rate: VGG-16 on CIFAR-100.

Two sweeps, as their rows are not the same: that of SGDM, and that of Adam by
`--config=configs/sweeps/demon_table_4.py:Adam`.

Source:    Demon (arXiv 1910.04952), table 4, at 50 and 100 % of 300 epochs, three trials each. Left
           out: PTB-LSTM, VAE-MNIST and CAPS-FMNIST, which `trainers` cannot train yet.
Published: test error in % at 150 and 300 epochs:
           Demon SGDM 28.67+-.11 27.69+-.11    SGDM Step 30.09 27.83    SGDM Cosine 28.63 27.84
           Demon Adam 28.84+-.18 27.11+-.19    Adam Step 29.40 27.75    Adam        33.62 31.09
Expected:  Demon beside the best schedules of the learning rate, other decays of momentum behind.
Command:   python -m trainers.sweep --config=configs/sweeps/demon_table_4.py --results=DIR
Cost:      168 trials with 37,800 epochs, and 192 with 43,200; `--dry_run` measures it where it is
           to run; not run in full.
Differs:   As in `configs/sweeps/demon_table_3.py`. The paper's "adjusted" VGG-16 is not described.
"""

from ml_collections import ConfigDict

from configs import vgg16_cifar100
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import demon_part


def get_config(part: str = "SGDM") -> ConfigDict:
    """Return the sweep of a part of the table: "SGDM" or "Adam"."""
    optimizer, rates, rows = demon_part(part)
    config = vgg16_cifar100.get_config()
    return sweep(
        f"demon_table_4_{part.lower()}",
        settings={f"VGG16-CIFAR100-{part}": setting(config, rates, optimizer=optimizer)},
        schedules=rows,
        budgets=(0.5, 1.0),
        tuning_seeds=(100,),
        source="Demon table 4",
    )
