"""The dashboard in a real browser: alone, and as one file."""

from __future__ import annotations

import pathlib
import shutil
import time

import numpy as np
import pytest

from tensorboard_plugins.schedules import events
from tensorboard_plugins.schedules.alone import exported
from tensorboard_plugins.schedules.run_log import RunLog
from tests.tensorboard_plugins.browsing import HOSTILE, VIEWS, Page, drawn, reload, serving_of, show
from tests.tensorboard_plugins.logs import STEPS, trial_of, write
from tests.tensorboard_plugins.serving import asked

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Of TensorBoard's server.


@pytest.fixture(scope="module")
def address(log):
    with serving_of(log) as found:
        yield found


# --- alone ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 800, 400])
def test_every_view_is_drawn_and_fits(browser, address, width, scheme):
    with Page(browser, width, color_scheme=scheme) as opened:
        page = opened.open(address)
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        for view in VIEWS:
            show(page, view)
            text = page.inner_text("main")
            assert "cannot be drawn" not in text and "undefined" not in text and "NaN" not in text
            # What is wider scrolls within itself.
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            if view in ("Curves", "Run"):
                assert len(drawn(page)) >= 2 and min(drawn(page)) > 3
            if view in ("Budgets", "Cost", "Parallel axes"):
                assert page.locator("svg.picture path").count() >= 1


def test_the_numbers_are_those_of_the_server(browser, address):
    sent = {"sweep": "made_up", "metric": "test_accuracy", "statistic": "final"}
    table = asked(address, "table", sent)
    with Page(browser) as opened:
        page = opened.open(address)
        rows = page.locator("table.board").first.locator("tbody tr")
        assert rows.count() == len(table["rows"])
        for place, row in enumerate(table["rows"]):
            shown = rows.nth(place)
            assert row["method"] in shown.inner_text()
            for number, cell in enumerate(row["cells"]):
                text = shown.locator("td").nth(number).inner_text()
                if cell["n"]:
                    assert f"{100 * cell['mean']:.2f}" in text
                if cell["missing"]:
                    assert f"{cell['n']}/{cell['planned']}" in text
                for failed in cell["failed"]:
                    assert failed in text
        assert "1 missing" in page.inner_text("nav")


def test_a_cell_leads_to_its_runs_and_a_method_can_be_hidden_everywhere(browser, address):
    with Page(browser) as opened:
        page = opened.open(address)
        page.locator("button.cell").nth(1).click()
        page.wait_for_selector("button:text('2 runs chosen')")
        page.click("button:text('2 runs chosen')")
        page.locator("nav .check", has_text="Linear").locator("input").uncheck()
        for view in ("Leaderboard", "Budgets", "Curves"):
            show(page, view)
            assert "Linear" not in page.inner_text("main")
        page.click("nav button:text('show all')")
        show(page, "Leaderboard")
        assert "Linear" in page.inner_text("main")


def test_the_link_keeps_what_is_shown(browser, address):
    with Page(browser) as opened:
        page = opened.open(address)
        show(page, "Curves")
        page.select_option("label:has-text('Over') select", "epoch")
        page.locator("nav .check", has_text="REX").locator("input").uncheck()
        link = page.url
    with Page(browser) as opened:
        page = opened.open(link)
        assert page.locator("[role=tab][aria-selected=true]").inner_text() == "Curves"
        assert page.input_value("label:has-text('Over') select") == "epoch"
        assert "REX" not in page.inner_text("main")


@pytest.mark.parametrize("link", ["#x&p.keras_sched.s=%%%", "#x&p.keras_sched.s=e30", "#&&&=", "#"])
def test_a_link_that_says_nothing_shows_the_beginning(browser, address, link):
    with Page(browser) as opened:
        page = opened.open(address + link)
        assert page.locator("[role=tab][aria-selected=true]").inner_text() == "Leaderboard"


def test_it_can_be_used_with_the_keyboard(browser, address):
    with Page(browser) as opened:
        page = opened.open(address)
        page.focus("[role=tab][aria-selected=true]")
        for view in VIEWS[1:]:
            page.keyboard.press("ArrowRight")
            page.wait_for_selector(f"[role=tab][aria-selected=true]:text-is('{view}')")
        page.keyboard.press("ArrowRight")
        page.wait_for_selector("[role=tab][aria-selected=true]:text-is('Leaderboard')")
        page.focus("button.cell")
        page.keyboard.press("Enter")
        page.wait_for_selector("[role=tab][aria-selected=true]:text-is('Curves')")


def test_every_picture_says_the_same_as_a_table(browser, address):
    with Page(browser) as opened:
        page = opened.open(address)
        for view in ("Budgets", "Curves", "Run", "Cost", "Parallel axes"):
            show(page, view)
            boxes = page.locator("details.alternative")
            assert boxes.count() == page.locator("figure.figure").count() > 0
            boxes.first.locator("summary").click()
            boxes.first.locator("tbody tr").first.wait_for(state="attached")


@pytest.mark.parametrize(
    ("view", "kind", "begins"),
    [("Budgets", "SVG", b"<svg"), ("Budgets", "PNG", b"\x89PNG"), ("Curves", "PNG", b"\x89PNG")],
)
def test_pictures_are_saved(browser, address, view, kind, begins):
    with Page(browser) as opened:
        page = opened.open(address)
        show(page, view)
        with page.expect_download() as saved:
            page.locator(".saving").first.locator(f"button:text-is('{kind}')").click()
        data = pathlib.Path(saved.value.path()).read_bytes()
        assert data.startswith(begins) and len(data) > 1_000


def test_tables_are_downloaded(browser, address):
    with Page(browser) as opened:
        page = opened.open(address)
        show(page, "Export")
        with page.expect_download() as saved:
            page.locator("dd").first.locator("button:text-is('CSV')").click()
        assert saved.value.suggested_filename == "table.csv"
        assert "REX" in pathlib.Path(saved.value.path()).read_text()


def test_a_run_that_differs_from_its_plan_says_from_where(browser, tmp_path):
    write(tmp_path / "run", trial_of(sweep=""), drift_from=40)
    with serving_of(tmp_path) as address, Page(browser) as opened:
        page = opened.open(address)
        show(page, "Run")
        assert "differ from step 40 on" in page.inner_text("main")


def test_hostile_names_are_texts(browser, tmp_path):
    for seed in (0, 1):
        said = {"setting": HOSTILE, "sweep": HOSTILE, "id": f"{HOSTILE}{seed}", "method": HOSTILE}
        write(tmp_path / f"{HOSTILE.replace('/', '')}{seed}", trial_of(seed=seed, **said))
    with serving_of(tmp_path) as address, Page(browser) as opened:
        page = opened.open(address)
        for view in VIEWS:
            show(page, view)
            assert page.locator("main img").count() == 0
        assert HOSTILE in page.inner_text("nav")


def test_flat_curves_and_numbers_that_are_none_do_not_stop_it(browser, tmp_path):
    """uPlot looks for ticks for ever in a range without a size: the control froze the page."""
    for number, rate in enumerate((0.1, 0.0, 1e-30)):
        trial = trial_of(id=str(number), sweep="", seed=number)
        log = RunLog(tmp_path / str(number), trial, STEPS, ["learning_rate", "momentum"], {})
        for step in range(STEPS):
            log.step(step, {"learning_rate": rate, "momentum": np.nan}, float("nan"))
        log.evaluation(STEPS, 1, {"test_accuracy": float("nan"), "loss": float("inf")})
        log.write_tables("finished")
        log.close()
    with serving_of(tmp_path) as address, Page(browser) as opened:
        page = opened.open(address)
        for view in VIEWS:
            show(page, view)
        show(page, "Curves")
        page.check("main .check input")  # A logarithm of 0.
        page.wait_for_timeout(300)
        assert page.evaluate("1 + 1") == 2


def test_what_is_new_appears_and_what_is_gone_disappears(browser, tmp_path):
    write(tmp_path / "first", trial_of(sweep="", id="first", schedule="REX"))
    with serving_of(tmp_path) as address, Page(browser) as opened:
        page = opened.open(address)
        assert "Linear" not in page.inner_text("main")
        write(tmp_path / "second", trial_of(name="Linear", sweep="", id="second", cell="b"))
        seen(page, address, 2)
        assert "Linear" in page.inner_text("main")
        shutil.rmtree(tmp_path / "first")
        seen(page, address, 1)
        assert "REX" not in page.inner_text("main")


def seen(page, address, count):
    """Wait until the server has so many runs, and let the page look."""
    until = time.monotonic() + 30
    while len(asked(address, "manifest")["runs"]) != count:
        assert time.monotonic() < until
        time.sleep(0.2)
    reload(page)


def test_an_empty_directory_says_what_to_do(browser, tmp_path):
    with serving_of(tmp_path) as address, Page(browser) as opened:
        page = opened.open(address)
        assert "StepLogger" in page.inner_text("main")


def test_plain_runs_of_keras_have_the_overlay(browser, tmp_path):
    for number in (1, 2):
        file = events.EventFile(tmp_path / f"plain{number}" / "train")
        for epoch in range(10):
            rate = 0.1 / (1 + epoch * number)
            values = {"epoch_learning_rate": rate, "epoch_loss": 1 / (1 + epoch)}
            file.add([events.scalar(name, value) for name, value in values.items()], epoch)
        file.close()
    with serving_of(tmp_path) as address, Page(browser) as opened:
        page = opened.open(address)
        assert "thinned" in page.inner_text("main")
        assert len(drawn(page)) == 2 and min(drawn(page)) > 3


# --- as one file ----------------------------------------------------------------------------------


def test_an_exported_page_needs_no_server(browser, log, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(exported(log), "utf-8")
    with Page(browser) as opened:
        requests = []
        opened.page.on("request", lambda request: requests.append(request.url))
        page = opened.open(path.as_uri())
        for view in ("Leaderboard", "Budgets", "Curves", "Cost", "Parallel axes"):
            show(page, view)
            assert "cannot be drawn" not in page.inner_text("main")
        show(page, "Curves")
        assert min(drawn(page)) > 3
        assert page.locator("[role=tab]:text-is('Run')").count() == 0
        page.locator("nav .check", has_text="REX").locator("input").uncheck()
        show(page, "Leaderboard")
        assert "tables are of all runs" in page.inner_text("main")
        assert [each for each in requests if not each.startswith(("file:", "data:"))] == []
