"""Rows are seen when a person has had them in sight. The browser's clock stands still, but where a test moves it."""

from collections.abc import Callable
from typing import Final

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.demo_server import DemoServer

pytestmark = pytest.mark.browser
ROWS: Final = 30
SHORT_MS: Final = 400  # of a glance, which takes a second
LONG_MS: Final = 3_000
UNSEEN: Final = """() => document.querySelector("fanbell-inbox").inbox.getSnapshot().items
  .filter((item) => !item.seen).map((item) => item.data.text)"""
SOME_SEEN: Final = f"(left) => ({UNSEEN})().length < left"
HIDE: Final = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
NEWS: Final = [f"news {number}" for number in reversed(range(ROWS))]

Show = Callable[..., Page]


@pytest.fixture
def show(profile: Callable[..., BrowserContext], demo: DemoServer, origin: str, user: str) -> Show:
    """Shows the inbox of somebody with more rows than are in sight, a short moment ago. Takes further attributes."""
    for number in range(ROWS):
        demo.message(user, f"news {number}")
    demo.until_unread(user, ROWS)

    def show_(more: str = "") -> Page:
        page = profile().new_page()
        page.clock.install(time=0)
        page.clock.pause_at(1_000)
        page.goto(f"{origin}/?api={demo.url}&user={user}&more={more}")
        rows = page.locator("fanbell-inbox").locator("[part~=row]")
        expect(rows.first).to_be_visible()
        page.clock.run_for(SHORT_MS)
        expect(rows).to_have_count(ROWS)
        assert page.evaluate(UNSEEN) == NEWS
        return page

    return show_


def test_what_is_in_sight_is_seen(show: Show, demo: DemoServer, user: str) -> None:
    """
    Rows in sight are seen after a moment, and others once they are scrolled to; nothing is read by that.
    """
    page = show()
    page.clock.run_for(LONG_MS)
    page.wait_for_function(SOME_SEEN, arg=ROWS)
    below = page.evaluate(UNSEEN)
    page.locator("fanbell-inbox").locator("[part~=row]").last.scroll_into_view_if_needed()
    while "news 0" in page.evaluate(UNSEEN):
        page.clock.run_for(SHORT_MS)

    assert below == NEWS[-len(below) :]
    assert len(below) > ROWS / 2
    expect(page.locator("fanbell-inbox").locator("[part=badge]")).to_have_text(str(ROWS))
    while demo.counts(user)["unseen"] > len(below):
        pass  # the mark is on its way
    assert demo.counts(user)["unread"] == ROWS


def test_a_hidden_page_shows_nothing(show: Show) -> None:
    """
    While the page is not in front nothing is seen; a second after it is, what is in sight is.
    """
    page = show()
    page.evaluate(HIDE, True)
    page.clock.run_for(LONG_MS)
    hidden = page.evaluate(UNSEEN)
    page.evaluate(HIDE, False)
    page.clock.run_for(SHORT_MS)
    soon = page.evaluate(UNSEEN)
    page.clock.run_for(LONG_MS)

    assert hidden == soon == NEWS
    page.wait_for_function(SOME_SEEN, arg=ROWS)


def test_looking_need_not_count(show: Show) -> None:
    """
    With `mark-seen="false"` a row is not seen by being looked at.
    """
    page = show("mark-seen=false")
    page.clock.run_for(LONG_MS)

    assert page.evaluate(UNSEEN) == NEWS
