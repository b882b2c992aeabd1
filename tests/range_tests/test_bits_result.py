"""PrecisionRangeResult: its suggestions by hand, its file and its picture."""

from __future__ import annotations

import math

import matplotlib.image
import numpy as np
import pytest

from keras_sched import PrecisionRangeResult


def result_of(*figures, first=8.0, spread=0.0, **options) -> PrecisionRangeResult:
    """A result of four steps: `first` twice, and two whose mean is the figure; None diverged."""
    values = tuple(
        (first, first) if f is None else (first, first, f - spread, f + spread) for f in figures
    )
    defaults = {"mode": "restart", "metric": "loss", "direction": "min", "tolerance": None}
    return PrecisionRangeResult(
        bits=tuple(range(2, 2 + len(figures))),
        losses=values,
        values=values,
        steps=4,
        window=2,
        **{"threshold": 0.25, **defaults, **options},
    )


# From 8 to 0: the most bits learn 8, and with a threshold of 1 / 4 the fewest must learn 6.
@pytest.mark.parametrize(
    ("figures", "options", "expected"),
    [
        ((7.0, 3.0, 2.0, 1.0, 0.0), {}, (4, 6)),
        ((7.0, 2.0001, 1.0, 0.0), {}, (4, 5)),  # a tie counts: 2.0 would, this does not
        ((7.0, 2.0, 1.0, 0.0), {}, (3, 5)),
        ((-1.0, 3.0, 0.0), {}, (2, 4)),  # fewer bits may do better
        ((None, None, 1.0, 0.0), {}, (4, 5)),
        ((4.0, None, 4.0, 0.0), {"threshold": 0.5}, (2, 5)),
        ((7.0, 0.5, 0.0), {"threshold": 0.0}, (4, 4)),
        ((2.0, 1.0, 0.5, 0.0), {"tolerance": 0.125}, (2, 3)),  # at most 1.0
        ((2.0, 1.01, 0.5, 0.0), {"tolerance": 0.125}, (2, 4)),
        ((0.0, 4.0, 1.0, 0.5, 0.0), {"tolerance": 0.125}, (2, 2)),
        ((2.0, 1.0, 0.5, 0.0), {"tolerance": 0.0}, (2, 5)),
    ],
    ids=str,
)
@pytest.mark.parametrize("direction", ["min", "max"])
def test_restart_by_hand(figures, options, expected, direction) -> None:
    sign = 1.0 if direction == "min" else -1.0
    figures = [None if f is None else sign * f for f in figures]
    result = result_of(*figures, first=sign * 8.0, direction=direction, **options)
    assert (result.bits_min, result.bits_max) == expected


@pytest.mark.parametrize(
    ("figures", "threshold", "expected", "shares"),
    [
        # Gains of 1, 1, 4 and 2 of 8.
        ((7.0, 6.0, 2.0, 0.0), 0.25, 4, (0.125, 0.125, 0.5, 0.25)),
        ((7.0, 6.0, 2.0, 0.0), 0.125, 4, (0.125, 0.125, 0.5, 0.25)),  # a tie does not exceed it
        ((7.0, 6.0, 2.0, 0.0), 0.1, 2, (0.125, 0.125, 0.5, 0.25)),
        ((9.0, 1.0, 0.0), 0.25, 3, (-0.125, 1.0, 0.125)),
    ],
    ids=str,
)
def test_single_pass_by_hand(figures, threshold, expected, shares) -> None:
    result = result_of(*figures, mode="single_pass", threshold=threshold)
    assert result.shares == shares
    assert (result.bits_min, result.bits_max) == (expected, len(figures) + 1)


def test_single_pass_without_a_gain_that_is_large_enough() -> None:
    result = result_of(6.0, 4.0, 2.0, 0.0, mode="single_pass", threshold=0.5)
    with pytest.raises(ValueError, match=r"threshold=0\.5, shares=\[0\.25, 0\.25, 0\.25"):
        _ = result.bits_min


def test_what_diverged_is_worse_than_anything() -> None:
    assert result_of(None, 1.0).figures == (math.inf, 1.0)
    assert result_of(None, 9.0, direction="max").figures == (-math.inf, 9.0)
    assert result_of(None, 0.0).shares == (-math.inf, 1.0)


@pytest.mark.parametrize(
    ("result", "match"),
    [
        (result_of(7.0, 8.0), "nothing was learned"),
        (result_of(7.0, 9.0), "nothing was learned"),
        (result_of(7.0, 4.0, spread=2.0), "2 times its spread.*spread 2"),
        (result_of(7.0, 4.0, direction="max"), "nothing was learned"),
        (result_of(7.0, None), "2 finite steps of 4"),
        (result_of(7.0, None, mode="single_pass"), "2 finite steps of 4"),
    ],
    ids=["equal", "worse", "within its spread", "max", "diverged", "diverged in single_pass"],
)
def test_nothing_to_suggest(result, match) -> None:
    for name in ("shares", "bits_min", "bits_max"):
        with pytest.raises(ValueError, match=match):
            getattr(result, name)
    assert len(result.plot().get_lines()) >= 1
    # A spread just small enough is no hindrance.
    assert result_of(7.0, 4.0, spread=1.99).bits_min == 3


def test_json_round_trip(tmp_path) -> None:
    path = tmp_path / "new" / "bits.json"
    for result in (result_of(7.0, 2.0, 0.0, tolerance=0.5), result_of(None, 1.0, 0.0)):
        result.to_json(path)
        assert PrecisionRangeResult.from_json(path) == result
        text = path.read_text()
        with pytest.raises(FileExistsError, match="must not exist yet"):
            result.to_json(path)
        assert path.read_text() == text
        path.unlink()


def test_plot(tmp_path) -> None:
    result = result_of(7.0, 2.0, 1.0, 0.0, spread=0.5, metric="cost", tolerance=0.125)
    axes = result.plot()
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert {"bits_min 3", "bits_max 4", "75% of what 5 bits learned"} <= set(labels)
    assert axes.get_ylabel() == "cost"
    heights = {line.get_label(): line.get_ydata()[0] for line in axes.get_lines()}
    assert heights["first step"] == 8.0
    assert heights["75% of what 5 bits learned"] == 2.0
    assert "values" not in repr(result)  # thousands of numbers are no help
    assert axes.get_lines()[0].get_xdata().tolist() == [2, 3, 4, 5]
    assert axes.get_lines()[0].get_ydata().tolist() == [7.0, 2.0, 1.0, 0.0]
    assert result_of(None, 1.0, 0.0).plot(axes) is axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "not finite with 2 bits" in labels
    axes.figure.savefig(tmp_path / "bits.png")
    assert len(np.unique(matplotlib.image.imread(tmp_path / "bits.png"))) > 10
