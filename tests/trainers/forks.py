"""Programs in processes that have all imports done: each begins where they differ."""

from __future__ import annotations

import multiprocessing
import os
import sys

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
