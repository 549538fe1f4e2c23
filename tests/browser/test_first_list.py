"""The first list: shown before the line is there, a screenful first, and whole soon after."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, WebSocketRoute, expect

from tests.browser.demo_server import DemoServer

pytestmark = pytest.mark.browser
ROWS = 40


@pytest.fixture
def page(profile: Callable[..., BrowserContext], demo: DemoServer, user: str) -> Page:
    """A page that is not there yet, of somebody with many rows."""
    for number in range(ROWS):
        demo.message(user, f"news {number}")
    demo.until_unread(user, ROWS)
    return profile().new_page()


def show(page: Page, demo: DemoServer, origin: str, user: str) -> None:
    page.goto(f"{origin}/?api={demo.url}&user={user}")


def test_rows_are_shown_before_there_is_a_line(page: Page, demo: DemoServer, origin: str, user: str) -> None:
    """
    While no WebSocket opens, the list and its badge are there all the same; what the edge says then goes on from there.
    """
    held: list[WebSocketRoute] = []
    page.route_web_socket(re.compile("^ws:"), lambda route: held.append(route))
    show(page, demo, origin, user)
    element = page.locator("fanbell-inbox")

    expect(element.locator("[part~=row]")).to_have_count(ROWS)
    expect(element.locator("[part=badge]")).to_have_text(str(ROWS))
    assert page.evaluate("document.querySelector('fanbell-inbox').inbox.getSnapshot().status") == "connecting"


def test_every_row_says_when_it_was(page: Page, demo: DemoServer, origin: str, user: str) -> None:
    """
    All rows of the first page are drawn in the end, in order, each with its time in words and as a date.
    """
    show(page, demo, origin, user)
    rows = page.locator("fanbell-inbox").locator("[part~=row]")

    expect(rows).to_contain_text([f"news {number}" for number in reversed(range(ROWS))])
    times = rows.locator("time")
    expect(times.last).to_have_attribute("title", re.compile(r"\d"))
    assert all(text.strip() for text in times.all_text_contents())
