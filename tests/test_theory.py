"""The bound by a sum that is written out, by numbers of others, and by its own laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_sched as ks
from keras_sched.theory import Bound


def wsd(share, **options):
    return ks.WSD(0.1, warmup_length=0, cooldown_length=share, **options)


# Over linear decay at 100,000 steps, and the best base rate over that of linear decay.
KNOWN = {
    "linear": (ks.Linear(0.3), 1.0, 1.0),
    "rex": (ks.REX(0.1), 1.008, 0.81),
    "warmup and linear": (ks.Linear(0.1).warmup("5%"), 1.009, 0.99),
    "half constant": (
        wsd("50%", profile="linear"),
        1.016,
        0.66,
    ),
    "cosine": (ks.Cosine(0.1), 1.030, 0.97),
    "power 0.5": (ks.Polynomial(0.1, power=0.5), 1.061, 0.71),
    "power 2": (ks.Polynomial(0.1, power=2.0), 1.061, 1.41),
    "wsd 20 %": (
        wsd("20%", profile="linear"),
        1.080,
        0.51,
    ),
    "wsd 20 %, sqrt": (wsd("20%"), 1.063, 0.54),
    "wsd 10 %": (
        wsd("10%", profile="linear"),
        1.141,
        0.46,
    ),
    "cosine to 10 %": (ks.Cosine(0.1, end=0.01), 1.153, 0.79),
    "step": (ks.MultiStep(0.1, at=["0.5dur", "0.75dur"]), 1.253, 0.76),
    "constant": (ks.Constant(0.1), 1.809, 0.28),
}


def written_out(rates, norms, g):
    """The right side of theorem 10, term by term."""
    eta, total = g * np.asarray(rates), len(rates)
    found = 1.0 / (2.0 * eta.sum()) + (eta**2 * norms**2).sum() / (2.0 * eta.sum())
    for k in range(total - 1):
        noise = (eta[k:] ** 2 * norms[k:] ** 2).sum()
        found += 0.5 * eta[k] / eta[k + 1 :].sum() * noise / eta[k:].sum()
    return found


@pytest.mark.parametrize("name", KNOWN)
def test_the_numbers_of_the_research(name):
    schedule, value, rate = KNOWN[name]
    found = ks.bound(schedule)
    assert found.value == pytest.approx(value, abs=6e-4)
    assert found.base_rate == pytest.approx(rate, abs=6e-3)


def test_a_constant_rate_at_a_thousand_steps():
    value, rate = ks.bound(ks.Constant(1.0), steps=1_000)
    assert (value, rate) == (pytest.approx(1.452, abs=6e-4), pytest.approx(0.345, abs=6e-4))


@given(
    st.lists(st.floats(1e-3, 1.0), min_size=2, max_size=30),
    st.lists(st.floats(0.1, 10.0), min_size=30, max_size=30),
)
def test_it_is_the_least_of_the_sum_that_is_written_out(rates, norms):
    rates, norms = np.array(rates), np.array(norms)[: len(rates)]
    found = ks.bound(rates, norms=norms)
    linear = 1.0 - np.arange(len(rates)) / len(rates)

    def least(shape):
        grid = np.geomspace(1e-5, 1e4, 20_001)
        a, b = (written_out(shape, norms, g) for g in (1e-8, 1e8))
        a, b = a * 1e-8, b / 1e8  # As a / g + b g.
        values = a / grid + b * grid
        return values.min(), grid[values.argmin()]

    (own, own_rate), (its, its_rate) = least(rates / rates.max()), least(linear)
    assert found.value == pytest.approx(own / its, rel=1e-4)
    assert found.base_rate == pytest.approx(own_rate / its_rate, rel=3e-3)


@given(
    st.lists(st.floats(0.0, 1.0), min_size=2, max_size=50).filter(lambda x: max(x) > 1e-3),
    st.floats(1e-6, 1e6),
    st.floats(1e-6, 1e6),
)
def test_neither_ratio_depends_on_a_scale(rates, scale, size):
    norms = np.linspace(1.0, 3.0, len(rates))
    one, other = ks.bound(rates, norms=norms), ks.bound(np.array(rates) * scale, norms=norms * size)
    assert other == pytest.approx(one, rel=1e-9)


def test_linear_decay_is_the_best_power_where_norms_are_constant():
    powers = [0.3, 0.7, 0.9, 1.0, 1.1, 1.5, 3.0]
    found = [ks.bound(ks.Polynomial(1.0, power=power)).value for power in powers]
    assert min(found) == found[powers.index(1.0)] == pytest.approx(1.0, abs=1e-6)


def test_the_best_schedule_for_norms_that_fall_is_rex():
    """REX is what is best for norms that fall by a fifth (2310.07831, theorem 3)."""
    rates = ks.simulate(ks.REX(1.0), n=20_000).astype(float)
    norms = np.sqrt(2.0 * np.cumsum(rates[::-1])[::-1]) / rates
    norms = np.sqrt(norms)  # G = w^(-1/2) for w = rate / sqrt(2 * what is left of the rates).
    assert norms[-100] / norms[0] == pytest.approx(0.8, abs=0.01)
    found = {
        name: ks.bound(each, steps=20_000, norms=norms).value
        for name, each in (("rex", ks.REX(1.0)), ("cosine", ks.Cosine(1.0)))
    }
    assert found["rex"] < 1.0 < found["cosine"]


def test_steps_without_a_rate_at_the_end_change_nothing():
    rates = ks.simulate(ks.Cosine(1.0), n=500)
    longer = np.concatenate([rates, np.zeros(300)])
    one = ks.bound(rates)
    # Beside a longer linear decay: by sqrt(T) of both, nearly.
    other = ks.bound(longer)
    assert other.value / one.value == pytest.approx(math.sqrt(800 / 500), rel=2e-2)


def test_norms_are_stretched():
    norms = np.array([1.0, 2.0, 3.0])
    found = ks.bound(ks.REX(1.0), steps=501, norms=norms)
    assert found == ks.bound(ks.REX(1.0), steps=501, norms=np.linspace(1.0, 3.0, 501))
    assert ks.bound(ks.REX(1.0), steps=501, norms=[7.0]) == ks.bound(ks.REX(1.0), steps=501)


def test_l1_norms_take_the_place_of_the_squares():
    """For Adam: the best weight of a step is 1 / G, not 1 / G^2 (2310.07831, section 3)."""
    norms = np.linspace(1.0, 4.0, 500)
    for schedule in (ks.REX(1.0), ks.Cosine(1.0), ks.Constant(1.0)):
        found = ks.bound(schedule, steps=500, norms=norms, kind="l1")
        assert found == pytest.approx(ks.bound(schedule, steps=500, norms=np.sqrt(norms)))
        assert found.value != pytest.approx(ks.bound(schedule, steps=500, norms=norms).value)


@pytest.mark.parametrize("steps", [10, 1_000])
def test_a_schedule_with_a_length_is_looked_at_over_its_own(steps):
    rex, cosine = ks.REX(1.0, steps=steps), ks.Cosine(1.0, steps=steps)
    assert ks.bound(rex) == ks.bound(ks.REX(1.0), steps=steps)
    assert ks.rate_factor(rex, cosine) == pytest.approx(0.83, abs=0.11)
    # Over another run than its own it is a rate of 0 for most of it.
    assert ks.bound(rex, steps=100 * steps).value > 2.0


def test_the_factor_of_a_rate_is_that_of_the_best_base_rates():
    rex, cosine, linear = ks.REX(0.7), ks.Cosine(0.2), ks.Linear(1.0)
    assert ks.rate_factor(rex, linear) == pytest.approx(0.808, abs=5e-4)
    assert ks.rate_factor(rex, cosine) == pytest.approx(0.83, abs=5e-3)
    there, back = ks.rate_factor(rex, cosine), ks.rate_factor(cosine, rex)
    assert there * back == pytest.approx(1.0, rel=1e-12)
    assert ks.rate_factor(rex, rex) == 1.0


def test_every_schedule_of_a_learning_rate_has_a_bound():
    for name in ks.names():
        try:
            schedule = ks.get(name)(0.1)
            rates = ks.simulate(schedule, n=300)
        except (TypeError, ValueError):
            continue  # It needs more than a number.
        if rates.min() < 0.0:
            continue
        found = ks.bound(schedule, steps=300)
        assert isinstance(found, Bound) and 0.9 < found.value < 40.0, name


@pytest.mark.parametrize(
    ("given_", "error", "said"),
    [
        ({"schedule": "rex"}, TypeError, "`schedule` must be a schedule, or numbers"),
        ({"schedule": [1.0]}, ValueError, "at least two steps"),
        ({"schedule": [[1.0, 2.0]]}, ValueError, "at least two steps"),
        ({"schedule": [1.0, -1.0]}, ValueError, "at least 0, and above 0 somewhere"),
        ({"schedule": [0.0, 0.0]}, ValueError, "at least 0, and above 0 somewhere"),
        ({"schedule": [1.0, math.nan]}, ValueError, "finite"),
        ({"schedule": ks.REX(1.0), "steps": 1}, ValueError, "`steps` must be .* at least 2"),
        ({"schedule": ks.REX(1.0), "steps": 0}, ValueError, "`steps` must be .* at least 2"),
        ({"schedule": ks.REX(1.0), "steps": 10**12}, ValueError, "`steps` must be"),
        ({"schedule": ks.REX(1.0, steps=10**9)}, ValueError, "`steps` must be"),
        ({"schedule": np.array([1.0 + 1.0j, 0.5])}, TypeError, "a schedule, or numbers"),
        ({"schedule": ks.REX(1.0), "steps": True}, TypeError, "`steps` must be"),
        ({"schedule": ks.REX(1.0), "kind": "l3"}, ValueError, "`kind` must be one of"),
        ({"schedule": ks.REX(1.0), "norms": "abc"}, TypeError, "`norms` must be numbers"),
        ({"schedule": ks.REX(1.0), "norms": ["1", "2"]}, TypeError, "`norms` must be numbers"),
        ({"schedule": ks.REX(1.0), "norms": [True, True]}, TypeError, "`norms` must be numbers"),
        ({"schedule": ks.REX(1.0), "norms": {"loss": 1}}, TypeError, "`norms` must be numbers"),
        ({"schedule": ks.REX(1.0), "norms": [1.0, 0.0]}, ValueError, "`norms` must be numbers"),
        ({"schedule": ks.REX(1.0), "norms": []}, ValueError, "`norms` must be numbers"),
        ({"schedule": ks.REX(1.0), "norms": [[1.0]]}, ValueError, "`norms` must be numbers"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(given_, error, said):
    with pytest.raises(error, match=said):
        ks.bound(**given_)
