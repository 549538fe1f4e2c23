"""How should an inbox's rows lie in Cassandra? Rows/s, CPU of the client, and what a page of 50 costs to read.

The same notices, of 100 recipients each, are written in four ways, and by the store as it is:

- `wide`: what is shown in every row, each user a Cassandra partition; unlogged batches over 100 of them
- `reference`: a row says which notice it shows, whose body is written once; otherwise the same
- `shared wide`, `shared reference`: users share Cassandra partitions, and a batch lies within one
- `shared reference by the driver`: the same with the driver's own batches, not packed ones

It starts a Cassandra of its own, unless FANBELL_CASSANDRA_CONTACT_POINTS names one.
"""

import asyncio
import contextlib
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from importlib.metadata import version
from typing import Any, Final, NamedTuple

from cassandra.query import BatchStatement, BatchType

from benchmarks.cluster.servers import servers
from benchmarks.harness import asked, hash_of, report, say
from fanbell.projections import cassandra_tables as tables
from fanbell.projections.cassandra_schema import apply_schema
from fanbell.projections.store_cassandra import CassandraStore
from fanbell.schemas.codec import encode_body
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Content, Notice
from fanbell.streams.cassandra import IN_FLIGHT_MAX, Cassandra, CassandraConfig, connect, each
from fanbell.streams.cassandra_packed import PackedBatch, head_of, packed, packed_int, packed_long

QUESTION: Final = "rows of inboxes in Cassandra, by design"
PARTITIONS: Final = 8
AUTHORS: Final = 12  # of each partition
FOLLOWERS: Final = 100
BATCH: Final = 100
SPREAD_MAX: Final = (
    32  # batches in flight whose rows lie each elsewhere: 128 cold ones outlast the server's 2 s
)
WARM: Final = (
    10  # notices of each partition that are written before the clock starts, for a server that has just begun
)
PAGE: Final = 50
PAGES: Final = 100
KEYSPACE: Final = "fanbell_bench"
_UNIFIED: Final = "WITH compaction = {'class': 'UnifiedCompactionStrategy'}"
_BY_USER: Final = "CREATE TABLE fanbell_bench.{} (user text, seq bigint, {} blob, PRIMARY KEY ((user), seq)) "
_DESCENDING: Final = " AND CLUSTERING ORDER BY (seq DESC)"
_SHARED: Final = (
    "CREATE TABLE fanbell_bench.{} (bucket int, user text, seq bigint, body blob, "
    "PRIMARY KEY ((bucket), user, seq)) "
)


class Work(NamedTuple):
    """Notices by partition, and some of those who are told."""

    notices: dict[int, list[Notice]]
    readers: list[str]

    @property
    def rows(self) -> int:
        return sum(len(one.recipients) for some in self.notices.values() for one in some)


def work_of(each_partition: int) -> Work:
    """`each_partition` notices in each partition, of authors in turn."""
    names: defaultdict[int, list[str]] = defaultdict(list)
    number = 0
    while any(len(names[p]) < AUTHORS * FOLLOWERS for p in range(PARTITIONS)):
        name = f"user-{number}"
        names[partition_of(name, PARTITIONS)].append(name)
        number += 1
    notices = {}
    for partition in range(PARTITIONS):
        people = names[partition]
        notices[partition] = [
            _notice(seq, people[(seq % AUTHORS) * FOLLOWERS : (seq % AUTHORS + 1) * FOLLOWERS])
            for seq in range(1, each_partition + 1)
        ]
    return Work(notices, [names[n % PARTITIONS][n] for n in range(PAGES)])


def _notice(seq: int, recipients: list[str]) -> Notice:
    content = Content(
        f"activity-{seq}", "post", f"author-{seq % AUTHORS}", f"post-{seq}", None, None, "room",
        b'{"title":"A word or two on what this is about, as people write it"}', None, 1_700_000_000_000 + seq, None,
    )  # fmt: skip
    return Notice(seq, 0, seq - 1, 0, seq, "post", encode_body(content), recipients)


Batches = Iterator[tuple[bytes, int, list[bytes]]]


async def written_wide(cassandra: Cassandra, work: Work, table: str) -> None:
    """Rows that hold all, a partition each."""
    head = head_of(
        await cassandra.prepare(f"INSERT INTO {table} (user, seq, body) VALUES (?, ?, ?) USING TIMESTAMP ?")
    )

    def batches() -> Batches:
        for notices in work.notices.values():
            for notice in notices:
                seq = packed_long(notice.seq)
                tail = seq + packed(tables.kept_body(notice, 3)) + seq
                pieces = [
                    piece for user in notice.recipients for piece in (head, packed(user.encode()), tail)
                ]
                yield notice.recipients[0].encode(), len(notice.recipients), pieces

    await _send(cassandra, batches(), SPREAD_MAX)


async def written_reference(cassandra: Cassandra, work: Work, table: str) -> None:
    """Rows that refer to bodies, a partition each."""
    head = head_of(
        await cassandra.prepare(f"INSERT INTO {table} (user, seq, shown) VALUES (?, ?, ?) USING TIMESTAMP ?")
    )

    def batches() -> Batches:
        for partition, notices in work.notices.items():
            for notice in notices:
                seq = packed_long(notice.seq)
                tail = seq + _shown(partition, notice) + seq
                pieces = [
                    piece for user in notice.recipients for piece in (head, packed(user.encode()), tail)
                ]
                yield notice.recipients[0].encode(), len(notice.recipients), pieces

    await _send(cassandra, _bodies(work, await _body_head(cassandra)))
    await _send(cassandra, batches(), SPREAD_MAX)


def _shown(partition: int, notice: Notice) -> bytes:
    return packed(tables.encode(tables.Shown(partition, notice.seq, "post", "room", None)))


async def _body_head(cassandra: Cassandra) -> bytes:
    return head_of(await cassandra.prepare(tables.PUT_BODY))


def _bodies(work: Work, head: bytes) -> Batches:
    for partition, notices in work.notices.items():
        chunks: defaultdict[int, list[Notice]] = defaultdict(list)
        for notice in notices:
            chunks[notice.seq >> tables.CHUNK_BITS].append(notice)
        for chunk, some in chunks.items():
            key = packed_int(partition) + packed_long(chunk)
            pieces = [
                piece
                for one in some
                for piece in (
                    head, key, packed_long(one.seq), packed(tables.kept_body(one, 3)), packed_long(one.seq),
                    packed_int(0),
                )
            ]  # fmt: skip
            yield b"", len(some), pieces


async def written_shared_wide(cassandra: Cassandra, work: Work, table: str) -> None:
    """Rows that hold all, in shared partitions."""
    cql = f"INSERT INTO {table} (bucket, user, seq, body) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
    head = head_of(await cassandra.prepare(cql))
    await _send(cassandra, _by_bucket(work, head, lambda _, notice: packed(tables.kept_body(notice, 3))))


async def written_shared_reference(cassandra: Cassandra, work: Work, table: str) -> None:
    """Rows that refer to bodies, in shared partitions."""
    cql = f"INSERT INTO {table} (bucket, user, seq, body) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
    head = head_of(await cassandra.prepare(cql))
    await _send(cassandra, _bodies(work, await _body_head(cassandra)))
    await _send(cassandra, _by_bucket(work, head, _shown))


def _by_bucket(work: Work, head: bytes, value: Callable[[int, Notice], bytes]) -> Batches:
    people: dict[str, tuple[int, bytes]] = {}
    for partition, notices in work.notices.items():
        buckets: defaultdict[int, list[bytes]] = defaultdict(list)
        for notice in notices:
            seq = packed_long(notice.seq)
            tail = seq + value(partition, notice) + seq
            for user in notice.recipients:
                if user not in people:
                    bucket = tables.bucket_of(user)
                    people[user] = bucket, packed_int(bucket) + packed(user.encode())
                bucket, key = people[user]
                buckets[bucket] += (head, key, tail)
        for bucket, pieces in buckets.items():
            for at in range(0, len(pieces), 3 * BATCH):
                some = pieces[at : at + 3 * BATCH]
                yield packed_int(bucket)[4:], len(some) // 3, some


async def written_by_driver(cassandra: Cassandra, work: Work, table: str) -> None:
    """As `shared reference`, by the driver's own batches."""
    cql = f"INSERT INTO {table} (bucket, user, seq, body) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
    statement = await cassandra.prepare(cql)
    await _send(cassandra, _bodies(work, await _body_head(cassandra)))

    def batches() -> Iterator[BatchStatement]:
        for partition, notices in work.notices.items():
            buckets: defaultdict[int, list[tuple[str, int, bytes]]] = defaultdict(list)
            for notice in notices:
                shown = _shown(partition, notice)[4:]
                for user in notice.recipients:
                    buckets[tables.bucket_of(user)].append((user, notice.seq, shown))
            for bucket, rows in buckets.items():
                for at in range(0, len(rows), BATCH):
                    batch = BatchStatement(BatchType.UNLOGGED)
                    for user, seq, shown in rows[at : at + BATCH]:
                        batch.add(statement, (bucket, user, seq, shown, seq))
                    yield batch

    await each(batches(), cassandra.execute_packed)


async def written_by_store(cassandra: Cassandra, work: Work, _: str) -> None:
    """By the store: traces, trimming and positions too."""
    store = CassandraStore(cassandra)
    for partition, notices in work.notices.items():
        await store.apply({partition: notices}, {partition: notices[-1].seq})


async def _send(cassandra: Cassandra, batches: Batches, at_most: int = IN_FLIGHT_MAX) -> None:
    async def write(item: tuple[bytes, int, list[bytes]]) -> None:
        await cassandra.execute_packed(PackedBatch(*item))

    await each(batches, write, at_most)


DESIGNS: Final[dict[str, tuple[str, Callable[[Cassandra, Work, str], Awaitable[None]], str]]] = {
    "wide": ("by_user_wide", written_wide, _BY_USER.format("by_user_wide", "body") + _UNIFIED + _DESCENDING),
    "reference": ("by_user", written_reference, _BY_USER.format("by_user", "shown") + _UNIFIED + _DESCENDING),
    "shared_wide": ("shared_wide", written_shared_wide, _SHARED.format("shared_wide") + _UNIFIED),
    "shared_reference": ("shared", written_shared_reference, _SHARED.format("shared") + _UNIFIED),
    "shared_reference_by_driver": ("shared_2", written_by_driver, _SHARED.format("shared_2") + _UNIFIED),
    "store": ("inbox", written_by_store, ""),
}


async def read_page(cassandra: Cassandra, design: str, table: str, user: str) -> list[int]:
    """A page as this design gives it, bodies included; its seqs."""
    if design == "store":
        store = CassandraStore(cassandra, PAGE)
        rows = await store.rows(user)
        assert len(await store.bodies(user, [row.body for row in rows])) == len(rows)
        return [row.seq for row in rows]
    shared, column = design.startswith("shared"), "shown" if design == "reference" else "body"
    where = "bucket = ? AND user = ? ORDER BY user DESC, seq DESC" if shared else "user = ?"
    values = (tables.bucket_of(user), user) if shared else (user,)
    found = await cassandra.execute(f"SELECT seq, {column} FROM {table} WHERE {where} LIMIT {PAGE}", values)
    if "reference" in design:
        seqs = [seq for seq, _ in found]
        chunks = sorted({seq >> tables.CHUNK_BITS for seq in seqs})
        bodies = await cassandra.execute(tables.READ_BODIES, (partition_of(user, PARTITIONS), chunks, seqs))
        assert len(bodies) == len(found)
    return [seq for seq, _ in found]


async def measured(contact_points: str, each_partition: int) -> tuple[dict[str, Any], list[bytes]]:
    config = CassandraConfig(
        contact_points=tuple(contact_points.split(",")), keyspace=KEYSPACE, request_timeout_ms=30_000
    )
    first = await connect(config, keyspace=False)
    await first.execute_plain(f"DROP KEYSPACE IF EXISTS {KEYSPACE}")
    await apply_schema(first)
    await first.close()
    cassandra = await connect(config)
    try:
        figures: dict[str, Any] = {}
        answers: list[bytes] = []
        work = work_of(each_partition)
        for name, (table, write, made) in DESIGNS.items():
            if made:
                await cassandra.execute_plain(made)
            figures[name], pages = await _one(cassandra, name, table, write, work)
            answers += [f"{pages}".encode()]
            say(f"{name}: {figures[name]}")
        assert len(set(answers)) == 1, "the designs do not show the same"
        figures["rows"] = work.rows
        await cassandra.execute_plain(f"DROP KEYSPACE {KEYSPACE}")
        return figures, answers
    finally:
        await cassandra.close()


async def _one(
    cassandra: Cassandra,
    name: str,
    table: str,
    write: Callable[[Cassandra, Work, str], Awaitable[None]],
    work: Work,
) -> tuple[dict[str, float], list[list[int]]]:
    await write(cassandra, Work({p: some[:WARM] for p, some in work.notices.items()}, work.readers), table)
    begun, cpu = time.perf_counter(), time.process_time()
    await write(cassandra, work, table)
    seconds, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
    await read_page(cassandra, name, table, work.readers[0])  # prepares what it reads by
    pages, took_ms = [], []
    for user in work.readers:
        begun = time.perf_counter()
        pages.append(await read_page(cassandra, name, table, user))
        took_ms.append(1_000 * (time.perf_counter() - begun))
    return {
        "rows_per_s": round(work.rows / seconds),
        "client_cpu_us_per_row": round(1e6 * cpu_s / work.rows, 2),
        "page_ms_p50": round(statistics.median(took_ms), 2),
    }, pages


def main(tiny: bool = False) -> None:
    with contextlib.ExitStack() as stack:
        where = (
            os.environ.get("FANBELL_CASSANDRA_CONTACT_POINTS")
            or stack.enter_context(servers()).contact_points
        )
        figures, answers = asyncio.run(measured(where, 3 if tiny else 500))
    report(
        QUESTION,
        figures,
        hash_of(answers),
        synthetic=True,
        driver=version("cassandra-driver"),
        partitions=PARTITIONS,
    )


if __name__ == "__main__":
    main(**vars(asked()))
