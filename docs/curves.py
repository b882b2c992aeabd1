"""Draw the picture of the README: `python docs/curves.py`."""

from __future__ import annotations

import pathlib

from matplotlib.figure import Figure

import keras_sched as ks

PANELS = {
    "learning rate": [
        ks.REX(0.1),
        ks.Cosine(0.1),
        ks.Linear(0.1).warmup("0.1dur"),
        ks.WSD(0.1, warmup_length="0.05dur"),
        ks.OneCycle(0.1),
    ],
    "momentum": [ks.Demon(0.9), ks.CosineMomentum(0.9), ks.OneCycleMomentum(0.95)],
    "bits": [
        ks.precision.cr(3, bits_max=8, cycles=4),
        ks.precision.rth(3, bits_max=8, cycles=4),
    ],
}
NAMES = {
    "bits": ["precision.cr(3, bits_max=8, cycles=4)", "precision.rth(3, bits_max=8, cycles=4)"]
}


def main() -> None:
    """Write docs/curves.png."""
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    for ax, (title, schedules) in zip(figure.subplots(1, 3), PANELS.items(), strict=True):
        if title in NAMES:
            ks.plot(ax=ax, **dict(zip(NAMES[title], schedules, strict=True)))
        else:
            ks.plot(*schedules, ax=ax)
        ax.set(title=title, ylabel="")
        ax.margins(y=0.25 if title == "bits" else 0.05)
        ax.legend(frameon=False, fontsize=8)
    figure.savefig(pathlib.Path(__file__).with_name("curves.png"), dpi=110)


if __name__ == "__main__":
    main()
