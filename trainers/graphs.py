"""Train a network of graphs: `python -m trainers.graphs [--config=configs/gcn_arxiv_cyclic.py]`.

Without flags it trains on digits that come with the installation, joined by likeness. The same
command continues an interrupted run, and shows the record of one that is over.
"""

from __future__ import annotations

from trainers.command import Program
from trainers.tasks.graphs import NodeClassification

program = Program(
    NodeClassification,
    "gcn_digits.py",
    note="Data: scikit-learn's embedded digits, joined by likeness, a reduced-scale setting. "
    "For OGBN-Arxiv: --config=configs/gcn_arxiv_cyclic.py",
)

if __name__ == "__main__":
    program.main()
