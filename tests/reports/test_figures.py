"""Figures: what people see of few methods and of many, and whether they can tell it apart."""

import itertools
import math
import re

import matplotlib.colors
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tests.reports import synthetic
from trainers.reports import figures, looks, panels, results

# Machado, Oliveira and Fernandes (IEEE TVCG 15, 2009): severe protan, deutan and tritan vision.
VISION = {
    "all colours": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
# sRGB to CIE XYZ, D65.
XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def lab(colour, vision):
    """Return what someone sees of a colour, in CIE Lab: 2 apart is seen by an attentive eye."""
    rgb = np.array(matplotlib.colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(vision) @ linear, 0.0, 1.0)
    part = XYZ @ seen / XYZ.sum(axis=1)
    f = np.where(part > 216 / 24389, np.cbrt(part), (24389 / 27 * part + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def least_distance(colours, vision):
    return min(
        np.linalg.norm(lab(a, vision) - lab(b, vision))
        for a, b in itertools.combinations(colours, 2)
    )


OKABE_ITO = ("#e69f00", "#56b4e9", "#009e73", "#0072b2", "#cc79a7", "#d55e00", "#000000")


@pytest.mark.parametrize("vision", VISION)
def test_colours_stay_apart_for_whoever_looks(vision):
    assert least_distance(looks.PALETTE.values(), VISION[vision]) > 20.0


def test_colours_stay_apart_in_grey_and_from_the_page():
    """Those that are known to be safe for colour-blind readers do not: the control."""

    def lightness(colours):
        return sorted(lab(colour, np.eye(3))[0] for colour in colours)

    steps = np.diff(lightness(looks.PALETTE.values()))
    assert steps.min() > 7.0
    assert np.diff(lightness(OKABE_ITO)).min() < 4.0
    assert 100.0 - lightness(looks.PALETTE.values())[-1] > 18.0


def test_what_is_around_a_schedule_has_its_colour_and_another_line(tmp_path):
    names = ("REX", "Demon", "Linear", "Cosine", "Warmup REX", "Demon REX", "WSD 20 %", "Other")
    grid = synthetic.sweep({"A": 300}, names, source="")
    found = looks.looks(results.read(synthetic.write(tmp_path / "s", grid, synthetic.accuracy)))
    inside = {name: found[name].colour for name in names if name.endswith("REX")}
    assert set(inside.values()) == {looks.PALETTE["rex"]}
    assert len({found[name].colour for name in names if name not in inside}) == 5
    assert len({(each.colour, str(each.dashes)) for each in found.values()}) == len(names)
    assert len({each.marker for each in found.values()}) == len(names)


# --- few methods and many ------------------------------------------------------------------------


def drawn(tmp_path, **changes):
    grid = synthetic.sweep(dict.fromkeys(("A", "B"), 300), source="", **changes)
    found = results.read(synthetic.write(tmp_path / "sweep", grid, synthetic.accuracy))
    return found, {name: figure for name, _, figure in figures.draw(found)}


def lines(ax):
    """Return what is drawn against the budget."""
    return [line for line in ax.lines if len(line.get_xdata()) > 1]


MANY = {
    "schedules": (*synthetic.SCHEDULES, "Cosine restarts"),
    "momenta": {"constant": {}, "Demon": {"m": 1}},
}


def test_eighteen_methods_are_in_panels_of_nine_and_the_legend_has_each_look_once(tmp_path):
    found, figure = drawn(tmp_path, **MANY)
    assert len(found.methods) == 18
    for name in ("budget", "behind"):
        axes = figure[name].axes
        titles = [ax.get_title(loc="left") for ax in axes]
        assert titles == ["A | constant", "A | Demon", "B | constant", "B | Demon"]
        assert [len(lines(ax)) for ax in axes] == [9] * 4
        assert axes[0].get_ylim() == axes[1].get_ylim()  # One scale for a setting.
        (legend,) = figure[name].legends
        assert [text.get_text() for text in legend.get_texts()] == list(MANY["schedules"])
        shown = {(h.get_color(), h.get_marker(), h.get_linestyle()) for h in legend.legend_handles}
        for ax in axes:
            assert {(x.get_color(), x.get_marker(), x.get_linestyle()) for x in lines(ax)} == shown


def test_few_methods_are_in_one_panel_with_their_dashes_in_the_legend(tmp_path):
    few = {"schedules": ("Linear", "REX"), "momenta": MANY["momenta"]}
    found, figure = drawn(tmp_path, **few)
    axes = figure["budget"].axes
    assert [ax.get_title(loc="left") for ax in axes] == ["A", "B"]
    (legend,) = figure["budget"].legends
    assert [text.get_text() for text in legend.get_texts()] == found.methods
    styles = [handle.get_linestyle() for handle in legend.legend_handles]
    assert styles == [line.get_linestyle() for line in lines(axes[0])]
    assert len(set(styles)) == 2
    # Long enough to show the longest of them.
    assert legend.handlelength * legend._fontsize >= 1.8 * sum((6, 1.5, 1.2, 1.5))


@pytest.mark.parametrize("changes", [{}, MANY, {"schedules": ("Linear", "REX")}], ids=str)
def test_nothing_overprints_or_leaves_the_figure(changes, tmp_path):
    """Labels, titles and legends, as they are laid out at print size."""
    _, figure = drawn(tmp_path, **changes)
    for name, each in figure.items():
        canvas = FigureCanvasAgg(each)
        canvas.draw()
        renderer = canvas.get_renderer()
        page = each.bbox
        for ax in each.axes:
            if not ax.get_visible():
                continue
            ticks = [t for t in ax.get_yticklabels() if t.get_text()]
            low, high = sorted(ax.get_ylim())
            boxes = [
                tick.get_window_extent(renderer)
                for tick, place in zip(ticks, ax.get_yticks(), strict=False)
                if low <= place <= high
            ]
            for a, b in itertools.pairwise(sorted(boxes, key=lambda box: box.y0)):
                assert a.y1 <= b.y0 + 1.0, (name, ax.get_title(loc="left"))
            for text in (ax.yaxis.label, ax.xaxis.label, ax._left_title):
                if text.get_text():
                    box = text.get_window_extent(renderer)
                    assert page.x0 <= box.x0 and box.x1 <= page.x1, (name, text.get_text())
                    assert page.y0 <= box.y0 and box.y1 <= page.y1, (name, text.get_text())


def test_bands_stay_within_what_there_is(tmp_path):
    """No accuracy is above 100 %, and nothing is ahead of the best."""

    def outcome(trial):
        return (0.985, 0.998, 1.0)[trial.coordinates["seed"]]

    grid = synthetic.sweep({"A": 300}, ("Linear", "REX"), source="")
    found = results.read(synthetic.write(tmp_path / "sweep", grid, outcome))
    figure = {name: each for name, _, each in figures.draw(found)}
    for name, low, high in (("budget", 0.0, 100.0), ("behind", 0.0, math.inf)):
        (ax,) = figure[name].axes
        heights = np.concatenate([p.vertices[:, 1] for c in ax.collections for p in c.get_paths()])
        assert heights.min() >= low and heights.max() <= high
    assert any(c.mean + c.std > 100.0 for c in found.cells)  # Or the test could not fail.


def test_an_axis_says_its_scale_and_what_its_numbers_are(tmp_path):
    _, figure = drawn(tmp_path)
    label = " ".join(figure["budget"].axes[0].get_ylabel().split())
    assert label == "test accuracy (%), log scale of the error"
    label = " ".join(figure["behind"].axes[0].get_ylabel().split())
    assert label == "points of test accuracy behind the best, square-root scale"


@pytest.mark.parametrize("highest", [1e-6, 0.03, 0.9, 1.0, 7.3, 22.0, 410.0])
def test_ticks_are_round_and_apart(highest):
    ticks = panels._apart(panels._round_ticks(highest), panels._root, 0.0, highest)
    assert 4 <= len(ticks) <= 14
    places = np.sqrt(sorted(ticks)) / math.sqrt(highest)
    assert np.diff(places).min() >= 0.07
    for tick in ticks[1:]:
        assert re.fullmatch(r"[125]", f"{tick:e}".partition(".")[0])


# --- learning rates ------------------------------------------------------------------------------


def test_learning_rates_are_drawn_with_the_chosen_one_large(tmp_path):
    configs = {"A": {"config": {"epochs": 100}, "learning_rates": [0.1, 0.3, 0.9]}}
    grid = synthetic.sweep(
        schedules=("Linear", "REX"), configs=configs, protocol="tuned", source="", budgets=(1.0,)
    )

    def outcome(trial):
        rate = trial.config["learning_rate"]
        if rate == 0.9 and trial.coordinates["schedule"] == "REX":
            return "diverged"
        return 0.9 if rate is None else 0.9 - 0.1 * abs(math.log(rate / 0.3))

    directory = synthetic.write(tmp_path / "sweep", grid, outcome, rate=0.3)
    found = results.read(directory)
    (ax,) = next(figure for name, _, figure in figures.draw(found) if name == "rates").axes
    (linear, rex) = [line for line in ax.lines if len(line.get_xdata()) > 1]
    assert list(linear.get_xdata()) == [0.1, 0.3, 0.9] and list(rex.get_xdata()) == [0.1, 0.3]
    side = 100 * (0.9 - 0.1 * math.log(3))
    assert list(linear.get_ydata()) == pytest.approx([side, 90.0, side])
    large = [line for line in ax.lines if line.get_markersize() == 10 and line.get_linestyle()]
    assert {float(line.get_xdata()[0]) for line in large if len(line.get_xdata()) == 1} == {0.3}
    assert any(line.get_marker() == "x" for line in ax.lines)
    assert ax.get_ylabel() == "val accuracy (%)"


def test_figures_of_before_are_kept_until_others_are_drawn(tmp_path, monkeypatch):
    found, _ = drawn(tmp_path, budgets=(0.5, 1.0))
    assert {"budget", "behind", "ranks"} == {
        p.stem for p in figures.save(found, tmp_path / "f").values()
    }
    for name in ("cost.pdf", "mine.png"):
        (tmp_path / "f" / name).touch()
    before = {path.name for path in (tmp_path / "f").iterdir()}

    def fails(results):
        raise RuntimeError("nothing is drawn")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(figures, "draw", fails)
        with pytest.raises(RuntimeError, match="nothing is drawn"):
            figures.save(found, tmp_path / "f")
    assert {path.name for path in (tmp_path / "f").iterdir()} == before
    figures.save(found, tmp_path / "f")
    assert {path.name for path in (tmp_path / "f").iterdir()} == before - {"cost.pdf"}


# --- axes and their ends -------------------------------------------------------------------------


def one_setting(tmp_path, outcome, **changes):
    given = {"schedules": ("Linear", "REX"), "source": "", **changes}
    grid = synthetic.sweep({"A": 300}, **given)
    return results.read(synthetic.write(tmp_path / "sweep", grid, outcome))


def figure_of(found, name):
    return next(figure for kind, _, figure in figures.draw(found) if kind == name)


def test_a_loss_that_differs_by_factors_has_ticks_at_1_2_and_5(tmp_path):
    def outcome(trial):
        return 0.7 / trial.coordinates["budget"] ** 0.8

    found = one_setting(tmp_path, outcome, goal="loss", goal_mode="min")
    (ax,) = figure_of(found, "budget").axes
    assert ax.get_yscale() == "log"
    low, high = ax.get_ylim()
    ticks = [tick for tick in ax.get_yticks() if low <= tick <= high]
    assert len(ticks) >= 4
    assert {f"{tick:e}"[0] for tick in ticks} == {"1", "2", "5"}


@pytest.mark.parametrize("best", [1.0, 0.995])
def test_a_share_that_is_whole_has_no_logarithm_and_a_plain_scale(best, tmp_path):
    def outcome(trial):
        return best if trial.coordinates["budget"] == 1.0 else 0.5

    (ax,) = figure_of(one_setting(tmp_path, outcome), "budget").axes
    assert (ax.get_yscale() == "linear") == (best == 1.0)
    low, high = sorted(ax.get_ylim())
    for tick in ax.get_yticks():
        if low <= tick <= min(high, 90.0):
            assert tick % 5 == 0


def test_a_cell_of_one_seed_has_no_band_and_breaks_no_other(tmp_path):
    def outcome(trial):
        place = trial.coordinates
        is_left = place["budget"] == 0.1 and place["seed"] > 0
        return None if is_left else synthetic.accuracy(trial)

    (ax,) = figure_of(one_setting(tmp_path, outcome), "budget").axes
    for band in ax.collections:
        (path,) = band.get_paths()
        assert np.isfinite(path.vertices).all()
        at = path.vertices[np.isclose(path.vertices[:, 0], 0.1)]
        assert np.ptp(at[:, 1]) == 0.0
        assert np.ptp(path.vertices[np.isclose(path.vertices[:, 0], 1.0)][:, 1]) > 0.0


@pytest.mark.parametrize(
    ("budgets", "costs", "scale"),
    [
        ((1.0,), (1.0, 0.25), "linear"),
        ((1.0,), (1.0, 0.1), "log"),
        ((0.5, 1.0), (1.0, 0.9), "log"),
    ],
)
def test_costs_that_differ_by_factors_or_budgets_are_on_a_log_scale(
    budgets, costs, scale, tmp_path
):
    def cost(trial):
        return costs[trial.coordinates["precision"] == "CR"]

    grid = synthetic.sweep(
        {"A": 300}, ("REX",), precisions={"float32": {}, "CR": {"b": 1}}, budgets=budgets, source=""
    )
    found = results.read(synthetic.write(tmp_path / "sweep", grid, synthetic.accuracy, cost))
    (ax,) = figure_of(found, "cost").axes
    assert ax.get_xscale() == scale


def test_names_of_ranks_begin_where_the_lines_end(tmp_path):
    found = one_setting(tmp_path, synthetic.accuracy)
    (ax,) = figure_of(found, "ranks").axes
    count = len(found.budgets)
    assert ax.get_xlim() == (-0.25, count - 1 + 0.25)
    assert ax.get_ylim() == (len(found.methods) + 0.4, 0.6)
    assert [text.get_text() for text in ax.texts] == sorted(
        found.methods, key=lambda m: [t.xy[1] for t in ax.texts if t.get_text() == m]
    )


def test_names_of_the_critical_difference_stand_beside_the_line_of_ranks(tmp_path):
    names = {f"S{index}": 100 for index in range(6)}
    grid = synthetic.sweep(names, source="")
    found = results.read(synthetic.write(tmp_path / "sweep", grid, synthetic.accuracy))
    (ax,) = figure_of(found, "critical_difference").axes
    count = len(found.methods)
    low, high = ax.get_xlim()
    for text in ax.texts:
        name = text.get_text().rpartition("  ")[0]
        if name in found.methods:
            x, _ = text.get_position()
            if text.get_ha() == "right":
                assert low < x < 1.0
                assert 1.0 - x < 0.1 * count
            else:
                assert count < x < high
                assert x - count < 0.1 * count
