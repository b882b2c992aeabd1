"""Find a range of bits for cyclic precision: train a while with each number, then put all back."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.trainers.data_adapters import get_data_adapter  # how `fit` reads its data

from keras_sched import _validate
from keras_sched._backend import check_tensorflow
from keras_sched.callbacks.step_logger import StepLogger
from keras_sched.precision.attach import Quantized, find, quantize
from keras_sched.precision.bits import BitWidth
from keras_sched.precision.checks import whole_bits
from keras_sched.precision.rules import PRESETS
from keras_sched.range_tests import _undone
from keras_sched.range_tests.bits_result import PrecisionRangeResult

__all__ = ["PrecisionRangeTest"]

_MODES = ("restart", "single_pass")
_DIRECTIONS = ("min", "max")
_NOTHING_FOLLOWS = (
    "`model` must have layers whose weights or activations have the bits of the model. Received: "
    'none. Expected `layers=` that leave some to them, as "all".'
)
_LOSS = "loss"
# What a model is quantized with that is not quantized yet.
_OPTIONS: dict[str, Any] = {
    "gradients": 8,
    "layers": "all_but_last",
    "symmetric": False,
    "seed": 0,
}


class PrecisionRangeTest:
    r"""Train a while with each number of bits, and leave no trace of it.

    Weights and activations have b = `bits_min`, ..., B = `bits_max` bits, for `steps` steps each;
    gradients keep theirs. With f_b the mean of the metric over the last `window` of these steps,
    and m its value at the first step,

        restart:      a_b = (m - f_b) / (m - f_B),         q_min = least b with a_b >= 1 - threshold
        single_pass:  a_b = (f_(b - 1) - f_b) / (m - f_B), q_min = least b with a_b > threshold

    where f before the first b is m. In mode "restart" every number of bits begins at the same
    weights, optimizer, statistics and seeds, and is given the same batches, so that nothing but
    precision tells them apart; m is the value at B bits. In "single_pass", as in the paper,
    training goes on while the bits rise, so that later ones profit from what came before.

    q_max is B, as the paper allows: a short test sees the beginning of training, and the end of it
    wants more bits. With a `tolerance` it is the least b from q_min on with
    ``(f_b - f_B) / (m - f_B) <= tolerance``.

    There is no suggestion where m improves to f_B by at most twice the standard deviation of the
    last `window` values of B.

    Bits are values at run time: however many there are, the step is traced once. Afterwards the
    model, the optimizer with its slots and counts, metrics, seed generators, the handle of a model
    that is quantized, and the random states of Python, NumPy and Keras have the very bits they had,
    also if training raises. A model that is not quantized is so for the test only. Batches that are
    drawn from a generator, or from a `tf.data` pipeline that keeps a state, are gone.

    Args:
        bits_min: Fewest bits, in [2, 16].
        bits_max: Most bits, in (`bits_min`, 16].
        steps: Steps with each number of bits, at least 2; a multiple of the steps per execution.
        mode: "restart" or "single_pass".
        metric: "loss", the loss of each batch as `ks.StepLogger` has it, or the name of a metric
            that the model is compiled with, as "accuracy": its value over each batch (over each
            execution, if that is of several).
        direction: "max" if more of the metric is better, else "min"; may be left out for the loss.
        window: Last steps of each number of bits whose mean is judged, in [1, `steps`].
        threshold: Share of the learning, in [0, 1): the one that may be missing ("restart"), or
            must be exceeded ("single_pass").
        tolerance: Share that may be missing at q_max, in [0, 1); None for q_max = `bits_max`.
        gradients: Bits of gradients, in [2, 16], or None for full precision. This one and those
            below are for a model that is not quantized yet; one that is has its own.
        layers: Which layers to quantize; as of `ks.precision.quantize`.
        symmetric: Whether levels lie symmetric about 0.
        seed: Of the stochastic rounding of gradients.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of its range.

    Example:
        >>> import keras, numpy as np, keras_sched as ks
        >>> keras.utils.set_random_seed(0)
        >>> model = keras.Sequential([keras.Input([4]), keras.layers.Dense(16, "tanh"),
        ...                           keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.1), "mse")
        >>> x = np.random.default_rng(0).normal(size=[64, 4])
        >>> test = ks.PrecisionRangeTest(2, bits_max=6, steps=30, layers="all")
        >>> result = test.run(model, x, x[:, :1], batch_size=16)
        >>> result.bits_min, result.bits_max
        (3, 6)
        >>> int(model.optimizer.iterations)
        0
        >>> schedule = ks.precision.cpt(result.bits_min, bits_max=result.bits_max)

    References:
        Fu et al., "CPT" (arXiv 2101.09868), section 3.3, the precision range test. Differences: its
        threshold is one of training accuracy, of a value that is not published, and not a share;
        the released code has no such test.
    """

    def __init__(
        self,
        bits_min: int = 2,
        *,
        bits_max: int = 8,
        steps: int = 40,
        mode: str = "restart",
        metric: str = _LOSS,
        direction: str | None = None,
        window: int = 10,
        threshold: float = 0.1,
        tolerance: float | None = None,
        gradients: int | None = _OPTIONS["gradients"],
        layers: str | Sequence[tuple[str, Any]] = _OPTIONS["layers"],
        symmetric: bool = _OPTIONS["symmetric"],
        seed: int = _OPTIONS["seed"],
    ) -> None:
        check_tensorflow("`PrecisionRangeTest`")
        self.bits_min = whole_bits("bits_min", bits_min)
        self.bits_max = whole_bits("bits_max", bits_max)
        if self.bits_min >= self.bits_max:
            raise ValueError(
                f"`bits_max` must be above `bits_min`. Received: bits_min={bits_min}, "
                f"bits_max={bits_max}"
            )
        self.steps = _validate.integer("steps", steps, low=2)
        self.mode = _validate.choice("mode", mode, _MODES)
        self.metric = metric
        self.direction = _direction(metric, direction)
        self.window = _validate.integer("window", window, low=1)
        if self.window > self.steps:
            raise ValueError(
                f"`window` must be at most `steps`. Received: window={window}, steps={steps}"
            )
        self.threshold = _validate.real("threshold", threshold, low=0.0, high=1.0, open_high=True)
        self.tolerance = (
            None
            if tolerance is None
            else _validate.real("tolerance", tolerance, low=0.0, high=1.0, open_high=True)
        )
        if isinstance(layers, str):
            _validate.choice("layers", layers, PRESETS)
        if not isinstance(symmetric, bool):
            raise TypeError(f"`symmetric` must be True or False. Received: symmetric={symmetric!r}")
        self._options: dict[str, Any] = {
            "gradients": None if gradients is None else whole_bits("gradients", gradients),
            "layers": layers,
            "symmetric": symmetric,
            "seed": _validate.integer("seed", seed),
        }

    @property
    def bits(self) -> tuple[int, ...]:
        """The numbers of bits that are tried."""
        return tuple(range(self.bits_min, self.bits_max + 1))

    def run(
        self,
        model: keras.Model,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        *,
        train: Callable[[list[keras.callbacks.Callback]], Any] | None = None,
    ) -> PrecisionRangeResult:
        """Run the test.

        Args:
            model: A compiled model that is built, quantized or not.
            x: Data as `fit` takes them; gone through again if they are too short. In mode "restart"
                `steps` batches are kept in memory.
            y: Targets, if `x` does not hold them.
            batch_size: Samples of a batch, for arrays.
            train: A loop to use in place of `fit`: trains `model` with the callbacks it is given
                until ``model.stop_training``. In mode "restart" it should give the same `steps`
                batches again and again.

        Returns:
            The losses and figures, with suggestions.

        Raises:
            ValueError: If the model is not compiled and built, there are no data or too few, the
                metric is unknown, or the bits of a quantized model follow a schedule, do not exist,
                are more than its dtype holds or are those of no layer.
        """
        _undone.check_trainable(model, None, x, train)
        per_execution = getattr(model, "steps_per_execution", 1)
        if self.steps % per_execution:
            raise ValueError(
                f"`steps` must be a multiple of the steps per execution. Received: "
                f"steps={self.steps} with steps_per_execution={per_execution}"
            )
        self._check_metric(model)
        logger = StepLogger(capacity=self.steps)
        with _undone.undone(model) as before, self._quantized(model) as handle:
            climb = _Climb(self, handle, logger, before)
            callbacks = [climb, logger]
            if train is not None:
                train(callbacks)
            else:
                self._fit(model, x, y, batch_size, callbacks)
        return climb.result()

    def _check_metric(self, model: Any) -> None:
        """Refuse an unknown metric, if Keras has made the metrics already."""
        metrics = getattr(model, "_compile_metrics", None)
        if metrics is None or metrics.built:
            _validate.choice("metric", self.metric, {_LOSS, *model.get_metrics_result()})

    @contextlib.contextmanager
    def _quantized(self, model: keras.Model) -> Iterator[Quantized]:
        """Give the handle of the model, or one for this test."""
        handle = find(model)
        if handle is None:
            with quantize(
                model, weights=self.bits_max, activations=self.bits_max, **self._options
            ) as handle:
                yield handle
            return
        if self._options != _OPTIONS:
            raise ValueError(
                f"`model` is quantized already, and has its own options. Received: "
                f"{self._options}. Leave them out, or `ks.precision.find(model).detach()` first."
            )
        yield handle

    def _fit(
        self, model: Any, x: Any, y: Any, batch_size: int | None, callbacks: list[Any]
    ) -> None:
        with warnings.catch_warnings():
            # As `fit` itself shuffles arrays, and leaves alone what comes in batches.
            warnings.filterwarnings("ignore", message="`shuffle=True` was passed")
            adapter = get_data_adapter(x, y, batch_size=batch_size, shuffle=True)
        data = adapter.get_tf_dataset()
        if data.cardinality() == 0:
            raise ValueError("`x` must hold at least one batch. Received: none")
        data = data.repeat()
        if self.mode == "restart":
            kept = data.take(self.steps).apply(tf.data.experimental.assert_cardinality(self.steps))
            data = kept.cache().repeat()
        adapter.on_epoch_begin()
        try:
            model.fit(
                data,
                steps_per_epoch=self.steps * len(self.bits),
                shuffle=False,
                verbose=0,
                callbacks=callbacks,
            )
        finally:
            adapter.on_epoch_end()


class _Climb(keras.callbacks.Callback):
    """Raises the bits, and begins anew in mode "restart"."""

    def __init__(
        self,
        test: PrecisionRangeTest,
        handle: Quantized,
        logger: StepLogger,
        before: _undone.Before,
    ) -> None:
        super().__init__()
        self._test = test
        self._logger = logger
        self._before = before
        self._handle = handle
        self._widths = _free_widths(handle)
        self._rung = 0
        self._done = 0
        self._values: list[float] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self._before.take(*self._handle.variables)
        self._logger.set_state({"step": 0})
        self._assign(self._test.bits_max)
        self._begin()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        _undone.check_loss(self._logger)
        test = self._test
        if self._rung == len(test.bits):
            return
        before, self._done = self._done, self._logger.step
        due = (self._rung + 1) * test.steps
        taken = self._done - before
        if self._done > due:
            raise ValueError(
                f"`steps` must be a multiple of the steps between two calls of the callbacks. "
                f"Received: steps={test.steps}, {taken} steps in one call"
            )
        if test.metric != _LOSS:
            self._values += [self._read_metric()] * taken
        if self._done == due:
            self._logger.flush()
            self._rung += 1
            self._begin()

    def result(self) -> PrecisionRangeResult:
        """Return what was seen."""
        test = self._test
        if self._rung < len(test.bits):
            raise ValueError(
                f"Training must go on until `model.stop_training`, for {test.steps} steps with "
                f"each of {len(test.bits)} numbers of bits. Received: {self._done} steps"
            )
        losses = self._logger.history["loss"].tolist()
        judged = losses if test.metric == _LOSS else self._values
        parts = [
            _finite(losses[begin : begin + test.steps], judged[begin : begin + test.steps])
            for begin in range(0, test.steps * len(test.bits), test.steps)
        ]
        return PrecisionRangeResult(
            bits=test.bits,
            losses=tuple(part[0] for part in parts),
            values=tuple(part[1] for part in parts),
            steps=test.steps,
            mode=test.mode,
            metric=test.metric,
            direction=test.direction,
            window=test.window,
            threshold=test.threshold,
            tolerance=test.tolerance,
        )

    def _begin(self) -> None:
        """Begin the next number of bits, or end the training."""
        if self._rung == len(self._test.bits):
            self.model.stop_training = True
            return
        if self._test.mode == "restart" and self._rung > 0:
            self._before.put_back()
        self._assign(self._test.bits[self._rung])
        self.model.reset_metrics()

    def _assign(self, bits: int) -> None:
        for width in self._widths:
            width.assign(bits)

    def _read_metric(self) -> float:
        """Return the metric since it was last read, and begin it anew."""
        found = self.model.get_metrics_result()
        name = _validate.choice("metric", self._test.metric, found)
        value = float(keras.ops.convert_to_numpy(found[name]))
        self.model.reset_metrics()
        return value


def _direction(metric: str, direction: str | None) -> str:
    if not isinstance(metric, str):
        raise TypeError(f"`metric` must be a name. Received: metric={metric!r}")
    if direction is not None:
        _validate.choice("direction", direction, _DIRECTIONS)
    if metric == _LOSS and direction in (None, "min"):
        return "min"
    if metric == _LOSS or direction is None:
        raise ValueError(
            f"`direction` must be 'min' for the loss, and 'min' or 'max' for any other metric. "
            f"Received: metric={metric!r}, direction={direction!r}"
        )
    return direction


def _free_widths(handle: Quantized) -> list[BitWidth]:
    """Return the bits that are to rise; refuse a handle that leaves none to set."""
    widths = [width for width in (handle.weights, handle.activations) if width is not None]
    for width in widths:
        if width.source is not None:
            raise ValueError(
                f"`{width.name}` must not follow a schedule, as the test sets them. Received: "
                f"{width.source.schedule!r}. Release it first: "
                f"`ks.precision.find(model).detach_schedules()`."
            )
    if not handle.free_layers():
        raise ValueError(_NOTHING_FOLLOWS)
    return widths


def _finite(
    losses: list[float], values: list[float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return both up to the first step at which one is not finite."""
    good = np.isfinite(losses) & np.isfinite(values)
    end = len(good) if good.all() else int(np.argmin(good))
    return tuple(losses[:end]), tuple(values[:end])
