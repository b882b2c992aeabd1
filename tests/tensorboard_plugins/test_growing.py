"""Logs that change under TensorBoard: runs begin, go on, go back and go away."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time

import pytest

from tensorboard_plugins.schedules import events
from tensorboard_plugins.schedules.run_log import RunLog
from tests.tensorboard_plugins.browsing import READY, Page, frame_of, show
from tests.tensorboard_plugins.logs import STEPS, trial_of, write
from tests.tensorboard_plugins.serving import asked, inside, tensorboard

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
LOADERS = pytest.mark.parametrize("is_fast", ["true", "false"], ids=["fast loader", "slow loader"])


def serve(place, is_fast="true", runs=1, env=None):
    flags = (f"--logdir={place}", f"--load_fast={is_fast}", "--reload_interval=1")
    return tensorboard(*flags, runs=runs, env=env)


def await_(what, seconds=60.0):
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.2)


def log_of(directory, seed=0):
    trial = trial_of(sweep="", id="run", cell="run", seed=seed)
    return RunLog(directory, trial, STEPS, ["learning_rate"], {})


@LOADERS
def test_a_run_is_seen_as_it_goes_on(is_fast, tmp_path):
    log = log_of(tmp_path / "run")
    log.step(0, {"learning_rate": 0.1}, 1.0)
    with serve(tmp_path, is_fast) as address:

        def state():
            return asked(inside(address), "run?run=run")["state"]

        assert state()["status"] == "running"
        for step in range(1, STEPS):
            log.step(step, {"learning_rate": 0.1}, 1.0)
        log.write_tables("running")
        await_(lambda: state()["step"] == STEPS)
        log.write_tables("finished")
        log.close()
        await_(lambda: state()["status"] == "finished")


@LOADERS
def test_of_a_run_that_began_again_the_later_start_counts(is_fast, tmp_path):
    """Its steps go back: TensorBoard's own loaders drop some of what was logged for them before."""
    write(tmp_path / "run", trial_of(sweep=""), status="interrupted")
    with serve(tmp_path, is_fast) as address:
        again = log_of(tmp_path / "run")
        for step in range(STEPS // 2):
            again.step(step, {"learning_rate": 0.7}, 1.0)
        again.evaluation(STEPS // 2, 1, {"test_accuracy": 0.5})
        again.write_tables("running")

        def found():
            return asked(inside(address), "run?run=run")

        await_(lambda: found()["state"]["step"] == STEPS // 2)
        rates = found()["tables"]["steps"]["learning_rate"]
        assert rates == pytest.approx([0.7] * (STEPS // 2))
        for step in range(STEPS // 2, STEPS):
            again.step(step, {"learning_rate": 0.7}, 1.0)
        again.write_tables("finished")
        again.close()
        await_(lambda: found()["state"]["status"] == "finished")
        values = asked(inside(address), "manifest")["runs"][0]["values"]
        assert values["test_accuracy"] == pytest.approx([0.5, 0.5, 0.5])


@LOADERS
def test_a_file_of_others_that_grows_in_the_same_directory(is_fast, tmp_path):
    """As `keras.callbacks.TensorBoard` of the same directory writes one."""
    log = log_of(tmp_path / "run")
    log.step(0, {"learning_rate": 0.1}, 1.0)
    other = events.EventFile(tmp_path / "run")
    other.add([events.scalar("epoch_loss", 1.0)], 0)
    other.flush()
    with serve(tmp_path, is_fast) as address:
        for step in range(1, STEPS):
            log.step(step, {"learning_rate": 0.1}, 1.0)
            other.add([events.scalar("epoch_loss", 1.0)], step)
        other.close()
        log.write_tables("finished")
        log.close()
        if is_fast == "true":
            await_(lambda: asked(inside(address), "run?run=run")["state"]["step"] == STEPS)
        else:  # Of a directory it reads the newest file only; what it has read stays.
            time.sleep(3.0)
            assert asked(inside(address), "run?run=run")["state"]["step"] >= 1
    with serve(tmp_path, is_fast) as address:  # Whoever starts it later sees all.
        await_(lambda: asked(inside(address), "run?run=run")["state"]["status"] == "finished")


@contextlib.contextmanager
def opened_in(browser, address):
    with Page(browser) as opened:
        yield opened.page, frame_of(opened.page, address)
        # Errors of TensorBoard's own pages are none of ours.
        opened.complaints = [each for each in opened.complaints if "policy:" in each]


def test_its_reload_button_is_ours_too(browser, tmp_path):
    write(tmp_path / "first", trial_of(sweep="", id="first"))
    with serve(tmp_path) as address, opened_in(browser, address) as (page, frame):
        write(tmp_path / "second", trial_of("Linear", sweep="", id="second", cell="b"))
        await_(lambda: len(asked(inside(address), "manifest")["runs"]) == 2)
        assert "Linear" not in frame.inner_text("main")
        page.click("app-header-reload button")
        frame.wait_for_selector("main >> text=Linear", timeout=10_000)


def test_a_run_that_is_gone_while_it_is_looked_at_gives_way_to_another(browser, tmp_path):
    for name in ("first", "second"):
        write(tmp_path / name, trial_of(sweep="", id=name, cell=name))
    with serve(tmp_path, runs=2) as address, opened_in(browser, address) as (page, frame):
        show(frame, "Run")
        frame.select_option("main label:has-text('Run') select", "first")
        frame.wait_for_selector("main table >> text=first")
        shutil.rmtree(tmp_path / "first")
        await_(lambda: len(asked(inside(address), "manifest")["runs"]) == 1)
        page.click("app-header-reload button")
        frame.wait_for_selector("main table >> text=second", timeout=10_000)
        assert frame.locator("main .fault").count() == 0


BROKEN = """
from tensorboard.plugins import base_plugin

class Plugin(base_plugin.TBPlugin):
    plugin_name = "broken"
    def get_plugin_apps(self):
        return {"/index.js": self.fail, "/data": self.fail}
    def fail(self, environ, start_response):
        raise RuntimeError("broken")
    def is_active(self):
        return True
    def frontend_metadata(self):
        return base_plugin.FrontendMetadata(es_module_path="/index.js", tab_name="Broken")
"""


def test_a_broken_plugin_of_others_beside_it(browser, tmp_path):
    write(tmp_path / "log" / "run", trial_of(sweep=""))
    place = tmp_path / "site"
    about = place / "broken-1.0.dist-info"
    about.mkdir(parents=True)
    (place / "broken_plugin.py").write_text(BROKEN)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[tensorboard_plugins]\nb = broken_plugin:Plugin\n")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(place), *filter(None, sys.path)])}
    with serve(tmp_path / "log", env=env) as address, Page(browser) as opened:
        frame = frame_of(opened.page, address)
        assert opened.page.locator(".plugin-name[data-plugin-id=broken]").count() == 1
        opened.page.click(".plugin-name[data-plugin-id=broken]")
        opened.page.wait_for_timeout(500)
        opened.page.click(".plugin-name[data-plugin-id=keras_sched]")
        frame.wait_for_selector(READY, state="attached")
        assert "REX" in frame.inner_text("main")
        opened.complaints = [each for each in opened.complaints if "policy:" in each]
