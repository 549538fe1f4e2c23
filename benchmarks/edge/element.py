"""How large is the inbox element, and how long until it shows the first list, on a local server?

A real server with an inbox of 50, and headless Chromium. The page is three lines, of a site of its own: the script, and
the element. Each time it is opened in a profile of its own, so nothing is cached; the clock is the page's, from the
start of the navigation to the frame in which rows are shown: a screenful, for the others follow once it is painted. The
size is that of all scripts that were asked for until then, as they came over the line, compressed; the style sheet is
beside it.

Figures asked: at most 15 KB of scripts; at most 150 ms.
"""

import json
import os
import shutil
import statistics
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

from playwright.sync_api import Browser, Response, sync_playwright

from benchmarks import data
from benchmarks.harness import asked, hash_of, percentile, report, skip
from benchmarks.page import history
from benchmarks.server import fanbell_up
from fanbell.infra import load
from fanbell.infra.settings import Settings

QUESTION: Final = "inbox element: size, and time to the first list"
SCRIPT: Final = Path(__file__).parents[2] / "clients" / "js" / "fanbell-inbox.js"
CHROMIUM: Final = os.environ.get("CHROMIUM") or shutil.which("chromium")
ARGUMENTS: Final = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic",
)  # fmt: skip
USER: Final = "user0"
ROWS: Final = 50
TIMES: Final = 15
WARM: Final = 3
PATIENCE_MS: Final = 20_000
PAGE: Final = """<!doctype html><meta charset="utf-8"><title>Inbox</title>
<script type="module" src="{at}/client/fanbell-inbox.js"></script>
<fanbell-inbox user="{user}"></fanbell-inbox>
<script>
const look = () => {{
  const ms = performance.now();
  const found = [...document.querySelector("fanbell-inbox").shadowRoot?.querySelectorAll("[data-id]") ?? []];
  const rows = found.filter((row) => row.checkVisibility()).length;
  if (rows) window.shown = {{ rows, ms }};
  else requestAnimationFrame(look);
}};
requestAnimationFrame(look);
</script>"""


class Site(ThreadingHTTPServer):
    """Serves the page. Not by Playwright's routes: whoever routes one request holds up all of them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.page = b""

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/" else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        if self.path == "/":
            self.wfile.write(self.server.page)

    def log_message(self, *_: object) -> None:
        """Nothing: the line of figures is all that is printed."""


@contextmanager
def site() -> Iterator[Site]:
    with Site() as made:
        thread = Thread(target=made.serve_forever)
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()


def opened(browser: Browser, at: str) -> dict[str, Any]:
    """Open the page in a new profile; when the rows were there, and what was asked for until then."""
    context = browser.new_context()
    try:
        page = context.new_page()
        answers: list[Response] = []
        page.on("response", lambda answer: answers.append(answer))
        page.goto(at, wait_until="commit")
        shown: dict[str, Any] = page.wait_for_function("window.shown", timeout=PATIENCE_MS).json_value()
        sizes = {
            answer.url.rpartition("/")[2]: answer.request.sizes()["responseBodySize"]
            for answer in answers
            if "/client/" in answer.url and answer.ok
        }
    finally:
        context.close()
    return shown | {"sizes": sizes}


def shown_by(at: str, times: int, warm: int) -> Iterator[dict[str, Any]]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            for number in range(warm + times):
                found = opened(browser, at)
                if number >= warm:
                    yield found
        finally:
            browser.close()


def figures_of(found: list[dict[str, Any]]) -> dict[str, Any]:
    times = [one["ms"] for one in found]
    sizes: dict[str, int] = max((one["sizes"] for one in found), key=len)
    scripts = sum(size for name, size in sizes.items() if name.endswith(".js"))
    return {
        "first_list_ms_p50": round(statistics.median(times), 1),
        "first_list_ms_p90": round(percentile(times, 90), 1),
        "first_list_ms_min": round(min(times), 1),
        "scripts_gzip_kb": round(scripts / 1_024, 2),
        "sheet_gzip_kb": round(sum(size for name, size in sizes.items() if name.endswith(".css")) / 1_024, 2),
        "files": sizes,
        "rows": found[0]["rows"],
    }


def main(tiny: bool = False) -> None:
    if not SCRIPT.exists():
        skip(QUESTION, "the element is not there")
        return
    if CHROMIUM is None:
        skip(QUESTION, "no Chromium")
        return
    rows = 5 if tiny else ROWS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        lines = Path(name) / "history.jsonl"
        data.write_lines(lines, history(1, rows))
        load.run(lines, Settings(data=folder))
        with site() as page, fanbell_up(folder, allowed_origins=page.origin) as up:
            page.page = PAGE.format(at=f"http://{up.host}:{up.port}", user=USER).encode()
            found = list(shown_by(page.origin, 1 if tiny else TIMES, 0 if tiny else WARM))
            address = f"http://{up.host}:{up.port}/v1/users/{USER}/notifications?limit={ROWS}"
            with urllib.request.urlopen(address) as answer:
                said = json.load(answer)
    assert all(one["rows"] for one in found)
    answer_ids = json.dumps([item["id"] for item in said["items"]])
    report(QUESTION, figures_of(found), hash_of([answer_ids.encode()]), synthetic=True, times=len(found))


if __name__ == "__main__":
    main(**vars(asked()))
