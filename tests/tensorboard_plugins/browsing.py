"""The dashboard in a real browser: what the tests of it share."""

from __future__ import annotations

import contextlib
import shutil
import threading

from werkzeug import serving

from tensorboard_plugins.schedules.alone import Alone

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
VIEWS = ["Leaderboard", "Budgets", "Curves", "Run", "Cost", "Parallel axes", "Export"]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
READY = "body[data-ready='1']"
HOSTILE = "<img src=x onerror=alert(1)> \"'#?&%2F日本"


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


def reload(page):
    """Let the page look at the server again, as it does when it is returned to."""
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    page.wait_for_timeout(800)


def frame_of(page, address):
    """Open the tab of TensorBoard; return its frame."""
    page.goto(f"{address}/#keras_sched", wait_until="domcontentloaded")
    frame = page.wait_for_selector(
        "iframe[src*='plugin_entry.html?name=keras_sched']", state="attached", timeout=60_000
    ).content_frame()
    frame.wait_for_selector(READY, state="attached", timeout=60_000)
    return frame
