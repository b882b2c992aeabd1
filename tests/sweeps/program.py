"""The program of the sweep's tests: logistic regression in NumPy, that is killed and goes on.

It keeps to the rules of `trainers.sweeps.programs` without TensorFlow, so that workers start in a
fraction of a second and hundreds of them can be killed. A configuration can tell it to fail:
``trouble`` is "raise" (an exception), "raise once", "raise until told" (a file in the run's
directory), "kill" (its own process) or "exit"; a learning rate above 50 diverges. With "forget" a
checkpoint lacks the velocity. `TOY_SLEEP` in the environment is what an epoch takes, in seconds.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import signal
import time

import numpy as np

from trainers.loop.records import Record, Timing, Workload

KEYS = {
    *("name", "epochs", "budget", "learning_rate", "seed", "split", "schedule", "momentum"),
    *("trouble", "forget"),
}
STEPS_PER_EPOCH = 5


class Preempted(SystemExit):
    """Asked to end, and saved."""


class Logistic:
    """Trains a logistic regression."""

    def __init__(self, data_dir, threads):
        if data_dir is not None and not pathlib.Path(data_dir).exists():
            raise FileNotFoundError(f"no data in {data_dir}")
        self.threads = threads

    def check_data(self, config):
        """Its data are made up."""

    def goals(self, config):
        return {"loss": "min", "accuracy": "max"}

    def verify(self, config):
        if set(config) != KEYS:
            raise ValueError(f"`config` must have the keys {sorted(KEYS)}. Received: {config}")
        if not config["learning_rate"] > 0.0:
            raise ValueError(
                f"`learning_rate` must be above 0. Received: {config['learning_rate']}"
            )

    def plan(self, config):
        epochs = max(1, round(config["epochs"] * config["budget"]))
        name = _evaluation(config)
        return Workload(f"logistic {name}", epochs * STEPS_PER_EPOCH, {name: epochs})

    def measure(self, config):
        seconds = {"val": 0.5, "test": 1.0}
        name = _evaluation(config)
        return Timing(trace=0.25, step=0.01, evaluations={name: seconds[name]})

    def run(self, config, logdir, place):
        logdir.mkdir(parents=True, exist_ok=True)
        with open(logdir / "starts", "a") as file:
            file.write(f"{os.getpid()}\n")
        restarts = len((logdir / "starts").read_text().splitlines()) - 1
        self._trouble(config["trouble"], logdir, restarts)
        found = _load(logdir / "record.json")
        if found is None:
            record = self._train(config, logdir)
            _save(logdir / "record.json", json.loads(record.to_json()))
        else:
            record = Record.of(found)
        return dataclasses.replace(
            record,
            restarts=restarts,
            seconds={"train": time.monotonic(), "evaluation": 0.25, "checkpoint": 0.0},
            versions={"numpy": np.__version__},
        )

    def _trouble(self, trouble, logdir, restarts):
        if trouble == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if trouble == "exit":
            raise SystemExit(5)
        told = (logdir / "told").exists()
        if (
            trouble == "raise"
            or (trouble == "raise once" and restarts == 0)
            or (trouble == "raise until told" and not told)
        ):
            raise RuntimeError(f"told to fail in {logdir.parent.name}")

    def _train(self, config, logdir):
        wishes = []
        before = {
            n: signal.signal(n, lambda number, frame: wishes.append(number))
            for n in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            return self._steps(config, logdir, wishes)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _steps(self, config, logdir, wishes):
        name = _evaluation(config)
        offset = 1000 if name == "val" else 0
        x, y = _data(7 + offset)
        x_test, y_test = _data(8 + offset)
        state = {"step": 0, "w": [0.0] * 4, "v": [0.0] * 4, "epochs": []}
        state = _load(logdir / "checkpoint.json") or state
        total = max(1, round(config["epochs"] * config["budget"])) * STEPS_PER_EPOCH
        w, v = np.asarray(state["w"]), np.asarray(state["v"])
        while state["step"] < total:
            step = state["step"]
            rate = config["learning_rate"] * (1.0 - step / total)
            order = np.random.default_rng((config["seed"], step))
            batch = order.integers(0, len(x), 16)
            v = config["momentum"] * v - rate * _gradient(w, x[batch], y[batch])
            w = w + v
            state["step"] += 1
            if config["learning_rate"] > 50.0:
                return self._record(config, state, "diverged")
            if state["step"] % STEPS_PER_EPOCH == 0:
                if seconds := float(os.environ.get("TOY_SLEEP", "0")):
                    time.sleep(seconds)
                state["epochs"].append(
                    {
                        "step": state["step"],
                        "loss": _loss(w, x, y),
                        f"{name}_loss": _loss(w, x_test, y_test),
                        f"{name}_accuracy": float(np.mean((x_test @ w > 0) == y_test)),
                    }
                )
                state["w"] = w.tolist()
                state["v"] = [0.0] * 4 if config["forget"] else v.tolist()
                _save(logdir / "checkpoint.json", state)
                if wishes and state["step"] < total:
                    raise Preempted(128 + wishes[0])
        return self._record(config, state, "finished")

    def _record(self, config, state, status):
        goal = f"{_evaluation(config)}_accuracy"
        return Record(
            name=config["name"],
            config=config,
            seed=config["seed"],
            status=status,
            reason="told to diverge" if status == "diverged" else None,
            steps=state["step"],
            updates=state["step"],
            skipped_updates=0,
            epochs=state["epochs"],
            final=state["epochs"][-1] if state["epochs"] else None,
            best=max(state["epochs"], key=lambda row: row[goal], default=None),
            goal=goal,
            metrics={"accuracy": {"better": "higher", "is_share": True, "printed": "error"}},
            parameters=4,
            cost={"overflow": float("inf")},
        )


def _evaluation(config):
    return "val" if config["split"] == "validation" else "test"


def _data(seed):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(256, 4))
    return x, x @ np.array([1.0, -2.0, 0.5, 0.0]) + 0.5 * generator.normal(size=256) > 0


def _probability(w, x):
    return 1.0 / (1.0 + np.exp(-np.clip(x @ w, -30.0, 30.0)))


def _gradient(w, x, y):
    return (_probability(w, x) - y) @ x / len(x)


def _loss(w, x, y):
    p = _probability(w, x)
    return float(-np.mean(np.where(y, np.log(p), np.log1p(-p))))


def _load(path):
    return json.loads(path.read_text()) if path.exists() else None


def _save(path: pathlib.Path, value):
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(value))
    os.replace(temporary, path)
