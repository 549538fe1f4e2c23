"""The schemas that other producers wrote with, asked of a Confluent schema registry by their ids.

What an id names in a registry never changes, so each is asked for once and kept. Nothing is ever registered.
"""

import asyncio
import json
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, Self

import fastavro
from msgspec import Struct

from fanbell.streams.log import LogFailed

if TYPE_CHECKING:
    import httpx  # else when there is a registry to ask: it costs a worker's start a quarter of a second

KEPT_MAX: Final = 1_000  # schemas: every version of a topic's schema is one, and a few KB
UNKNOWN_S: Final = 10.0  # how long the registry is not asked again for an id that it did not know
ANSWER_BYTES_MAX: Final = 1 << 20  # a schema of more is no activity's
TIMEOUT_S: Final = 10.0  # of one question; then the partition is opened anew, and asks again


class Written(Struct, frozen=True):
    """What a writer's schema is. `avro` is None where the body is JSON."""

    avro: Any | None


class Unusable(Exception):
    """The registry does not know the id, or what it names cannot be read by us; the message says which."""


class Unknown(Unusable):
    """The registry does not know the id, now."""


class Registry:
    """Made by `open`. `username` and `password`: as for HTTP's basic authentication, if there is any."""

    def __init__(self, url: str, client: "httpx.AsyncClient") -> None:
        self._url, self._client = url.rstrip("/"), client
        self._kept: OrderedDict[int, Written | Unusable] = OrderedDict()
        self._unknown: OrderedDict[int, float] = OrderedDict()
        """When the registry said that it does not know an id, by the monotonic clock"""
        self._asking = asyncio.Lock()

    @classmethod
    def open(cls, url: str, username: str = "", password: str = "") -> Self:
        """Nothing is asked yet. Raises ValueError if `url` is none of HTTP."""
        import httpx

        if httpx.URL(url).scheme not in ("http", "https") or not httpx.URL(url).host:
            raise ValueError(f"schema_registry_url must be an http or https address, not {url!r}")
        login = (username, password) if username else None
        return cls(url, httpx.AsyncClient(auth=login, timeout=TIMEOUT_S, follow_redirects=True))

    async def aclose(self) -> None:
        """End the connections."""
        await self._client.aclose()

    async def written(self, schema_id: int) -> Written:
        """What `schema_id` names. Raises Unusable, Unknown where that may change, and LogFailed while the registry does
        not answer."""
        found = self._kept.get(schema_id)
        if found is None:
            async with self._asking:  # many partitions meet a new id at once: one asks
                found = self._kept.get(schema_id) or await self._learn(schema_id)
        self._kept.move_to_end(schema_id)
        if isinstance(found, Unusable):
            raise found
        return found

    async def _learn(self, schema_id: int) -> Written | Unusable:
        asked = self._unknown.get(schema_id)
        if asked is not None and time.monotonic() - asked < UNKNOWN_S:
            raise _unknown(schema_id)
        answer = await self._ask(schema_id)
        if answer is None:
            self._unknown[schema_id] = time.monotonic()
            _bound(self._unknown)
            raise _unknown(schema_id)
        self._kept[schema_id] = found = _read(schema_id, answer)
        _bound(self._kept)
        return found

    async def _ask(self, schema_id: int) -> dict[str, Any] | None:
        """The registry's answer; None if it does not know the id."""
        import httpx

        where = f"{self._url}/schemas/ids/{schema_id}"
        try:
            async with self._client.stream("GET", where) as answer:
                body = bytearray()
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > ANSWER_BYTES_MAX:
                        raise LogFailed(f"{where} answers with more than {ANSWER_BYTES_MAX} bytes")
        except httpx.HTTPError as error:
            raise LogFailed(f"the schema registry does not answer: GET {where}: {error!r}") from error
        try:
            told = json.loads(bytes(body))
        except (ValueError, RecursionError):
            told = None
        if answer.status_code == 404 and isinstance(told, dict) and told.get("error_code") == 40403:
            return None
        if answer.status_code != 200 or not isinstance(told, dict) or not isinstance(told.get("schema"), str):
            said = bytes(body[:200]).decode(errors="replace")
            raise LogFailed(
                f"the schema registry is of no use: GET {where} answers {answer.status_code} {said!r}; look at "
                "schema_registry_url, schema_registry_username and schema_registry_password"
            )
        return told


def _read(schema_id: int, answer: dict[str, Any]) -> Written | Unusable:
    kind = answer.get("schemaType", "AVRO")
    if kind == "JSON":
        return Written(None)
    if kind != "AVRO" or answer.get("references"):
        what = "refers to other schemas" if kind == "AVRO" else f"is of type {kind}"
        return Unusable(f"schema {schema_id} {what}; Avro and JSON without references can be read")
    try:
        return Written(fastavro.parse_schema(_plain(json.loads(answer["schema"]))))
    except Exception as error:  # noqa: BLE001 - whatever the parser makes of what others wrote
        return Unusable(f"schema {schema_id} cannot be parsed: {error!r}")


def _plain(schema: Any) -> Any:
    """`schema` without logical types: a `timestamp-millis` is a number to us, not Python's idea of a moment."""
    if isinstance(schema, dict):
        return {name: _plain(part) for name, part in schema.items() if name != "logicalType"}
    return [_plain(part) for part in schema] if isinstance(schema, list) else schema


def _unknown(schema_id: int) -> Unknown:
    return Unknown(f"the registry knows no schema {schema_id}")


def _bound(kept: OrderedDict[int, Any]) -> None:
    if len(kept) > KEPT_MAX:
        kept.popitem(last=False)
