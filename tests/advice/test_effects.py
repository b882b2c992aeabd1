"""Effects of methods: by a regression that is written out, by their laws, and left-out settings."""

from __future__ import annotations

import dataclasses
import math
import random

import numpy as np
import pytest

from keras_sched.advice.effects import SPREADS, Effects, Spreads, band, estimated, noises, regrets
from keras_sched.advice.evidence import load
from keras_sched.advice.methods import METHODS, prior
from tests.advice.made_up import METHODS as NAMES
from tests.advice.made_up import row, rows

WIDE = Spreads(0.3, 0.01, 0.01, 0.01, 0.01, 0.02, 0.02)
EFFECTS = dict(zip(NAMES, (0.3, 0.0, 0.05, -0.1, 0.2, 0.1, 0.15), strict=True))


def predicted(effects, names=NAMES, **changes):
    asked = {"family": "graph", "optimizer": "sgd", "budget": 0.1, **changes}
    return effects.predicted(names, **asked)


def test_effects_that_are_there_are_found():
    means, covariances = predicted(Effects(rows(EFFECTS), {}, WIDE))
    expected = np.array([EFFECTS[name] for name in NAMES])
    np.testing.assert_allclose(means - means.mean(), expected - expected.mean(), atol=0.02)
    assert (np.linalg.eigvalsh(covariances) > 0.0).all()


def test_they_are_those_of_a_regression_that_is_written_out():
    """Of two methods in one column, with the constant of the column as a wide effect."""
    given = [row("REX", 8.0), row("Step", 10.0)]
    found, _ = predicted(Effects(given, {"Step": 0.05}, SPREADS), ("REX", "Step"), budget=1.0)
    own = sum(getattr(SPREADS, name) ** 2 for name in ("method", "band", "optimizer", "family"))
    whole = own + SPREADS.setting**2
    noise = noises(given) + SPREADS.rest**2
    covariance = np.diag([whole + noise[0], whole + noise[1]]) + 1e6
    residual = np.log([8.0, 10.0]) - np.array([0.0, 0.05])
    shrunk = own * np.linalg.solve(covariance, residual)
    assert found[0] - found[1] == pytest.approx(shrunk[0] - shrunk[1] - 0.05, rel=1e-3)


def test_draws_are_of_what_is_predicted():
    effects = Effects(rows(EFFECTS), {}, WIDE)
    means, covariances = predicted(effects)
    draws = effects.drawn(NAMES, "graph", "sgd", 0.1, count=100_000)
    np.testing.assert_allclose(draws.mean(axis=0), means, atol=3e-3)
    whole = covariances + WIDE.rest**2 * np.eye(len(NAMES))
    np.testing.assert_allclose(np.cov(draws.T), whole, atol=2e-3)
    over = regrets(draws)
    assert over.min() == 0.0 and (over.min(axis=1) == 0.0).all()


def test_the_order_of_rows_does_not_matter():
    given = rows(EFFECTS)
    shuffled = given[:]
    random.Random(0).shuffle(shuffled)
    for one, other in zip(
        predicted(Effects(given, {})), predicted(Effects(shuffled, {})), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_setting_that_is_there_twice_has_not_twice_the_weight():
    """Seven settings say one thing and one another; the rows of that one are doubled."""
    base = rows(EFFECTS, settings=7)
    odd = [
        dataclasses.replace(each, setting="odd")
        for each in rows({"REX": 0.4, "Linear": 0.0}, settings=1)
    ]
    again = [dataclasses.replace(each, source="made up again") for each in odd]

    def rex(given):
        means, _ = predicted(Effects(given, {}), ("REX", "Linear"))
        return means[0] - means[1]

    without, once, twice = rex(base), rex([*base, *odd]), rex([*base, *odd, *again])
    assert without < once <= twice
    assert twice - once < 0.35 * (once - without)


def test_a_method_that_wins_everywhere_is_first():
    for best in NAMES:
        effects = {name: -0.2 if name == best else 0.0 for name in NAMES}
        means, _ = predicted(Effects(rows(effects), prior()))
        assert NAMES[int(means.argmin())] == best


def test_what_authors_say_of_their_own_counts_for_less():
    by_others = Effects(rows(EFFECTS), {})
    own = [
        dataclasses.replace(each, measured_by="authors") if each.method == "REX" else each
        for each in rows(EFFECTS)
    ]
    by_authors = Effects(own, {})
    gains = [
        means[1] - means[0]
        for means, _ in (predicted(each, ("REX", "Linear")) for each in (by_others, by_authors))
    ]
    assert 0.0 < gains[1] < gains[0]


def test_of_an_unknown_method_theory_alone_speaks():
    means, covariances = predicted(Effects([], {"WSD 20 %": 0.02}), ("WSD 20 %", "unheard of"))
    np.testing.assert_allclose(means, [0.02, 0.0])
    whole = sum(
        getattr(SPREADS, name) ** 2 for name in ("method", "band", "optimizer", "family", "setting")
    )
    np.testing.assert_allclose(np.diag(covariances), whole)


def test_a_row_that_is_alone_in_its_column_says_nothing():
    assert Effects([row()], {}).rows == []


@pytest.mark.parametrize("noise", [0.001, 0.1])
def test_spreads_are_found(noise):
    """Also where seeds spread more than the rest."""
    true = Spreads(0.1, 0.05, 0.02, 0.03, 0.06, 0.02, 0.03)
    draw = np.random.default_rng(0)

    def effect(spread):
        known = {}
        return lambda *key: known.setdefault(key, spread * draw.normal())

    method, in_band, by, setting = (
        effect(true.method),
        effect(true.band),
        effect(true.optimizer),
        effect(true.setting),
    )
    names = [f"m{number}" for number in range(20)]
    given = [
        row(
            name,
            10.0
            * math.exp(
                method(name)
                + in_band(name, band(budget))
                + by(name, optimizer)
                + setting(name, place)
                + true.rest * draw.normal()
                + noise / math.sqrt(3.0) * draw.normal()
            ),
            place,
            budget=budget,
            optimizer=optimizer,
            std=10.0 * noise,
        )
        for place in map(str, range(15))
        for budget in (0.1, 1.0)
        for optimizer in ("sgd", "adam")
        for name in names
    ]
    found = estimated(given, {}, rounds=40)
    assert (found.method, found.own) == (SPREADS.method, SPREADS.own)
    assert found.band == pytest.approx(true.band, rel=0.4)
    assert found.setting == pytest.approx(true.setting, rel=0.15)
    assert found.rest == pytest.approx(true.rest, rel=0.1 if noise < 0.01 else 0.35)


# --- settings that are left out -------------------------------------------------------------------


@dataclasses.dataclass
class Held:
    """A column of a setting that was left out: what was recommended, and what is true."""

    setting: str
    picked: str
    regret: float
    of_cosine: float
    is_tied: bool
    covered: list[bool]


def held_out(source, without_own=False):
    """Recommend for each setting of a source from all others."""
    known = [each for each in load() if each.precision == "float32"]
    found = []
    for setting in sorted({each.setting for each in known if each.source.startswith(source)}):
        train = [
            each
            for each in known
            if each.setting != setting and not (without_own and each.measured_by == "authors")
        ]
        effects = Effects(train, prior())
        columns = {}
        for each in known:
            if each.setting == setting and each.source.startswith(source):
                columns.setdefault(each.column, []).append(each)
        for members in columns.values():
            true = {each.method: each for each in members if each.method in METHODS}
            if len(true) > 3:
                found.append(judged(effects, setting, true))
    return found


def judged(effects, setting, true):
    names, (one, *_) = list(true), list(true.values())
    asked = (names, one.family, one.optimizer, one.budget)
    means, covariances = effects.predicted(*asked)
    picked = names[int(regrets(effects.drawn(*asked)).mean(axis=0).argmin())]
    best = min(each.loss for each in true.values())
    apart = true[picked].loss - best
    spreads = [each.std for each in true.values() if each.std is not None]
    # A t-test with the spread of all methods together, of three seeds; else 2.5 %.
    near = 2.0 * math.sqrt(2.0 / 3.0 * np.mean(np.square(spreads))) if spreads else 0.025 * best
    covered = []
    if "Cosine" in true:
        base = names.index("Cosine")
        noise = noises(list(true.values()))
        for place, name in enumerate(names):
            spread = covariances[place, place] + covariances[base, base]
            spread += 2.0 * SPREADS.rest**2 - 2.0 * covariances[place, base]
            spread += noise[place] + noise[base]
            seen = math.log(true[name].loss / true["Cosine"].loss)
            apart_by = abs(seen - means[place] + means[base]) / math.sqrt(spread)
            covered += [apart_by < 1.645] * (place != base)
    cosine = true["Cosine"].loss / best - 1.0 if "Cosine" in true else math.nan
    return Held(setting, picked, apart / best, cosine, apart <= near, covered)


def weighed(found, name):
    """The mean over settings, which weigh equally."""
    by_setting = {}
    for each in found:
        by_setting.setdefault(each.setting, []).append(getattr(each, name))
    return float(np.mean([np.nanmean(values) for values in by_setting.values()]))


def test_advice_holds_for_settings_of_the_papers_that_were_left_out():
    found = held_out("REX")
    assert len(found) == 61
    assert np.mean([each.is_tied for each in found]) >= 0.80
    assert weighed(found, "regret") <= 0.01
    assert weighed(found, "regret") <= 0.5 * weighed(found, "of_cosine")
    assert 0.80 <= np.mean([hit for each in found for hit in each.covered]) <= 0.97


def test_intervals_hold_for_settings_of_our_own_that_were_left_out():
    """Predicted from the papers and from all other tasks; docs/advice.md says what is lost."""
    found = held_out("advice_")
    assert len(found) >= 24
    assert 0.80 <= np.mean([hit for each in found for hit in each.covered]) <= 0.97


def test_the_spreads_are_those_of_the_table():
    """They are constants, so that an answer takes no time: made anew they are the same."""
    known = [each for each in load() if each.precision == "float32"]
    found = estimated(known, prior(), rounds=4)
    for name, value in dataclasses.asdict(found).items():
        assert value == pytest.approx(getattr(SPREADS, name), rel=0.1), name
