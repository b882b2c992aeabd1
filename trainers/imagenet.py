"""Train a classifier of photographs: `python -m trainers.imagenet [--config=configs/NAME.py]`.

Photographs are read while they are trained on, from TensorFlow Datasets or from a folder,
`--dataset=PATH`. Without flags it trains ResNet-18 on digits that come with the installation. The
same command continues an interrupted run, and shows the record of one that is over.
"""

from __future__ import annotations

from trainers.command import Program
from trainers.tasks.classification import ImageClassification

program = Program(
    ImageClassification,
    "rn18_digits.py",
    note="Data: scikit-learn's embedded digits at 32x32, a reduced-scale setting. "
    "For ImageNet: --config=configs/rn50_imagenet.py, for a folder of images: --dataset=PATH",
)

if __name__ == "__main__":
    program.main()
