"""Every number of two reports, computed again from their parquet by pandas and SciPy alone."""

import math
import pathlib
import re

import numpy as np
import pandas
import pytest
import scipy.stats
from statsmodels.stats.multitest import multipletests

from tests.reports import synthetic
from trainers.reports import formats, results, tables
from trainers.sweeps import table as sweep_table
from trainers.sweeps.store import Store

ROOT = pathlib.Path(__file__).parents[2]
LOW = 0.25


def parsed(text):
    """Return the tables of a report in Markdown by their titles: rows by name, cells by head."""
    found = {}
    for title, block in re.findall(r"^\*\*(.+)\*\*\n\n((?:^\|.*\n)+)", text, re.MULTILINE):
        head, _, *rows = [
            [cell.strip().replace("**", "").replace("\\", "") for cell in line.split("|")[1:-1]]
            for line in block.splitlines()
        ]
        found[title.replace("\\", "")] = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    return found


def number(text):
    return float(text.replace("\N{MINUS SIGN}", "-").replace("%", ""))


class Recomputed:
    """What the measured trials of a parquet say."""

    def __init__(self, frame, named):
        frame = frame[frame["phase"] == "measurement"].copy()
        frame["method"] = named(frame)
        frame["value"] *= 100.0
        self.frame = frame
        self.means = frame.groupby(["setting", "budget", "method"])["value"].mean()
        self.stds = frame.groupby(["setting", "budget", "method"])["value"].std(ddof=1)
        # Of values that differ by rounding alone: whole numbers of a 10^10th.
        scores = (-self.means * 1e8).round()
        self.ranks = scores.groupby(level=[0, 1]).rank(method="average")
        self.places = scores.groupby(level=[0, 1]).rank(method="min")

    def blocks(self):
        """Return ranks by seed of a setting, averaged over budgets: rows of methods."""
        keys = ["setting", "seed", "budget", "method"]
        scores = (-self.frame.set_index(keys)["value"] * 1e8).round()
        ranks = scores.groupby(level=[0, 1, 2]).rank(method="average")
        return ranks.groupby(level=[0, 1, 3]).mean().unstack()


FACTORS = ("schedule", "momentum", "precision")


def interval(groups):
    """Return mean, ends and p-value of the mean over settings of their mean differences."""
    lists = [np.asarray(values) for _, values in groups.groupby(level=0)]
    mean = np.mean([values.mean() for values in lists])
    parts = np.array([values.var(ddof=1) / len(values) for values in lists]) / len(lists) ** 2
    error = math.sqrt(parts.sum())
    freedom = parts.sum() ** 2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, lists, strict=True)
    )
    t = scipy.stats.t(freedom)
    return (
        mean,
        mean - t.ppf(0.975) * error,
        mean + t.ppf(0.975) * error,
        2 * t.sf(abs(mean) / error),
    )


def check_interval(text, groups):
    """Check an entry; return its p-value, and whether it has a star."""
    mean, low, high, *rest = re.findall(r"[+\N{MINUS SIGN}]?\d[\d.]*", text)
    expected = interval(groups)
    for shown, value in zip((mean, low, high), expected, strict=False):
        assert number(shown) == pytest.approx(value, abs=0.0051), (text, expected)
    assert not rest
    return expected[3], text.endswith("*")


def check_stars(found):
    """Check that those have stars that Holm's method rejects."""
    p_values, stars = zip(*found, strict=True)
    assert list(multipletests(p_values, 0.05, "holm")[0]) == list(stars)


def check(text, frame, baseline, named):
    """Check all tables of a report that are of one kind each."""
    data, shown, seen = Recomputed(frame, named), parsed(text), set()
    settings = list(dict.fromkeys(data.frame["setting"]))
    budgets = sorted(set(data.frame["budget"]))
    for title, rows in shown.items():
        setting = next((name for name in settings if title.startswith(f"{name}: ")), None)
        if setting and "by share of" in title:
            seen.add("means")
            for method, row in rows.items():
                for budget in budgets:
                    mean, std = row[f"{100 * budget:g} %"].split(" ± ")
                    assert float(mean) == pytest.approx(
                        data.means[setting, budget, method], abs=0.0051
                    )
                    assert float(std) == pytest.approx(
                        data.stds[setting, budget, method], abs=0.0051
                    )
        elif setting and "learning rate" in title:
            seen.add("rates")
            rates = data.frame.groupby(["setting", "budget", "method"])["learning_rate"].first()
            grid = sorted(set(frame.loc[frame["phase"] == "tuning", "learning_rate"]))
            for method, row in rows.items():
                for budget in budgets:
                    rate = rates[setting, budget, method]
                    star = " *" if rate in (grid[0], grid[-1]) else ""
                    assert row[f"{100 * budget:g} %"] == f"{rate:g}{star}"
        elif title == "How often among the best":
            seen.add("ranks")
            for method, row in rows.items():
                ranks = data.ranks.xs(method, level=2)
                places = data.places.xs(method, level=2)
                assert float(row["average rank"]) == pytest.approx(ranks.mean(), abs=0.0051)
                is_low = places.index.get_level_values(1) < LOW
                for head, part in (
                    ("low", places[is_low]),
                    ("high", places[~is_low]),
                    ("all", places),
                ):
                    for top in (1, 3):
                        cell = row.get(f"{head}: Top-{top}")
                        if cell is not None:
                            times = f"{(part <= top).sum()}/{len(part)}"
                            assert cell.startswith(f"{times} (")
        elif title.startswith(f"Mean difference to {baseline}"):
            seen.add("overall")
            found = []
            is_low = data.frame["budget"] < LOW
            for method, row in rows.items():
                for head, chosen in (
                    ("low budgets", is_low),
                    ("high budgets", ~is_low),
                    ("all", is_low | ~is_low),
                ):
                    if head in row:
                        mine, base = (data.frame["method"] == m for m in (method, baseline))
                        keys = ["setting", "seed", "budget"]
                        a, b = (
                            data.frame[chosen & each].set_index(keys)["value"]
                            for each in (mine, base)
                        )
                        groups = (a - b).groupby(level=[0, 1]).mean()
                        found.append(check_interval(row[head], groups))
            check_stars(found)
        elif setting and "difference to" in title:
            seen.add("differences")
            found = []
            values = data.frame.set_index(["setting", "budget", "method", "seed"])[
                "value"
            ].sort_index()
            for method, row in rows.items():
                for budget in budgets:
                    if method == baseline:
                        assert row[f"{100 * budget:g} %"] == "reference"
                        continue
                    apart = values[setting, budget, method] - values[setting, budget, baseline]
                    groups = pandas.concat({setting: apart})
                    found.append(check_interval(row[f"{100 * budget:g} %"], groups))
            check_stars(found)
        elif (factor := title.partition(":")[0].casefold()) in FACTORS:
            seen.add(factor)
            reference = re.search(r"difference to ([^,]+)", title)[1]
            found = []
            others = [each for each in FACTORS if each != factor]
            keys = ["setting", "seed", "budget", *others]
            for level, row in rows.items():
                for head in (name for name in row if name):
                    part = (
                        data.frame if head == "all" else data.frame[data.frame["schedule"] == head]
                    )
                    a, b = (
                        part[part[factor] == name].set_index(keys)["value"]
                        for name in (level, reference)
                    )
                    found.append(check_interval(row[head], (a - b).groupby(level=[0, 1]).mean()))
            check_stars(found)
        else:
            raise AssertionError(f"a table that is not checked: {title}")
    blocks = data.blocks()
    statistic = scipy.stats.friedmanchisquare(*blocks.rank(axis=1).to_numpy().T).statistic
    (shown_statistic,) = re.findall(
        r"with other seeds in these settings: Friedman's χ² = ([\d.]+)", text
    )
    assert float(shown_statistic) == pytest.approx(statistic, abs=0.0051)
    return seen


def by_schedule(frame):
    return frame["schedule"]


def test_the_report_that_is_shown_is_recomputed_from_its_parquet():
    place = ROOT / "docs" / "digits_rex"
    frame = pandas.read_parquet(place / "results.parquet")
    seen = check((place / "report.md").read_text(), frame, "REX", by_schedule)
    assert seen == {"means", "rates", "ranks", "overall", "differences"}
    measured = frame[frame["phase"] == "measurement"]
    np.testing.assert_array_equal(measured["right"] / measured["count"], measured["value"])


def made_up(tmp_path):
    """Return the report and the parquet of two settings with three factors."""
    grid = synthetic.sweep(
        {"A": 100, "B": 100},
        ("Linear", "Cosine", "REX"),
        momenta={"none": {}, "Demon": {"m": 1}},
        precisions={"float32": {}, "CR": {"b": 1}},
        budgets=(0.1, 1.0),
        source="",
    )

    def outcome(trial):
        place = trial.coordinates
        effect = 0.004 * (place["precision"] == "CR") - 0.002 * (place["momentum"] == "Demon")
        # What a seed gives it gives to all.
        shared = np.random.default_rng([place["seed"], ord(place["setting"])]).normal()
        return synthetic.accuracy(trial) - effect + 0.01 * shared

    directory = synthetic.write(tmp_path / "sweep", grid, outcome)
    found = results.read(directory)
    text = formats.to_markdown(tables.build(found, "REX"), {})
    return text, pandas.read_parquet(sweep_table.write(Store.open(directory)))


def by_factors(frame):
    parts = [
        frame["schedule"],
        frame["momentum"].map({"none": "", "Demon": " + Demon"}),
        frame["precision"].map({"float32": "", "CR": " + CR"}),
    ]
    return parts[0].str.cat(parts[1:])


def test_a_report_with_factors_is_recomputed_from_its_parquet(tmp_path):
    text, frame = made_up(tmp_path)
    seen = check(text, frame, "REX", by_factors)
    assert seen == {"means", "ranks", "overall", "differences", *FACTORS}


def test_a_number_that_is_wrong_is_found(tmp_path):
    """The control: any one of a hundred numbers, changed by one in its last digit but one."""
    text, frame = made_up(tmp_path)
    places = list(re.finditer(r"\d\.\d\d(?= |\\|$)", text, re.MULTILINE))
    tables_at = [m.start() for m in re.finditer(r"^\|", text, re.MULTILINE)]
    in_tables = [m for m in places if any(0 <= m.start() - at < 300 for at in tables_at)]
    assert len(in_tables) > 100
    for index in range(0, len(in_tables), max(1, len(in_tables) // 5)):
        place = in_tables[index]
        digit = text[place.end() - 2]
        wrong = text[: place.end() - 2] + str((int(digit) + 1) % 10) + text[place.end() - 1 :]
        with pytest.raises(AssertionError):
            check(wrong, frame, "REX", by_factors)
