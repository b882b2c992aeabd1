"""Find a learning rate: raise it at every step until the loss explodes, then put all back."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_sched import _validate
from keras_sched._arrays import FLOAT, ratio
from keras_sched._backend import check_tensorflow
from keras_sched._driver import LEARNING_RATE, Source
from keras_sched._training import Member
from keras_sched._use import Use, check_optimizer, optimizer_of
from keras_sched.callbacks.step_logger import StepLogger
from keras_sched.hyperparameters import current, driver_of, groups
from keras_sched.plotting import new_axes
from keras_sched.range_tests import _results, _suggest, _undone
from keras_sched.schedules import Schedule, register_schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LRRangeTest", "RangeTestResult"]


@dataclasses.dataclass(frozen=True)
class RangeTestResult(_results.Result):
    """What a range test saw, step by step, up to the last finite loss.

    Attributes:
        learning_rates: The learning rate each step used.
        losses: The loss of each step's batch.
        smoothed: Their exponential mean with bias correction.
        diverged: Whether the loss exploded before the last step.
        ended_early: Whether training ended before the last step for another reason, so that higher
            rates were not tried.
    """

    learning_rates: tuple[float, ...] = dataclasses.field(repr=False)
    losses: tuple[float, ...] = dataclasses.field(repr=False)
    smoothed: tuple[float, ...] = dataclasses.field(repr=False)
    diverged: bool
    ended_early: bool = False

    @property
    def suggestions(self) -> dict[str, float]:
        """Return fastai's four suggestions by name: minimum, slide, steep, valley.

        As there, the first tenth of the steps and the last five are left out.

        Raises:
            ValueError: If fewer than 10 steps are left.
        """
        first, last = len(self.losses) // 10, len(self.losses) - 5
        if last - first < 10:
            raise ValueError(
                f"Suggestions need at least 16 steps before the loss explodes. "
                f"Received: {len(self.losses)}. Lower `start`, or raise `steps`."
            )
        return _suggest.all_four(
            np.array(self.learning_rates[first:last]), np.array(self.smoothed[first:last])
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the smoothed loss over the learning rate, with the suggestions if there are any."""
        ax = new_axes("`plot`") if ax is None else ax
        ax.plot(self.learning_rates, self.losses, alpha=0.3, linewidth=1, label="loss of the batch")
        ax.plot(self.learning_rates, self.smoothed, label="smoothed")
        with contextlib.suppress(ValueError):
            for index, (name, rate) in enumerate(self.suggestions.items()):
                ax.axvline(rate, color=f"C{index + 2}", linestyle=":", label=f"{name} {rate:.2g}")
        ax.set(xlabel="learning rate", ylabel="loss", xscale="log")
        if self.diverged:
            ax.set_ylim(*_limits(self.smoothed))
        ax.legend(frameon=False)
        return ax


class LRRangeTest:
    """Train with a learning rate that grows exponentially, and leave no trace of it.

    Step i of n uses ``start * (end / start) ** (i / (n - 1))``, computed in the compiled step. The
    test ends when the smoothed loss is above `divergence` times its best, or not a number; with
    several steps per execution it looks once per execution.

    Afterwards the model, the optimizer with its slots and counts, metrics, seed generators and the
    random states of Python, NumPy and Keras have the very bits they had, also if training raises.
    An optimizer that was not built yet is built, and as new. What a `tf.data` pipeline has drawn
    cannot be put back.

    Args:
        start: First learning rate, above 0.
        end: Last learning rate, above `start`.
        steps: Number of steps, at least 20.
        smoothing: Weight of the past in the mean loss, in [0, 1); fastai's 0.98.
        divergence: Multiple of the best loss at which the test ends, above 1; fastai's 4.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import keras, numpy as np
        >>> keras.utils.set_random_seed(0)
        >>> model = keras.Sequential([keras.Input([2]), keras.layers.Dense(1)])
        >>> model.compile("sgd", loss="mse")
        >>> x = np.random.default_rng(0).normal(size=[64, 2])
        >>> result = LRRangeTest(1e-4, end=10.0, steps=60).run(model, x, x[:, :1], batch_size=8)
        >>> result.diverged, sorted(result.suggestions)
        (True, ['minimum', 'slide', 'steep', 'valley'])
        >>> int(model.optimizer.iterations)
        0

    References:
        Smith (arXiv 1506.01186), section 3.3; Howard & Gugger, fastai (arXiv 2002.04688), 4.4.
    """

    def __init__(
        self,
        start: float = 1e-7,
        *,
        end: float = 10.0,
        steps: int = 100,
        smoothing: float = 0.98,
        divergence: float = 4.0,
    ) -> None:
        check_tensorflow("`LRRangeTest`")
        self.start = _validate.real("start", start, low=0.0, open_low=True)
        self.end = _validate.real("end", end, low=self.start, open_low=True)
        self.steps = _validate.integer("steps", steps, low=20)
        self.smoothing = _validate.momentum("smoothing", smoothing)
        self.divergence = _validate.real("divergence", divergence, low=1.0, open_low=True)

    def run(
        self,
        model: keras.Model,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        *,
        optimizer: keras.optimizers.Optimizer | None = None,
        train: Callable[[list[keras.callbacks.Callback]], Any] | None = None,
    ) -> RangeTestResult:
        """Run the test.

        Args:
            model: A compiled model that is built.
            x: Data as `fit` takes them; gone through again if they are too short.
            y: Targets, if `x` does not hold them.
            batch_size: Samples of a batch, for arrays.
            optimizer: The optimizer whose learning rate grows; by default the one that the model is
                compiled with.
            train: A loop to use in place of `fit`: trains `model` with the callbacks it is given
                until ``model.stop_training``.

        Returns:
            The learning rates and losses, with suggestions.

        Raises:
            ValueError: If the model is not compiled and built, there are no data, the first loss is
                not finite, the loss is constant or cannot be known, or the training step does not
                use the optimizer.
        """
        check_optimizer(optimizer)
        _undone.check_trainable(model, optimizer, x, train)
        logger = StepLogger(
            optimizer=optimizer,
            capacity=max(getattr(model, "steps_per_execution", 1), self.steps),
        )
        with _undone.undone(model, optimizer) as before:
            watch = _Watch(self, logger, optimizer, before)
            callbacks = [watch, logger]
            if train is not None:
                train(callbacks)
            else:
                # An epoch has at least one step, so this is enough.
                model.fit(
                    x, y, batch_size=batch_size, epochs=self.steps, verbose=0, callbacks=callbacks
                )
        return watch.result()


class _Watch(Member):
    """Takes the snapshot when model and optimizer are built, and ends the test in time."""

    def __init__(
        self,
        test: LRRangeTest,
        logger: StepLogger,
        optimizer: keras.optimizers.Optimizer | None,
        before: _undone.Before,
    ) -> None:
        super().__init__()
        self._test = test
        self._logger = logger
        self._given = optimizer
        self._before = before
        self._name = ""
        self._use: Use | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        test = self._test
        optimizer = optimizer_of(self, self._given)
        self._before.take()
        with self.joined() as training:
            self._name = next(iter(current(optimizer)))
            for part in groups(optimizer).values():
                driver = driver_of(part)
                growth = _Growth(test.start, test.end, test.steps)
                first = int(keras.ops.convert_to_numpy(driver.count("micro")))
                source = Source(growth, "micro", first, self)
                training.on_undo(self, driver.exchange(LEARNING_RATE, source))
            training.mark("range test", object())  # another one at every test
            training.is_kept = False
            self._use = Use("LRRangeTest().run", training, optimizer)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.under_way()
        if self._use is not None and self._use.check():
            self._use = None
        _undone.check_loss(self._logger)
        self._logger.flush()
        losses = self._logger.history["loss"]
        _, end = _smooth(losses, self._test.smoothing, self._test.divergence)
        if len(losses) >= self._test.steps or end < len(losses):
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        self.leave()

    def result(self) -> RangeTestResult:
        """Return what was seen."""
        history, test = self._logger.history, self._test
        losses = history["loss"][: test.steps]
        smoothed, end = _smooth(losses, test.smoothing, test.divergence)
        if not smoothed:
            raise ValueError(
                f"The loss must be finite at the lowest learning rate. Received: {losses[:1]} "
                f"at start={test.start}"
            )
        if len(losses) > 1 and losses.min() == losses.max():
            raise ValueError(
                f"The loss must change from batch to batch. Received: {losses[0]} in all "
                f"{len(losses)} of them. Return the loss that is minimized from `train_step`: "
                f'`return {{"loss": loss}}`.'
            )
        diverged = end < len(losses)
        ended_early = len(losses) < test.steps and not diverged
        if ended_early:
            warnings.warn(
                f"The range test ended after {len(losses)} of {test.steps} steps, at a rate of "
                f"{history[self._name][-1]:.3g}: higher ones were not tried.",
                stacklevel=3,
            )
        n = len(smoothed)
        return RangeTestResult(
            learning_rates=tuple(history[self._name][:n].tolist()),
            losses=tuple(losses[:n].tolist()),
            smoothed=tuple(smoothed),
            diverged=diverged,
            ended_early=ended_early,
        )


@register_schedule
class _Growth(Schedule):
    """``start (end / start)^(i / (n - 1))`` at step i of n."""

    start: float
    end: float
    n: int

    @property
    def span(self) -> int | None:
        return self.n - 1

    def _value(self, t: Any, xp: Any) -> Any:
        s = ratio(xp.cast(xp.minimum(t, self.n - 1), FLOAT), float(self.n - 1))
        return self.start * xp.exp(math.log(self.end / self.start) * s)


def _smooth(losses: np.ndarray, beta: float, divergence: float) -> tuple[list[float], int]:
    """Return the smoothed losses that are finite, and the step that diverged, else their number."""
    smoothed: list[float] = []
    mean, best = 0.0, math.inf
    for i, loss in enumerate(losses.tolist()):
        if not math.isfinite(loss):
            return smoothed, i
        mean = beta * mean + (1.0 - beta) * loss
        value = mean / (1.0 - beta ** (i + 1))
        smoothed.append(value)
        best = min(best, value)
        # A multiple of a loss below 0 would be lower still.
        if best > 0 and value > divergence * best:
            return smoothed, i
    return smoothed, len(losses)


def _limits(smoothed: tuple[float, ...]) -> tuple[float, float]:
    low = min(smoothed)
    high = max(smoothed[: max(1, len(smoothed) // 2)])
    return low - 0.1 * (high - low), high + 0.5 * (high - low)
