"""Cyclic precision beside static bits: an LSTM on the Penn Treebank.

By `--config=configs/sweeps/cpt_language.py:wikitext103` that of a Transformer on WikiText-103.

Source:    CPT (arXiv 2101.09868), table on language models: PTB at 5-8 and 5-6 bits, WikiText-103
           at 4-8 and 4-6, all with gradients of 8.
Published: perplexity, static and cyclic: PTB 96.95, 96.39 (5-8 bits) and 97.47, 97.0 (5-6);
           WikiText-103 31.77, 30.22 (4-8) and 32.41, 31.0 (4-6).
Expected:  cyclic precision ahead of static bits in each pair, at 10 to 30 % fewer bit operations.
Command:   python -m trainers.sweep --config=configs/sweeps/cpt_language.py --results=DIR
Cost:      12 trials, 468 epochs, or 12 with 120; `--dry_run` measures it where it is to run; not
           run in full.
Differs:   See `configs/lstm2_ptb_cyclic.py` and `configs/transformer_wikitext103_cyclic.py`.
"""

from ml_collections import ConfigDict

from configs import lstm2_ptb_cyclic, transformer_wikitext103_cyclic
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import cyclic

_PARTS = {
    "ptb": ("LSTM-PTB", lstm2_ptb_cyclic, 35.0, ((5, 8, 8), (5, 6, 8))),
    "wikitext103": (
        "Transformer-WikiText103",
        transformer_wikitext103_cyclic,
        5e-4,
        ((4, 8, 8), (4, 6, 8)),
    ),
}


def get_config(part: str = "ptb") -> ConfigDict:
    """Return the sweep of a text."""
    if part not in _PARTS:
        raise ValueError(f"`part` must be one of {', '.join(_PARTS)}. Received: part={part!r}")
    name, config, rate, bits = _PARTS[part]
    return sweep(
        f"cpt_{part}",
        settings={name: setting(config.get_config(), [rate])},
        schedules={"as the setting": {}},
        precisions=cyclic(*bits),
        budgets=(1.0,),
        protocol="shared",
        judged="best",
        source="CPT",
        program="lm",
        goal="perplexity",
        goal_mode="min",
    )
