"""Train a wide ResNet: `python -m trainers.stl10 [--config=configs/wrn_stl10.py]`.

Without flags it trains a small one on digits that come with the installation. The same command
continues an interrupted run, and shows the record of one that is over.
"""

from __future__ import annotations

from trainers.command import Program
from trainers.tasks.classification import ImageClassification

program = Program(
    ImageClassification,
    "wrn_digits.py",
    note="Data: scikit-learn's embedded digits at 32x32, a reduced-scale setting. "
    "For STL-10: --config=configs/wrn_stl10.py",
)

if __name__ == "__main__":
    program.main()
