"""Programs in processes that have all imports done: each begins where they differ."""

from __future__ import annotations

import multiprocessing
import os
import pathlib
import sys

from trainers.loop.checkpoints import Checkpoints
from trainers.loop.records import read

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.trainers.toy", "trainers.tasks.classification"])


class Fork:
    """A process that calls `main(*arguments)`, and what it says on either stream."""

    def __init__(self, main, *arguments):
        reader, writer = _CONTEXT.Pipe(duplex=False)
        self.process = _CONTEXT.Process(target=_call, args=(writer, main, arguments))
        self.process.start()
        writer.close()
        self.output = os.fdopen(os.dup(reader.fileno()))

    def wait(self):
        """Return the exit status, and what was said that nobody has read yet."""
        with self.output:
            said = self.output.read()
        self.process.join(60)
        return self.process.exitcode, said


def _call(output, main, arguments):
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output.fileno(), stream.fileno())
    main(*arguments)


def started(main, name, logdir):
    """Start `main(name, logdir, {})` in a process; return it, and the step at which it begins."""
    fork = Fork(main, name, str(logdir), {})
    for line in fork.output:
        if line.startswith("START"):
            return fork, int(line.split()[1])
    raise AssertionError("it ended before it trained")


def end_of(logdir):
    """Return the arrays of the last checkpoint of the one run in a directory, and its record."""
    (directory,) = pathlib.Path(logdir).glob("*/*-*")
    return Checkpoints(directory / "checkpoints").latest().arrays, read(directory / "record.json")
