"""A schedule that is refined from norms: by sums that are written out, and by what theory says."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_sched as ks

STEPS = 2_000


@pytest.mark.parametrize(("kind", "power"), [("l2", -2.0), ("l1", -1.0)])
def test_it_is_the_sum_that_is_written_out(kind, power):
    """Of norms that change slowly smoothing changes nothing but the ends."""
    norms = np.linspace(1.0, 3.0, STEPS)
    found = ks.Refined.from_norms(1.0, norms, kind=kind, steps=STEPS)
    weights = norms**power
    rates = np.array([weights[t] * weights[t + 1 :].sum() for t in range(STEPS)])
    expected = rates / rates.max()
    np.testing.assert_allclose(found(np.arange(STEPS)), expected, atol=0.01)


def test_norms_that_stay_give_linear_decay():
    found = ks.Refined.from_norms(0.1, np.full(STEPS, 7.0), steps=500)
    np.testing.assert_allclose(found(np.arange(500)), ks.simulate(ks.Linear(0.1), n=500), atol=2e-4)


@pytest.mark.parametrize("kind", ["l1", "l2"])
@pytest.mark.parametrize(
    "norms",
    [
        np.linspace(2.0, 1.0, STEPS),
        np.linspace(1.0, 2.0, STEPS),
        1.0 + 3.0 * np.exp(-np.arange(STEPS) / 100),
    ],
    ids=["falling", "rising", "a peak at the start"],
)
def test_theory_has_it_ahead_of_all_others_for_its_norms(norms, kind):
    """Also of the one that is refined as if they were of the other kind."""

    def value(schedule):
        return ks.bound(schedule, steps=STEPS, norms=norms, kind=kind).value

    refined = {each: value(ks.Refined.from_norms(1.0, norms, kind=each)) for each in ("l1", "l2")}
    others = [ks.Linear(1.0), ks.REX(1.0), ks.Cosine(1.0), ks.Linear(1.0).warmup("5%")]
    for schedule in others:
        assert refined[kind] <= value(schedule) + 0.004
    assert refined.pop(kind) < min(refined.values()) - 0.003


@pytest.mark.parametrize("kind", ["l1", "l2"])
def test_steps_before_the_first_update_are_left_out(kind):
    norms = np.linspace(2.0, 1.0, 100)
    late = np.concatenate([np.full(7, np.nan), norms])
    asked = ks.Refined.from_norms(1.0, late, kind=kind, steps=90)
    assert asked == ks.Refined.from_norms(1.0, norms, kind=kind, steps=90)
    both = [ks.bound(ks.REX(1.0), steps=90, norms=each, kind=kind) for each in (late, norms)]
    assert both[0] == both[1]


def test_it_does_not_depend_on_the_scale_and_bursts_are_smoothed():
    draw = np.random.default_rng(0)
    norms = np.linspace(2.0, 1.0, STEPS)
    one = ks.Refined.from_norms(1.0, norms)
    assert ks.Refined.from_norms(1.0, 1e6 * norms).profile == pytest.approx(one.profile)
    burst = np.where(draw.random(STEPS) < 0.05, 100.0, norms)
    other = ks.Refined.from_norms(1.0, burst)
    np.testing.assert_allclose(other.profile, one.profile, atol=0.01)


def test_it_is_stretched_and_saved_with_a_model(tmp_path):
    schedule = ks.Refined.from_norms(0.1, np.linspace(1.0, 2.0, 50), steps=40)
    model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(schedule), "mse")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    found = loaded.optimizer._learning_rate
    assert found == schedule
    longer = ks.Refined.from_norms(0.1, np.linspace(1.0, 2.0, 50), steps=80)
    np.testing.assert_allclose(longer(np.arange(0, 80, 2)), schedule(np.arange(40)), rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"norms": [1.0] * 9}, "`norms` must be at least 10"),
        ({"norms": [1.0] * 9 + [0.0]}, "`norms` must be at least 10"),
        ({"norms": [1.0] * 10 + [np.nan]}, "number 10 after the first update is nan"),
        ({"norms": [np.nan] * 20}, "`norms` must be at least 10"),
        ({"norms": np.ones((10, 2))}, "`norms` must be at least 10"),
        ({"norms": np.geomspace(1e-300, 1e300, 50)}, "`norms` must not be so far apart"),
        ({"kind": "l3"}, "`kind` must be one of"),
        ({"start": -1.0}, "`start` must be"),
        ({"length": 0}, "`length` must be"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(changes, said):
    given = {"start": 0.1, "norms": [1.0] * 20, **changes}
    with pytest.raises(ValueError, match=said):
        ks.Refined.from_norms(given.pop("start"), given.pop("norms"), **given)
