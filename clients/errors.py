"""What can go wrong for those who use a client of ours."""

from collections.abc import Sequence


class ClientError(Exception):
    """All of them."""


class Refused(ClientError):
    """The edge closed the session for good; `code` as in `close_codes`, None if it refused the handshake."""

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Untrusted(Refused):
    """The certificate of the API or the edge is of nobody who is trusted here, is over, or is of another name."""

    def __init__(self, who: str, why: str) -> None:
        super().__init__(None, f"{who} is not whom it says it is: {why}")


class MarkFailed(ClientError):
    """A mark is not known to be kept; what it showed was taken back. `ids` is empty where all were marked."""

    def __init__(self, verb: str, ids: Sequence[str], why: str) -> None:
        super().__init__(f"{verb} was not kept: {why}")
        self.verb = verb
        self.ids = tuple(ids)


class MarkRefused(MarkFailed):
    """The edge said no: `reason` is its word for why (busy, unavailable), `retry_after_s` when to try again."""

    def __init__(
        self, verb: str, ids: Sequence[str], reason: str, detail: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(verb, ids, f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


class MarkLate(MarkFailed):
    """No answer came within `marks_wait_s`. `sent`: whether it went out, so that it may yet be kept."""

    def __init__(self, verb: str, ids: Sequence[str], sent: bool) -> None:
        super().__init__(verb, ids, "no answer in time" if sent else "offline for too long")
        self.sent = sent


class MarksFull(MarkFailed):
    """As many marks wait for an answer as may; nothing was done."""


class MarkForeign(MarkFailed):
    """The log was replaced while the mark waited: what it marked is no more."""


class Closed(MarkFailed):
    """The client was closed, or refused, before an answer came."""
