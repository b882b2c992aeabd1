"""Curves without training, as arrays and as pictures."""

import numpy as np
import pytest

import keras_sched as ks


def test_simulate_is_what_the_schedule_gives_step_by_step():
    schedule = ks.REX(0.1).warmup("5%")
    curve = ks.simulate(schedule, n=200)
    resolved = schedule.resolve(200)
    assert curve.dtype == np.float32
    assert curve.tolist() == [float(resolved(t)) for t in range(200)]


def test_simulate_takes_a_run_for_its_epochs():
    run = ks.Run(steps=20, steps_per_epoch=5)
    assert ks.simulate(ks.Constant(1.0).warmup("1ep"), n=run).tolist()[:6] == pytest.approx(
        [0.2, 0.4, 0.6, 0.8, 1.0, 1.0]
    )


def test_plot_draws_what_simulate_gives(tmp_path):
    axes = ks.plot(ks.REX(0.1), ks.Cosine(0.1), mine=ks.WSD(0.1), n=100)
    lines = axes.get_lines()
    assert [line.get_label() for line in lines] == ["REX(0.1)", "Cosine(0.1)", "mine"]
    np.testing.assert_array_equal(lines[0].get_ydata(), ks.simulate(ks.REX(0.1), n=100))
    axes.figure.savefig(tmp_path / "schedules.png")
    assert (tmp_path / "schedules.png").stat().st_size > 5000


@pytest.mark.parametrize("n", [0, -1, 1.5, "100"])
def test_a_run_of_no_steps_is_refused(n):
    with pytest.raises((ValueError, TypeError), match="`n` must be"):
        ks.simulate(ks.REX(0.1), n=n)


def test_what_is_no_schedule_is_refused():
    with pytest.raises(TypeError, match="must be a keras_sched schedule"):
        ks.plot(0.1)
    with pytest.raises(ValueError, match="at least one schedule"):
        ks.plot()
