"""What the model expects, in the form in which `Pipeline` shows it."""

import tomllib
from math import inf
from typing import Any

from msgspec.structs import asdict

from tests.model import Model

REASONS = ("post", "like", "repost", "follow", "thread", "comment", "reply", "mention", "message")
"""The weakest first."""
UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def ms(duration: str) -> int:
    return int(duration[:-1]) * UNITS_MS[duration[-1]]


def rules_of(source: str) -> dict[str, Any]:
    """A rules file as the model takes it: whatever a kind leaves out stands there, durations are in ms, and an audience
    is {to whom: reason}, mentions among them, the weakest reason first.
    """
    rules = tomllib.loads(source)
    for kind in rules["kinds"].values():
        audience = [*kind.get("audience", ()), {"to": "mentions", "reason": "mention"}]
        audience.sort(key=lambda each: REASONS.index(each["reason"]))
        kind["audience"] = {each["to"]: each["reason"] for each in audience}
        kind["expires_after"] = ms(kind["expires_after"]) if "expires_after" in kind else inf
        kind["window"] = ms(kind["window"]) if "window" in kind else rules["limits"]["window_ms"]
        kind["unless"] = "on" if "inbox" in kind.get("channels", ["inbox"]) else "off"
    return rules


class Expected(Model):
    """The model of what comes of a history by the rules in `source`."""

    def __init__(self, source: str) -> None:
        super().__init__(rules_of(source))

    def inbox(self, user: str) -> list[dict[str, Any]]:
        """Newest first."""
        items = []
        for row in sorted((row for row in self.rows[user] if row.shown), key=lambda row: -row.place):
            content = row.shown[-1]
            actors = [*dict.fromkeys(part.actor for part in reversed(row.shown))]
            items.append(
                asdict(content)
                | {"expires_at": None if content.expires_at == inf else content.expires_at}
                | {"id": row.first.id, "created": row.first.at_ms, "reason": row.reason, "place": row.place}
                | {"actors": actors[:3], "count": len(actors), "flags": row.flags}
            )
        return items
