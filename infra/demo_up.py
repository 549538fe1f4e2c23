"""`fanbell demo`: one process, a synthetic town's traffic, and a page with one inbox on two devices, live."""

import sys
from collections.abc import Coroutine
from typing import Any

from fanbell.infra import demo, up
from fanbell.infra.cli.exits import Exit
from fanbell.infra.settings import Settings
from fanbell.infra.town import Town


def run(settings: Settings, seed: int, rate: float) -> int:
    """Serve with the page and the town until a signal; the exit code. The data folder is kept for the next time.

    `rate`: moments a second; 0 is a quiet town, where only the page's visitor acts.
    """
    if settings.needs_tokens:
        sys.stderr.write("fanbell: the demo's page has no token; leave the token secret out\n")
        return Exit.USAGE
    town = Town(seed, demo.new_run())

    def started(live: up.Running) -> Coroutine[Any, Any, int]:
        _say(live, town)
        return demo.play(live.http, seed, rate, town=town)

    return up.serve(settings, json=False, started=started, about=town.about)


def _say(live: up.Running, town: Town) -> None:
    lines = (
        "",
        f"  Open {live.http}/ to see the inbox of {town.shown.name} on a phone and a laptop.",
        "",
        f"  A synthetic town of {len(town.people)} people is being set up there. Nobody in it exists.",
        f"  Its data stays in {live.settings.data}; Ctrl-C stops, the next start goes on.",
        "",
    )
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
