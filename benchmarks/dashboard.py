"""How fast the "Schedules" dashboard is, beside TensorBoard's own dashboards on the same logs.

    python -m benchmarks.dashboard [--runs=500] [--repeats=5] [--many=2000]

It writes runs of 512 points and four columns, starts TensorBoard with each of its data servers, and
asks as a browser does; then it opens both dashboards in Chromium, which must be installed, as must
playwright (`pip install -e '.[test]'`). What is drawn first is what is on a canvas; of
TensorBoard's own Time Series it is the first lines of a card. No GPU computes the pictures.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import math
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

from tensorboard_plugins.schedules.pages import static
from tensorboard_plugins.schedules.run_log import RunLog

_POINTS = 512
_METHODS = ("None", "Linear", "Cosine", "REX", "Step")
_BUDGETS = (0.01, 0.05, 0.1, 0.25, 1.0)
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]


def write(place: pathlib.Path, runs: int) -> None:
    """Write the logs of some runs."""
    draw = np.random.default_rng(0)
    for number in range(runs):
        method, budget = _METHODS[number % 5], _BUDGETS[number // 5 % 5]
        trial = {
            "id": str(number),
            "sweep": "",
            "cell": f"{method}-{budget}",
            "setting": "made up",
            "schedule": method,
            "budget": budget,
            "steps": _POINTS,
            "epochs": 8,
            "seed": number // 25,
            "goal": "test_accuracy",
            "mode": "max",
            "metrics": {"test_accuracy": {"mode": "max", "is_share": True}},
            "config": {"seed": number // 25},
        }
        log = RunLog(place / f"run{number:04d}", trial, _POINTS, ["learning_rate", "momentum"], {})
        noise = draw.normal(0.0, 0.02, _POINTS)
        for step in range(_POINTS):
            rate = 0.1 * (1.0 - step / _POINTS)
            loss = 2.0 * math.exp(-step / 200) + noise[step]
            log.step(step, {"learning_rate": rate, "momentum": 0.9}, loss)
        final = {"loss": 0.2, "test_accuracy": 0.9 + 0.01 * float(noise[0])}
        log.evaluation(_POINTS, 8, final)
        log.write_tables("finished")
        log.close()


@contextlib.contextmanager
def tensorboard(place: pathlib.Path, is_fast: bool, runs: int) -> Iterator[str]:
    """Serve a directory, and give the address when all runs are there."""
    command = [sys.executable, "-m", "tensorboard.main", f"--logdir={place}", "--port=0"]
    command += ["--host=127.0.0.1", f"--load_fast={str(is_fast).lower()}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        lines = iter(process.stderr or ())
        found = next(match for line in lines if (match := re.search(r"at (http://\S+)", line)))
        threading.Thread(target=collections.deque, args=(lines, 0), daemon=True).start()
        address = found[1]
        while True:
            with contextlib.suppress(OSError):
                if len(json.loads(asked(address, "manifest"))["runs"]) == runs:
                    break
            time.sleep(0.5)
        yield address
    finally:
        process.kill()
        process.wait()


def asked(address: str, path: str, sent: Any = None) -> bytes:
    """Return an answer of the plugin."""
    data = None if sent is None else json.dumps(sent).encode()
    with urllib.request.urlopen(f"{address}data/plugin/keras_sched/api/{path}", data) as answer:
        found: bytes = answer.read()
        return found


def milliseconds(work: Any, repeats: int) -> float:
    """Return the median of how long something takes."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(1000.0 * (time.perf_counter() - began))
    return statistics.median(times)


def server(address: str, repeats: int) -> dict[str, float]:
    """Return what answers take, and how long they are."""
    sent = {"sweep": "", "column": "loss", "k": 256}
    table = {"sweep": "", "metric": "test_accuracy"}
    own = f"{address}data/plugin/scalars/scalars_multirun"
    known = json.loads(asked(address, "manifest"))
    names, revision = [run["run"] for run in known["runs"]], known["revision"]
    fields = "&".join(["tag=step%2Floss", *(f"runs={name}" for name in names)]).encode()

    def builtin() -> None:
        with urllib.request.urlopen(own, fields) as answer:
            answer.read()

    return {
        "manifest ms": milliseconds(lambda: asked(address, "manifest"), repeats),
        "unchanged ms": milliseconds(
            lambda: asked(address, f"manifest?revision={revision}"), repeats
        ),
        "curves ms": milliseconds(lambda: asked(address, "curves", sent), repeats),
        "curves MB": len(asked(address, "curves", sent)) / 1e6,
        "table ms": milliseconds(lambda: asked(address, "table", table), repeats),
        "TensorBoard's own, one tag ms": milliseconds(builtin, min(repeats, 2)),
    }


def browsed(address: str, own: bool = True) -> dict[str, float]:
    """Return how long it takes until there is something to see."""
    found: dict[str, float] = {}
    with sync_playwright() as driver:
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = driver.chromium.launch(executable_path=chromium, args=_FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        said = {"view": "overlay", "mode": "all"}
        link = _encoded(said)
        page.goto(f"{address}#keras_sched&p.keras_sched.s={link}", wait_until="domcontentloaded")
        frame = page.wait_for_selector(
            "iframe[src*='plugin_entry.html?name=keras_sched']", state="attached", timeout=120_000
        ).content_frame()
        began = time.perf_counter()
        frame.wait_for_selector("canvas", state="attached", timeout=120_000)
        frame.wait_for_selector("body[data-ready='1']", state="attached", timeout=120_000)
        found["first chart s"] = time.perf_counter() - began
        frame.wait_for_timeout(500)
        found["hover ms"] = frame.evaluate(_HOVER)
        found["heap MB"] = frame.evaluate("performance.memory.usedJSHeapSize / 1e6")
        if own:
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            began = time.perf_counter()
            page.goto(f"{address}#timeseries", wait_until="domcontentloaded")
            page.wait_for_selector("line-chart path, line-chart canvas", timeout=180_000)
            page.wait_for_function(_LINES, timeout=180_000)
            found["TensorBoard's own, first lines s"] = time.perf_counter() - began
            heap = page.evaluate("performance.memory.usedJSHeapSize / 1e6")
            found["TensorBoard's own, heap MB"] = heap
        browser.close()
    return found


_LINES = "() => document.querySelectorAll('line-chart path[d]').length > 20"
# The median of twenty moves of the pointer, with what they draw.
_HOVER = """async () => {
    const over = document.querySelector(".u-over");
    const box = over.getBoundingClientRect();
    const times = [];
    for (let move = 0; move < 20; move++) {
        const began = performance.now();
        const at = { clientX: box.left + 20 + 10 * move, clientY: box.top + 60, bubbles: true };
        over.dispatchEvent(new MouseEvent("mousemove", at));
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
        times.push(performance.now() - began);
    }
    return times.sort((a, b) => a - b)[10];
}"""


def _encoded(said: dict[str, Any]) -> str:
    import base64

    return base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")


def main() -> None:
    """Measure, and print ratios last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--many", type=int, default=2_000)
    given = parser.parse_args()
    print(f"bundle: {len(static()['index.js']) / 1000:.0f} kB")
    with tempfile.TemporaryDirectory() as place:
        few = pathlib.Path(place) / "few"
        began = time.perf_counter()
        write(few, given.runs)
        print(f"{given.runs} runs written in {time.perf_counter() - began:.1f} s")
        ratios = {}
        for is_fast in (True, False):
            name = "fast loader" if is_fast else "slow loader"
            with tensorboard(few, is_fast, given.runs) as address:
                found = server(address, given.repeats)
                found |= browsed(address) if is_fast else {}
            for what, value in found.items():
                print(f"{name}: {what}: {value:.3g}")
            own = found["TensorBoard's own, one tag ms"]
            ratios[f"curves_over_builtin_{'fast' if is_fast else 'slow'}"] = (
                found["curves ms"] / own
            )
            if is_fast:
                lines = found["TensorBoard's own, first lines s"]
                ratios["first_chart_over_builtin"] = found["first chart s"] / lines
                ratios["heap_over_builtin"] = found["heap MB"] / found["TensorBoard's own, heap MB"]
        if given.many:
            many = pathlib.Path(place) / "many"
            write(many, given.many)
            with tensorboard(many, True, given.many) as address:
                for what, value in browsed(address, own=False).items():
                    print(f"{given.many} runs: {what}: {value:.3g}")
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.3f}")


if __name__ == "__main__":
    main()
