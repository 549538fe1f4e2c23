"""Records that other producers framed as Confluent's serializers do, read as records of ours.

Framed is: a byte 0, the schema's id in the registry (4 bytes, big endian), the body. The folds know nothing of it: they
may not ask a registry, and what they are given must be the same whoever folds it, today or in a replay. So every
replica of `activities` and `changes` translates what it is about to fold, which comes out the same as long as the
registry keeps what it had: what an id names there never changes. What cannot be translated stays as it stands, and the
fold puts it aside as undecodable.

That the registry does not know an id may change: one that follows another knows it a moment later, and then a replay
would come out otherwise. So such a record is waited for until it is UNKNOWN_MS old.
"""

import time
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any, Final

import fastavro
import structlog
from msgspec.structs import replace

from fanbell.schemas.codec import encode, made_of, schema_json
from fanbell.schemas.records import Activity, Change
from fanbell.schemas.topics import ACTIVITIES, CHANGES
from fanbell.streams.log import LogFailed, Record
from fanbell.streams.registry import KEPT_MAX, Registry, Unknown, Unusable

logger = structlog.get_logger()

HEADER_BYTES: Final = 5
UNKNOWN_MS: Final = 60_000
"""So long after it was appended, a record by a schema that nobody knows is garbage. A registry that follows another is
seconds behind, and garbage holds a partition up for no longer than this; for twice as long where the producer's clock
is ahead of ours, and not at all where it is so by more."""
SAID_MAX: Final = 300  # characters of why; a mismatch would recite both schemas
READ_AS: Final[dict[str, type[Activity] | type[Change]]] = {ACTIVITIES: Activity, CHANGES: Change}
"""By topic, what its framed records are"""


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Framed:
    """`records` of one topic, translated. `clock`: Unix ms."""

    def __init__(self, topic: str, registry: Registry, clock: Callable[[], int] = wall_ms) -> None:
        self._topic, self._registry, self._clock = topic, registry, clock
        self._cls = READ_AS[topic]
        self._readers: dict[str, Any] = {}
        """By the writer's name for it, our schema under that name: Avro compares names before fields"""

    async def translate(self, records: Sequence[Record]) -> list[Record]:
        """The same records, those that are framed as ours. Raises LogFailed while the registry does not answer, or
        does not know a schema that it may yet learn of."""
        return [await self._one(record) if record.value[:1] == b"\0" else record for record in records]

    async def _one(self, record: Record) -> Record:
        if len(record.value) < HEADER_BYTES:
            return record
        try:
            written = await self._registry.written(int.from_bytes(record.value[1:HEADER_BYTES], "big"))
            return replace(record, value=self._translated(record.value[HEADER_BYTES:], written.avro))
        except Unusable as error:
            if isinstance(error, Unknown) and abs(self._clock() - record.timestamp_ms) < UNKNOWN_MS:
                raise LogFailed(
                    f"{self._topic}, record {record.offset}: {error}; it is waited for until the record is "
                    f"{UNKNOWN_MS // 1_000} s old"
                ) from error
            logger.warning("record_not_readable", topic=self._topic, offset=record.offset, error=str(error))
            return record

    def _translated(self, body: bytes, written: Any | None) -> bytes:
        if written is None:  # JSON
            return body
        try:
            source = BytesIO(body)
            fields: Any = fastavro.schemaless_reader(source, written, self._reader(written))
            if source.tell() != len(body):
                raise Unusable(f"{len(body) - source.tell()} bytes are left over")
            return encode(made_of(self._cls, fields))
        except Unusable:
            raise
        except Exception as error:  # whatever fastavro makes of bytes that others wrote
            said = f"{type(error).__name__}: {error}"[:SAID_MAX]
            raise Unusable(f"it does not fit {self._cls.__name__}: {said}") from error

    def _reader(self, written: Any) -> Any:
        name = written["name"]
        if name not in self._readers:
            if len(self._readers) >= KEPT_MAX:
                self._readers.clear()
            ours = {
                **schema_json(self._cls.__name__),
                "name": name,
            }  # dots and all
            self._readers[name] = fastavro.parse_schema(ours)
        return self._readers[name]
