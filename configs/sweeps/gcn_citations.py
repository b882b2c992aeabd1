"""Three schedules at three budgets: a GCN of citations.

Source:    none: the rows of REX (arXiv 2107.04197) on a graph, at a reduced scale; the paper has
           none.
Published: none. A reduced-scale setting: its numbers say nothing about larger graphs.
Expected:  REX and Linear ahead of a constant rate at small budgets. Found on PubMed with
           --extend_rates=2, three seeds, test accuracy in % (docs/gcn_citations/report.md):
           None   78.6+-.2 79.0+-.6 79.3+-.5
           Linear 78.7+-.4 79.5+-.1 78.0+-.3
           REX    78.8+-.6 79.7+-.1 78.5+-.2
           These are not shown to differ. Without it REX and Linear lay two and three points behind
           at 10 %: what falls wants a higher rate.
Command:   python -m trainers.sweep --config=configs/sweeps/gcn_citations.py --results=DIR
           with --config=configs/sweeps/gcn_citations.py:FILE.npz for a graph of one's own; without
           it, for digits that are joined by likeness.
Cost:      54 trials on PubMed, 5 minutes on two cores of an x86-64 server CPU; with
           --extend_rates=2 four minutes more.
Differs:   Three learning rates, judged on held-out nodes with one seed, three budgets of 200 steps,
           and Adam alone. No features are dropped, for speed.
"""

from ml_collections import ConfigDict

from configs import gcn_citations
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import RATES


def get_config(file: str = "digits") -> ConfigDict:
    """Return the sweep.

    Args:
        file: The graph.
    """
    return sweep(
        "gcn_citations",
        settings={
            "GCN-citations-Adam": setting(
                gcn_citations.get_config(), [3e-3, 1e-2, 3e-2], dataset=file, feature_dropout=0.0
            )
        },
        schedules={name: RATES[name] for name in ("None", "Linear", "REX")},
        budgets=(0.1, 0.25, 1.0),
        tuning_seeds=(100,),
        program="graphs",
    )
