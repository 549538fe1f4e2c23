"""What the demo page shows: one inbox on two devices, and what others do."""

import re
import time
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE_MS, Open
from tests.browser.demo_page import DemoPage
from tests.browser.demo_server import DemoServer

pytestmark = pytest.mark.browser

WATCH_BADGE = """() => {
  const badge = document.querySelector("[data-device=laptop] .badge");
  document.addEventListener("click", () => { globalThis.clicked = performance.now(); }, { capture: true });
  const all = { childList: true, characterData: true, subtree: true, attributes: true };
  new MutationObserver(() => { globalThis.changed = performance.now(); }).observe(badge, all);
}"""


def test_what_happens_shows_on_both_devices_in_the_same_order(open_page: Open, demo: DemoServer) -> None:
    """
    Whatever happens while the page is open shows on phone and laptop, newest first, once each.
    """
    page = open_page()
    for number in range(5):
        demo.message(page.user, f"news {number}")

    for device in page.devices:
        device.shows(*(f"news {number}" for number in reversed(range(5))))
        device.has_unread(5)
    expect(page.page).to_have_title("(5) Fanbell")


def test_read_on_the_phone_is_read_on_the_laptop(open_page: Open, demo: DemoServer) -> None:
    """
    A row that is read on one device is read on the other, and gone from both badges, within a second.
    """
    page = open_page()
    texts = ["first", "second", "third"]
    for text in texts:
        demo.message(page.user, text)
    page.laptop.has_unread(3)
    page.page.evaluate(WATCH_BADGE)

    took_ms = []
    for left, text in reversed(list(enumerate(texts))):
        page.phone.row(text).click()
        page.laptop.has_unread(left)
        page.phone.has_unread(left)
        took_ms.append(page.page.evaluate("() => globalThis.changed - globalThis.clicked"))
    assert min(took_ms) < 1_000, took_ms  # of three: the machine may be busy


def test_likes_of_a_post_are_one_row(open_page: Open, demo: DemoServer) -> None:
    """
    Likes of one post are one row that grows, on every device.
    """
    page = open_page()
    for actor, name in (("like.ana", "Ana"), ("like.ben", "Ben"), ("like.cem", "Cem")):
        demo.named(actor, name)
    post = demo.post(page.user, "Tomatoes")
    demo.like(post, page.user, "like.ana")
    for device in page.devices:
        device.shows("Ana liked your post")
    demo.like(post, page.user, "like.ben", "like.cem")

    for device in page.devices:
        expect(device.rows).to_have_count(1)
        expect(device.rows).to_contain_text("2 others liked your post")
        device.has_unread(1)


def test_somebody_else_can_be_composed(open_page: Open, demo: DemoServer) -> None:
    """
    A visitor lets others write, comment, like and follow, and sees all of it arrive.
    """
    page = open_page()
    ana, ben = (one["id"] for one in demo.ask("GET", "/page/about.json")["people"][:2])
    page.compose("message", ana, "Are you there?")
    page.laptop.shows("Are you there?")
    expect(page.told).to_have_text("1 person hears of it.")
    page.compose("comment", ben, "Lovely!")
    page.compose("like", ana)
    page.compose("follow", ben)

    for device in page.devices:
        expect(device.rows).to_have_count(4)
        kinds = [item["kind"] for item in device.snapshot()["items"]]
        assert kinds == ["follow", "like", "comment", "message"]


def test_posts_of_those_who_are_followed_arrive(open_page: Open, demo: DemoServer, user: str) -> None:
    """
    Whom the user follows is first in the list of people, and a post of theirs is heard.
    """
    ana = demo.ask("GET", "/page/about.json")["people"][5]
    demo.ask("PUT", f"/v1/users/{user}/follows/{ana['id']}")
    page = open_page()
    followed = page.page.locator("#actor optgroup").first
    expect(followed).to_have_attribute("label", "People whom they follow")
    expect(followed.locator("option")).to_have_text([ana["name"]])

    page.compose("post", ana["id"], "Soup on Sunday")

    for device in page.devices:
        device.shows("Soup on Sunday")


def test_muted_people_are_not_heard(open_page: Open, demo: DemoServer) -> None:
    """
    Whoever is muted is silent until heard again; the list of the muted is the server's.
    """
    page = open_page()
    ana, ben = demo.ask("GET", "/page/about.json")["people"][:2]
    page.page.get_by_label("Whom to mute").select_option(ana["id"])
    page.page.get_by_role("button", name="Mute", exact=True).click()
    expect(page.page.locator("#mutes")).to_contain_text(ana["name"])
    page.compose("message", ana["id"], "unheard")
    expect(page.told).to_contain_text("1 silenced it")
    page.compose("message", ben["id"], "heard")
    for device in page.devices:
        device.shows("heard")

    page.page.get_by_role("button", name=f"Hear {ana['name']} again").click()
    expect(page.page.locator("#mutes")).to_contain_text("Nobody is muted")
    page.compose("message", ana["id"], "heard again")
    page.phone.shows("heard again", "heard")
    assert demo.ask("GET", f"/v1/users/{page.user}/mutes")["items"] == []


def test_kinds_that_are_turned_off_are_not_heard(open_page: Open, demo: DemoServer) -> None:
    """
    A kind that is turned off does not arrive; turned on again, it does. A reload shows what was chosen.
    """
    page = open_page()
    page.switch("Messages").click()
    expect(page.switch("Messages")).to_have_attribute("aria-checked", "false")
    prefers(page, demo, "off")
    demo.message(page.user, "unheard")
    demo.like(demo.post(page.user), page.user, "ana")
    page.phone.shows("liked your post")
    page.open()
    expect(page.switch("Messages")).to_have_attribute("aria-checked", "false")

    page.switch("Messages").click()
    prefers(page, demo)
    demo.message(page.user, "heard")
    page.phone.shows("heard", "liked your post")


@pytest.mark.parametrize(
    ("status", "body", "named"),
    [
        (200, {"items": [{"kind": "price_drop", "channels": ["inbox"]}]}, ["price drop"]),
        (
            404,
            {},
            ["Posts", "Comments", "Replies", "Likes", "Reposts", "New followers", "Mentions", "Messages"],
        ),
    ],
)
def test_the_kinds_are_the_servers(
    open_page: Open, demo: DemoServer, status: int, body: dict[str, Any], named: list[str]
) -> None:
    """
    The element's preferences list what the server says can be chosen, and what ships where it does not say.
    """
    page = open_page(
        before=lambda page: page.route("**/kinds", lambda route: route.fulfill(status=status, json=body))
    )
    page.phone.preferences.click()
    switches = page.phone.element.get_by_role("switch")

    expect(switches).to_have_count(len(named))
    assert [switch.get_attribute("aria-label") for switch in switches.all()] == named


def prefers(page: DemoPage, demo: DemoServer, *values: str) -> None:
    """Wait until the server has these as the user's preferences."""
    asked = f"/v1/users/{page.user}/preferences"
    until = time.monotonic() + PATIENCE_MS / 1_000
    while [one["value"] for one in demo.ask("GET", asked)["items"]] != list(values):
        assert time.monotonic() < until
        page.page.wait_for_timeout(20)  # lets the page go on


def test_the_user_can_be_switched(open_page: Open, demo: DemoServer, user: str) -> None:
    """
    Another user's inbox replaces the first one's on both devices, and the address names them.
    """
    ana = demo.ask("GET", "/page/about.json")["people"][3]
    demo.message(user, "for the first")
    page = open_page()
    page.laptop.shows("for the first")
    page.page.get_by_role("combobox", name="Inbox of").select_option(ana["id"])
    demo.message(ana["id"], "for the other")

    for device in page.devices:
        expect(device.row("for the other")).to_have_count(1)
        expect(device.row("for the first")).to_have_count(0)
    assert re.search(rf"[?&]user={ana['id']}$", page.page.url)


def test_frames_can_be_looked_at(open_page: Open, demo: DemoServer) -> None:
    """
    The curious see the frames that both devices hear and say.
    """
    page = open_page()
    page.page.locator("#frames summary").click()
    demo.message(page.user, "<b>look</b>")
    frames = page.page.locator("#frames-list li")
    news = frames.filter(has=page.page.locator("b", has_text="notification"))

    expect(news).to_have_count(2)
    expect(news.first).to_contain_text("<b>look</b>")
    expect(frames.filter(has_text="connect")).to_have_count(2)
