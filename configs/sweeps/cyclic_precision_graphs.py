"""Ten schedules of precision, CPT and static bits: graphs of the Open Graph Benchmark.

By `--config=configs/sweeps/cyclic_precision_graphs.py:products` that of OGBN-Products.

Source:    Wolfe and Kyrillidis, "Better Schedules for Low Precision Training" (arXiv 2403.02243),
           released scripts: OGBN-Arxiv at 3-8 bits and OGBN-Products at 4-8, both with gradients of
           8, eight cycles, two trials.
Published: the tables were not at hand; the findings are that many schedules beat static bits, and
           that quality follows cost.
Expected:  schedules with many bits on average ahead of those with few, all near static 8 bits.
Command:   python -m trainers.sweep --config=configs/sweeps/cyclic_precision_graphs.py --results=DIR
Cost:      24 trials, 12,000 passes over OGBN-Arxiv, or 1,920 epochs of OGBN-Products; `--dry_run`
           measures it where it is to run; not run in full. Fewer bits, and rounded sums: copy the
           file.
Differs:   See `configs/gcn_arxiv_cyclic.py` and `configs/sage_products_cyclic.py`.
"""

from ml_collections import ConfigDict

from configs import gcn_arxiv_cyclic, sage_products_cyclic
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import PRECISIONS

_PARTS = {
    "arxiv": ("GCN-Arxiv", gcn_arxiv_cyclic),
    "products": ("SAGE-Products", sage_products_cyclic),
}


def get_config(part: str = "arxiv") -> ConfigDict:
    """Return the sweep of a graph."""
    if part not in _PARTS:
        raise ValueError(f"`part` must be one of {', '.join(_PARTS)}. Received: part={part!r}")
    name, config = _PARTS[part]
    return sweep(
        f"cyclic_precision_{part}",
        settings={name: setting(config.get_config(), [1e-3])},
        schedules={"Cosine": {}},
        precisions=PRECISIONS,
        budgets=(1.0,),
        seeds=(0, 1),
        protocol="shared",
        judged="best",
        program="graphs",
    )
