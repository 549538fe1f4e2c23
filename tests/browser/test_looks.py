"""How the page looks: light, dark, narrow, from right to left, still; with pictures for people to look at."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.demo_page import DemoPage
from tests.browser.demo_server import DemoServer

pytestmark = pytest.mark.browser

Shot = Callable[[Page, str], None]
LIGHT = """(at) => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d");
  const of = (color) => {
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [red, green, blue] = canvas.getImageData(0, 0, 1, 1).data;
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255;
  };
  const style = getComputedStyle(at);
  return [of(style.color), of(style.backgroundColor)];
}"""
OUTSIDE = """(at) => [at, ...at.shadowRoot.querySelectorAll("*")]
  .filter((one) => one.getBoundingClientRect().right > innerWidth).length"""
ADD_SHEET = """(rules) => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(rules);
  document.adoptedStyleSheets.push(sheet);
}"""
MOVING = """() => [document, ...[...document.querySelectorAll("fanbell-inbox")].map((one) => one.shadowRoot)]
  .flatMap((root) => root.getAnimations()).length"""


def busy(page: DemoPage, demo: DemoServer) -> None:
    """An inbox with one row of each sort; two are read."""
    people = demo.ask("GET", "/page/about.json")["people"]
    ids = [one["id"] for one in people]
    demo.message(page.user, "Are you around tonight?", actor=ids[0])
    demo.publish({"kind": "follow", "actor": ids[1], "object": page.user})
    post = demo.post(page.user, "Tomato seedlings are finally up")
    demo.like(post, page.user, *ids[2:9])
    about = {"target": post, "owner": page.user}
    data = {"text": "Count me in! I can help after six.", "title": "Tomato seedlings are finally up"}
    demo.publish({"kind": "comment", "actor": ids[10], "object": demo.new("c"), **about, "data": data})
    demo.message(page.user, "Left the keys with the baker.", actor=ids[11])
    for device in page.devices:
        expect(device.rows).to_have_count(5)
    page.phone.row("Left the keys").click()
    page.phone.row("Are you around").click()
    page.laptop.has_unread(3)
    page.page.mouse.click(1, 1)  # somewhere else, so that no row has the focus


@pytest.fixture(autouse=True)
def _name(demo: DemoServer, user: str) -> None:
    """Of the user: it stands in pictures."""
    demo.named(user, "Thea Silva")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_light_and_dark(open_page: Open, demo: DemoServer, shot: Shot, theme: str) -> None:
    """
    The system's theme is followed by page and element: ink is far from paper, and on its right side.
    """
    page = open_page(color_scheme=theme)
    busy(page, demo)
    shot(page.page, theme)

    for at in (page.page.locator("html"), page.phone.element):
        ink, paper = at.evaluate(LIGHT)
        assert (ink < 0.2 and paper > 0.85) if theme == "light" else (ink > 0.8 and paper < 0.15)


def test_the_theme_can_be_chosen(open_page: Open) -> None:
    """
    A choice on the page outranks the system's theme, in the element too, and stands in the address.
    """
    page = open_page(color_scheme="light")
    page.page.get_by_role("combobox", name="Theme").select_option("dark")

    for at in (page.page.locator("html"), page.laptop.element):
        ink, paper = at.evaluate(LIGHT)
        assert ink > 0.8
        assert paper < 0.15
    assert page.page.url.endswith("&theme=dark")


def test_a_narrow_screen_is_enough(open_page: Open, demo: DemoServer, shot: Shot) -> None:
    """
    At 360 pixels nothing sticks out to the side, whatever is open.
    """
    page = open_page(size=(360, 740), has_touch=True)
    busy(page, demo)
    demo.message(page.user, "Donaudampfschifffahrtsgesellschaft" * 4)
    expect(page.phone.rows).to_have_count(6)
    shot(page.page, "narrow")
    page.laptop.preferences.click()
    page.page.locator("#frames summary").click()

    assert page.page.evaluate("() => document.documentElement.scrollWidth") <= 360
    for device in page.devices:
        outside = device.element.evaluate(OUTSIDE)
        assert outside == 0


def test_from_right_to_left(open_page: Open, demo: DemoServer, shot: Shot) -> None:
    """
    In Arabic, texts are Arabic and everything in the inbox is mirrored; the direction can be chosen, too.
    """
    page = open_page("&locale=ar")
    busy(page, demo)
    shot(page.page, "rtl")
    row = page.laptop.row("Left the keys")
    expect(row).to_contain_text("أرسل إليك")
    expect(page.laptop.element.get_by_role("tab").first).to_have_text("الكل")
    assert is_mirrored(page)
    for part in (".quote", "[part=text]"):  # what is written in Latin letters stands with the rest
        expect(row.locator(part)).to_have_css("text-align", "right")

    page.page.get_by_role("combobox", name="Direction").select_option("ltr")
    assert not is_mirrored(page)


def test_a_page_gives_its_colours_under_any_name(open_page: Open, demo: DemoServer) -> None:
    """
    A page that has a colour of its own under any name hands it to the element, and the element takes it.
    """
    page = open_page()
    names = ("accent", "bg", "ink", "soft", "line", "hover", "on-accent", "tint")
    rules = "".join(f"--{name}: rgb(0, 90, 200);" for name in names)
    page.page.evaluate(ADD_SHEET, f"fanbell-inbox {{ {rules} --fanbell-accent: var(--accent) }}")
    demo.message(page.user, "news")

    expect(page.phone.element.locator("[part=badge]")).to_have_css("background-color", "rgb(0, 90, 200)")
    expect(page.phone.element).not_to_have_css("background-color", "rgb(0, 90, 200)")


def is_mirrored(page: DemoPage) -> bool:
    """Whether a row's face stands to the right of its text."""
    row = page.laptop.rows.first
    face, text = row.locator(".face").bounding_box(), row.locator("[part=text]").bounding_box()
    assert face
    assert text
    return face["x"] > text["x"]


def test_other_languages(open_page: Open, demo: DemoServer) -> None:
    """
    The language can be changed: rows and the element's own words follow.
    """
    page = open_page()
    demo.named("ana", "Ana")
    demo.message(page.user, "hallo", actor="ana")
    page.phone.shows("Ana sent you a message")
    page.page.get_by_role("combobox", name="Language").select_option("de")

    for device in page.devices:
        device.shows("Ana hat dir geschrieben")
        expect(device.element.get_by_role("tab").first).to_have_text("Alle")


def test_nothing_moves_for_those_who_do_not_want_it(open_page: Open, demo: DemoServer) -> None:
    """
    With reduced motion nothing is animated; without it, something is.
    """
    still = open_page(reduced_motion="reduce")
    moving = open_page(reduced_motion="no-preference")
    demo.message(still.user, "news")
    for page in (still, moving):
        page.phone.shows("news")

    assert still.page.evaluate(MOVING) == 0
    assert moving.page.evaluate(MOVING) > 0


def test_other_states_have_their_pictures(open_page: Open, demo: DemoServer, shot: Shot) -> None:
    """
    An empty inbox says so; a device that is offline says so, and so do its preferences what is heard of.
    """
    page = open_page()
    for device in page.devices:
        expect(device.element.locator("[part=empty]")).to_contain_text("All quiet")
    shot(page.page, "empty")
    busy(page, demo)
    page.phone.line.click()
    page.laptop.preferences.click()
    expect(page.phone.element.locator("[part=status]")).to_contain_text("Offline")
    expect(page.laptop.element.locator("[part=preferences]")).to_contain_text("New followers")
    shot(page.page, "offline")
    page.phone.line.click()
    page.phone.is_live()
    shot(page.page, "preferences")
