"""GraphSAGE of products that are bought together (OGBN-Products), with cyclic precision.

Source:    Wolfe and Kyrillidis (arXiv 2403.02243), released scripts: two convolutions with 512
           hidden units, 32 neighbours of each node in each, batches of 1,024 nodes, dropout of 0.2,
           80 epochs, Adam at 1e-3 with a weight decay of 1e-4, which falls to a tenth along a
           cosine. 4-8 bits with gradients of 8 and 4-6 with 6, means of neighbours in full
           precision; or 3-8 and 3-6, means rounded; eight cycles; two trials.
Published: the tables were not at hand. What is reported is the best test accuracy over training.
           Its scripts count 3,670,697,915 operations for a batch, forward.
Command:   python -m trainers.graphs --config=configs/sage_products_cyclic.py --data_dir=DIR
           It is fetched by: python -m trainers.fetch ogbn_products --data_dir=DIR
           Means rounded: --quantized_products --bits_min=3
Cost:      not run in full; a GPU and 30 GB of host memory are needed.
Differs:   An evaluation is of the whole graph at once, for which 30 GB are needed; some neighbours
           of each node: --config.evaluation_neighbours=(32,32).
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.graphs import Graphs


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Graphs,
        name="sage_products_cyclic",
        dataset="ogbn_products",
        model="sage",
        layers=2,
        units=512,
        neighbours=(32, 32),
        norm="graph",
        dropout=0.2,
        epochs=80,
        batch_size=1_024,
        optimizer="adam",
        learning_rate=1e-3,
        schedule="cosine",
        schedule_options={"end": 1e-4},
        l2=1e-4,
        precision_schedule="cr",
        bits_min=4,
        quantized_layers="all",
        evaluation_bits="current",
    )
