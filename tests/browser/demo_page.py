"""The demo page as a person uses it: two devices, and what stands around them."""

import re
from typing import Any, Final
from urllib.parse import quote

from playwright.sync_api import Locator, Page, expect

SNAPSHOT: Final = "name => document.querySelector(`[data-device=${name}] fanbell-inbox`).inbox.getSnapshot()"
HEARD: Final = """name => {
  const { inbox } = document.querySelector(`[data-device=${name}] fanbell-inbox`);
  globalThis.heard = {...globalThis.heard, [name]: []};
  inbox.on("notification", (item) => globalThis.heard[name].push(item.data?.text));
}"""


class Device:
    """One of the two frames."""

    def __init__(self, page: Page, name: str) -> None:
        self._page = page
        self.name = name
        self.root = page.locator(f"[data-device={name}]")
        self.element = self.root.locator("fanbell-inbox")
        self.rows = self.element.locator("[part~=row]")
        self.badge = self.root.locator(".chrome .badge")
        self.line = self.root.locator(".cut")
        self.note = self.root.locator("> .note")
        self.preferences = self.element.locator("header [aria-expanded]")

    def is_live(self) -> None:
        """Wait until it is."""
        self.has_state("live")

    def has_state(self, state: str) -> None:
        """Wait until the line is in this state."""
        expect(self.root.locator(".state")).to_have_attribute("data-state", state)

    def has_unread(self, count: int) -> None:
        """Wait until the badge shows so many; none at 0."""
        if count:
            expect(self.badge).to_have_text(str(count))
        else:
            expect(self.badge).to_be_hidden()

    def tab(self, index: int) -> Locator:
        """The tab of a filter: all, unread, archived."""
        return self.element.get_by_role("tab").nth(index)

    def row(self, text: str) -> Locator:
        """The row in which `text` stands."""
        return self.rows.filter(has_text=text)

    def texts(self) -> list[Any]:
        """What the rows' data say, from the top, as the SDK has them."""
        return [(item["data"] or {}).get("text") for item in self.snapshot()["items"]]

    def shows(self, *texts: str) -> None:
        """Wait until the rows say exactly this, from the top."""
        expect(self.rows).to_contain_text(list(texts))
        expect(self.rows).to_have_count(len(texts))

    def snapshot(self) -> dict[str, Any]:
        """What the SDK knows."""
        return dict(self._page.evaluate(SNAPSHOT, self.name))

    def listen(self) -> None:
        """From now on, keep what is told as new."""
        self._page.evaluate(HEARD, self.name)

    def heard(self) -> list[Any]:
        """The data's texts of what was told as new since `listen`, in order."""
        return list(self._page.evaluate("name => globalThis.heard[name]", self.name))


class DemoPage:
    """The page, open for one user."""

    def __init__(self, page: Page, url: str, user: str) -> None:
        self.page = page
        self.user = user
        self._url = url
        self.phone = Device(page, "phone")
        self.laptop = Device(page, "laptop")
        self.told = page.locator("#told")

    def open(self, query: str = "") -> "DemoPage":
        """Go there, and wait until both devices are live."""
        self.page.goto(f"{self._url}/?user={quote(self.user, safe='')}{query}")
        for device in self.devices:
            device.is_live()
        return self

    @property
    def devices(self) -> tuple[Device, Device]:
        """Phone and laptop."""
        return self.phone, self.laptop

    def compose(self, verb: str, actor: str, text: str | None = None) -> None:
        """Let somebody do something, and wait until it is sent."""
        self.page.get_by_role("combobox", name="As", exact=True).select_option(actor)
        self.page.locator(f"#compose input[value={verb}]").check(force=True)  # it lies under its label
        if text is not None:
            self.page.get_by_label("Text", exact=True).fill(text)
        self.page.get_by_role("button", name="Do it").click()
        expect(self.told).to_have_text(re.compile(r"hears? of it|Sent"))

    def switch(self, kind: str) -> Locator:
        """The switch of a kind of news."""
        return self.page.get_by_role("switch", name=kind)
