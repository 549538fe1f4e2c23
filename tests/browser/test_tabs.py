"""Several tabs of one browser share one connection."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.demo_server import DemoServer
from tests.browser.embedded import Tab

pytestmark = pytest.mark.browser

Tabs = Callable[[], Tab]


@pytest.fixture
def tab(profile: Callable[..., BrowserContext], demo: DemoServer, origin: str, user: str) -> Tabs:
    """Opens one more tab of one profile, with the inbox of one user."""
    context = profile()
    return lambda: Tab(context, origin, demo.url, user)


def test_two_tabs_have_one_socket(tab: Tabs, demo: DemoServer, user: str) -> None:
    """
    Two tabs of one user hold one WebSocket between them, and both show everything.
    """
    first, second = tab(), tab()
    for number in range(3):
        demo.message(user, f"news {number}")

    for one in (first, second):
        expect(one.rows).to_contain_text(["news 2", "news 1", "news 0"])
    assert [first.open_sockets(), second.open_sockets()] == [1, 0]


def test_a_mark_in_one_tab_shows_in_the_other(tab: Tabs, demo: DemoServer, user: str) -> None:
    """
    What is read in a tab without a socket of its own reaches the server, and the other tab.
    """
    first, second = tab(), tab()
    demo.message(user, "read me")
    expect(second.rows).to_have_count(1)
    second.page.evaluate("() => document.querySelector('fanbell-inbox').inbox.read('all')")

    first.page.wait_for_function(
        "() => document.querySelector('fanbell-inbox').inbox.getSnapshot().counts.unread === 0"
    )
    assert demo.counts(user)["unread"] == 0


def test_a_tab_that_closes_hands_over(tab: Tabs, demo: DemoServer, user: str) -> None:
    """
    When the tab with the socket closes, another opens one where it left off: nothing is lost or doubled.
    """
    first, second = tab(), tab()
    second.page.evaluate(
        """() => {
          globalThis.heard = [];
          const { inbox } = document.querySelector("fanbell-inbox");
          inbox.on("notification", (item) => globalThis.heard.push(item.data?.text));
        }"""
    )
    told = [f"news {number}" for number in range(6)]
    for text in told[:2]:
        demo.message(user, text)
    expect(second.rows).to_have_count(2)
    first.page.close()
    for text in told[2:]:
        demo.message(user, text)

    expect(second.rows).to_contain_text(told[::-1])
    expect(second.rows).to_have_count(6)
    assert second.page.evaluate("() => globalThis.heard") == told
    assert second.open_sockets() == 1
