"""A worker: takes a trial that nobody holds, trains it, records it, until nothing is left.

A pool starts it, as ``python -m trainers.sweeps.worker``; it can be killed at any moment. After an
exception of the program it ends with the code `ERRED` and is started anew: what the program left
in memory must not reach the next trial.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import pathlib
import re
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence

from trainers.sweeps.attempts import now
from trainers.sweeps.board import place_of, take_over
from trainers.sweeps.choice import chosen_rate
from trainers.sweeps.grid import Trial
from trainers.sweeps.processes import ASKED, ASKED_TO_END, asks, die_with
from trainers.sweeps.programs import Program, check, load, with_rate
from trainers.sweeps.results import Result
from trainers.sweeps.store import Claim, Store, UnreadableError

__all__ = ["BAD_USAGE", "BEGINS", "ERRED", "DataError", "Part", "Worker", "part"]

BAD_USAGE = 2
ERRED = 70
# How the log says that a worker got as far as to run a trial.
_BEGINS = "begins "
BEGINS = re.compile(rf"^\d\d:\d\d:\d\d {_BEGINS}[0-9a-f]{{10}} ", re.MULTILINE)
_PAUSES = (0.05, 1.0)

Part = tuple[int, int]


class DataError(ValueError):
    """The data of a trial are not where the worker looks for them."""


class Worker:
    """Runs trials of a sweep in this process.

    Args:
        store: The sweep.
        data_dir: For the program.
        shard: (I, N) for the trials of the I-th of N parts only.
        begin: (I, N) to begin with the I-th of N parts: workers that begin apart meet seldom.
        import_program: Whether a program may be imported that is of no installed package.
        say: Is told what happens.
        is_asked: Whether this process was asked to end.
    """

    def __init__(
        self,
        store: Store,
        data_dir: str | None = None,
        shard: Part = (0, 1),
        begin: Part = (0, 1),
        import_program: bool = False,
        say: Callable[[str], None] = lambda text: None,
        is_asked: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = store
        self._data_dir = data_dir
        self._import_program = import_program
        self._say = say
        self._is_asked = is_asked
        self._program: Program | None = None
        self._trials = _ordered(store, shard, begin)
        self._done: set[str] = set()
        # In quarantine, or with something in the way.
        self._left_out: set[str] = set()
        self.erred = 0

    def work(self, stop_on_error: bool = True) -> None:
        """Run what nobody holds until every trial is done, left out or waits for one that is.

        Args:
            stop_on_error: Whether to return at the first attempt that erred; see `erred`.
        """
        pause = _PAUSES[0]
        while True:
            ran, must_wait = self._pass_over(stop_on_error)
            if (self.erred and stop_on_error) or not (ran or must_wait):
                return
            if ran:
                pause = _PAUSES[0]
            else:
                time.sleep(pause)
                pause = min(2.0 * pause, _PAUSES[1])

    def _pass_over(self, stop_on_error: bool) -> tuple[bool, bool]:
        """Run each trial that can be; return whether one was, and whether to wait for others."""
        ran = must_wait = False
        self._find_done()
        for trial in self._trials:
            if trial.id in self._done or trial.id in self._left_out:
                continue
            lacking = {i for ids in trial.candidates.values() for i in ids} - self._done
            if lacking:
                must_wait = must_wait or not lacking & self._left_out
                continue
            self._make_program()
            if self._is_asked():  # And what should have ended this process was caught by someone.
                sys.exit(ASKED_TO_END)
            try:
                with self._store.claim(trial.id) as claim:
                    if claim is None:
                        must_wait = True
                    else:
                        ran = self._look_at(trial, claim) or ran
            except UnreadableError as error:
                self._left_out.add(trial.id)
                self._say(f"left out {trial.id}: {error}")
            if self.erred and stop_on_error:
                break
            if ran:
                self._find_done()
        return ran, must_wait

    def _look_at(self, trial: Trial, claim: Claim) -> bool:
        """Run a trial unless it is done or in quarantine; return whether it was run."""
        if claim.is_recorded():
            self._done.add(trial.id)
        elif claim.attempts.quarantine():
            self._left_out.add(trial.id)
        else:
            self._attempt(trial, claim)
            return True
        return False

    def _attempt(self, trial: Trial, claim: Claim) -> None:
        number = claim.attempts.begin()
        self._say(f"{_BEGINS}{trial.id} {trial.name}" + (f", attempt {number}" * (number > 1)))
        began = time.monotonic()
        begun = now()
        try:
            rate = self._rate(trial)
            place = place_of(self._store.grid, trial, rate)
            before = [r for r in self._store.supersedes(trial) if r.learning_rate == rate]
            if before:  # The sweep has grown, and the choice is the same.
                record = before[0].record
                take_over(claim.logdir, place, str(before[0].trial["id"]))
            else:
                record = self._make_program().run(with_rate(trial, rate), claim.logdir, place)
            timing = {
                "attempts": number,
                "begun": begun,
                "ended": now(),
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "worker_seconds": time.monotonic() - began,
                "taken_over": bool(before),
            }
            found = Result.made(self._store.grid, trial, rate, record, timing)
            self._record(trial, claim, found)
        except BaseException as error:
            if self._is_asked() or _is_wish(error):
                claim.attempts.end("asked to end")
                self._say(f"asked to end {trial.id}")
                sys.exit(ASKED_TO_END)
            claim.attempts.end("erred", error)
            self.erred += 1
            self._say(f"erred {claim.trial}\n{''.join(traceback.format_exception(error))}")
            self._program = None  # What it left in memory must not reach the next trial.
            if not isinstance(error, Exception | SystemExit):
                raise
            return
        claim.attempts.end("recorded")
        self._done.add(trial.id)
        self._say(f"recorded {trial.id} {found.status}")

    def _record(self, trial: Trial, claim: Claim, found: Result) -> None:
        try:
            claim.record(found)
        except FileExistsError as error:
            # Only without working locks: what is recorded stays, and this one is dropped.
            self._say(f"already recorded {trial.id}: {error}")

    def _rate(self, trial: Trial) -> float:
        ids = [each for found in trial.candidates.values() for each in found]
        found = {each: self._store.result(each) for each in ids}
        records = {each: result.record for each, result in found.items() if result is not None}
        return chosen_rate(trial, records, self._store.grid)

    def _find_done(self) -> None:
        """Add what others recorded; a file that is no result is left to who claims its trial."""
        mine = {trial.id for trial in self._trials}
        for name in (self._store.recorded() & mine) - self._done:
            with contextlib.suppress(ValueError, UnreadableError):
                if self._store.result(name) is not None:
                    self._done.add(name)

    def _make_program(self) -> Program:
        if self._program is None:
            grid = self._store.grid
            program = load(grid.program, self._data_dir, grid.threads, self._import_program)
            try:
                for trial in self._trials:
                    if trial.id not in self._done:
                        program.check_data(with_rate(trial))
            except FileNotFoundError as error:
                raise DataError(str(error)) from error
            self._program = program
        return self._program


def part(text: str) -> Part:
    """Read "I/N".

    Raises:
        ValueError: If it is not that, or I is not in [0, N).
    """
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise ValueError(f"A part must be I/N with 0 <= I < N, as 0/4. Received: {text!r}")
    return int(index), int(count)


def _ordered(store: Store, shard: Part, begin: Part) -> list[Trial]:
    """Return the trials of a shard, those of the part to begin with first."""
    mine = store.grid.shard(*shard)
    cells = list(dict.fromkeys(trial.cell for trial in mine))
    first = set(cells[begin[0] :: begin[1]])
    return sorted(mine, key=lambda trial: trial.cell not in first)


def _is_wish(error: BaseException) -> bool:
    """Return whether a program ended because its process was asked to."""
    return isinstance(error, SystemExit) and error.code in {128 + number for number in ASKED}


class _Signals:
    """Ends this process when it is asked to, but not when a program has taken the wish over.

    A program that saves first handles the signal itself, and puts this handler back. The second of
    two signals, one from a scheduler to all processes and one passed on by the pool, must not
    interrupt it: a count of all that came, whoever handled them, tells.
    """

    def __init__(self) -> None:
        self._reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._count = 0

    def asked(self) -> bool:
        """Return whether the process was asked to end."""
        while select.select([self._reader], [], [], 0)[0]:
            self._count += os.read(self._reader, 1)[0] in ASKED
        return self._count > 0

    def handle(self, number: int) -> None:
        """End the process, unless this is the second of two signals."""
        self.asked()
        if self._count != 2:
            sys.exit(128 + number)


def _main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m trainers.sweeps.worker", description=__doc__)
    parser.add_argument("--results", required=True, help="directory of the sweep")
    parser.add_argument("--data_dir")
    parser.add_argument("--shard", type=part, default=(0, 1), help="I/N: this part only")
    parser.add_argument("--begin", type=part, default=(0, 1), help="I/N: this part first")
    parser.add_argument("--import_program", action="store_true", help="whatever it is of")
    parser.add_argument("--parent", type=int, help="process that this one ends with")
    given = parser.parse_args(arguments)
    if given.parent:
        die_with(given.parent)

    def say(text: str) -> None:
        time_of_day = datetime.datetime.now().strftime("%H:%M:%S")
        sys.stdout.write(f"{time_of_day} {text}\n")
        sys.stdout.flush()

    signals = _Signals()
    try:
        store = Store.open(pathlib.Path(given.results))
        check(store.grid.program, given.import_program)
        worker = Worker(
            store,
            given.data_dir,
            given.shard,
            given.begin,
            given.import_program,
            say,
            signals.asked,
        )
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(BAD_USAGE)
    try:
        with asks(signals.handle):
            worker.work()
    except DataError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(BAD_USAGE)
    sys.exit(ERRED if worker.erred else 0)


if __name__ == "__main__":
    _main(sys.argv[1:])
