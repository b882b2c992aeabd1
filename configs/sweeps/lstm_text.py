"""Three schedules at three budgets: a small LSTM of a text.

Source:    none: the rows of REX (arXiv 2107.04197) on a language model, at a reduced scale; the
           paper has none.
Published: none. A reduced-scale setting: its numbers say nothing about the Penn Treebank.
Expected:  REX and Linear ahead of a constant rate.
Command:   python -m trainers.sweep --config=configs/sweeps/lstm_text.py --results=DIR
           with --config=configs/sweeps/lstm_text.py:FILE for a text of one's own, plain or JSON
           Lines; without it, for the topics of Python's help.
Cost:      45 trials; not run in full.
Differs:   Two learning rates, judged on held-out text with one seed, three budgets of 3 epochs, and
           Adam alone.
"""

from ml_collections import ConfigDict

from configs import lstm_text
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import RATES


def get_config(file: str = "python") -> ConfigDict:
    """Return the sweep.

    Args:
        file: The text.
    """
    return sweep(
        "lstm_text",
        settings={
            "LSTM-text-Adam": setting(
                lstm_text.get_config(),
                [3e-3, 1e-2],
                dataset=file,
                vocabulary=5_000,
                units=64,
                cutoffs=(500,),
                batch_size=64,
                evaluate_every=3,
                samples=0,
                split="test",
            )
        },
        schedules={name: RATES[name] for name in ("None", "Linear", "REX")},
        budgets=(1 / 3, 2 / 3, 1.0),
        tuning_seeds=(100,),
        program="lm",
        goal="perplexity",
        goal_mode="min",
    )
