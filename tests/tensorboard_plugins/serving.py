"""What answers for a log: the dashboard alone, and TensorBoard itself, as a process."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import threading
import time
import urllib.request
from typing import ClassVar

from werkzeug.test import Client

from tensorboard_plugins.schedules.alone import Alone


class Served:
    """The dashboard of a directory, asked as a browser asks it."""

    opened: ClassVar = []

    def __init__(self, place):
        self.app = Alone(place)
        self.opened.append(self.app)
        self.app.wait()
        self.client = Client(self.app)

    def get(self, path, **arguments):
        return self.client.get(f"/api/{path}", query_string=arguments)

    def post(self, path, **sent):
        return self.client.post(f"/api/{path}", json=sent)

    @classmethod
    def close_all(cls):
        while cls.opened:
            cls.opened.pop().close()


def asked(address, path, sent=None):
    """Return an answer of the dashboard."""
    data = None if sent is None else json.dumps(sent).encode()
    with urllib.request.urlopen(f"{address}api/{path}", data) as answer:
        return json.load(answer)


@contextlib.contextmanager
def tensorboard(*flags, runs, env=None):
    """Start TensorBoard, and give its address when it has read so many runs."""
    command = [sys.executable, "-m", "tensorboard.main", "--host=127.0.0.1", "--port=0", *flags]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
        try:
            lines = iter(process.stderr)
            found = next(found for line in lines if (found := re.search(r"at (http://\S+)", line)))
            threading.Thread(target=process.stderr.read, daemon=True).start()
            address = found[1].rstrip("/")
            until = time.monotonic() + 120
            while _count(address) < runs:
                assert time.monotonic() < until
                time.sleep(0.3)
            yield address
        finally:
            process.kill()


def inside(address):
    """Return where the dashboard answers within TensorBoard."""
    return f"{address}/data/plugin/keras_sched/"


def _count(address):
    try:
        return len(asked(inside(address), "manifest")["runs"])
    except OSError:
        return -1
