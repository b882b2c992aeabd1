"""Train a judge of sentences: `python -m trainers.glue [--config=configs/minilm_sst2.py]`.

Without flags it tells the topics of Python's help. The same command continues an
interrupted run, and shows the record of one that is over.
"""

from __future__ import annotations

from trainers.command import Program
from trainers.tasks.glue import SentenceJudgement

program = Program(
    SentenceJudgement,
    "bert_topics.py",
    note="Data: the topics of Python's help, a reduced-scale setting. "
    "For GLUE: --config=configs/bert_base_glue.py",
)

if __name__ == "__main__":
    program.main()
