"""Train a language model: `python -m trainers.lm [--config=configs/lstm650_ptb.py]`.

Without flags it trains on the help that comes with Python. The same command continues an
interrupted run, and shows the record of one that is over.
"""

from __future__ import annotations

from trainers.command import Program
from trainers.tasks.lm import LanguageModel

program = Program(
    LanguageModel,
    "lstm_python.py",
    note="Data: the topics of Python's help, a reduced-scale setting. "
    "For the Penn Treebank: --config=configs/lstm650_ptb.py",
)

if __name__ == "__main__":
    program.main()
