"""One training of one model: what the callbacks have changed in it, and how that is put back.

All callbacks of one `fit` share a `Training`. Each says what it has changed and how to undo it;
when training ends, or when anything in it raises (Ctrl-C, another callback, the step itself), the
model and its optimizer are as they were found. Keras tells no callback of a training that raised,
so the training watches what `fit` calls: the compiled step, evaluation, and the list of callbacks.

A training also knows what its compiled step was traced with. The steps are kept: if the next
training changes the same things in the same way, it traces nothing anew. They hang on the step that
Keras has made for the model as it is: whatever makes that one out of date (`compile`, or
``model.train_function = None``) makes the kept ones out of date, too.
"""

from __future__ import annotations

import contextlib
import sys
import weakref
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Self

import keras
import tensorflow as tf

from keras_sched._patch import FUNCTIONS, wrap

__all__ = ["Member", "Training"]

_KEY = "_keras_sched_training"
_KEPT = "_keras_sched_kept"
_CALLS = (
    "on_epoch_begin",
    "on_epoch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_begin",
    "on_test_batch_begin",
    "on_test_batch_end",
    "on_test_end",
    "on_train_end",
)
# How Keras says that the data of an epoch are over.
_ENDS = (StopIteration, tf.errors.OutOfRangeError)


class Training:
    """A training that is under way.

    Attributes:
        model: The model that is trained.
        is_fresh: Whether the present step was made in this training, and not kept by an earlier.
        is_eager: Whether it is not compiled.
        is_kept: Whether the next training may take the steps of this one.
    """

    def __init__(self, model: Any, params: Any) -> None:
        self.model = model
        self.is_fresh = self.is_eager = False
        self.is_kept = True
        self._ended_by: str | None = None
        self._params = params
        self._undo: list[tuple[Any, Callable[[], None]]] = []
        self._members: list[Any] = []
        self._marks: dict[str, Hashable] = {}
        self._evaluated: set[str] = set()
        self._list: Callable[[], Any] = lambda: None
        self._step = _Step(self)

    # --- joining and leaving ----------------------------------------------------------------------

    @classmethod
    @contextlib.contextmanager
    def joined(cls, callback: keras.callbacks.Callback) -> Iterator[Self]:
        """Join the training of a callback's model, while it begins; if that raises, it ends.

        What an earlier training of the model may have left is put back first.
        """
        model = callback.model
        found = vars(model).get(_KEY)
        caller = _calling_list()
        if found is not None and not found._is_of(callback, caller):
            found.close()
            found = None
        training = found
        if training is None:
            training = cls(model, callback.params)
            training._begin(caller)
        training._members.append(callback)
        with training.guarded():
            yield training

    def _is_of(self, callback: Any, caller: Any) -> bool:
        """Whether a callback that begins is one of this training, and not of a later one."""
        # Keras gives all callbacks of one `fit` the same object as parameters.
        is_same = self._params is callback.params and self._list() is caller
        return is_same and not any(member is callback for member in self._members)

    def place_of(self, member: Any) -> int:
        """Return which of the members of its class a member is, from 0."""
        alike = [other for other in self._members if type(other) is type(member)]
        return next(place for place, other in enumerate(alike) if other is member)

    def on_undo(self, member: Any, undo: Callable[[], None]) -> None:
        """Note how to put back what a member has changed; it is called once."""
        self._undo.append((member, undo))

    def leave(self, member: Any) -> None:
        """Put back what a member has changed; after the last one the training is closed."""
        self._run([entry for entry in self._undo if entry[0] is member])
        self._undo = [entry for entry in self._undo if entry[0] is not member]
        self._members = [other for other in self._members if other is not member]
        if not self._members:
            self.close()

    def check_open(self) -> None:
        """Raise a RuntimeError in a training that goes on after an error has closed it."""
        if self._ended_by is not None:
            raise RuntimeError(
                f"The training must end with the first error, which takes off what was scheduled. "
                f"Received: a training of {self.model.name!r} that goes on after "
                f"{self._ended_by}. Begin another one."
            )

    def close(self) -> None:
        """Put everything back, in whatever state the training is; doing so twice is allowed."""
        undo, self._undo, self._members = self._undo, [], []
        self._run(undo)

    def _run(self, entries: list[tuple[Any, Callable[[], None]]]) -> None:
        with contextlib.ExitStack() as stack:  # The latest first, and each even if one raises.
            for _, undo in entries:
                stack.callback(undo)

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Close the training if anything within raises."""
        try:
            yield
        except _ENDS:
            raise
        except BaseException as error:
            self._ended_by = repr(error)  # The error itself would hold the frames of the step.
            self.close()
            raise

    def _begin(self, caller: Any) -> None:
        model: Any = self.model
        attributes = vars(model)
        # Past Keras' tracking, so that nothing new is saved.
        attributes[_KEY] = self
        self.on_undo(self, lambda: attributes.pop(_KEY, None))
        self.on_undo(self, self._step.remove)
        for name, wrapper in (
            ("fit", self._fit),
            ("compile", self._compile),
            ("evaluate", self._evaluate),
            ("make_train_function", self._step.make),
        ):
            self.on_undo(self, wrap(model, name, wrapper))
        self._guard(caller)
        model.train_function = self._step

    def _guard(self, caller: Any) -> None:
        """Watch the list of callbacks that calls us for what other callbacks raise."""
        if caller is None:
            return
        self._list = weakref.ref(caller)
        for name in _CALLS:
            wrap(caller, name, self._call_guarded)
        # The list is on its way through them.
        for callback in caller.callbacks:
            self.on_undo(self, wrap(callback, "on_train_begin", self._call_guarded))

    def _call_guarded(self, inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with self.guarded():
            return inner(*args, **kwargs)

    def _evaluate(self, inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._is_calling():  # The callback may catch an error; else it is seen there.
            return inner(*args, **kwargs)
        return self._call_guarded(inner, *args, **kwargs)

    def _fit(self, inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._end_or_raise("fit")
        return self.model.fit(*args, **kwargs)

    def _compile(self, inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._end_or_raise("compile")
        return self.model.compile(*args, **kwargs)

    def _end_or_raise(self, call: str) -> None:
        """Close a training that is lost; raise a RuntimeError in one that calls us."""
        if not self._is_calling():
            self.close()
            return
        names = ", ".join(sorted({type(member).__name__ for member in self._members}))
        raise RuntimeError(
            f"`{call}` must not be called while the model is trained with callbacks of "
            f"keras_sched, as what they schedule would be dropped. Received: `{call}` of "
            f"{self.model.name!r} in a training with {names}. Call it between two `fit`, and go on "
            f"with `initial_epoch`."
        )

    def _is_calling(self) -> bool:
        """Whether a callback of this training is running."""
        return self._list() is not None and self._list() is _calling_list()

    # --- what the compiled functions have in them -------------------------------------------------

    def mark(self, name: str, value: Hashable, evaluation: bool = False) -> None:
        """Say what a member has changed in the training step, so that it is traced with it.

        Args:
            name: Of what is changed.
            value: Equal for changes that give the same step.
            evaluation: Whether evaluation and prediction are changed, too.
        """
        if self._marks.get(name) == value:
            return
        before = self._evaluation_marks()
        if evaluation:
            self._evaluated.add(name)
        self._marks[name] = value
        if evaluation:
            self._step.exchange_evaluation(before, self._evaluation_marks())

    def clear_marks(self) -> None:
        """Say that nothing is changed any more."""
        before, self._marks = self._evaluation_marks(), {}
        if before:
            self._step.exchange_evaluation(before, ())

    def marks(self) -> tuple[tuple[str, Hashable], ...]:
        """Return all that the training step has in it."""
        return tuple((name, self._marks[name]) for name in sorted(self._marks))

    def _evaluation_marks(self) -> tuple[tuple[str, Hashable], ...]:
        return tuple(mark for mark in self.marks() if mark[0] in self._evaluated)

    def keep(self, kind: str, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what the step of the training before has in it, or make it."""
        return self._step.keep(kind, key, make)


def _calling_list() -> keras.callbacks.CallbackList | None:
    """Return the list of callbacks by which Keras calls us now, which it tells nobody."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, keras.callbacks.CallbackList):
            return caller
        frame = frame.f_back
    return None


class Member(keras.callbacks.Callback):
    """A callback that takes part in a `Training`."""

    _training: Training | None = None

    @property
    def parameters(self) -> Any:
        """What `fit` says of the training, as its "epochs" and "steps"; a loop may say nothing."""
        return self.params or {}

    @contextlib.contextmanager
    def joined(self) -> Iterator[Training]:
        """Join the training of the model, which begins; see `Training.joined`."""
        with Training.joined(self) as training:
            self._training = training
            yield training

    def on_epoch_resume(self, epoch: int) -> None:
        """Take part in an epoch that began in another process; called by loops of one's own.

        Such a loop calls it in the place of `on_epoch_begin` where it goes on within an epoch.
        """
        self.on_epoch_begin(epoch)

    def under_way(self) -> Training | None:
        """Return the training that is under way.

        Raises:
            RuntimeError: If it goes on after an error.
        """
        if self._training is not None:
            self._training.check_open()
        return self._training

    def leave(self) -> None:
        """Leave the training, which ends."""
        training, self._training = self._training, None
        if training is not None:
            training.leave(self)


class _Step:
    """Stands in the place of the compiled step: takes the one that fits what is changed now."""

    def __init__(self, training: Training) -> None:
        model = training.model
        self._training = training
        self._model = model
        self._make = model.make_train_function
        self._make()
        self._plain = model.train_function
        # What the training before has left; it goes with the function that it hangs on.
        self._kept: dict[tuple[str, Hashable], Any] = dict(vars(self._plain).get(_KEPT, {}))
        present = [getattr(model, name) for name in FUNCTIONS[1:]]
        if self._kept.pop(("left", None), present) != present:
            self._kept = {k: v for k, v in self._kept.items() if k[0] not in FUNCTIONS[1:]}
        self._used: dict[tuple[str, Hashable], Any] = {("train_function", ()): self._plain}
        self._function: Any = None
        self._marks: Hashable = None
        self._placed: dict[str, Any] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Train with the step that has in it what is changed now."""
        with self._training.guarded():
            marks = self._training.marks()
            if self._function is None or marks != self._marks:
                self._training.is_fresh = False
                self._function = self.keep("train_function", marks, self._made)
                self._marks = marks
                self._training.is_eager = self.keep(
                    "is_eager", marks, lambda: bool(self._model.run_eagerly)
                )
            return self._function(*args, **kwargs)

    def keep(self, kind: str, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what is kept of a kind, or make it."""
        if (kind, key) not in self._used:
            kept = self._kept.get((kind, key))
            self._used[kind, key] = make() if kept is None else kept
        return self._used[kind, key]

    def make(self, inner: Callable[..., Any], force: bool = False) -> Any:
        """Stand in the place of `make_train_function`: what is asked for by force is made anew."""
        if force or self._model.train_function is not self:
            self.forget()
            self._model.train_function = self
        return self

    def forget(self) -> None:
        """Have every step made anew: something has changed that no mark tells of."""
        self._kept = {}
        self._used = {
            (kind, key): value for (kind, key), value in self._used.items() if kind not in FUNCTIONS
        }
        self._function = self._plain = None

    def exchange_evaluation(self, before: Hashable, after: Hashable) -> None:
        """Put the functions of evaluation in place that have in them what is changed now."""
        for name in FUNCTIONS[1:]:
            present = getattr(self._model, name)
            if self._placed.get(name, present) not in (None, present):
                # Somebody had it made anew, and for a reason: the others are out of date, too.
                for kept in (self._kept, self._used):
                    for key in [key for key in kept if key[0] == name]:
                        del kept[key]
            self._used[name, before] = present
            found = self._used.get((name, after), self._kept.get((name, after)))
            self._placed[name] = found
            setattr(self._model, name, found)

    def remove(self) -> None:
        """Leave the functions that were found, and keep what this training has used."""
        self._training.clear_marks()
        if self._model.train_function is self:
            self._model.train_function = self._plain
        if self._plain is None or not self._training.is_kept:
            return
        vars(self._plain)[_KEPT] = {
            (kind, key): value
            for (kind, key), value in self._used.items()
            if key != () and value is not None
        }
        # Functions of evaluation are out of date once these are made anew.
        left = [getattr(self._model, name) for name in FUNCTIONS[1:]]
        vars(self._plain)[_KEPT]["left", None] = left

    def _made(self) -> Any:
        """Have Keras make the step."""
        self._training.is_fresh = True
        try:
            self._make(force=True)
            return self._model.train_function
        finally:
            self._model.train_function = self
