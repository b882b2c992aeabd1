"""Train a score network: `python -m trainers.ncsn [--config=configs/ncsn_cifar10.py]`.

Without flags it trains a small one on digits that come with the installation, and draws some. The
same command continues an interrupted run, and shows the record of one that is over.
"""

from __future__ import annotations

from trainers.command import Program
from trainers.tasks.ncsn import NCSN

program = Program(
    NCSN,
    "ncsn_digits.py",
    note="Data: scikit-learn's embedded digits at 8x8, a reduced-scale setting. "
    "For CIFAR-10: --config=configs/ncsn_cifar10.py",
)

if __name__ == "__main__":
    program.main()
