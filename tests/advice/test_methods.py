"""What advice is given on is what was trained: each method is that of its rows in the sweeps."""

import numpy as np
import pytest

import keras_sched as ks
from configs.sweeps.rows import ADVISED
from keras_sched.advice.methods import METHODS, prior
from trainers.methods import optimizers
from trainers.options.optimization import Optimization

STEPS = 400


@pytest.mark.parametrize("name", ADVISED)
def test_a_method_is_what_the_sweeps_train_under_its_name(name):
    run = ks.Run(steps=STEPS, steps_per_epoch=20)
    options = Optimization(**{"learning_rate": 0.3, "momentum": 0.9, **ADVISED[name]})
    rate, momentum = optimizers.schedules(options, run)
    method, steps = METHODS[name], np.arange(STEPS)
    np.testing.assert_allclose(method.rate(0.3).resolve(run)(steps), rate(steps), rtol=1e-6)
    if method.momentum is None:
        assert set(momentum(steps).tolist()) == {np.float32(0.9)}
    else:
        its = method.momentum(0.9).resolve(run)
        np.testing.assert_allclose(its(steps), momentum(steps), rtol=1e-6)


def test_a_momentum_that_falls_is_a_rate_that_falls():
    """What a step comes to, with all that momentum makes of it, is rate / (1 - momentum).

    Not of Adam, whose step is a mean of gradients.
    """
    np.testing.assert_array_equal(METHODS["Demon"].effective(1_000, sums=False), np.ones(1_000))
    for optimizer, is_same in (("sgd", False), ("adam", True)):
        rows = {row.method: row for row in ks.recommend("graph", optimizer=optimizer).rows}
        assert (rows["Demon"].rate_factor == rows["None"].rate_factor) == is_same
    found = METHODS["Demon"].effective(1_000)
    assert found[0] == pytest.approx(1.0, rel=1e-6)
    assert found[-1] < 0.11 and (np.diff(found) <= 0.0).all()
    assert METHODS["None"].effective(1_000).tolist() == [1.0] * 1_000


def test_all_methods_and_those_of_the_papers_have_a_prior():
    found = prior()
    assert METHODS.keys() < found.keys()
    assert min(found, key=found.__getitem__) == "Linear"
    assert found["Plateau"] == found["Step"]
