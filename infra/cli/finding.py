"""What `fanbell doctor` tells of one thing that it looked at."""

from typing import Literal, NamedTuple

Verdict = Literal["ok", "note", "bad"]


class Finding(NamedTuple):
    """One line: what was looked at, what was seen, and what to do about it."""

    check: str
    verdict: Verdict
    seen: str
    hint: str = ""
