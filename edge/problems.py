"""Errors as people and programs read them: problem+json (RFC 9457) with a list of what is wrong where."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

CONTENT_TYPE: Final = "application/problem+json"
ERRORS_MAX: Final = 100  # listed in one answer; the detail says how many there are


class Problem(Exception):
    """A refusal, to be answered as such. `type` is a word for the sort of problem; it stays the same."""

    def __init__(
        self,
        status: int,
        type_: str,
        detail: str,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.type = type_
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        """The JSON document."""
        detail = self.detail
        if len(self.errors) > ERRORS_MAX:
            detail += f" (the first {ERRORS_MAX} of {len(self.errors)} faults are listed)"
        return msgspec.json.encode(
            {
                "type": f"fanbell:{self.type}",
                "title": HTTPStatus(self.status).phrase,
                "status": self.status,
                "detail": detail,
                "errors": self.errors[:ERRORS_MAX],
            }
        )


def fault(field: str, message: str, item: int | None = None) -> dict[str, Any]:
    """One entry of `errors`: which item of an array (from 0; null if none), which field, what is wrong."""
    return {"item": item, "field": field, "message": message}


def bad_request(detail: str, errors: Sequence[Mapping[str, Any]] = ()) -> Problem:
    """400: the request cannot be read."""
    return Problem(400, "bad-request", detail, errors)


def unprocessable(detail: str, errors: Sequence[Mapping[str, Any]] = ()) -> Problem:
    """422: the request can be read, and what it says is refused."""
    return Problem(422, "invalid", detail, errors)


def not_found(detail: str) -> Problem:
    """404."""
    return Problem(404, "not-found", detail)


def forbidden(detail: str, errors: Sequence[Mapping[str, Any]] = ()) -> Problem:
    """403: known who asks, and they may not."""
    return Problem(403, "forbidden", detail, errors)


def too_large(
    detail: str, errors: Sequence[Mapping[str, Any]] = (), headers: Mapping[str, str] | None = None
) -> Problem:
    """413."""
    return Problem(413, "too-large", detail, errors, headers)


def internal() -> Problem:
    """500, which tells nothing of the inside."""
    return Problem(500, "internal", "Something went wrong here; it has been logged.")
