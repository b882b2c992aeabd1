"""Three schedules at three budgets: a small LSTM of a text.

Source:    none: the rows of REX (arXiv 2107.04197) on a language model, at a reduced scale; the
           paper has none.
Published: none. A reduced-scale setting: its numbers say nothing about the Penn Treebank.
Expected:  REX and Linear ahead of a constant rate at small budgets. Found on the State of the
           Union addresses with --extend_rates=1, three seeds, test perplexity at 1, 2 and 3 epochs
           (docs/lstm_text/report.md):
           None   124.7+-1.7 104.3+-2.9 95.9+-3.1
           Linear 115.7+-1.0 103.1+-1.9 98.2+-1.3
           REX    114.4+-1.9 103.4+-1.2 98.4+-2.1
           So it was: at 1 epoch the constant rate is ten points behind (paired t-test, corrected,
           below 0.05), with more they are not shown to differ. What falls wants a rate three times
           as high; with two rates to choose from, 0.003 and 0.01, it had lain behind.
Command:   python -m trainers.sweep --config=configs/sweeps/lstm_text.py --results=DIR
           with --config=configs/sweeps/lstm_text.py:FILE for a text of one's own, plain or JSON
           Lines; without it, for the topics of Python's help.
Cost:      54 trials and, with --extend_rates=1, 7 more; 43 minutes on two cores of an x86-64 server
           CPU that did other things as well.
Differs:   Three learning rates, judged on held-out text with one seed, three budgets of 3 epochs,
           and Adam alone.
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
                [3e-3, 1e-2, 3e-2],
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
