"""What every training program is: its flags, the run, what it says, and its exit code.

A program ends with 0 if the training is finished, 1, with a traceback, if the task itself is wrong,
2 if it was called wrongly or the run directory is damaged, 3 if training diverged or stalled, 4 if
the same command may work later (another process is training there, the disk is full), and 130 or
143 if it was asked to end: the same command goes on then.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence

from absl import app, flags

from trainers import dry_run
from trainers.loop.checkpoints import CheckpointError
from trainers.loop.errors import DamagedDataError
from trainers.loop.experiment import BusyError
from trainers.loop.progress import Progress, counted, screen
from trainers.loop.records import Record, RecordError
from trainers.options.flags import BAD_USAGE, Flags
from trainers.tasks.configured import ConfiguredTask, experiment

__all__ = ["INTERRUPTED", "TRY_AGAIN", "Program"]

TRY_AGAIN = 4
INTERRUPTED = 130
_EXIT = {"finished": 0, "diverged": 3, "stalled": 3}
# What the next start of the same command may not meet.
_PASSING = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),  # The last is what a limit of size says.
    *(errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.EIO),
}


class Program:
    """A program that trains one family of tasks.

    Args:
        task: The family.
        config: The file in `configs/` that is taken where no other is given.
        note: What is said about that default, as where the paper's setting is.

    Attributes:
        flags: Its flags.
    """

    def __init__(self, task: type[ConfiguredTask], config: str, note: str = "") -> None:
        self._task = task
        self._note = note
        self._default = config
        self.flags = Flags(task.options, config)
        self._logdir = flags.DEFINE_string("logdir", "runs", "Where run directories are made.")
        self._data_dir = flags.DEFINE_string(
            "data_dir", None, "Where TensorFlow Datasets finds its data."
        )
        self._dry_run = flags.DEFINE_bool(
            "dry_run", False, "Show the configuration and what it will cost; train nothing."
        )

    def main(self) -> None:
        """Parse the flags, run, and end the process with the exit code."""
        for name in (*self.flags.names, "logdir", "data_dir", "dry_run"):
            # absl's --help shows the flags that the main module defines, and these are its own.
            flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])
        app.run(self, flags_parser=self.flags.parse)

    def __call__(self, arguments: Sequence[str]) -> int:
        """Run the experiment that the flags describe, and return the exit code."""
        try:
            return self._run(arguments)
        except KeyboardInterrupt:
            return _said(
                "Interrupted. What was saved is kept: the same command goes on.", INTERRUPTED
            )

    def _run(self, arguments: Sequence[str]) -> int:
        if len(arguments) > 1:
            return _said(f"Unknown arguments: {' '.join(arguments[1:])}")
        try:
            config = self.flags.configuration()
            task = self._task(config)
            task.check_flags(self.flags.given)
            task.check_network()
            if self._dry_run.value:
                return self._foretell(task)
            task.check_data(config, self._data_dir.value)
            task.data = self._task.load(config, self._data_dir.value)
        except (ValueError, FileNotFoundError) as error:
            return _said(str(error))
        run = experiment(task, self._logdir.value)
        progress = Progress(run.total_steps)
        is_default = config.training.name == self._default.removesuffix(".py")
        if self._note and is_default and "dataset" not in self.flags.given:
            progress.say(self._note)
        elif description := getattr(task.data, "description", ""):
            progress.say(f"Data: {description}")
        epochs = counted(config.training.trained_epochs, "epoch")
        progress.say(f"{epochs}, into {run.plan.directory}")
        try:
            record = run.run()
        except (RecordError, CheckpointError, DamagedDataError) as error:
            return _said(str(error))
        except BusyError as error:
            return _said(str(error), TRY_AGAIN)
        except OSError as error:
            code = TRY_AGAIN if error.errno in _PASSING else BAD_USAGE
            return _said(f"The run directory {run.plan.directory} fails: {error}", code)
        if not run.compiled.begun:
            progress.say("It is over already: nothing was trained now.")
        _show(record, task, str(run.plan.directory / "record.json"), progress)
        return _EXIT[record.status]

    def _foretell(self, task: ConfiguredTask) -> int:
        """Show what it is and what it costs, also without its data."""

        def check_data() -> str:
            try:
                task.check_data(task.config, self._data_dir.value)
            except FileNotFoundError as error:
                return str(error)
            return ""

        dry_run.show(task, screen(), check_data())
        return 0


def _show(record: Record, task: ConfiguredTask, path: str, progress: Progress) -> None:
    """Show the result of a run to people."""
    final = record.final or {}
    prefixes = tuple(f"{evaluation}_" for evaluation in task.evaluations)
    evaluated = [name for name in final if name.startswith(prefixes)]
    trained = [name for name in final if any(prefix + name in final for prefix in prefixes)]
    rows = {name: final[name] for name in (*trained, *evaluated)}
    best = (record.best or {}).get(record.goal, "none")
    progress.table(
        f"{record.name}: {record.status}",
        rows
        | {
            f"best {record.goal}": best,
            "training": f"{record.seconds['train']:.1f} s",
        },
    )
    progress.say(f"The record: {path}")
    quantized = (record.cost or {}).get("quantized_layers") or {}
    if record.cost and quantized.get("relative_to_fp32") is not None:
        whole = record.cost["all_layers"]["relative_to_fp32"]
        progress.say(
            f"Bit operations of the quantized layers: {100 * quantized['relative_to_fp32']:.1f} % "
            f"of float32, as at {quantized['effective_bits']:.2f} bits"
            f"{'' if whole is None else f'; of all layers {100 * whole:.1f} %'}. "
            f"{record.cost['note']}"
        )
    if record.reason:
        progress.say(record.reason)


def _said(text: str, code: int = BAD_USAGE) -> int:
    sys.stderr.write(f"{text}\n")
    return code
