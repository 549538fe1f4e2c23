"""What people write is text, wherever it is shown."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.demo_server import DemoServer

pytestmark = pytest.mark.browser

MARKUP = (
    "<img src=x onerror='globalThis.ran=1'><script>globalThis.ran=1</script><svg onload=globalThis.ran=1>"
)
TEMPLATE = "${globalThis.ran=1}{{globalThis.ran=1}}"


def test_markup_in_names_titles_and_data_is_text(open_page: Open, demo: DemoServer, user: str) -> None:
    """
    Markup and scripts in a name, a title and data show as they were written, and nothing of them runs.
    """
    demo.named("evil", MARKUP[:100])
    demo.ask("PUT", f"/v1/users/{user}", {"name": MARKUP[:100]})
    page = open_page()
    post = demo.post(user, MARKUP)
    about = {"object": post, "owner": user, "actor": "evil", "data": {"title": MARKUP, "text": TEMPLATE}}
    demo.publish({"kind": "like", **about})
    demo.message(user, MARKUP, actor="evil")
    demo.publish({"kind": "comment", **about, "object": demo.new("c"), "target": post})

    for device in page.devices:
        expect(device.rows).to_have_count(3)
        for row in range(3):
            expect(device.rows.nth(row)).to_contain_text("<img src=x onerror=")
        assert device.element.locator("img[src=x], script, svg[onload]").count() == 0
    page.page.locator("#frames summary").click()
    expect(page.page.locator("#frames-list")).to_contain_text("onload=globalThis.ran=1")
    assert page.page.evaluate("() => globalThis.ran ?? null") is None


def test_addresses_that_are_scripts_lead_nowhere(open_page: Open, demo: DemoServer, user: str) -> None:
    """
    An id, an address or a picture that is a `javascript:` URL is never put where it could run.
    """
    demo.ask("PUT", "/v1/users/evil.address", {"name": "Eve", "avatar_url": f"{demo.url}/page/icon.svg"})
    page = open_page()
    source = "javascript:globalThis.ran=1//"
    demo.publish(
        {"kind": "message", "actor": "evil.address", "object": source, "target": f"{source}talk", "recipients": [user],
         "data": {"text": source, "url": source, "avatar_url": source}}
    )  # fmt: skip

    for device in page.devices:
        device.shows(source)
        assert device.element.locator("[href^='javascript:'], [src^='javascript:']").count() == 0
    page.phone.row(source).click()
    page.laptop.has_unread(0)
    assert page.page.evaluate("() => globalThis.ran ?? null") is None
    assert page.page.url.startswith(demo.url)


def test_a_name_cannot_turn_the_line_around(open_page: Open, demo: DemoServer, user: str) -> None:
    """
    Characters that change the direction of writing stay within the row that they are in.
    """
    page = open_page()
    demo.named("turner", "\u202etxet desrever")
    demo.message(user, "\u202eevil", actor="turner")
    demo.message(user, "plain")

    page.phone.shows("plain", "evil")
    directions = page.phone.rows.evaluate_all("(rows) => rows.map((row) => getComputedStyle(row).direction)")
    assert directions == ["ltr", "ltr"]
