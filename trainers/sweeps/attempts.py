"""What became of the attempts at one trial: a file for each, kept for good.

An attempt is "begun", and then "recorded", "erred" (the program raised an exception), "asked to
end" (it saved; the next goes on) or, if the file still says "begun" when another process holds the
trial's lock, "vanished": its process was killed. Three attempts that erred, or ten that vanished,
put a trial in quarantine. An entry "forgiven" lets the counting begin anew.
"""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import socket
import traceback
from collections.abc import Mapping
from typing import Any

from trainers.loop.files import replace

__all__ = ["MOST_ERRED", "MOST_VANISHED", "Attempts", "now"]

MOST_ERRED = 3
MOST_VANISHED = 10


class Attempts:
    """The attempts at one trial. Who writes holds the trial's lock.

    Args:
        directory: Where their files are; made when the first begins.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory

    def all(self) -> list[dict[str, Any]]:
        """Return the attempts, the first one first; a file that cannot be read has vanished."""
        if not self._directory.is_dir():
            return []
        found = []
        for path in sorted(self._directory.glob("????.json")):
            try:
                entry = json.loads(path.read_text())
                found.append({**entry, "status": str(entry["status"])})
            except (OSError, ValueError, TypeError, KeyError):
                found.append({"status": "vanished"})
        return found

    def begin(self) -> int:
        """Note that an attempt begins, that one before it vanished, and return its number."""
        entries = self.all()
        if entries and entries[-1]["status"] == "begun":
            self._write(len(entries), {**entries[-1], "status": "vanished", "noticed": now()})
        self._write(
            len(entries) + 1,
            {"status": "begun", "begun": now(), "host": socket.gethostname(), "pid": os.getpid()},
        )
        return len(entries) + 1

    def end(self, status: str, error: BaseException | None = None) -> None:
        """Note how the last attempt ended."""
        entries = self.all()
        what: dict[str, Any] = {"status": status, "ended": now()}
        if error is not None:
            what["error"] = "".join(traceback.format_exception_only(error)).strip()
            what["traceback"] = "".join(traceback.format_exception(error))
        self._write(len(entries), {**entries[-1], **what})

    def forgive(self) -> None:
        """Let the counting begin anew."""
        self._write(len(self.all()) + 1, {"status": "forgiven", "begun": now()})

    def quarantine(self) -> dict[str, Any] | None:
        """Return why the trial is in quarantine, or None if it is not.

        An attempt that is "begun" counts as vanished: ask only while nobody runs the trial.

        Returns:
            "erred" and "vanished", how many; "error" and "traceback" of the last that erred.
        """
        entries = self.all()
        while any(entry["status"] == "forgiven" for entry in entries):
            entries = entries[1:]
        erred = [entry for entry in entries if entry["status"] == "erred"]
        vanished = [entry for entry in entries if entry["status"] in ("vanished", "begun")]
        if len(erred) < MOST_ERRED and len(vanished) < MOST_VANISHED:
            return None
        last: Mapping[str, Any] = erred[-1] if erred else {}
        return {
            "erred": len(erred),
            "vanished": len(vanished),
            "error": last.get("error", f"killed {len(vanished)} times"),
            "traceback": last.get("traceback", ""),
        }

    def _write(self, number: int, entry: Mapping[str, Any]) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"attempt": number, **entry}, indent=1, sort_keys=True)
        replace(self._directory / f"{number:04d}.json", lambda path: path.write_text(text))


def now() -> str:
    """Return the date and the time, as "2026-03-14T15:09:26+00:00"."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
