"""Train a detector: `python -m trainers.detection [--config=configs/bccd.py]`.

Without flags it trains a small one on pages of scattered digits, which come with the installation.
The same command continues an interrupted run, and shows the record of one that is over.
"""

from __future__ import annotations

from trainers.command import Program
from trainers.tasks.detection import Detection

program = Program(
    Detection,
    "scattered_digits.py",
    note="Data: pages made of scikit-learn's embedded digits, a reduced-scale setting. "
    "For Pascal VOC: --config=configs/yolov3_voc.py",
)

if __name__ == "__main__":
    program.main()
