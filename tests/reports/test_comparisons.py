"""Comparisons of methods and factors: paired, over blocks, and recomputed by other means."""

import numpy as np
import pytest
import scipy.stats

from tests.reports import synthetic
from tests.reports.reading import by_hand, field, read, said, small
from trainers.reports import blocks, comparisons, figures, results, tables

MINUS = "\N{MINUS SIGN}"


def numbers(entry):
    """Return mean, low and high of an entry."""
    mean, low, high, *_ = entry.text.replace(MINUS, "-").split()
    return float(mean), float(low.strip("[,")), float(high.strip("]"))


def title(report, section, start):
    found = next(s for s in report.sections if s.title.startswith(section))
    return next(t for t in found.tables if t.title.startswith(start)).title


def values(generator, seeds=3, budgets=(0.05, 1.0), better=0.01):
    """Return accuracies in which seeds differ by far more than the schedules do at any one seed."""
    level = dict(enumerate(generator.uniform(0.2, 0.8, seeds)))
    return {
        (name, budget): {
            seed: each + better * (name == "REX") + 0.002 * generator.normal()
            for seed, each in level.items()
        }
        for name in ("Linear", "REX")
        for budget in budgets
    }


def test_differences_are_those_of_the_paired_t_test(tmp_path):
    made = values(np.random.default_rng(2))
    report = tables.build(read(tmp_path, small(), by_hand(made)), "linear")
    found = field(report, "How much", "A", "REX", "5 %")
    one, other = ([100 * v for v in made[name, 0.05].values()] for name in ("REX", "Linear"))
    theirs = scipy.stats.ttest_rel(one, other)
    low, high = theirs.confidence_interval(0.95)
    assert numbers(found) == pytest.approx((np.mean(one) - np.mean(other), low, high), abs=6e-3)
    # The lesser of two p-values is doubled, the other one stays: Holm.
    p = {
        b: scipy.stats.ttest_rel(list(made["REX", b].values()), list(made["Linear", b].values()))
        for b in (0.05, 1.0)
    }
    is_less = p[0.05].pvalue < p[1.0].pvalue
    first = 2 * min(p[0.05].pvalue, p[1.0].pvalue) < 0.05
    has_star = first and (is_less or p[0.05].pvalue < 0.05)
    assert found.text.endswith("*") == has_star == found.is_best
    turned = tables.build(read(tmp_path / "turned", small(), by_hand(made)), "REX")
    mirrored = field(turned, "How much", "A", "Linear", "5 %")
    mean, low, high = numbers(found)
    assert numbers(mirrored) == (-mean, -high, -low)
    assert not mirrored.is_best


def test_seeds_that_several_columns_share_are_counted_once(tmp_path):
    """n is 3, not 6: the two budgets of a seed are averaged first."""
    made = values(np.random.default_rng(4))
    report = tables.build(read(tmp_path, small(), by_hand(made)), "Linear")
    overall = field(report, "How much", "Mean difference to Linear", "REX", "all")
    apart = {
        b: np.subtract(*([100 * v for v in made[name, b].values()] for name in ("REX", "Linear")))
        for b in (0.05, 1.0)
    }
    theirs = scipy.stats.ttest_1samp(np.mean(list(apart.values()), axis=0), 0.0)
    low, high = theirs.confidence_interval(0.95)
    mean = np.mean(list(apart.values()))
    assert numbers(overall) == pytest.approx((mean, low, high), abs=6e-3)
    assert title(report, "How much", "Mean difference").endswith("columns, n = 3")
    # A training that failed takes its column out.
    made["REX", 1.0] = {0: 0.21, 1: "diverged", 2: 0.81}
    other = tables.build(read(tmp_path / "other", small(), by_hand(made)), "Linear")
    assert field(other, "How much", "A", "REX", "100 %").text == "\N{EN DASH}"
    assert numbers(field(other, "How much", "Mean", "REX", "all"))[0] == pytest.approx(
        apart[0.05].mean(), abs=6e-3
    )
    assert "a training of one of the two failed" in said(other)


def test_a_star_outlives_the_number_of_comparisons(tmp_path):
    """One of six at p = 0.02 has none, by Holm; alone it has one."""
    shift = [0.009, 0.010, 0.0135]  # p = 0.018 with three seeds.
    assert 0.01 < scipy.stats.ttest_1samp(shift, 0.0).pvalue < 0.02

    def outcome(trial):
        place = trial.coordinates
        noise = np.random.default_rng([place["seed"], int(1000 * place["budget"])]).normal()
        if place["schedule"] == "REX" and place["budget"] == 1.0:
            return 0.5 + shift[place["seed"]]
        if place["schedule"] == "REX":
            return 0.5 + 0.02 * noise
        return 0.5

    for budgets, has_star in (((1.0,), True), ((0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 1.0), False)):
        grid = sweep(["A"], budgets=budgets, schedules=("Linear", "REX"))
        path = tmp_path / str(len(budgets))
        report = tables.build(read(path, grid, outcome), "Linear")
        entry = field(report, "How much", "A", "REX", "100 %")
        assert ("*" in entry.text) == has_star
    assert "corrected by Holm" in said(report)


def test_equivalence_is_claimed_with_a_margin_of_the_sweep_alone(tmp_path):
    made = values(np.random.default_rng(6), better=0.0)
    for margin, is_claimed in ((2.0, True), (0.05, False), (None, False)):
        path = tmp_path / str(margin)
        report = tables.build(read(path, small(margin=margin), by_hand(made)), "Linear")
        entry = field(report, "How much", "A", "REX", "5 %")
        assert ("≈" in entry.text) == is_claimed
        assert ("the margin of the sweep" in said(report)) == (margin is not None)


def test_a_metric_in_coarse_steps_has_no_star_for_equal_differences(tmp_path):
    made = {
        ("Linear", 1.0): [351 / 360, 349 / 360, 355 / 360],
        ("REX", 1.0): [340 / 360, 338 / 360, 344 / 360],
    }
    report = tables.build(read(tmp_path, small(budgets=(1.0,)), by_hand(made)), "Linear")
    entry = field(report, "How much", "A", "REX", "100 %")
    assert entry.text == f"{MINUS}3.06"


# --- several methods -----------------------------------------------------------------------------

SETTINGS = tuple(f"S{index}" for index in range(6))


def sweep(settings, **changes):
    given = {"budgets": (0.05, 0.25, 1.0), **changes}
    return synthetic.sweep(dict.fromkeys(settings, 100), source="", **given)


def noise(trial):
    return 0.9 + 0.01 * np.random.default_rng(int(trial.id, 16)).normal()


def test_a_sweep_separates_what_was_made_different(tmp_path):
    """And one of noise does not: the control."""
    report = tables.build(read(tmp_path, sweep(SETTINGS), synthetic.accuracy))
    assert "The methods differ with other seeds in these settings" in said(report)
    assert "The methods differ in other settings" in said(report)
    assert "such pairs are marked" in said(report)
    found = next(s for s in report.sections if s.title.startswith("Do the"))
    assert any(entry.is_best for row in found.tables[0].rows for entry in row)
    same = tables.build(read(tmp_path / "noise", sweep(SETTINGS), noise))
    assert said(same).count("The methods are not shown to differ") == 2
    assert "Nemenyi" not in said(same)


def test_few_settings_tell_nothing_and_say_so(tmp_path):
    """One has no power at all; of two the least average ranks can differ is too little."""
    one = tables.build(read(tmp_path / "one", sweep(SETTINGS[:1]), synthetic.accuracy))
    assert "no power. 1 setting can tell nothing of 8 methods: its least p-value is 1" in said(one)
    assert "The methods differ with other seeds in these settings" in said(one)
    few = {"schedules": ("None", "Step", "REX")}
    two = tables.build(read(tmp_path / "two", sweep(SETTINGS[:2], **few), synthetic.accuracy))
    assert "no power. 2 settings can tell nothing of 3 methods: their least p" in said(two)
    pair = tables.build(read(tmp_path / "pair", sweep(SETTINGS[:2]), synthetic.accuracy))
    assert "No power for pairs" in said(pair)
    single = sweep(SETTINGS[:1], seeds=(0,))
    assert "1 seed that all methods have: nothing is known" in said(
        tables.build(read(tmp_path / "single", single, noise))
    )


def test_blocks_are_recomputed_from_the_values(tmp_path):
    found = read(tmp_path, sweep(SETTINGS[:2]), synthetic.accuracy)
    at = {(c.setting, c.budget, c.method): c.values for c in found.cells}
    for (setting, seed), ranks in blocks.by_seed(found).items():
        table = [
            scipy.stats.rankdata([-at[setting, b, m][seed] for m in found.methods])
            for b in found.budgets
        ]
        assert list(ranks.values()) == pytest.approx(np.mean(table, axis=0))
    assert len(blocks.by_seed(found)) == 6
    for setting, ranks in blocks.by_workload(found).items():
        means = [
            [-np.mean(list(at[setting, b, m].values())) for m in found.methods]
            for b in found.budgets
        ]
        assert list(ranks.values()) == pytest.approx(
            np.mean(scipy.stats.rankdata(means, axis=1), axis=0)
        )


def test_settings_of_one_workload_are_one_block(tmp_path):
    names = ("C10-SGD", "C10-Adam", "C100-SGD")
    grid = sweep(names, workloads={"C10-SGD": "C10", "C10-Adam": "C10"})
    found = read(tmp_path, grid, synthetic.accuracy)
    assert set(blocks.by_workload(found)) == {"C10", "C100-SGD"}
    assert set(blocks.by_seed(found)) == {
        (name, seed) for name in ("C10", "C100-SGD") for seed in range(3)
    }


# --- factors -------------------------------------------------------------------------------------


def test_a_factor_is_compared_where_all_else_is_the_same(tmp_path):
    """Schedules that differ by points do not hide half a point of precision."""
    generator = np.random.default_rng(8)
    of_seed = generator.normal(0.0, 0.02, 3)
    of_schedule = {"Linear": 0.0, "REX": 0.03}

    def outcome(trial):
        place = trial.coordinates
        key = [place["seed"], int(100 * place["budget"]), len(place["precision"])]
        own = 0.0005 * np.random.default_rng([*key, len(place["schedule"])]).normal()
        loss = 0.005 if place["precision"] == "CR" else 0.0
        return 0.8 + of_schedule[place["schedule"]] + of_seed[place["seed"]] - loss + own

    grid = small(precisions={"CR": {"bits": 8}, "float32": {}}, budgets=(0.5, 1.0))
    found = read(tmp_path, grid, outcome)
    report = tables.build(found)
    at = {(c.place["schedule"], c.place["precision"], c.budget): c.values for c in found.cells}
    for head, schedules in (("all", ("Linear", "REX")), ("REX", ("REX",))):
        entry = field(report, "What does", "Precision: difference to float32", "CR", head)
        apart = [
            np.mean(
                [
                    at[s, "CR", b][seed] - at[s, "float32", b][seed]
                    for s in schedules
                    for b in (0.5, 1.0)
                ]
            )
            for seed in range(3)
        ]
        theirs = scipy.stats.ttest_1samp(apart, 0.0)
        low, high = theirs.confidence_interval(0.95)
        assert numbers(entry) == pytest.approx((np.mean(apart), low, high), abs=6e-3)
    assert "*" in field(report, "What does", "Precision", "CR", "all").text


def test_optimizers_are_compared_in_settings_of_one_workload(tmp_path):
    names = ("C10-SGD", "C10-Adam", "C100-SGD")
    configs = {
        name: {
            "config": {"epochs": 100, "optimizer": name.rpartition("-")[2].lower()},
            "learning_rates": [0.1],
            "workload": name.partition("-")[0],
        }
        for name in names
    }
    schedules = {"Linear": {"schedule": "linear"}, "REX": {"schedule": "rex"}}
    grid = synthetic.sweep(schedules=schedules, settings=None, source="", configs=configs)
    found = read(tmp_path, grid, synthetic.accuracy)
    report = tables.build(found)
    entry = field(report, "What does", "Optimizer: difference to sgd", "adam", "all")
    cells = {(c.setting, c.method, c.budget): c.mean for c in found.cells}
    expected = np.mean(
        [
            cells["C10-Adam", m, b] - cells["C10-SGD", m, b]
            for m in found.methods
            for b in found.budgets
        ]
    )
    assert numbers(entry)[0] == pytest.approx(expected, abs=6e-3)
    # The seeds of the one workload that has both.
    assert title(report, "What does", "Optimizer").endswith("to sgd, n = 3")


def test_without_a_second_level_there_is_no_factor(tmp_path):
    found = read(tmp_path, small(), by_hand(values(np.random.default_rng(1))))
    assert comparisons.factors(found) is None
    assert not any(s.title.startswith("What does") for s in tables.build(found).sections)


# --- what is left out, and what does not go together ---------------------------------------------


def test_columns_that_are_left_out_are_said_and_are_no_finding(tmp_path):
    """REX diverges at one of two budgets, or one setting of two has a single seed."""
    made = values(np.random.default_rng(3))
    whole = tables.build(read(tmp_path / "whole", small(), by_hand(made)), "Linear")
    entry = field(whole, "How much", "Mean", "REX", "all")
    assert "columns" not in entry.text and entry.text.endswith("*") and entry.is_best
    made["REX", 0.05] = {0: "diverged", 1: 0.9, 2: 0.9}
    part = tables.build(read(tmp_path / "part", small(), by_hand(made)), "Linear")
    entry = field(part, "How much", "Mean", "REX", "all")
    assert entry.text.endswith("(1/2 columns)") and "*" not in entry.text and not entry.is_best
    factor = {"precisions": {"CR": {"bits": 8}, "float32": {}}, "budgets": (0.5, 1.0)}

    def outcome(trial):
        place = trial.coordinates
        if (place["precision"], place["budget"], place["seed"]) == ("CR", 0.5, 1):
            return "diverged"
        return synthetic.accuracy(trial) - 0.05 * (place["precision"] == "CR")

    report = tables.build(read(tmp_path / "factor", small(**factor), outcome))
    entry = field(report, "What does", "Precision", "CR", "all")
    assert entry.text.endswith("(2/4 columns)") and "*" not in entry.text


def test_a_setting_with_one_seed_is_left_out_and_said(tmp_path):
    def sweep_of(name, seeds):
        return synthetic.sweep(
            {name: 100}, ("Linear", "REX"), source="", budgets=(1.0,), seeds=seeds
        )

    def outcome(trial):
        place = trial.coordinates
        better = 0.02 if place["setting"] == "A" else -0.3
        return 0.6 + better * (place["schedule"] == "REX") + 0.001 * place["seed"] ** 2

    for name, seeds in (("A", (0, 1, 2)), ("B", (0,))):
        synthetic.write(tmp_path / name, sweep_of(name, seeds), outcome)
    report = tables.build(results.read(tmp_path / "A", tmp_path / "B"), "Linear")
    entry = field(report, "How much", "Mean", "REX", "all")
    assert entry.text.endswith("(1/2 columns)") and "*" not in entry.text


def test_workloads_are_shared_over_directories(tmp_path):
    """Two optimizers in two directories are what they are in one."""

    def sweep_of(*names):
        return synthetic.sweep(
            dict.fromkeys(names, 100), source="", workloads=dict.fromkeys(names, "A")
        )

    def outcome(trial):
        place = trial.coordinates
        key = [place["seed"], int(100 * place["budget"]), len(place["schedule"])]
        return 0.9 + 0.01 * np.random.default_rng(key).normal()

    synthetic.write(tmp_path / "both", sweep_of("A-sgd", "A-adam"), outcome)
    for name in ("A-sgd", "A-adam"):
        synthetic.write(tmp_path / name, sweep_of(name), outcome)
    one = results.read(tmp_path / "both")
    other = results.read(tmp_path / "A-sgd", tmp_path / "A-adam")
    assert other.workloads == one.workloads == {"A-sgd": "A", "A-adam": "A"}
    assert blocks.by_seed(other) == blocks.by_seed(one)
    assert len(blocks.by_seed(one)) == 3 and len(blocks.by_workload(one)) == 1
    assert "1 workload can tell nothing" in said(tables.build(other))


def test_settings_of_one_name_that_are_not_the_same_are_refused(tmp_path):
    for index, (epochs, schedules) in enumerate(
        ((100, ("Linear",)), (100, ("REX",)), (200, ("Cosine",)))
    ):
        grid = synthetic.sweep({"A": epochs}, schedules, source="")
        synthetic.write(tmp_path / str(index), grid, synthetic.accuracy)
    assert results.read(tmp_path / "0", tmp_path / "1").methods == ["Linear", "REX"]
    synthetic.write(
        tmp_path / "B", synthetic.sweep({"B": 100}, ("REX",), source=""), synthetic.accuracy
    )
    # Also of two of which neither is the first.
    for places in (("0", "2"), ("B", "0", "2")):
        with pytest.raises(ValueError, match="Settings of one name must be the same"):
            results.read(*(tmp_path / place for place in places))


@pytest.mark.parametrize("batch_size", [32, 512])
def test_optimizers_are_compared_only_where_nothing_else_differs(batch_size, tmp_path):
    def config(optimizer, batch):
        return {
            "config": {"epochs": 100, "optimizer": optimizer, "batch_size": batch, "momentum": 0.5},
            "learning_rates": [0.1],
            "workload": "A",
        }

    configs = {"A-sgd": config("sgd", 32), "A-adam": config("adam", batch_size)}
    configs["A-adam"]["config"]["momentum"] = 0.9  # Of the optimizer: it may differ.
    found = read(
        tmp_path, synthetic.sweep(configs=configs, source="", budgets=(1.0,)), synthetic.accuracy
    )
    assert (comparisons.factors(found) is not None) == (batch_size == 32)


def test_the_figure_of_critical_differences_is_there_where_the_text_finds_something(tmp_path):
    """Of four settings that nearly agree on four methods p is above 0.05."""
    order = [(0, 1, 2, 3), (0, 1, 2, 3), (1, 0, 3, 2), (2, 0, 1, 3)]

    def outcome(trial):
        place = trial.coordinates
        rank = order[int(place["setting"][1])][
            ["None", "Exp", "Step", "REX"].index(place["schedule"])
        ]
        return 0.9 - 0.01 * rank + 1e-4 * place["seed"]

    for count in (3, 4):
        names = dict.fromkeys([f"S{index}" for index in range(count)], 100)
        grid = synthetic.sweep(
            names, ("None", "Exp", "Step", "REX"), source="", budgets=(1.0,), seeds=(0, 1)
        )
        found = read(tmp_path / str(count), grid, outcome)
        text = said(tables.build(found))
        drawn = [name for name, _, _ in figures.draw(found)]
        assert ("critical_difference" in drawn) == ("such pairs are marked" in text)
