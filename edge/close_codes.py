"""Why the edge ends a connection, and what the client should do then: the table.

A client that meets a code it does not know goes by its range: 4500–4999 and everything below 4000 except
1002, 1003, 1007, 1008 and 1009 means "come back, with the cursor you have"; 4000–4499 means "come back only
once something has changed". Coming back, it waits `after_ms`, doubled for each failure in a row up to
`WAIT_MS_MAX`, times a random number between 0.5 and 1, so that a thousand clients of a restarted server do
not come at once.
"""

from typing import Final, NamedTuple

WAIT_MS_MAX: Final = 30_000  # a person looks again after half a minute


class CloseCode(NamedTuple):
    """One row. `comes_back`: whether the client should connect again by itself, first after `after_ms`."""

    code: int
    name: str
    reason: str
    comes_back: bool
    after_ms: int


CLOSE_CODES: Final[tuple[CloseCode, ...]] = (
    CloseCode(1000, "done", "the client closed", False, 0),
    CloseCode(1001, "restart", "the server stops or restarts", True, 500),
    CloseCode(1002, "protocol", "the client broke the WebSocket protocol", False, 0),
    CloseCode(1006, "lost", "the connection broke without a word", True, 200),
    CloseCode(1007, "not_text", "a frame was not UTF-8", False, 0),
    CloseCode(1009, "too_big", "a frame was larger than the edge takes", False, 0),
    CloseCode(1011, "trouble", "no answer to a ping, or a fault of the server", True, 1_000),
    CloseCode(4400, "malformed", "a frame was not JSON of the shape that its type asks for", False, 0),
    CloseCode(4401, "unauthorized", "no token, or one that does not count; come back with a new one", False, 0),
    CloseCode(4403, "forbidden", "the token does not reach this user's inbox", False, 0),
    CloseCode(4404, "unknown_type", "a frame of a type that the edge does not know here", False, 0),
    CloseCode(4429, "too_many_devices", "the user has as many sessions as one may have", False, 0),
    CloseCode(4500, "resume", "the client reads slower than things happen; it misses nothing if it resumes", True, 0),
    CloseCode(4501, "token_expired", "the token's time is over; come back with a new one", True, 0),
    CloseCode(4503, "full", "the server has as many sockets as it can hold", True, 5_000),
    CloseCode(4508, "late", "no connect frame in time", True, 1_000),
    CloseCode(4513, "unavailable", "the inbox cannot be read now", True, 2_000),
    CloseCode(4529, "too_fast", "the client sent more frames than one session may", True, 2_000),
    CloseCode(4530, "too_many_here", "the client's address has as many sessions as one may have", True, 10_000),
)  # fmt: skip

BY_NAME: Final = {row.name: row for row in CLOSE_CODES}
BY_CODE: Final = {row.code: row for row in CLOSE_CODES}


def comes_back(code: int | None) -> bool:
    """Whether a client that was closed with `code` (None: the connection broke) should connect again by itself."""
    if code is None:
        return True
    if code in BY_CODE:
        return BY_CODE[code].comes_back
    return not 4000 <= code < 4500 and code not in (1003, 1008)


def wait_ms(code: int | None, failures: int, chance: float) -> int:
    """How long to wait before coming back, after `failures` in a row (0 for the first), with `chance` in 0..1."""
    row = BY_CODE.get(1006 if code is None else code)
    first = row.after_ms if row else 1_000
    doubled = min(WAIT_MS_MAX, max(first, 200 if failures else 0) * 2 ** min(failures, 16))
    return int(doubled * (0.5 + chance / 2))
