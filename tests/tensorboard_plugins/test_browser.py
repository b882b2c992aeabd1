"""The dashboard in a real browser: alone, within TensorBoard, and as one file."""

from __future__ import annotations

import contextlib
import pathlib
import re
import shutil
import threading
import time

import numpy as np
import pytest
from werkzeug import serving

from tensorboard_plugins.schedules.alone import Alone, exported
from tensorboard_plugins.schedules.run_log import RunLog
from tests.tensorboard_plugins.logs import STEPS, trial_of, write, write_sweep
from tests.tensorboard_plugins.serving import asked, inside, tensorboard

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
VIEWS = ["Leaderboard", "Budgets", "Curves", "Run", "Cost", "Parallel axes", "Export"]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
READY = "body[data-ready='1']"
HOSTILE = "<img src=x onerror=alert(1)> \"'#?&%2F日本"


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    place = tmp_path_factory.mktemp("log")
    write_sweep(place, left_out={"Linear-0.1-1"}, statuses={"None-1.0-0": "diverged"})
    return place


@contextlib.contextmanager
def serving_of(place):
    app = Alone(place)
    app.wait()
    server = serving.make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        app.close()


@pytest.fixture(scope="module")
def address(log):
    with serving_of(log) as found:
        yield found


class Page:
    """A page that must not complain: no error, no violation of its policy, no dialog."""

    def __init__(self, browser, width=1400, height=900, **options):
        self.context = browser.new_context(viewport={"width": width, "height": height}, **options)
        self.complaints = []
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("console", self._said)
        self.page.on("dialog", lambda dialog: (self.complaints.append("dialog"), dialog.dismiss()))
        self.page.add_init_script(
            "addEventListener('securitypolicyviolation', "
            "(event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`))"
        )

    def _said(self, message):
        if message.type == "error":
            self.complaints.append(message.text)

    def open(self, address):
        self.page.goto(address, wait_until="domcontentloaded")
        self.page.wait_for_selector(READY, state="attached", timeout=30_000)
        return self.page

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.context.close()
        if kind is None:
            assert self.complaints == []


def show(page, view):
    page.click(f"[role=tab]:text-is('{view}')")
    page.wait_for_selector(f"[role=tab][aria-selected=true]:text-is('{view}')")
    page.wait_for_timeout(400)


def drawn(page):
    """How many colours the canvases have: a blank one has one."""
    return page.evaluate(
        """() => [...document.querySelectorAll("canvas")].map((canvas) => {
            const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return new Set(new Uint32Array(pixels.data.buffer)).size;
        })"""
    )


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
            page.locator("dd").first.locator("a:text-is('CSV')").click()
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
        log.write_tables("finished", final={"test_accuracy": float("nan"), "loss": 1.0})
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
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    page.wait_for_timeout(800)


def test_an_empty_directory_says_what_to_do(browser, tmp_path):
    with serving_of(tmp_path) as address, Page(browser) as opened:
        page = opened.open(address)
        assert "StepLogger" in page.inner_text("main")


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


# --- within TensorBoard ---------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["true", "false"], ids=["fast loader", "slow loader"])
def board(request, log):
    flags = (f"--logdir={log}", f"--load_fast={request.param}", "--path_prefix=/a/b")
    with tensorboard(*flags, runs=11) as found:
        yield found


def frame_of(page, address):
    page.goto(f"{address}/#keras_sched", wait_until="domcontentloaded")
    frame = page.wait_for_selector(
        "iframe[src*='plugin_entry.html?name=keras_sched']", state="attached", timeout=60_000
    ).content_frame()
    frame.wait_for_selector(READY, state="attached", timeout=60_000)
    return frame


def strict(route):
    """Take out of the policy of TensorBoard what it allows for the sake of others."""
    answer = route.fetch()
    headers = dict(answer.headers)
    policy = headers["content-security-policy"]
    headers["content-security-policy"] = re.sub(r"'unsafe-(eval|inline)'", "", policy)
    route.fulfill(response=answer, headers=headers)


@pytest.mark.parametrize("is_strict", [False, True], ids=["its policy", "a strict policy"])
def test_it_is_a_tab_of_tensorboard(browser, board, is_strict):
    with Page(browser) as opened:
        if is_strict:
            opened.page.route("**/plugin_entry.html*", strict)
        frame = frame_of(opened.page, board)
        for view in VIEWS:
            show(frame, view)
            assert "cannot be drawn" not in frame.inner_text("main")
        show(frame, "Curves")
        assert min(drawn(frame)) > 3
        assert "p.keras_sched.s=" in opened.page.url
        # To another tab and back: hidden, it has no size.
        opened.page.click(".plugin-name[data-plugin-id=scalars]")
        opened.page.wait_for_timeout(500)
        opened.page.click(".plugin-name[data-plugin-id=keras_sched]")
        frame.wait_for_selector("[role=tab][aria-selected=true]:text-is('Curves')")
        # Errors of TensorBoard's own pages are none of ours.
        opened.complaints = [each for each in opened.complaints if "policy:" in each]


def test_both_loaders_say_the_same_as_alone(board, address):
    for path, sent in (
        ("table", {"sweep": "made_up", "metric": "test_accuracy"}),
        ("run?run=trials/REX-1.0-0", None),
    ):
        assert asked(inside(board), path, sent) == asked(address, path, sent)
    found, other = (asked(each, "manifest") for each in (inside(board), address))
    assert found["runs"] == other["runs"] and found["sweeps"] == other["sweeps"]
    assert found["loader"] in ("rust", "python")


def test_plain_runs_of_keras_have_the_overlay(browser, tmp_path):
    from tensorboard_plugins.schedules import events

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
