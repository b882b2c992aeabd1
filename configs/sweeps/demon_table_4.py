"""Decay of momentum beside decay of the learning rate: VGG-16 on CIFAR-100, and three others.

Seven sweeps, as their rows and their measures are not the same. That of VGG-16 with SGDM, and, by
`--config=configs/sweeps/demon_table_4.py:PART`, those of the parts Adam, VAE-SGDM, VAE-Adam,
CAPS-Adam, PTB-SGDM and PTB-Adam.

Source:    Demon (arXiv 1910.04952), table 4, at 50 and 100 % of 300 epochs (VGG16-CIFAR100), at 25
           and 50 % of 200 (VAE-MNIST), of 100 % and half of 100 (CAPS-FMNIST, Adam alone), and at
           25 and 39 of 39 epochs (PTB-LSTM), three trials each.
Published: test error in % of VGG16-CIFAR100 at 150 and 300 epochs:
           Demon SGDM 28.67+-.11 27.69+-.11    SGDM Step 30.09 27.83    SGDM Cosine 28.63 27.84
           Demon Adam 28.84+-.18 27.11+-.19    Adam Step 29.40 27.75    Adam        33.62 31.09
           "generalization loss" of VAE-MNIST at 50 and 100 epochs:
           Demon SGDM 138.29+-.08 136.55+-.64  SGDM Step 140.28 137.70  SGDM Cosine 139.15 136.69
           Demon Adam 134.35+-.24 133.98+-.40  Adam Step 136.62 134.14  Adam        136.28 134.64
           test error in % of CAPS-FMNIST at 50 and 100 epochs:
           Demon Adam 8.88+-.05 8.87+-.10      Adam Step 8.90 8.98      Adam        9.27 9.25
           test perplexity of PTB-LSTM at 25 and 39 epochs:
           Demon SGDM 82.66+-.05 84.84+-.22    SGDM Step 81.67 82.02    SGDM Cosine 81.64 83.23
           Demon Adam 104.60+-.16 107.07+-.05  Adam Step 98.79 99.69    Adam 109.48 116.26
Expected:  Demon beside the best schedules of the learning rate, other decays of momentum behind.
Command:   python -m trainers.sweep --config=configs/sweeps/demon_table_4.py --results=DIR
Cost:      168 trials with 37,800 epochs, and 192 with 43,200; 168 with 12,600 and 192 with 14,400;
           192 with 14,400; 168 with 5,376 and 192 with 6,144; `--dry_run` measures it where it is
           to run; not run in full.
Differs:   As in `configs/sweeps/demon_table_3.py`. The paper's "adjusted" VGG-16 is not described,
           for the other networks see `configs/vae_mnist.py`, `configs/caps_fmnist.py` and
           `configs/lstm650_ptb.py`.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import caps_fmnist, lstm650_ptb, vae_mnist, vgg16_cifar100
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import demon_part

# Of each part: setting, optimizer, budgets, and what the sweep says besides.
_VGG: dict[str, Any] = {"config": vgg16_cifar100, "name": "VGG16-CIFAR100", "budgets": (0.5, 1.0)}
_VAE: dict[str, Any] = {
    "config": vae_mnist,
    "name": "VAE-MNIST",
    "budgets": (0.25, 0.5),
    "program": "vae",
    "goal": "loss",
    "goal_mode": "min",
}
_CAPS: dict[str, Any] = {
    "config": caps_fmnist,
    "name": "CAPS-FMNIST",
    "budgets": (0.5, 1.0),
    "program": "capsnet",
}
_PTB: dict[str, Any] = {
    "config": lstm650_ptb,
    "name": "PTB-LSTM",
    "budgets": (25 / 39, 1.0),
    "program": "lm",
    "goal": "perplexity",
    "goal_mode": "min",
}
_PARTS = {
    "SGDM": ("SGDM", _VGG),
    "Adam": ("Adam", _VGG),
    "VAE-SGDM": ("SGDM", _VAE),
    "VAE-Adam": ("Adam", _VAE),
    "CAPS-Adam": ("Adam", _CAPS),
    "PTB-SGDM": ("SGDM", _PTB),
    "PTB-Adam": ("Adam", _PTB),
}
# Losses that are sums over pixels have large gradients; those of a recurrent network are clipped.
_RATES = {"VAE-SGDM": [1e-4, 3e-4, 1e-3, 3e-3], "PTB-SGDM": [1.0, 3.0, 10.0, 30.0]}


def get_config(part: str = "SGDM") -> ConfigDict:
    """Return the sweep of a part of the table."""
    if part not in _PARTS:
        raise ValueError(f"`part` must be one of {', '.join(_PARTS)}. Received: part={part!r}")
    kind, about = _PARTS[part]
    optimizer, rates, rows = demon_part(kind)
    others = {name: value for name, value in about.items() if name not in ("config", "name")}
    return sweep(
        f"demon_table_4_{part.lower().replace('-', '_')}",
        settings={
            f"{about['name']}-{kind}": setting(
                about["config"].get_config(), _RATES.get(part, rates), optimizer=optimizer
            )
        },
        schedules=rows,
        tuning_seeds=(100,),
        source="Demon table 4",
        **others,
    )
