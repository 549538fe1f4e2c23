"""A line that is lost: what happens meanwhile is there afterwards, once, in order, without a reload."""

import re

import pytest
from playwright.sync_api import Route, WebSocketRoute, expect

from tests.browser.conftest import Open
from tests.browser.demo_server import DemoServer

pytestmark = pytest.mark.browser

NOT_RELOADED = "() => { globalThis.sameDocument = true; }"


def test_a_cut_line_loses_nothing(open_page: Open, demo: DemoServer) -> None:
    """
    What happens while a device's line is cut is all there when it is restored: once, in order, and told as new.
    """
    page = open_page()
    page.page.evaluate(NOT_RELOADED)
    demo.message(page.user, "before")
    page.phone.shows("before")
    page.phone.line.click()
    page.phone.has_state("offline")
    page.phone.listen()
    missed = [f"missed {number}" for number in range(7)]
    for text in missed:
        demo.message(page.user, text)
    expect(page.phone.note).to_have_text("7 changes wait for this device.")
    page.phone.shows("before")
    page.laptop.has_unread(8)
    page.phone.has_unread(1)

    page.phone.line.click()
    page.phone.is_live()
    expect(page.phone.note).to_have_text("Caught up: 7 missed, 0 lost.")

    for device in page.devices:
        device.shows(*reversed(missed), "before")
        device.has_unread(8)
    assert page.phone.heard() == missed
    assert page.page.evaluate("() => globalThis.sameDocument")


def test_a_long_absence_is_caught_up_too(open_page: Open, demo: DemoServer) -> None:
    """
    More than can be told one by one: the list is right all the same, and says how much was missed.
    """
    page = open_page()
    page.laptop.line.click()
    post = demo.post(page.user)
    demo.like(post, page.user, *(f"crowd-{number}" for number in range(140)))
    for number in range(30):
        demo.message(page.user, f"missed {number}")
    page.phone.has_unread(31)
    page.laptop.line.click()

    expect(page.laptop.note).to_have_text("Caught up: 31 missed, 0 lost.")
    page.laptop.has_unread(31)
    assert page.laptop.texts() == page.phone.texts()


def test_marks_wait_while_the_line_is_cut(open_page: Open, demo: DemoServer) -> None:
    """
    What is read while offline shows as read at once, and is told to all others when the line is back.
    """
    page = open_page()
    demo.message(page.user, "one")
    demo.message(page.user, "two")
    page.phone.has_unread(2)
    page.laptop.has_unread(2)
    page.phone.line.click()
    page.phone.has_state("offline")
    page.phone.row("one").click()
    page.phone.has_unread(1)
    assert demo.counts(page.user)["unread"] == 2

    page.phone.line.click()

    page.laptop.has_unread(1)
    page.phone.has_unread(1)
    assert [item["read"] for item in demo.inbox(page.user)] == [False, True]


def test_a_server_that_dies_is_come_back_to(open_page: Open, demo: DemoServer) -> None:
    """
    The server is killed and started again under an open page: both devices come back, with all that happened, once.
    """
    page = open_page()
    page.page.evaluate(NOT_RELOADED)
    demo.message(page.user, "before")
    for device in page.devices:
        device.shows("before")
        device.listen()
    demo.kill()
    for device in page.devices:
        expect(device.root.locator(".state")).not_to_have_attribute("data-state", "live")
    demo.start()
    demo.message(page.user, "after")

    for device in page.devices:
        device.is_live()
        device.shows("after", "before")
        device.has_unread(2)
        assert device.heard() == ["after"]
    assert page.page.evaluate("() => globalThis.sameDocument")


def test_a_refused_mark_is_taken_back(open_page: Open, demo: DemoServer, user: str) -> None:
    """
    A mark shows at once; when the server refuses it, the row and the badge are as before.
    """
    demo.message(user, "keep me")
    waiting: list[tuple[WebSocketRoute, str]] = []

    def refuse(route: WebSocketRoute) -> None:
        server = route.connect_to_server()

        def said(message: str | bytes) -> None:
            text = str(message)
            found = re.search(r'"ref":"([^"]+)"', text)
            if found and re.search(r'"type":"(read|click)"', text):
                waiting.append((route, found[1]))
            else:
                server.send(message)

        route.on_message(said)

    page = open_page(before=lambda page: page.route_web_socket(re.compile("^ws:"), refuse))
    page.phone.shows("keep me")
    page.phone.has_unread(1)
    page.phone.row("keep me").click()
    page.phone.has_unread(0)
    page.laptop.has_unread(1)
    assert waiting
    for route, ref in waiting:
        route.send(f'{{"type":"refused","ref":"{ref}","reason":"busy"}}')

    page.phone.has_unread(1)
    assert [item["read"] for item in page.phone.snapshot()["items"]] == [False]
    assert demo.counts(user)["unread"] == 1


def test_where_websockets_are_broken_a_stream_does(open_page: Open, demo: DemoServer, user: str) -> None:
    """
    Behind a proxy that breaks WebSockets, both devices hear the same by a stream of server-sent events.
    """
    if "/v1/users/{user}/stream" not in demo.ask("GET", "/openapi.json")["paths"]:
        pytest.skip("this server has no GET /v1/users/{user}/stream yet")
    broken: list[str] = []

    def close(route: WebSocketRoute) -> None:
        broken.append(route.url)
        route.close(code=1011, reason="a proxy of long ago")

    page = open_page(before=lambda page: page.route_web_socket(re.compile("^ws:"), close))
    demo.message(page.user, "by the stream")
    for device in page.devices:
        device.shows("by the stream")
    page.phone.row("by the stream").click()
    page.laptop.has_unread(0)
    assert broken


def test_an_api_that_fails_is_said_and_got_over(open_page: Open, demo: DemoServer) -> None:
    """
    Where the API fails, the composer says so, and works again when the API does.
    """
    page = open_page()
    ana = demo.ask("GET", "/page/about.json")["people"][0]["id"]

    def fail(route: Route) -> None:
        route.fulfill(
            status=503, content_type="application/problem+json", body='{"detail": "The log is away."}'
        )

    page.page.route("**/v1/activities", fail)
    page.page.locator("#compose input[value=message]").check(force=True)
    page.page.get_by_role("combobox", name="As", exact=True).select_option(ana)
    page.page.get_by_role("button", name="Do it").click()
    expect(page.page.locator("#toast")).to_have_text("The log is away.")
    page.page.unroute("**/v1/activities", fail)
    page.compose("message", ana, "again")

    page.phone.shows("again")
