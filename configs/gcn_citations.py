"""A GCN of citations, as of Cora and PubMed.

Source:    Kipf and Welling (arXiv 1609.02907), section 5: 16 hidden units, dropout of 0.5, Adam at
           0.01, 200 passes over the graph; a setting that is common, and of none of the papers on
           schedules. A reduced-scale setting.
Published: test accuracy with the public split: Cora 81.5 %, PubMed 79.0 %.
Command:   python -m trainers.graphs --config=configs/gcn_citations.py --dataset=FILE.npz
           FILE.npz has edges (n, 2), labels, and features or feat_row, feat_col and feat_val; and
           train_idx, val_idx, test_idx, without which 20 nodes of each class, 500 and 1,000 are
           drawn.
Cost:      PubMed 40 s, Cora 25 s on two cores of an x86-64 server CPU, start included; test
           accuracy of seeds 0 to 2: PubMed 79.4, 79.4, 80.0 % with the public split, Cora 80.5,
           81.2, 80.6 % with a random one.
Differs:   64 hidden units, REX, and weights of both layers decay, not only those of the first.
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.graphs import Graphs


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Graphs,
        name="gcn_citations",
        normalises_features=True,
        units=64,
        feature_dropout=0.5,
        passes_per_epoch=10,
        epochs=20,
        batch_size=1,
        optimizer="adam",
        learning_rate=1e-2,
        l2=5e-4,
        quantized_layers="all",
    )
