"""One request, read strictly: path segments, query parameters, JSON body.

Paths arrive as they were sent (`gate.py`), so an id may hold `/`, `%` or `..`, percent-encoded. What is not
valid percent-encoding or not UTF-8 is refused, never replaced. Unknown query parameters are refused: a
misspelt filter would otherwise silently show everything.
"""

import asyncio
import re
import time
from collections.abc import Collection
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from starlette.types import Receive, Scope

from fanbell.edge.auth import Caller
from fanbell.edge.problems import Problem, bad_request, fault, forbidden, too_large, unprocessable
from fanbell.schemas.limits import REQUEST_BYTES_MAX
from fanbell.schemas.parse import Invalid, id_fault, parse_json
from fanbell.schemas.parse_change import is_locale

BODY_TIMEOUT_S: Final = 30  # a body of 2 MiB at 70 KB/s; slower is a slow phone on a bad day, or an attack
DRAIN_BYTES_MAX: Final = (
    16 * 1024 * 1024
)  # read and dropped of a refused body, so that the sender gets to our answer
DRAIN_TIMEOUT_S: Final = 2
_BAD_PERCENT: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_WHOLE: Final = re.compile(r"[0-9]{1,18}")
_JSON_TYPE: Final = re.compile(
    rb"\s*application/json\s*(;\s*charset\s*=\s*\"?utf-?8\"?\s*)?;?\s*", re.IGNORECASE
)


class Gone(Exception):
    """Whoever asked hung up."""


def decoded(raw: str) -> str:
    """The text that `raw` (percent-encoded, octets as Latin-1) stands for. Raises ValueError."""
    if "%" not in raw and raw.isascii():
        return raw
    octets = raw.encode("latin-1")
    if _BAD_PERCENT.search(octets):
        raise ValueError("has a % that two hexadecimal digits do not follow (write %25 for a %)")
    try:
        return unquote_to_bytes(octets).decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 once percent-decoded") from None


class Asked:
    """A request as calls see it."""

    __slots__ = ("_receive", "caller", "scope")

    def __init__(self, scope: Scope, receive: Receive, caller: Caller) -> None:
        self.scope = scope
        self._receive = receive
        self.caller = caller

    def param(self, name: str) -> str:
        """The path segment `name`. Raises Problem."""
        try:
            return decoded(self.scope["path_params"][name])
        except ValueError as error:
            raise bad_request("The path cannot be read.", [fault(name, str(error))]) from None

    def id(self, name: str) -> str:
        """The path segment `name`, an id. Raises Problem."""
        value = self.param(name)
        if wrong := id_fault(value):
            raise unprocessable("The path names no possible id.", [fault(name, wrong)])
        return value

    def user_to_reach(self) -> str:
        """The user whose inbox or lists the path names, if the caller may reach them. Raises Problem."""
        user = self.id("user")
        if not self.caller.may_reach(user):
            raise forbidden("This token reaches only what is its own user's.")
        return user

    def user_to_act_for(self) -> str:
        """The user whom the path names, if the caller may act in their name. Raises Problem."""
        user = self.id("user")
        if not self.caller.may_act_for(user):
            raise forbidden("This token acts only for its own user.")
        return user

    @property
    def receive(self) -> Receive:
        return self._receive

    @property
    def is_head(self) -> bool:
        """Whether only the answer's head is wanted."""
        return bool(self.scope.get("fanbell.head"))

    def header(self, name: bytes) -> str | None:
        """The header `name`, in small letters; of several, joined by commas as they may be."""
        found = [value for key, value in self.scope["headers"] if key == name]
        return b", ".join(found).decode("latin-1") if found else None

    @property
    def address(self) -> str:
        """What limits by address count the request for."""
        return str(self.scope["fanbell.address"])

    def token_left_s(self) -> float | None:
        """How long the caller's token, which was verified, is still good, s; None where none is needed."""
        left_s = self.caller.left_s(time.time())
        return None if left_s == float("inf") else max(0.0, left_s)

    def query(self, known: Collection[str] = ()) -> dict[str, str]:
        """The query parameters. Raises Problem for unknown, repeated or unreadable ones."""
        raw: bytes = self.scope["query_string"]
        if not raw:
            return {}
        found: dict[str, str] = {}
        errors = []
        for pair in raw.decode("latin-1").split("&"):
            if not pair:
                continue
            try:
                name, value = (decoded(part.replace("+", " ")) for part in (pair.partition("=")[::2]))
            except ValueError as error:
                errors.append(fault(pair.partition("=")[0][:100], str(error)))
                continue
            if name not in known:
                errors.append(
                    fault(name[:100], f"unknown query parameter; known are {', '.join(known) or 'none'}")
                )
            elif name in found:
                errors.append(fault(name, "is given twice"))
            found[name] = value
        if errors:
            raise bad_request("The query cannot be used.", errors)
        return found

    async def json(self) -> Any:
        """The JSON value of the body. Raises Problem, Gone."""
        body = await self.body()
        try:
            return parse_json(body)
        except Invalid as error:
            raise bad_request(
                "The body cannot be read.", [fault(f, message) for f, message in error.errors]
            ) from None

    async def json_object(self, known: Collection[str]) -> dict[str, Any]:
        """The JSON object of the body, with no other keys than `known`. Raises Problem, Gone."""
        value = await self.json()
        if type(value) is not dict:
            raise unprocessable("The body must be a JSON object.", [fault("", "must be a JSON object")])
        errors = [
            fault(name[:100], f"unknown field; known are {', '.join(known)}")
            for name in value
            if name not in known
        ]
        if errors:
            raise unprocessable("The body has unknown fields.", errors)
        return value

    async def body(self) -> bytes:
        """The body, which must say that it is JSON. Raises Problem, Gone."""
        self._check_type()
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Gone
        body: bytes = message.get("body", b"")
        if not message.get("more_body", False) and len(body) <= REQUEST_BYTES_MAX:
            return body  # nearly all
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                return await self._rest(body, message.get("more_body", False))
        except TimeoutError:
            raise Problem(
                408,
                "slow",
                f"The body did not arrive within {BODY_TIMEOUT_S} s.",
                headers={"connection": "close"},
            ) from None

    def _check_type(self) -> None:
        kind, coding, length = b"", b"", b"0"
        for name, value in self.scope["headers"]:
            if name == b"content-type":
                kind = value
            elif name == b"content-encoding":
                coding = value
            elif name == b"content-length":
                length = value
        if kind != b"application/json" and not _JSON_TYPE.fullmatch(kind):
            raise Problem(415, "media-type", "The body must be application/json, in UTF-8.")
        if coding and coding.lower() != b"identity":
            raise Problem(
                415, "media-type", "The body must not be compressed.", headers={"accept-encoding": "identity"}
            )
        if length.isdigit() and int(length) > DRAIN_BYTES_MAX:
            raise _body_too_large()

    async def _rest(self, first: bytes, more: bool) -> bytes:
        chunks, size = [first], len(first)
        while more:
            if size > REQUEST_BYTES_MAX:
                await self._drain(size)
                break
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            chunk = message.get("body", b"")
            size += len(chunk)
            chunks.append(chunk)
            more = message.get("more_body", False)
        if size > REQUEST_BYTES_MAX:
            raise _body_too_large()
        return b"".join(chunks)

    async def _drain(self, size: int) -> None:
        """Drop what else comes, within bounds: an answer on a connection with unread data is often lost."""
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                while size <= DRAIN_BYTES_MAX:
                    message = await self._receive()
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        return
                    size += len(message.get("body", b""))
        except TimeoutError:
            return


def _body_too_large() -> Problem:
    detail = f"A request's body has at most {REQUEST_BYTES_MAX} bytes."
    return too_large(detail, headers={"connection": "close"})


def whole_number(query: dict[str, str], name: str, default: int, least: int, most: int) -> int:
    """The query parameter `name`, a whole number. Raises Problem."""
    text = query.get(name)
    if text is None:
        return default
    if not _WHOLE.fullmatch(text) or not least <= int(text) <= most:
        raise bad_request(
            "The query cannot be used.", [fault(name, f"must be a whole number from {least} to {most}")]
        )
    return int(text)


def yes_or_no(query: dict[str, str], name: str) -> bool:
    """The query parameter `name`, true or false (the default). Raises Problem."""
    text = query.get(name, "false")
    if text not in ("true", "false"):
        raise bad_request("The query cannot be used.", [fault(name, "must be true or false")])
    return text == "true"


def one_of(query: dict[str, str], name: str, among: Collection[str], default: str) -> str:
    """The query parameter `name`, one of several words. Raises Problem."""
    text = query.get(name, default)
    if text not in among:
        raise bad_request("The query cannot be used.", [fault(name, f"must be one of {', '.join(among)}")])
    return text


def id_parameter(query: dict[str, str], name: str) -> str | None:
    """The query parameter `name`, an id. Raises Problem."""
    text = query.get(name)
    if text is not None and (wrong := id_fault(text)):
        raise bad_request("The query cannot be used.", [fault(name, wrong)])
    return text


def locale_parameter(query: dict[str, str], name: str = "locale") -> str | None:
    """The query parameter `name`, a language tag. Raises Problem."""
    text = query.get(name)
    if text is not None and not is_locale(text):
        raise bad_request(
            "The query cannot be used.", [fault(name, "must be a language tag such as en or pt-BR")]
        )
    return text
