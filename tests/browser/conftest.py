"""A real Chromium, a fresh profile for each test, and one demo server for all of them."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.browser.demo_page import DemoPage
from tests.browser.demo_server import DemoServer
from tests.browser.embedded import site

CHROMIUM: Final = os.environ.get("CHROMIUM") or shutil.which("chromium")
ARGUMENTS: Final = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
PATIENCE_MS: Final = 20_000  # for what takes milliseconds, on a machine that does much else
WIDE: Final = (1360, 940)

expect.set_options(timeout=PATIENCE_MS)

Open = Callable[..., DemoPage]
"""Opens the page of a user of its own, in a profile of its own.

Takes what the address asks for, width and height, what is done with the empty page before, how else the profile is.
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Of one module: while it is there, an event loop of Playwright's runs, and tests with one of their own cannot."""
    if CHROMIUM is None:
        why = "no Chromium: on Debian, apt install chromium; elsewhere name one, CHROMIUM=/path/to/it"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield chromium
        finally:
            chromium.close()


@pytest.fixture(scope="session")
def origin() -> Iterator[str]:
    """A site that embeds the inbox."""
    with site() as found:
        yield found


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, origin: str) -> Iterator[DemoServer]:
    """A demo server with a quiet town, which the site may call too."""
    server = DemoServer(tmp_path_factory.mktemp("demo"), "--allowed-origins", origin)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def user(demo: DemoServer, request: pytest.FixtureRequest) -> str:
    """Somebody who is no other test's."""
    return demo.new("user")


@pytest.fixture
def profile(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Makes a browser profile; all end with the test, and none may have seen an error."""
    made: list[BrowserContext] = []
    faults: list[str] = []

    def make(size: tuple[int, int] = WIDE, **more: object) -> BrowserContext:
        width, height = size
        context = browser.new_context(viewport={"width": width, "height": height}, **more)  # type: ignore[arg-type]
        context.set_default_timeout(PATIENCE_MS)
        context.on("weberror", lambda error: faults.append(str(error.error)))
        context.on("page", lambda page: watch(page, faults))
        made.append(context)
        return context

    yield make
    for context in made:
        context.close()
    assert faults == []


def watch(page: Page, faults: list[str]) -> None:
    """What breaks the security policy is a fault. Lost connections are none: tests cut them."""

    def heard(message: ConsoleMessage) -> None:
        if re.search(r"Content Security Policy|TrustedHTML|Trusted Type", message.text):
            faults.append(f"{message.location} {message.text}")

    page.on("console", heard)


@pytest.fixture
def open_page(demo: DemoServer, user: str, profile: Callable[..., BrowserContext]) -> Open:
    """Opens the demo page for `user`, and returns once both devices are live."""

    def open_(
        query: str = "",
        size: tuple[int, int] = WIDE,
        before: Callable[[Page], None] | None = None,
        **more: object,
    ) -> DemoPage:
        page = profile(size, **more).new_page()
        if before is not None:
            before(page)
        return DemoPage(page, demo.url, user).open(query)

    return open_


SHOTS: Final = Path(__file__).parents[2] / "build" / "screenshots"


@pytest.fixture
def shot() -> Callable[[Page, str], None]:
    """Keeps a picture of the page under this name, for people to look at."""

    def take(page: Page, name: str) -> None:
        page.screenshot(path=SHOTS / f"{name}.png", full_page=True, animations="disabled")

    return take
