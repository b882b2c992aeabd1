"""Precision by flag and by configuration: what is asked for is what is trained, counted, logged."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import io
import json
import pathlib
import re
import warnings

import keras
import numpy as np
import pytest
from absl.testing import flagsaver
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

import keras_sched as ks
from trainers import command, models
from trainers.methods import bits, optimizers
from trainers.options.classification import Classification
from trainers.tasks.classification import ImageClassification
from trainers.tasks.configured import experiment

ROOT = pathlib.Path(__file__).parents[2]
CPT = (
    "--precision_schedule=cr",
    "--bits_min=3",
    "--bits_max=8",
    "--gradient_bits=8",
    "--cycles=8",
)


def program(*given, callbacks=()):
    """Run `trainers.cifar` with flags in this process; return its exit code and what it writes.

    The callbacks look on.
    """
    cifar = importlib.import_module("trainers.cifar")
    shown, complained = io.StringIO(), io.StringIO()
    with warnings.catch_warnings(), flagsaver.flagsaver(), pytest.MonkeyPatch.context() as patch:
        # ml_collections loads configurations in a way that Python 3.12 drops.
        warnings.filterwarnings("ignore", ".*load_module", DeprecationWarning)
        patch.setattr(command, "experiment", functools.partial(experiment, callbacks=callbacks))
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(complained):
            code = cifar.program(cifar.program.flags.parse(["cifar", *given]))
    return code, shown.getvalue() + complained.getvalue()


def configuration(name, **changes):
    spec = importlib.util.spec_from_file_location(name, ROOT / "configs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Classification.of(module.get_config().to_dict() | changes)


# --- a run by flags -------------------------------------------------------------------------------


SMALL = """
from configs import digits

def get_config():
    config = digits.get_config()
    config.dataset, config.model = "digits8", "cnn3"
    return config
"""


class Look(keras.callbacks.Callback):
    """Notes at every call of the step the dtype of a hidden layer and the steps to come."""

    def __init__(self):
        super().__init__()
        self.dtypes = []

    def on_train_batch_begin(self, batch, logs=None):
        hidden = [x for x in self.model._flatten_layers() if isinstance(x, keras.layers.Conv2D)]
        self.dtypes.append({x.compute_dtype for x in hidden})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two epochs of 22 steps, the first in bfloat16; small, as CPUs take long for that."""
    logdir = tmp_path_factory.mktemp("runs")
    small = logdir / "small.py"
    small.write_text(SMALL)
    logger, look = ks.StepLogger(), Look()
    code, shown = program(
        *CPT,
        f"--config={small}",
        "--policies=mixed_bfloat16,float32",
        "--policy_lengths=0.5dur",
        "--budget=0.17",
        f"--logdir={logdir}",
        callbacks=(logger, look),
    )
    assert code == 0
    (path,) = logdir.glob("digits/*/record.json")
    return json.loads(path.read_text()), logger.history, look.dtypes, shown, path.parent


def test_the_bits_of_every_step_are_those_of_the_schedule(trained):
    record, history, _, _, _ = trained
    steps = record["steps"]
    assert steps == 44
    t = np.arange(steps)
    period = steps // 8 + 1
    wave = np.rint(3 + 2.5 * (1 - np.cos(np.pi * (t % period) / period)))
    np.testing.assert_array_equal(history["weight_bits"], wave)
    np.testing.assert_array_equal(history["activation_bits"], wave)
    np.testing.assert_array_equal(history["gradient_bits"], np.full(steps, 8))
    assert wave.tolist() == ks.precision.cr(3, bits_max=8, steps=steps)(t).tolist()
    assert [int(wave.min()), int(wave.max())] == [3, 8]


def test_the_policy_is_what_layers_compute_in(trained):
    assert trained[2] == [{"bfloat16"}] * 2 + [{"float32"}] * 2


def test_the_record_has_what_it_cost_and_says_that_it_is_emulated(trained):
    record, history, _, shown, _ = trained
    cost = record["cost"]
    counted = [layer.macs for layer in ks.precision.macs(models.get("cnn3", (8, 8, 1), 10))]
    q = history["weight_bits"].astype(np.float64)
    assert cost["all_layers"]["macs"] == 44 * 64 * sum(counted)
    quantized = 64 * sum(counted[:-1])
    assert cost["quantized_layers"]["macs"] == 44 * quantized
    spent = float(np.sum(q**2 + 2 * q * 8))
    assert cost["quantized_layers"]["bitops_train"] == pytest.approx(quantized * spent, rel=1e-12)
    predicted = ks.precision.predicted_cost(ks.precision.cr(3, bits_max=8), gradients=8, steps=44)
    relative = cost["quantized_layers"]["relative_to_fp32"]
    assert relative == pytest.approx(predicted["relative_to_fp32"], rel=1e-12)
    assert cost["note"] == ks.precision.EMULATED
    assert f"{100 * relative:.1f} % of float32" in shown
    assert ks.precision.EMULATED in shown
    for name, value in zip(("schedule", "min", "max"), ("cr", 3, 8), strict=True):
        key = f"precision_{name}" if name == "schedule" else f"bits_{name}"
        assert record["config"][key] == value
    assert record["config"]["policies"] == ["mixed_bfloat16", "float32"]
    assert record["config"]["policy_lengths"] == ["0.5dur"]
    assert (record["config"]["gradient_bits"], record["config"]["cycles"]) == (8, 8)


def test_epochs_and_tensorboard_have_bits_and_cost(trained):
    record, _, _, _, directory = trained
    first, last = record["epochs"]
    assert 0 < first["bitops"] < last["bitops"] == record["cost"]["all_layers"]["bitops_train"]
    assert last["relative_to_fp32"] == record["cost"]["all_layers"]["relative_to_fp32"]
    wave = ks.precision.cr(3, bits_max=8, steps=44)
    for row in (first, last):  # at the step that comes next
        assert row["weight_bits"] == row["activation_bits"] == wave(row["step"])
        assert row["gradient_bits"] == 8
    events = EventAccumulator(str(directory))
    events.Reload()
    for name in ("bitops", "relative_to_fp32", "effective_bits", "weight_bits"):
        found = [
            (event.step, float(tensor_util.make_ndarray(event.tensor_proto)))
            for event in events.Tensors(name)
        ]
        assert found == [(row["step"], float(np.float32(row[name]))) for row in (first, last)]


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["--precision_schedule=crr"],
            "`precision_schedule` must be the name .*'crr'. Did you mean 'rr'",
        ),
        (["--precision_schedule=no"], "Received: precision_schedule='no'. Did you mean 'none'"),
        (["--bits_min=1"], "`bits_min` must be a whole number, at least 2, at most 16"),
        (["--bits_max=17"], "`bits_max` must be a whole number, at least 2, at most 16"),
        ([*CPT, "--bits_min=9"], "must not be above"),
        (["--gradient_bits=1"], "`gradient_bits` must be 0"),
        (["--gradient_bits=-1"], "`gradient_bits` must be a whole number"),
        (["--cycles=0"], "`cycles` must be a whole number, at least 1"),
        ([*CPT, "--cycles=5000"], "Cycles must have at least a step each"),
        (["--bits_max=6"], "--bits_max is not used by precision_schedule='none'"),
        (["--gradient_bits=8"], "--gradient_bits is not used by precision_schedule='none'"),
        (["--precision_schedule=static", "--cycles=4"], "--cycles is not used by"),
        (["--precision_schedule=rungs", "--bits_max=6"], "--bits_max is not used by"),
        (["--precision_schedule=deficit"], "A deficit must have a length"),
        (["--policies=float8"], "`policies`.*`policy` must be one of"),
        (
            ["--policies=mixed_bfloat16,float32", "--policy_lengths=0.5dur,0.4dur"],
            "`policies`.*must sum to 1",
        ),
        (["--policies=mixed_bfloat16,float32", "--policy_lengths=3weeks"], "3weeks"),
        (
            ["--policies=mixed_bfloat16,float32", "--policy_lengths=40ep,1ep"],
            "must sum to the run's",
        ),
        (["--policies=mixed_bfloat16,float32"], "`policy_lengths` must have a length for each"),
        ([*CPT, "--policies=mixed_bfloat16", "--bits_max=9"], "levels of at most 8 bits"),
        ([*CPT, "--policies=mixed_float16", "--gradient_bits=11"], "levels of at most 10 bits"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_flag_is_refused_before_there_is_a_directory(given, message, tmp_path):
    code, said = program(*given, f"--logdir={tmp_path / 'runs'}")
    assert code == 2
    assert re.search(message, said), said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quantized_layers": "most"}, "`quantized_layers` must be one of all, all_but_last"),
        ({"evaluation_bits": "least"}, "`evaluation_bits` must be one of 'max', 'current' or a"),
        ({"evaluation_bits": 17}, "`evaluation_bits` must be"),
        ({"precision_options": {"cycle": 2}}, "Did you mean 'cycles'"),
        ({"precision_options": {"cycles": 0}}, "`cycles`"),
        ({"precision_options": {"bits_min": 2}}, "`precision_schedule` is wrong.*bits_min"),
        ({"precision_options": {"rounding": "down"}}, "`rounding`"),
        ({"precision_schedule": "none", "precision_options": {"cycles": 2}}, "must be empty"),
        ({"precision_schedule": "rungs", "precision_options": {"bits": (3, 20)}}, "bits"),
        ({"evaluation_bits": 9, "policies": ["mixed_bfloat16"]}, "levels of at most 8 bits"),
    ],
)
def test_a_wrong_configuration_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ImageClassification(configuration("digits", **({"precision_schedule": "cr"} | changes)))


def test_the_same_without_the_mistake_is_accepted():
    """The negative control of what is refused; it is made and not run."""
    right = {
        "precision_schedule": "cr",
        "evaluation_bits": 8,
        "policies": ["mixed_bfloat16"],
        "precision_options": {"cycles": 2, "rounding": "floor"},
    }
    ImageClassification(configuration("digits", **right))


# --- configurations of the papers -----------------------------------------------------------------

PER_EPOCH = 50_000 // 128
CYCLIC = {
    # Rate, bits forward, bits backward: as in the released scripts.
    "rn74_cifar10_cyclic": (0.1, 3, 8, 8, "resnet74_projected"),
    "rn152_cifar100_cyclic": (0.1, 3, 8, 8, "resnet152_projected"),
    "mobilenetv2_cifar10_cyclic": (0.03, 4, 8, 8, "mobilenet_v2"),
}


def run_of(config):
    steps = config.training.trained_epochs * PER_EPOCH
    return ks.Run(steps=steps, steps_per_epoch=PER_EPOCH, batch_size=128)


def test_the_rounding_noise_has_the_seed_of_the_training():
    found = []
    for seed in (0, 0, 1):
        network = models.get("cnn2", (8, 8, 1), 10)
        made = configuration("digits", precision_schedule="cr", seed=seed)
        quantized = bits.quantized(network, made.precision, run_of(made), made.training.seed)
        handle = ks.precision.find(quantized)
        (variable,) = (v for v in handle.variables if v.name == "seed")
        found.append(int(variable.numpy()))
    assert found[0] == found[1] != found[2]


def everything(config):
    """Return rates, momenta and bits of every step."""
    run = run_of(config)
    t = np.arange(run.steps)
    bits.check(config.precision, run)
    rate, momentum = optimizers.schedules(config.optimization, run)
    return t, rate(t), momentum(t), bits.bits(config.precision).resolve(run)(t)


def assert_tenths(rates, start, end, peak):
    """A tenth of the rate at 50 and at 75 % of the part from `start` on, within two steps."""
    bounds = [start + (end - start) * share // 4 for share in (2, 3)]
    for begin, stop, value in (
        (0, bounds[0] - 2, peak),
        (bounds[0] + 2, bounds[1] - 2, peak / 10),
        (bounds[1] + 2, end, peak / 100),
    ):
        np.testing.assert_allclose(rates[begin:stop], value, rtol=1e-6)


@pytest.mark.parametrize("name", CYCLIC)
def test_cyclic_configurations_are_those_of_the_papers(name):
    peak, low, high, gradients, network = CYCLIC[name]
    config = configuration(name)
    assert (config.model, config.training.batch_size) == (network, 128)
    assert config.optimization.l2 == 1e-4
    precision = config.precision
    assert (precision.gradient_bits, precision.quantized_layers) == (gradients, "cpt_cifar")
    assert precision.evaluation_bits == "current"
    t, rates, momenta, found = everything(config)
    assert abs(len(t) - 64_000) < PER_EPOCH
    period = len(t) // 8 + 1
    wave = low + (high - low) / 2 * (1 - np.cos(np.pi * (t % period) / period))
    whole = np.abs(wave % 1 - 0.5) > 1e-9  # halves go to the even number, up to the last digit
    assert whole.mean() > 0.999
    np.testing.assert_array_equal(found[whole], np.rint(wave)[whole])
    assert_tenths(rates, 0, len(t), peak)
    np.testing.assert_allclose(momenta, 0.9, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "changes", "saving"),
    [
        ("rn74_cifar10_cyclic", {}, 36.67),
        ("rn74_cifar10_cyclic", {"bits_max": 6, "gradient_bits": 6}, 30.04),
        ("rn74_cifar10_cyclic", {"precision_schedule": "cpt", "cycles": 32}, 36.67),
        ("rn74_cifar10_cyclic", {"precision_schedule": "rr"}, 60.1),
        ("rn74_cifar10_cyclic", {"precision_schedule": "eth"}, 17.8),
        ("rn74_cifar10_cyclic", {"precision_schedule": "static", "bits_max": 8}, 0.0),
        ("rn152_cifar100_cyclic", {}, 36.67),
        ("rn152_cifar100_cyclic", {"bits_max": 6, "gradient_bits": 6}, 30.04),
        ("mobilenetv2_cifar10_cyclic", {}, 30.1),
        ("mobilenetv2_cifar10_cyclic", {"bits_max": 6, "gradient_bits": 6}, 20.7),
    ],
)
def test_what_they_save_is_what_is_published(name, changes, saving):
    """In the quantized layers, over static bits: figures of CPT, and the later cost script."""
    config = configuration(name, **changes)
    cost = ks.precision.predicted_cost(
        bits.bits(config.precision),
        gradients=config.precision.gradient_bits,
        steps=run_of(config).steps,
    )
    assert 100 * (1 - cost["relative_to_static"]) == pytest.approx(saving, abs=0.11)


def check_rest(config, l2):
    options = config.optimization
    assert (options.l2, config.precision.gradient_bits, options.learning_rate) == (l2, 8, 0.1)


@pytest.mark.parametrize(
    ("changes", "deficit", "total", "l2"),
    [
        ({}, 32_000, 288_000, 0.0),
        (
            {
                "epochs": 246,
                "schedule_delay": "0.3333dur",
                "precision_options": {"length": "0.3333dur"},
                "l2": 1e-4,
            },
            32_000,
            96_000,
            1e-4,
        ),
    ],
    ids=["final", "older"],
)
def test_the_critical_period_is_that_of_the_paper(changes, deficit, total, l2):
    """3 bits for the first R steps, then a whole training at 8 whose rate counts from there."""
    config = configuration("rn74_cifar10_critical", **changes)
    check_rest(config, l2)
    t, rates, _, found = everything(config)
    assert abs(len(t) - total) < PER_EPOCH
    length = int(np.argmax(found == 8))
    assert abs(length - deficit) < PER_EPOCH
    assert (found[:length] == 3).all() and (found[length:] == 8).all()
    assert_tenths(rates, length, len(t), 0.1)


@pytest.mark.parametrize("start", [0.0625, 0.125, 0.25])
def test_the_probe_is_that_of_the_paper(start):
    """3 bits for 128,000 of 256,000 steps from a = 16,000, 32,000 or 64,000 on."""
    options = {"length": "0.5dur", "start": f"{start}dur"}
    changes = {} if start == 0.0625 else {"precision_options": options}
    config = configuration("rn74_cifar10_probe", **changes)
    check_rest(config, 0.0)
    t, rates, _, found = everything(config)
    assert abs(len(t) - 256_000) < PER_EPOCH
    low = np.flatnonzero(found == 3)
    assert abs(low[0] - 256_000 * start) < PER_EPOCH
    assert abs(len(low) - 128_000) < PER_EPOCH
    assert low[-1] - low[0] + 1 == len(low)
    assert set(found) == {3, 8}
    assert_tenths(rates, 0, len(t), 0.1)
