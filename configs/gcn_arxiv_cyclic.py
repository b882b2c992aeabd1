"""A GCN of citations of arXiv's papers (OGBN-Arxiv), with cyclic precision.

Source:    Wolfe and Kyrillidis (arXiv 2403.02243), released scripts: three convolutions with 512
           hidden units, normalisation of all numbers of the graph together, dropout of 0.2, 500
           steps of the whole graph, Adam at 1e-3 without weight decay, which falls to a tenth along
           a cosine. 3-8 bits with gradients of 8, and 3-6 with 6; eight cycles; two trials; sums
           over neighbours in full precision.
Published: the tables were not at hand. What is reported is the best test accuracy over training.
Command:   python -m trainers.graphs --config=configs/gcn_arxiv_cyclic.py --data_dir=DIR
           It is fetched by: python -m trainers.fetch ogbn_arxiv --data_dir=DIR
           3-6 bits: --bits_max=6 --gradient_bits=6; rounded sums: --quantized_products
Cost:      98 minutes on two cores of an x86-64 server CPU, as foretold; not run in full.
Differs:   500 steps are counted as 100 epochs of 5. The released script rounds at an epoch, which
           is a step there, as here.
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.graphs import Graphs


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Graphs,
        name="gcn_arxiv_cyclic",
        dataset="ogbn_arxiv",
        layers=3,
        units=512,
        norm="graph",
        dropout=0.2,
        passes_per_epoch=5,
        epochs=100,
        batch_size=1,
        optimizer="adam",
        learning_rate=1e-3,
        schedule="cosine",
        schedule_options={"end": 1e-4},
        l2=0.0,
        precision_schedule="cr",
        quantized_layers="all",
        evaluation_bits="current",
    )
