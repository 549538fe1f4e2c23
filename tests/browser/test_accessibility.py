"""For those who do not see the page, or see it otherwise."""

import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.demo_page import DemoPage
from tests.browser.demo_server import DemoServer

pytestmark = pytest.mark.browser

GRAVE = ("serious", "critical")


def findings(page: Page) -> list[Any]:
    """What axe finds that is serious or critical: (rule, where)."""
    # Without its own copies of style sheets: it would put them inline, which the page's policy forbids.
    options = {"resultTypes": ["violations"], "preload": False}
    found = Axe().run(page, options=options).response["violations"]
    return [
        (one["id"], one["impact"], [(node["target"], node["failureSummary"]) for node in one["nodes"]][:3])
        for one in found
        if one["impact"] in GRAVE
    ]


def has_stopped_moving(page: Page) -> None:
    """Wait until nothing fades in any more: half transparent text has no contrast."""
    page.wait_for_function(
        """() => [document, ...[...document.querySelectorAll("fanbell-inbox")].map((one) => one.shadowRoot)]
          .flatMap((root) => root.getAnimations()).every((one) => one.effect.getTiming().iterations === Infinity)"""
    )


@pytest.mark.parametrize(("theme", "query"), [("light", ""), ("dark", ""), ("light", "&locale=ar")])
def test_no_state_has_a_serious_finding(
    open_page: Open, demo: DemoServer, user: str, theme: str, query: str
) -> None:
    """
    An automatic check finds nothing serious: empty, with rows, in preferences, in the archive, offline.
    """
    page = open_page(f"{query}&theme={theme}", reduced_motion="reduce")
    assert findings(page.page) == [], "empty"
    demo.named("ana", "Ana Ávila")
    demo.message(user, "A message", actor="ana")
    demo.like(demo.post(user, "Tomatoes"), user, "ana")
    demo.message(user, "greetings", actor="ana")
    page.phone.shows("greetings", "Ana Ávila", "A message")
    page.phone.row("greetings").click()
    page.laptop.has_unread(2)
    page.page.locator("#frames summary").click()
    expect(page.page.locator("#frames-list li").first).to_be_visible()
    has_stopped_moving(page.page)
    assert findings(page.page) == [], "rows"

    page.laptop.preferences.click()
    expect(page.laptop.element.locator("[part=preferences] [role=switch]").first).to_be_visible()
    page.phone.tab(2).click()
    page.laptop.line.click()
    expect(page.laptop.element.locator("[part=status]")).not_to_be_empty()
    has_stopped_moving(page.page)
    assert findings(page.page) == [], "preferences, archive, offline"


def test_the_check_finds_what_is_planted(open_page: Open) -> None:
    """
    A button without a name is found, inside the element too: the check above can fail.
    """
    page = open_page()
    page.phone.element.evaluate("(at) => at.shadowRoot.append(document.createElement('button'))")

    assert [rule for rule, *_ in findings(page.page)] == ["button-name"]


def test_those_who_hear_the_page_hear_what_is_new(open_page: Open, demo: DemoServer) -> None:
    """
    A new row is said in a polite live region, the state of the line in another; names and roles are there.
    """
    page = open_page()
    demo.named("ana", "Ana")
    demo.message(page.user, "psst", actor="ana")
    polite = page.phone.element.locator("[aria-live=polite]")
    expect(polite).to_have_text("Ana sent you a message")
    page.phone.line.click()

    expect(page.phone.root.get_by_role("status").filter(has_text="Offline").first).to_be_attached()
    expect(
        page.phone.root.get_by_role("region", name="Phone").or_(page.page.get_by_role("region", name="Phone"))
    ).to_be_visible()
    expect(page.phone.element.get_by_role("tab", name="Unread")).to_be_visible()
    expect(page.phone.element.get_by_role("listitem")).to_have_count(1)


def focused(page: DemoPage) -> str:
    """What has the keyboard's focus: its name or its text."""
    return str(
        page.page.evaluate(
            """() => {
              let at = document.activeElement;
              while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
              return at?.getAttribute("aria-label") || at?.labels?.[0]?.textContent || at?.textContent || "";
            }"""
        )
    )


def press_until(page: DemoPage, key: str, name: str) -> None:
    """Press the key until the focus is at `name`, a pattern that its name or text begins with."""
    for _ in range(40):
        if re.match(name, focused(page).strip()):
            return
        page.page.keyboard.press(key)
    raise AssertionError(f"{key} never came to {name}; it is at {focused(page)!r}")


def test_a_keyboard_does_all_that_a_mouse_does(open_page: Open, demo: DemoServer, user: str) -> None:
    """
    With keys alone: go to the inbox, move in the list, read, archive, open, mark all, take out of the archive,
    choose what to hear of, cut the line, and act as somebody else.
    """
    page = open_page()
    keyboard = page.page.keyboard
    for text in ("aa", "bb", "cc"):
        demo.message(user, text)
    page.phone.shows("cc", "bb", "aa")

    press_until(page, "Tab", "To the inbox")
    keyboard.press("Enter")
    press_until(page, "Tab", "Cut the line")
    keyboard.press("Space")
    page.phone.has_state("offline")
    keyboard.press("Space")
    page.phone.is_live()

    press_until(page, "Tab", ".* sent you a message")
    keyboard.press("Home")
    assert "cc" in focused(page)
    keyboard.press("ArrowDown")
    assert "bb" in focused(page)
    keyboard.press("r")
    page.laptop.has_unread(2)
    assert "bb" in focused(page)
    keyboard.press("End")
    keyboard.press("e")
    page.laptop.shows("cc", "bb")
    page.laptop.has_unread(1)
    keyboard.press("Home")
    assert "cc" in focused(page)
    keyboard.press("Enter")
    page.laptop.has_unread(0)

    demo.message(user, "dd")
    page.phone.has_unread(1)
    press_until(page, "Shift+Tab", "Mark all as read")
    keyboard.press("Enter")
    page.laptop.has_unread(0)

    press_until(page, "Tab", "All")
    keyboard.press("ArrowRight")
    keyboard.press("ArrowRight")
    page.phone.shows("aa")
    press_until(page, "Tab", ".* sent you a message")
    press_until(page, "Tab", "Move back to the inbox")
    keyboard.press("Enter")
    page.laptop.shows("dd", "cc", "bb", "aa")

    press_until(page, "Shift+Tab", "Preferences")
    keyboard.press("Enter")
    press_until(page, "Tab", "Likes")
    keyboard.press("Space")
    expect(page.switch("Likes").last).to_have_attribute("aria-checked", "false")
    expect(page.phone.element.get_by_role("switch", name="Likes")).to_have_attribute("aria-checked", "false")

    press_until(page, "Tab", "As")
    press_until(page, "Tab", "Post")
    for _ in range(4):
        keyboard.press("ArrowRight")
    keyboard.press("Tab")
    keyboard.type("by keyboard")
    keyboard.press("Tab")
    keyboard.press("Enter")
    page.laptop.shows("by keyboard", "dd", "cc", "bb", "aa")
