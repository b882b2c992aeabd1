"""Programs as their authors wrote them, trained with schedules, and checked at every step.

The training step, the data and the optimizers are the program's. What is checked is the same for
all: each update used the scheduled value (through a weight with a known gradient), the log says so,
the updates are counted right, and afterwards the next training is a plain one.
"""

from __future__ import annotations

import pytest

import keras_sched as ks
from tests.programs import own_steps, stock_steps
from tests.programs.probe import check

PROGRAMS = [
    own_steps.gan,
    own_steps.wasserstein_gan,
    own_steps.alternating,
    own_steps.vae,
    own_steps.simsiam,
    own_steps.distiller,
    stock_steps.accumulated,
    stock_steps.accumulated_by_call,
    stock_steps.groups,
    stock_steps.text,
    stock_steps.measured,
    stock_steps.averaged,
]
OF_UNKNOWN_LENGTH = [stock_steps.generator, stock_steps.filtered]


def name(program):
    return program.__name__


@pytest.mark.parametrize("program", PROGRAMS, ids=name)
def test_every_update_uses_the_scheduled_values(program):
    check(program(jit=False))


@pytest.mark.parametrize(
    ("program", "has_log"), [(own_steps.vae, False), (stock_steps.groups, True)]
)
def test_every_update_uses_them_under_xla(program, has_log):
    """Also where no logger traces the step first, which makes the optimizer's variables."""
    check(program(jit=True), has_log)


# Keras' own warning, with schedules and without.
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("has_log", [True, False], ids=["logged", "not logged"])
@pytest.mark.parametrize("program", OF_UNKNOWN_LENGTH, ids=name)
def test_so_it_is_where_nobody_knows_the_length_of_the_data(program, has_log):
    check(program(jit=False), has_log)


@pytest.mark.parametrize(
    "given",
    [
        {"learning_rate": ks.Polynomial(0.05, power=2.0)},
        {"learning_rate": ks.Polynomial(0.05, power=2.0), "ema_momentum": ks.Constant(0.9)},
    ],
    ids=["not at all", "another value"],
)
def test_the_check_sees_a_value_that_was_not_used(given):
    program = stock_steps.averaged(jit=False)
    program.schedulers = lambda: [ks.Scheduler(**given)]
    with pytest.raises(AssertionError, match="Mismatched elements: 6 / 18"):
        check(program, has_log=False)


def test_the_check_sees_a_value_that_was_used_a_step_late():
    program = stock_steps.averaged(jit=False)
    options = {"first_step": 1, **program.parts[0].schedules}
    program.schedulers = lambda: [ks.Scheduler(**options)]
    with pytest.raises(AssertionError, match="Mismatched elements: 17 / 18"):
        check(program, has_log=False)


def test_updates_that_are_fewer_than_batches_are_counted_or_an_error():
    program = own_steps.alternating(jit=False)
    slow = program.parts[0]
    scheduler = ks.Scheduler(**slow.schedules, optimizer=slow.optimizer)
    with pytest.raises(ValueError, match=r"`updates_per_batch` must be .* reach their end"):
        program.model.fit(**program.fit, verbose=0, callbacks=[scheduler])
    assert slow.optimizer.momentum == 0.9
