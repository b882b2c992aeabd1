"""Train an image classifier: `python -m trainers.cifar [--config=configs/rn20_cifar10.py]`.

Without flags it trains a small ResNet on data that come with the installation. The same command
continues an interrupted run, and shows the record of one that is over.
"""

from __future__ import annotations

from trainers.command import Program
from trainers.tasks.classification import ImageClassification

program = Program(
    ImageClassification,
    "digits.py",
    note="Data: scikit-learn's embedded digits at 32x32, a reduced-scale setting. "
    "For CIFAR-10: --config=configs/rn20_cifar10.py",
)

if __name__ == "__main__":
    program.main()
