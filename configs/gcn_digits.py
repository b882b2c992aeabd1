"""A GCN of scikit-learn's digits, joined by likeness: the embedded default, without a download.

Source:    none; it shows that everything works.
Command:   python -m trainers.graphs
Cost:      20 s on two cores of an x86-64 server CPU, start included; test accuracy 87 % with
           seed 0, of 40 digits that have labels.
Published: none. A reduced-scale setting: its numbers say nothing about citations.
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.graphs import Graphs


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Graphs,
        name="gcn_digits",
        units=32,
        passes_per_epoch=10,
        epochs=20,
        batch_size=1,
        optimizer="adam",
        learning_rate=1e-2,
        l2=5e-4,
        quantized_layers="all",
    )
