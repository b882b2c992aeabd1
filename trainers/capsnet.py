"""Train a capsule network: `python -m trainers.capsnet [--config=configs/caps_fmnist.py]`.

Without flags it trains a small one on digits that come with the installation. The same command
continues an interrupted run, and shows the record of one that is over.
"""

from __future__ import annotations

from trainers.command import Program
from trainers.tasks.capsnet import CapsNet

program = Program(
    CapsNet,
    "caps_digits.py",
    note="Data: scikit-learn's embedded digits at 32x32, a reduced-scale setting. "
    "For Fashion-MNIST: --config=configs/caps_fmnist.py",
)

if __name__ == "__main__":
    program.main()
