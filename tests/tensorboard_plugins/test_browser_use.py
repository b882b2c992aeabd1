"""The dashboard in a real browser while it is used: again and again, with outages and odd links."""

from __future__ import annotations

import base64
import csv
import json
import pathlib

import pytest

from tensorboard_plugins.schedules.run_log import RunLog
from tests.tensorboard_plugins.browsing import READY, Page, drawn, reload, serving_of, show
from tests.tensorboard_plugins.logs import trial_of, write
from tests.tensorboard_plugins.serving import asked

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Of TensorBoard's server.
FAULT = "main .fault"


@pytest.fixture(scope="module")
def address(log):
    with serving_of(log) as found:
        yield found


def linked(address, said):
    """Return a link that says so."""
    text = base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")
    return f"{address}#schedules&p.keras_sched.s={text}"


def shut(page):
    """Refuse what the page asks for, and forget that the console says so."""
    page.route("**/api/**", lambda route: route.abort())


def canvases(opened):
    """How many canvases are alive, after what nobody knows any more was collected."""
    session = opened.context.new_cdp_session(opened.page)
    kind = session.send("Runtime.evaluate", {"expression": "HTMLCanvasElement.prototype"})
    found = session.send("Runtime.queryObjects", {"prototypeObjectId": kind["result"]["objectId"]})
    length = session.send(
        "Runtime.callFunctionOn",
        {
            "objectId": found["objects"]["objectId"],
            "functionDeclaration": "function() { return this.length; }",
        },
    )
    return length["result"]["value"]


def test_charts_that_are_drawn_anew_are_let_go(browser, address):
    with Page(browser) as opened:
        page = opened.open(address)
        show(page, "Curves")
        before = canvases(opened)
        for number in range(12):
            page.select_option("label:has-text('Over') select", ["step", "share"][number % 2])
            page.wait_for_timeout(100)
        page.wait_for_timeout(2_000)
        assert len(drawn(page)) == 2 and canvases(opened) <= before + 2


def test_an_outage_is_said_and_what_was_there_stays(browser, address):
    with Page(browser) as opened:
        page = opened.open(address)
        shut(page)
        reload(page)
        assert "does not answer" in page.inner_text("[role=status]")
        assert "REX" in page.inner_text("main table.board >> nth=0")
        page.unroute("**/api/**")
        reload(page)
        assert page.inner_text("[role=status] >> nth=0") == ""
        opened.complaints = [each for each in opened.complaints if "ERR_FAILED" not in each]


def test_a_view_that_failed_is_drawn_when_the_server_is_back(browser, address):
    with Page(browser) as opened:
        page = opened.open(address)
        shut(page)
        page.click("[role=tab]:text-is('Curves')")
        page.wait_for_selector(FAULT)
        page.unroute("**/api/**")
        reload(page)
        assert page.locator(FAULT).count() == 0 and min(drawn(page)) > 3
        opened.complaints = [each for each in opened.complaints if "ERR_FAILED" not in each]


def test_what_people_do_is_kept_while_runs_go_on(browser, tmp_path):
    """The focus, what is open, what is typed, and what is looked at more closely."""
    write(tmp_path / "first", trial_of(sweep="", id="first", schedule="REX"))
    with serving_of(tmp_path) as address, Page(browser) as opened:
        page = opened.open(address)
        show(page, "Curves")
        page.locator("details.alternative summary").first.click()
        over = page.locator(".u-over").first
        box = over.bounding_box()
        page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 50, steps=4)
        page.mouse.up()
        page.wait_for_timeout(500)
        zoomed = pictures(page)
        page.fill("input[type=search]", "x")
        page.keyboard.press("Home")
        page.wait_for_timeout(200)
        for key in ("e", "ArrowLeft", "r"):  # The caret is where it was: from "x" to "rex".
            page.keyboard.press(key)
            page.wait_for_timeout(500)
        assert page.input_value("input[type=search]") == "rex"
        write(tmp_path / "second", trial_of("REX", sweep="", id="second", cell="b", seed=1))
        for _ in range(40):
            if len(asked(address, "manifest")["runs"]) == 2:
                break
            page.wait_for_timeout(250)
        reload(page)
        assert "2 finished" in page.inner_text("nav")
        assert page.evaluate("document.activeElement.type") == "search"
        assert page.locator("details.alternative").first.get_attribute("open") is not None
        assert page.locator("details.alternative").nth(1).get_attribute("open") is None
        # The axis is the one that was chosen, and not the whole one.
        again = pictures(page)
        page.locator(".u-over").first.dblclick()
        page.wait_for_timeout(200)
        assert again[0] == zoomed[0] != pictures(page)[0]


def pictures(page):
    """The left end of each chart below its axis, as pixels: what the axis says."""
    return page.evaluate(
        """() => [...document.querySelectorAll("canvas")].map((canvas) => {
            const pen = canvas.getContext("2d");
            const low = pen.getImageData(0, canvas.height - 45, canvas.width, 20).data;
            return low.reduce((hash, each) => (31 * hash + each) | 0, 0);
        })"""
    )


def test_what_is_looked_at_closely_in_one_run_hides_no_other(browser, tmp_path):
    for name, steps in (("long", 1_000), ("short", 100)):
        log = RunLog(tmp_path / name, trial_of(sweep="", id=name), steps, ["learning_rate"], {})
        for step in range(steps):
            log.step(step, {"learning_rate": 0.1 * step}, 1.0 / (1 + step))
        log.write_tables("finished")
        log.close()
    with serving_of(tmp_path) as address, Page(browser) as opened:
        page = opened.open(linked(address, {"view": "run", "run": "long"}))
        box = page.locator(".u-over").first.bounding_box()
        page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 50, steps=4)
        page.mouse.up()
        page.select_option("main label:has-text('Run') select", "short")
        page.wait_for_timeout(500)
        assert min(drawn(page)) > 3


@pytest.mark.parametrize(
    "said",
    [
        {"hidden": None, "view": "toString", "x": "toString", "mode": "constructor"},
        {"brushes": {"budget": 3}, "cost": "toString", "statistic": "__proto__", "log": "x"},
        {"budgets": "a", "chosen": {"x": 1}, "heat": [], "sort": 5, "run": ["a"], "view": "cost"},
        {"view": "overlay", "hyper": "valueOf", "curve": "hasOwnProperty", "sweep": "toString"},
        {"view": "parallel", "brushes": {"toString": [0, 1], "budget": [None, 1]}, "metric": "x"},
        ["a"],
        "text",
        None,
    ],
    ids=str,
)
def test_a_link_may_say_anything(browser, address, said):
    with Page(browser) as opened:
        page = opened.open(linked(address, said))
        assert page.locator(FAULT).count() == 0
        assert page.locator("[role=tab][aria-selected=true]").count() == 1


@pytest.mark.parametrize("statistic", ["final", "best", "mean_last"])
def test_the_numbers_of_every_view_are_those_of_the_table(browser, address, statistic):
    sent = {"sweep": "made_up", "metric": "test_accuracy", "statistic": statistic}
    table = asked(address, "table", sent)
    with Page(browser) as opened:
        page = opened.open(linked(address, {"view": "budgets", "statistic": statistic}))
        page.locator("details.alternative summary").first.click()
        rows = page.locator("details.alternative tbody tr")
        rows.first.wait_for(state="attached")
        cells = [
            [row["method"], cell]
            for row in table["rows"]
            for cell in row["cells"]
            if cell and cell["n"]
        ]
        assert rows.count() == len(cells)
        for place, (method, cell) in enumerate(cells):
            said = rows.nth(place).locator("th, td").all_inner_texts()
            assert said[0] == method and float(said[2]) == pytest.approx(100 * cell["mean"], 1e-3)
            assert int(said[4]) == cell["n"] and int(said[5] or 0) == len(cell["failed"])
        show(page, "Cost")
        page.locator("details.alternative summary").first.click()
        best = max(value for _, cell in cells for value in cell["values"])
        said = page.locator("details.alternative tbody tr").last.locator("td").last.inner_text()
        assert float(said) == pytest.approx(100 * best, 1e-3)


def test_what_is_downloaded_is_what_the_filters_leave(browser, address):
    with Page(browser) as opened:
        page = opened.open(linked(address, {"view": "exports", "hidden": ["REX"]}))
        for what in ("table", "runs"):
            with page.expect_download() as saved:
                page.click(f"button[title='{what}.csv']")
            text = pathlib.Path(saved.value.path()).read_text()
            methods = {row["method"] for row in csv.DictReader(text.splitlines())}
            assert methods == {"None", "Linear"}


def test_on_a_narrow_screen_the_table_comes_first(browser, address):
    with Page(browser, 400) as opened:
        page = opened.open(address)
        assert page.locator("table.board").first.bounding_box()["y"] < 500
        assert page.wait_for_selector(READY, state="attached")
