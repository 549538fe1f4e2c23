"""The element in a page of somebody else's: what it loads, what it tells the page, how its times go on."""

import re
from collections.abc import Callable
from typing import Final

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.demo_server import DemoServer
from tests.browser.embedded import Tab

pytestmark = pytest.mark.browser
MANY: Final = 120  # more than two pages
LISTEN: Final = """(ours) => {
  globalThis.heard = [];
  for (const name of ["status", "counts", "notification", "open"])
    addEventListener(`fanbell-${name}`, (event) => {
      heard.push([name, event.detail]);
      if (ours && (name === "notification" || name === "open")) event.preventDefault();
    });
}"""
HEARD: Final = "(name) => heard.filter(([kind]) => kind === name).map(([, detail]) => detail)"
NEWS_HEARD: Final = "() => heard.some(([name]) => name === 'notification')"
TEXTS: Final = """() => document.querySelector("fanbell-inbox").inbox.getSnapshot().items
  .map((item) => item.data.text)"""

Show = Callable[[], Tab]


@pytest.fixture
def context(profile: Callable[..., BrowserContext]) -> BrowserContext:
    return profile()


@pytest.fixture
def show(context: BrowserContext, demo: DemoServer, origin: str, user: str) -> Show:
    """Shows the user's inbox, and returns once it is live."""
    return lambda: Tab(context, origin, demo.url, user)


def test_older_rows_come_as_one_scrolls(show: Show, demo: DemoServer, user: str) -> None:
    """
    At the end of the list the rows below it are loaded, again and again, until there are no more: each once, in order.
    """
    texts = [f"news {number}" for number in range(MANY)]
    demo.publish(*(demo.a_message(user, text) for text in texts))
    demo.until_unread(user, MANY)
    tab = show()
    page, rows = tab.page, tab.rows
    first = page.evaluate(TEXTS)

    while rows.count() < MANY:
        rows.last.scroll_into_view_if_needed()
    shown = page.evaluate(TEXTS)

    assert len(first) < MANY / 2
    assert sorted(shown) == sorted(texts)
    newest = [row["data"]["text"] for row in demo.inbox(user)]
    assert shown[: len(newest)] == newest
    expect(rows).to_contain_text(shown)


def test_times_go_on(context: BrowserContext, show: Show, demo: DemoServer, user: str) -> None:
    """
    A row that came now says so, and five minutes later that it was five minutes ago, without anything having happened.
    """
    context.clock.install()
    demo.message(user, "soon old")
    demo.until_unread(user, 1)
    time = show().element.locator("time").first

    expect(time).not_to_have_text(re.compile("min"))
    context.clock.fast_forward("05:00")
    expect(time).to_have_text(re.compile(r"\b5 min"))


@pytest.mark.parametrize("ours", [False, True])
def test_a_page_hears_what_happens_and_may_show_it_itself(
    context: BrowserContext, show: Show, demo: DemoServer, user: str, ours: bool
) -> None:
    """
    Status, counters and news are events, each news once; the element says news too, unless the page keeps it from that.
    """
    context.add_init_script(f"({LISTEN})({str(ours).lower()})")
    tab = show()
    page = tab.page
    tab.element.get_by_role("tab", name="Archive").click()
    demo.message(user, "hot off the press")
    page.wait_for_function(NEWS_HEARD)

    (item,) = page.evaluate(HEARD, "notification")
    assert item["data"]["text"] == "hot off the press"
    assert page.evaluate(HEARD, "status")[-1] == {"status": "live"}
    page.wait_for_function("() => heard.some(([name, detail]) => name === 'counts' && detail.unread === 1)")
    toast = tab.element.locator("[part=toast]")
    expect(toast).to_have_class("hush" if ours else "toast")


def test_a_page_may_go_where_a_row_leads_by_itself(
    context: BrowserContext, show: Show, demo: DemoServer, user: str
) -> None:
    """
    Whoever clicks a row stays where they are if the page asks for that, and the page is told of which; it is read.
    """
    demo.message(user, "read me")
    demo.until_unread(user, 1)
    context.add_init_script(f"({LISTEN})(true)")
    tab = show()
    at = tab.page.url
    row = tab.rows.first
    expect(row.locator("[part=link]")).to_have_attribute("href", re.compile("."))
    row.locator("[part=link]").click()
    expect(row).not_to_have_attribute("part", re.compile("unread"))

    (item,) = tab.page.evaluate(HEARD, "open")
    assert item["data"]["text"] == "read me"
    assert tab.page.url == at


def test_the_title_counts(show: Show, demo: DemoServer, user: str) -> None:
    """
    The helper puts the unread ones before the page's title, for as long as it is wanted.
    """
    page = show().page
    page.evaluate(
        """async (api) => {
          const { showBadge } = await import(`${api}/client/badge.js`);
          globalThis.enough = showBadge(document.querySelector("fanbell-inbox").inbox);
        }""",
        demo.url,
    )
    expect(page).to_have_title("A site")
    demo.message(user, "one")
    demo.message(user, "two")
    expect(page).to_have_title("(2) A site")
    page.evaluate("document.querySelector('fanbell-inbox').inbox.read('all')")
    expect(page).to_have_title("A site")
    demo.message(user, "three")
    expect(page).to_have_title("(1) A site")
    page.evaluate("enough()")
    expect(page).to_have_title("A site")
