"""What a sweep will cost here, measured before any of it is run."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import time
from collections.abc import Callable

import rich.console
import rich.table

from trainers.loop.progress import clock, counted
from trainers.loop.records import Timing, Workload
from trainers.sweeps.contention import others
from trainers.sweeps.grid import MEASUREMENT, TUNING, Grid, Trial
from trainers.sweeps.programs import load, with_rate

__all__ = ["Cost", "measure", "show"]

# Seconds until a worker imports what it trains with.
_INTERPRETER = 0.5


@dataclasses.dataclass(frozen=True)
class Cost:
    """What the trials cost that share a trace, one at a time.

    Attributes:
        label: Setting, precision and phase, and what else they have in common.
        trials: How many.
        timing: What one of them takes.
        workload: How much there is to do in all of them.
    """

    label: str
    trials: int
    timing: Timing
    workload: Workload

    @property
    def besides(self) -> float:
        """What a trial takes besides steps and evaluations, on average."""
        rest = self.workload.epochs * self.timing.epoch + self.workload.runs * self.timing.run
        return rest / self.trials

    @property
    def seconds(self) -> float:
        """All of it, without tracing."""
        return self.timing.of(self.workload)


def measure(
    grid: Grid,
    trials: tuple[Trial, ...],
    data_dir: str | None = None,
    import_program: bool = False,
    beside: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[list[Cost], float, float]:
    """Measure one trial of each trace: the others are alike but for their length, which is known.

    Nothing is downloaded or written.

    Args:
        grid: The grid.
        trials: Those of its trials that are left to do.
        data_dir: Where the program finds its data.
        import_program: Whether a program may be imported that is of no installed package.
        beside: How many other processes train while it is measured.
        say: Is told what happens.

    Returns:
        The costs, the seconds of all tracing if one worker ran the trials in their order, holding
        one trace at a time, and the seconds that a worker takes to start.

    Raises:
        ValueError: If there are no trials.
    """
    if not trials:
        raise ValueError("A shard must have trials to be measured. Received: one of no cells")
    began = time.monotonic()
    program = load(grid.program, data_dir, grid.threads, import_program)
    start = time.monotonic() - began + _INTERPRETER
    plans = [program.plan(with_rate(trial)) for trial in trials]
    groups: dict[str, list[int]] = {}
    for index, plan in enumerate(plans):
        groups.setdefault(plan.group, []).append(index)
    # The longest of each: one epoch does not tell what another one costs besides its steps.
    longest = {group: max(m, key=lambda i: plans[i].steps) for group, m in groups.items()}
    configs = {group: with_rate(trials[index]) for group, index in longest.items()}
    costs: dict[str, Cost] = {}
    with others(
        beside, grid.program, [*configs.values()], data_dir, grid.threads, import_program
    ) as wait:
        if beside:
            say(f"starting {beside} more that train meanwhile")
        wait()
        for group, members in groups.items():
            label = _label([trials[index] for index in members], trials)
            say(f"measuring {label}" + f", beside {beside} more" * (beside > 0))
            costs[group] = Cost(
                label=label,
                trials=len(members),
                timing=program.measure(configs[group]),
                workload=_together(group, [plans[index] for index in members]),
            )
    runs = [group for group, _ in itertools.groupby(plan.group for plan in plans)]
    return list(costs.values()), sum(costs[group].timing.trace for group in runs), start


def _together(group: str, plans: list[Workload]) -> Workload:
    """Return how much there is to do in several trials of a group."""
    evaluations: collections.Counter[str] = collections.Counter()
    for plan in plans:
        evaluations.update(plan.evaluations)
    return Workload(
        group,
        sum(plan.steps for plan in plans),
        dict(evaluations),
        epochs=sum(plan.epochs for plan in plans),
        runs=len(plans),
    )


def _label(members: list[Trial], trials: tuple[Trial, ...]) -> str:
    """Say what trials have in common: setting, precision, and what else if they are not all."""
    parts = []
    for axis in ("setting", "precision", "schedule", "momentum"):
        mine = dict.fromkeys(str(trial.coordinates[axis]) for trial in members)
        every = {str(trial.coordinates[axis]) for trial in trials}
        if axis in ("setting", "precision") or set(mine) != every:
            parts.append(", ".join(mine) if len(mine) < 4 else f"{len(mine)} {axis}s")
    phases = {trial.phase for trial in members}
    return " ".join([*parts, *phases] if len(phases) == 1 else parts)


def show(
    grid: Grid,
    trials: tuple[Trial, ...],
    costs: list[Cost],
    tracing: float,
    start: float,
    workers: int,
    together: int,
    console: rich.console.Console,
) -> None:
    """Write the costs for people.

    Args:
        grid: The grid.
        trials: What is left to do.
        costs: What it costs.
        tracing: Seconds of all tracing.
        start: Seconds until a worker trains.
        workers: How many there are to be.
        together: How many of them can train at the same time.
        console: Where to write.
    """
    table = rich.table.Table(
        title=f"{grid.name} ({grid.protocol}): what it takes here", title_justify="left"
    )
    table.add_column("what shares a trace")
    for name in ("trials", "trace", "step", "evaluations", "a trial besides", "steps", "all"):
        table.add_column(name, justify="right")
    for cost in costs:
        table.add_row(
            cost.label,
            str(cost.trials),
            f"{cost.timing.trace:.1f} s",
            f"{1000 * cost.timing.step:.1f} ms",
            ", ".join(f"{name} {each:.2f} s" for name, each in cost.timing.evaluations.items()),
            f"{cost.besides:.2f} s",
            f"{cost.workload.steps:,.0f}",
            clock(cost.seconds),
        )
    console.print(table)
    phases = ", ".join(
        f"{count} {phase}"
        for phase in (TUNING, MEASUREMENT)
        if (count := sum(trial.phase == phase for trial in trials))
    )
    # Each worker traces what it gets to; the first traces of all of them fall together.
    tracing = max(tracing / together, max(cost.timing.trace for cost in costs))
    longest = max(cost.seconds / cost.trials for cost in costs)
    seconds = max(sum(cost.seconds for cost in costs) / together, longest) + tracing + start
    threads = counted(grid.threads, "thread") if grid.threads else "all threads"
    few = f", of which {together} can train at the same time" if together < workers else ""
    console.print(
        f"{counted(len(trials), 'trial')} ({phases}), {counted(len(costs), 'trace')}: about "
        f"{seconds / 3600:.2f} hours ({clock(seconds)}) with {counted(workers, 'worker')} of "
        f"{threads}{few}. Nothing was written.",
        highlight=False,
        soft_wrap=True,
    )
