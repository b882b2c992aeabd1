"""The directory of a sweep: what makes any number of workers, killed at any moment, safe.

::

    grid.jsonl            the trials, written once
    grid-2.jsonl …        all of them and more, written once: the sweep has grown
    trials/ID/lock        locked by the process that runs the trial; the kernel frees it at its end
    trials/ID/attempts/   what became of each attempt
    trials/ID/NAME/       where the program keeps its checkpoints
    results/ID.json       THE result of a trial: linked into place whole, and never replaced
    results.parquet       all results as a table, made from them
    logs/                 what the workers said
    board/                what TensorBoard is told of the sweep

A file that is no result, which no worker writes, is set aside as ``ID.json.torn-1`` and the trial
is run again. Where something else than a file is in the way, as a directory or a link to nothing,
or the disk does not give the file, nothing is moved: it is named in the status, the trial is left
out, and the others are run. Other files in ``results/`` are named and otherwise left alone.
The locks are `flock`: the directory must be on a local disk, or on a network disk that has them.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import errno
import fcntl
import functools
import json
import os
import pathlib
import re
import stat
from collections.abc import Iterable, Iterator

from trainers.loop.files import WRITING, write_once
from trainers.sweeps import growth
from trainers.sweeps.attempts import Attempts
from trainers.sweeps.board import describe
from trainers.sweeps.grid import Grid, Trial, frozen
from trainers.sweeps.results import Result

__all__ = ["Claim", "Store", "UnreadableError", "grown", "is_sweep"]

# Of the name of a directory: less than any disk takes.
_MOST_BYTES = 200

# Something is where a file or a directory of a trial should be, or it must not be used.
_OBSTACLES = {errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM}


class UnreadableError(RuntimeError):
    """Something is in the way of a trial that no worker can move: people are told of it."""


class Store:
    """The directory of a sweep whose grid is frozen.

    Args:
        directory: The directory.
        grid: Its grid.
    """

    def __init__(self, directory: pathlib.Path, grid: Grid) -> None:
        self.directory = directory
        self.grid = grid
        self.results = directory / "results"
        self.logs = directory / "logs"
        self.table = directory / "results.parquet"

    @classmethod
    def create(cls, directory: str | os.PathLike[str], grid: Grid) -> Store:
        """Freeze a grid in a directory, or find that it is frozen there, or that the sweep grows.

        Returns:
            The store. It has the last grid that is frozen there, also where the given one is an
            earlier one.

        Raises:
            ValueError: If another grid is frozen there, if there are other things, or if the disk
                has no locks.
        """
        place = pathlib.Path(directory)
        path = place / "grid.jsonl"
        # In this order: another pool makes the grid first, and the rest after it.
        is_taken = place.exists() and (
            not place.is_dir() or any(not each.name.startswith(".") for each in place.iterdir())
        )
        if not path.exists():
            if is_taken:
                raise ValueError(
                    f"`results` must be a new directory, or one of a sweep. Received: {place}, "
                    f"where there is something else"
                )
            place.mkdir(parents=True, exist_ok=True)
            _probe_locks(place)
            with contextlib.suppress(FileExistsError):  # Another pool was faster: compare.
                write_once(path, grid.to_lines(), place)
        _grow(place, grid)
        found = cls.open(place)
        found.results.mkdir(exist_ok=True)
        found.logs.mkdir(exist_ok=True)
        describe(place, found.grid)
        return found

    @classmethod
    def open(cls, directory: str | os.PathLike[str]) -> Store:
        """Return the store of a directory that has a grid.

        Raises:
            ValueError: If there is none, or it cannot be read.
        """
        found = pathlib.Path(directory)
        return cls(found, Grid.read(found))

    def recorded(self) -> set[str]:
        """Return the ids that have a result file, without reading the files."""
        if not self.results.exists():  # The grid was frozen this moment, or by hand.
            return set()
        with os.scandir(self.results) as entries:
            files = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        return {name.removesuffix(".json") for name in files} & self._ids

    def result(self, trial: str) -> Result | None:
        """Return the result of a trial, or None if it has none.

        Raises:
            ValueError: If its file is not a result of this trial: torn, changed or another's.
            UnreadableError: If what is in its place is no file, or the disk does not give it.
        """
        path = self.results / f"{trial}.json"
        found = _read(path)
        if found is not None and found.trial["id"] != trial:
            raise ValueError(f"{path.name} is not the result of {trial}")
        return found

    def taken(self, trial: str) -> float | None:
        """Return the seconds that a worker trained a recorded trial; None if nobody knows."""
        with contextlib.suppress(ValueError, UnreadableError):
            found = self.result(trial)
            if found is not None and not found.timing.get("taken_over"):
                seconds = found.timing.get("worker_seconds")
                return float(seconds) if isinstance(seconds, int | float) else None
        return None

    def sound(self, trials: Iterable[Trial]) -> tuple[dict[str, Result], list[str], dict[str, str]]:
        """Return the results of trials by their ids, and what is wrong with files that are none.

        Returns:
            The results; what is wrong with files that are none; what is in the way, by the ids of
            trials.
        """
        found: dict[str, Result] = {}
        torn: list[str] = []
        unreadable: dict[str, str] = {}
        for trial in trials:
            try:
                read = self.result(trial.id)
            except ValueError as error:
                torn.append(str(error))
            except UnreadableError as error:
                unreadable[trial.id] = str(error)
            else:
                if read is not None:
                    found[trial.id] = read
        return found, torn, unreadable

    def foreign(self) -> list[str]:
        """Say what each thing in ``results/`` is that belongs to no trial; not of hidden ones."""
        said = []
        before = {name for names in self._superseded.values() for name in names}
        for path in sorted(self.results.glob("[!.]*")):
            if path.name.removesuffix(".json") in self._ids and path.name.endswith(".json"):
                continue
            if path.name.removesuffix(".json") in before:
                continue
            name, _, number = path.name.partition(".json.torn-")
            if name in self._ids and number.isdecimal():
                said.append(f"{path.name} was torn and is set aside")
                continue
            try:
                read = _read(path)
            except (ValueError, UnreadableError):
                read = None
            of = None if read is None else read.trial["id"]
            is_copy = of in self._ids
            what = f"is a copy of the result of {of}" if is_copy else "belongs to no trial"
            said.append(f"{path.name} {what}")
        return said

    def attempts(self, trial: str) -> Attempts:
        """Return the attempts at a trial."""
        return Attempts(self.directory / "trials" / trial / "attempts")

    def is_held(self, trial: str) -> bool:
        """Return whether a process holds a trial at this moment.

        Raises:
            UnreadableError: If something is where a file or a directory of the trial should be.
        """
        directory = self.directory / "trials" / trial
        try:
            with open(directory / "lock") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if os.path.lexists(directory / "attempts"):
                os.scandir(directory / "attempts").close()
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        except OSError as error:
            _raise_in_the_way(trial, error)
            raise
        return False

    @contextlib.contextmanager
    def claim(self, trial: str, wait: bool = False) -> Iterator[Claim | None]:
        """Hold a trial; None if another process holds it and `wait` is false.

        Raises:
            UnreadableError: If something is where a file or a directory of the trial should be.
        """
        directory = self.directory / "trials" / trial
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with open(directory / "lock", "a") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                except BlockingIOError:
                    yield None
                    return
                for where in (directory, directory / "attempts"):
                    for left in where.glob(f"{WRITING}*"):
                        left.unlink()
                yield Claim(self, trial, directory)
        except OSError as error:
            _raise_in_the_way(trial, error)
            raise

    @functools.cached_property
    def _ids(self) -> set[str]:
        return {trial.id for trial in self.grid.trials}

    @functools.cached_property
    def folders(self) -> dict[str, str]:
        """The name of the directory that each trial trains in: what people call it.

        TensorBoard shows it.
        """
        return {trial.id: _folder(trial) for trial in self.grid.trials}

    @functools.cached_property
    def _superseded(self) -> dict[tuple[str, int], list[str]]:
        """Trials of the other grids of the directory that this one does not have, by their place.

        A place is a cell and a seed.
        """
        found: dict[tuple[str, int], list[str]] = collections.defaultdict(list)
        for grid in map(Grid.read_file, frozen(self.directory)):
            for trial in grid.trials:
                if trial.id not in self._ids:
                    found[trial.cell, trial.coordinates["seed"]].append(trial.id)
        return found

    def supersedes(self, trial: Trial) -> Iterator[Result]:
        """Yield the results that a trial had before the sweep grew, at whatever learning rate."""
        for name in self._superseded.get((trial.cell, trial.coordinates["seed"]), ()):
            with contextlib.suppress(ValueError, UnreadableError):
                found = self.result(name)
                if found is not None:
                    yield found


@dataclasses.dataclass(frozen=True)
class Claim:
    """A trial that this process holds; see `Store.claim`."""

    store: Store
    trial: str
    directory: pathlib.Path

    @property
    def logdir(self) -> pathlib.Path:
        """Where the program keeps what it needs to go on."""
        return self.directory / self.store.folders[self.trial]

    @property
    def attempts(self) -> Attempts:
        """The attempts at the trial."""
        return Attempts(self.directory / "attempts")

    def is_recorded(self) -> bool:
        """Return whether the trial has a result; a file that is none is set aside.

        Raises:
            UnreadableError: If what is in its place is no file, or the disk does not give it.
        """
        try:
            return self.store.result(self.trial) is not None
        except ValueError:
            _set_aside(self.store.results / f"{self.trial}.json")
            return False

    def record(self, result: Result) -> None:
        """Write the result of the trial: all of it or nothing, and only where none is.

        Raises:
            FileExistsError: If there is one.
        """
        write_once(self.store.results / f"{self.trial}.json", result.to_json(), self.directory)


def _folder(trial: Trial) -> str:
    place = trial.coordinates
    parts = [place[axis] for axis in ("setting", "schedule", "momentum", "precision")]
    rate = place["learning_rate"]
    parts += [f"b{place['budget']:g}", "tuned" if rate is None else f"lr{rate:.10g}"]
    parts += [f"s{place['seed']}", trial.phase]
    name = re.sub(r"[^\w.+-]+", "_", "-".join(map(str, parts)))
    return name.encode()[-_MOST_BYTES:].decode(errors="ignore").lstrip(".")


def is_sweep(directory: str | os.PathLike[str]) -> bool:
    """Return whether a directory has a grid."""
    return os.path.lexists(frozen(pathlib.Path(directory))[0])


def grown(directory: str | os.PathLike[str], grid: Grid) -> Grid:
    """Return the grid that the sweep in a directory will have with a given one; see `Store.create`.

    Raises:
        ValueError: If it is another sweep.
    """
    grids = [Grid.read_file(path) for path in frozen(pathlib.Path(directory))]
    grid = growth.with_rates_of(grid, grids[-1])
    if any(growth.is_same(grid, each) for each in grids):
        return grids[-1]
    if not growth.has_all_of(grid, grids[-1]):
        raise ValueError(
            f"{directory} is another sweep: {growth.difference(grids[-1], grid)}. A sweep can "
            f"grow; a changed one needs a directory of its own"
        )
    return grid


def _grow(place: pathlib.Path, grid: Grid) -> None:
    """Freeze a grid after those in a directory, unless it is one of them."""
    while True:
        paths = frozen(place)  # Before it is compared: what another one adds then is in its place.
        wanted = grown(place, grid)
        if growth.is_same(wanted, Grid.read_file(paths[-1])):
            return
        with contextlib.suppress(FileExistsError):  # Another one made it grow: look again.
            write_once(place / f"grid-{len(paths) + 1}.jsonl", wanted.to_lines(), place)


def _raise_in_the_way(trial: str, error: OSError) -> None:
    """Raise an `UnreadableError` if something is in the way of this trial alone."""
    if error.errno in _OBSTACLES:
        raise UnreadableError(f"trials/{trial} cannot be used: {error}") from error


def _read(path: pathlib.Path) -> Result | None:
    """Return the result in a file, or None if there is nothing; see `Store.result`."""
    try:
        # A pipe would be waited for, and a link to nothing is something.
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnreadableError(f"{path.name} cannot be read: it is no file")
        return Result.of(json.loads(path.read_bytes()))
    except FileNotFoundError:
        if path.is_symlink():
            raise UnreadableError(f"{path.name} cannot be read: it is a link to nothing") from None
        return None
    except OSError as error:
        raise UnreadableError(f"{path.name} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error


def _set_aside(path: pathlib.Path) -> None:
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.name}.torn-{number}")):
        number += 1
    os.rename(path, aside)


def _probe_locks(directory: pathlib.Path) -> None:
    """Refuse a disk without locks, before anything relies on them.

    A disk whose locks hold on each machine alone passes: it takes two machines to tell.
    """
    probe = directory / ".locks"
    with open(probe, "a") as first, open(probe, "a") as second:
        try:
            fcntl.flock(first, fcntl.LOCK_EX)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
                raise OSError("a second lock was granted")
        except OSError as error:
            raise ValueError(
                f"`results` must be on a disk with locks (`flock`): a local one, or NFS mounted "
                f"with them. Received: {directory} ({error})"
            ) from error
