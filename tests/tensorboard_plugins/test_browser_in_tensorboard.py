"""The dashboard as a tab of TensorBoard, with each of its loaders, in a real browser."""

from __future__ import annotations

import re

import pytest

from tests.tensorboard_plugins.browsing import VIEWS, Page, drawn, frame_of, serving_of, show
from tests.tensorboard_plugins.serving import asked, inside, tensorboard

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Of TensorBoard's server.


@pytest.fixture(scope="module")
def address(log):
    with serving_of(log) as found:
        yield found


@pytest.fixture(scope="module", params=["true", "false"], ids=["fast loader", "slow loader"])
def board(request, log):
    flags = (f"--logdir={log}", f"--load_fast={request.param}", "--path_prefix=/a/b")
    with tensorboard(*flags, runs=11) as found:
        yield found


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
