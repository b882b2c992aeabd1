"""A GCN of citations of arXiv's papers: does it recover from an early deficit of precision?

Source:    Wolfe and Kyrillidis (arXiv 2403.02243), released scripts for critical learning periods:
           3 bits for the first R steps, then 8 bits for a whole training of 1,000 steps; R in 0,
           100, ..., 1,000. Here R = 500 of 1,500 steps.
Published: figures that were not at hand; the finding is that a long deficit does lasting harm.
Command:   python -m trainers.graphs --config=configs/gcn_arxiv_critical.py --data_dir=DIR
           Another R: --config.schedule_delay and --config.precision_options.length, and the epochs.
           A probe, 500 of 1,000 steps from a later one on: --epochs=200
           --config.schedule_delay=0ep
           --config.precision_options="{'length': '0.5dur', 'start': '0.2dur'}"
Cost:      three times that of `configs/gcn_arxiv_cyclic.py`; not run in full.
Differs:   As `configs/gcn_arxiv_cyclic.py`: 1,500 steps are counted as 300 epochs of 5.
"""

from ml_collections import ConfigDict

from configs import gcn_arxiv_cyclic
from configs.base import setting
from trainers.options.graphs import Graphs


def get_config() -> ConfigDict:
    """Return the setting."""
    changes = {
        "name": "gcn_arxiv_critical",
        "epochs": 300,
        "schedule_delay": "100ep",
        "precision_schedule": "deficit",
        "precision_options": {"length": "100ep"},
    }
    return setting(Graphs, **(gcn_arxiv_cyclic.get_config().to_dict() | changes))
