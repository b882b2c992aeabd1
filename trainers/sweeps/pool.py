"""Workers on this machine: started, watched, started again when they die, asked to end with it.

The pool only watches: what is done and what is held is in the directory of the sweep. It imports
neither TensorFlow nor the program.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

from trainers.sweeps.processes import ASKED_TO_END, asks
from trainers.sweeps.programs import flags
from trainers.sweeps.progress import View
from trainers.sweeps.store import Store
from trainers.sweeps.worker import BAD_USAGE, BEGINS, ERRED, Part

__all__ = ["Pool"]

_POLL_SECONDS = 0.25
_MOST_FRUITLESS = 5
_MOST_ERRORS = 30
_TAIL_LINES = 20
# A person, or a scheduler that tells every process, may send several signals at once.
_SECONDS_OF_ONE_WISH = 2.0
# Within what clusters give a job that is asked to end, less some.
_GRACE_SECONDS = 100.0


@dataclasses.dataclass
class _Slot:
    """The place of one worker."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    offset: int = 0
    fruitless: int = 0
    start_at: float = 0.0
    is_over: bool = False


class Pool:
    """Runs a sweep with workers on this machine.

    Args:
        store: The sweep.
        workers: How many processes.
        data_dir: For the program.
        shard: (I, N) for the trials of the I-th of N parts only.
        begin: (I, N) to begin with the I-th of N parts.
        import_program: Whether a program may be imported that is of no installed package.
        worker: The module that is started.
    """

    def __init__(
        self,
        store: Store,
        workers: int,
        data_dir: str | None = None,
        shard: Part = (0, 1),
        begin: Part = (0, 1),
        import_program: bool = False,
        worker: str = "trainers.sweeps.worker",
    ) -> None:
        self._store = store
        self._data_dir = data_dir
        self._shard = shard
        self._begin = begin
        self._import_program = import_program
        self._worker = worker
        self._slots = [_Slot(number) for number in range(workers)]
        self._asked = 0
        self._heard_until = 0.0
        self._errors = 0
        self._has_recorded = False
        self._is_stopping = False
        self.trouble: str | None = None

    def run(self, view: View) -> int:
        """Run until nothing is left, or until this process is asked to end.

        Returns:
            0, or 143 if it was asked to end. Whether the sweep is complete says its status;
            `trouble` says why a pool gave up.
        """
        with asks(self._ask):
            self._watch(view)
        return ASKED_TO_END if self._asked else 0

    def _watch(self, view: View) -> None:
        passed_on, before, grace_ends = 0, len(self._store.recorded()), 0.0
        try:
            while any(not slot.is_over for slot in self._slots):
                for slot in self._slots:
                    self._look_after(slot, view)
                if passed_on == 1 and time.monotonic() > grace_ends:
                    self._pass_on(signal.SIGKILL)  # Hung: what it has saved is on the disk.
                if self._asked > passed_on:
                    if not passed_on:
                        view.say(
                            "Asked to end: trials that run save what they have, and the same "
                            "command goes on. Once more, and they are killed."
                        )
                    grace_ends = time.monotonic() + _GRACE_SECONDS
                    passed_on = self._asked
                    self._pass_on(signal.SIGTERM if passed_on == 1 else signal.SIGKILL)
                recorded = self._store.recorded()
                self._has_recorded |= len(recorded) > before
                view.update(recorded, sum(slot.process is not None for slot in self._slots))
                time.sleep(_POLL_SECONDS)
        finally:
            self._pass_on(signal.SIGKILL)
            for slot in self._slots:
                if slot.process is not None:
                    slot.process.wait()

    def _ask(self, number: int) -> None:
        if time.monotonic() >= self._heard_until:  # What comes together is one wish.
            self._asked += 1
            self._heard_until = time.monotonic() + _SECONDS_OF_ONE_WISH

    def _pass_on(self, number: signal.Signals) -> None:
        for slot in self._slots:
            if slot.process is not None:
                slot.process.send_signal(number)

    def _look_after(self, slot: _Slot, view: View) -> None:
        if slot.is_over:
            return
        if slot.process is None:
            if self._asked or self._is_stopping:
                slot.is_over = True
            elif time.monotonic() >= slot.start_at:
                self._start(slot)
            return
        code = slot.process.poll()
        if code is None:
            return
        slot.process = None
        if code == 0 or self._asked or self._is_stopping:
            slot.is_over = True
            return
        self._errors += code == ERRED
        said = self._said(slot)
        slot.fruitless = 0 if BEGINS.search(said) else slot.fruitless + 1
        if code == BAD_USAGE or slot.fruitless >= _MOST_FRUITLESS or self._is_hopeless:
            self._give_up(slot, code, said)
            return
        if code < 0:  # An exception has its traceback in the log; of this nothing else tells.
            view.say(
                f"Worker {slot.number} was killed by signal {-code}: another one is started, and "
                f"goes on with its trial."
            )
        # A worker that fails before it has begun a trial would fail again at once.
        slot.start_at = time.monotonic() + (0.1 * 2**slot.fruitless if slot.fruitless else 0.0)

    def _give_up(self, slot: _Slot, code: int, said: str) -> None:
        slot.is_over = True
        if self._is_hopeless:
            why = f"{self._errors} attempts erred, and none was recorded"
            self._is_stopping = True
            self._pass_on(signal.SIGTERM)
        else:
            why = f"A worker ended with code {code} before it began a trial"
        tail = "\n".join(said.splitlines()[-_TAIL_LINES:])
        self.trouble = f"{why}. The end of {self._log(slot)}:\n{tail}"

    @property
    def _is_hopeless(self) -> bool:
        """Whether only errors came: where trials are recorded, quarantine deals with the others."""
        return self._errors >= _MOST_ERRORS and not self._has_recorded

    def _start(self, slot: _Slot) -> None:
        index, count = self._begin
        command = [
            sys.executable,
            "-m",
            self._worker,
            f"--results={self._store.directory}",
            f"--shard={self._shard[0]}/{self._shard[1]}",
            f"--begin={index + count * slot.number}/{count * len(self._slots)}",
            f"--parent={os.getpid()}",
            *([] if self._data_dir is None else [f"--data_dir={self._data_dir}"]),
            *flags(self._import_program),
        ]
        with open(self._log(slot), "ab") as log:
            slot.offset = log.tell()
            # A session of its own: Ctrl-C in a terminal goes to the pool alone, which passes it on.
            slot.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _log(self, slot: _Slot) -> pathlib.Path:
        name = f"{socket.gethostname()}-{os.getpid()}-{slot.number}.log"
        return self._store.logs / name

    def _said(self, slot: _Slot) -> str:
        """Return what the worker wrote since it was last started."""
        with open(self._log(slot), "rb") as log:
            log.seek(slot.offset)
            return log.read().decode(errors="replace")
