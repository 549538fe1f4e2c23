"""What can be wrong in a history."""

from typing import Literal, NamedTuple

What = Literal[
    "lost", "twice", "unwanted", "out of order", "too early", "too late", "counter drift",
    "differs", "ahead of acks", "stuck",
]  # fmt: skip


class Wrong(NamedTuple):
    what: What
    detail: str
