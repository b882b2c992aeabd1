"""A browser, and a log, for all tests of a module."""

from __future__ import annotations

import pytest

from tests.tensorboard_plugins.browsing import CHROMIUM, FLAGS
from tests.tensorboard_plugins.logs import write_sweep
from tests.tensorboard_plugins.serving import Served


@pytest.fixture(scope="module", autouse=True)
def closed():
    yield
    Served.close_all()


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    place = tmp_path_factory.mktemp("log")
    write_sweep(place, left_out={"Linear-0.1-1"}, statuses={"None-1.0-0": "diverged"})
    return place
