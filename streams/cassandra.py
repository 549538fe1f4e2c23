"""A connection to Cassandra that never blocks the event loop: prepared statements, bounded, with plain errors.

Reads and writes are LOCAL_QUORUM, if not set otherwise: what one worker wrote, every other one reads. Every write of
ours carries a stamp of its own, so repeating one changes nothing, and what timed out is simply asked again, twice at
most and within the request's time. What fails after that is said (`CassandraFailed`); the driver reconnects by itself,
and the next request finds the servers when they are back.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, Final, TypeVar

from cassandra import ConsistencyLevel, InvalidRequest
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable, Session
from cassandra.policies import (
    DCAwareRoundRobinPolicy,
    ExponentialReconnectionPolicy,
    RetryPolicy,
    TokenAwarePolicy,
)
from cassandra.query import PreparedStatement, Statement, tuple_factory
from msgspec import Struct

from fanbell.streams.cassandra_packed import PackedBatch, PackedHandler
from fanbell.streams.tls import readable

PORT: Final = 9042
IN_FLIGHT_MAX: Final = 128  # requests of one process: enough to keep a server busy, few enough for its queue
RETRIES_MAX: Final = 2  # one for a replica that just died, one for its neighbour
CONNECT_S: Final = 5.0
REPLICAS_CACHED: Final = 20_000  # routing keys: all buckets, and bodies for a while
RECONNECT_LEAST_S: Final = 0.5
RECONNECT_MOST_S: Final = 5.0  # a server that is back is used again within this

T = TypeVar("T")
CONSISTENCIES: Final = ("LOCAL_QUORUM", "QUORUM")
"""By both, what one worker wrote every other one reads."""

Rows = list[tuple[Any, ...]]


class CassandraFailed(Exception):
    """Cassandra did not do it, or nobody knows whether it did; says what to do."""


class SchemaMissing(CassandraFailed):
    """The keyspace or a table is not there."""


class CassandraConfig(Struct, frozen=True, kw_only=True):
    """Where Cassandra is and how to talk to it. `contact_points`: host:port, or host alone for port 9042."""

    contact_points: tuple[str, ...]
    keyspace: str = "fanbell"
    replication: str = "1"
    """Copies of every row: a number, or one for each data centre (`dc1:3,dc2:3`)."""
    local_dc: str = ""
    username: str = ""
    password: str = ""
    tls: bool = False
    """By the system's authorities, if no `ssl_cafile` names others. That, or a certificate of ours, turns it on too"""
    ssl_cafile: str = ""
    ssl_certfile: str = ""
    ssl_keyfile: str = ""
    request_timeout_ms: int = 5_000
    consistency: str = "LOCAL_QUORUM"
    """Of reads and writes alike; one of CONSISTENCIES"""

    def __repr__(self) -> str:
        """Without the password: it gets into logs by way of somebody's repr."""
        return f"CassandraConfig({', '.join(self.contact_points)}, keyspace {self.keyspace})"


class _Again(RetryPolicy):  # type: ignore[misc]  # the driver has no types
    """Asks again what may be repeated, which is all of ours: where replicas were slow, the same server, for it is well
    and may be the only one; where it found none, or failed itself, the next.
    """

    def _again(self, how: int, retry_num: int, consistency: Any) -> tuple[int, Any]:
        return (how, consistency) if retry_num < RETRIES_MAX else (self.RETHROW, None)

    # The driver passes all but the query by name, and adds to them what it also knows.

    def on_read_timeout(self, query: Any, consistency: Any, *, retry_num: int, **_: Any) -> tuple[int, Any]:
        return self._again(self.RETRY, retry_num, consistency)

    def on_write_timeout(self, query: Any, consistency: Any, *, retry_num: int, **_: Any) -> tuple[int, Any]:
        return self._again(self.RETRY, retry_num, consistency)

    def on_unavailable(self, query: Any, consistency: Any, *, retry_num: int, **_: Any) -> tuple[int, Any]:
        return self._again(self.RETRY_NEXT_HOST, retry_num, consistency)

    def on_request_error(
        self, query: Any, consistency: Any, error: Exception, retry_num: int
    ) -> tuple[int, Any]:
        return self._again(self.RETRY_NEXT_HOST, retry_num, consistency)


class Cassandra:
    """An open connection. Made by `connect`; for one event loop at a time."""

    def __init__(self, cluster: Cluster, session: Session, config: CassandraConfig) -> None:
        self.config = config
        self._cluster, self._session = cluster, session
        self._prepared: dict[str, PreparedStatement] = {}
        self._gate = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._gate_of: asyncio.AbstractEventLoop | None = None
        self._ring: Any = None
        self._replicas: dict[bytes, Hashable] = {}
        """By routing key, in the ring as it was then."""

    async def close(self) -> None:
        await asyncio.to_thread(self._cluster.shutdown)

    def close_now(self) -> None:
        """`close`, for those who have no event loop any more. Blocks."""
        self._cluster.shutdown()

    async def prepare(self, cql: str) -> PreparedStatement:
        """The prepared statement `cql`, asked for once. Raises CassandraFailed, SchemaMissing."""
        found: Any = self._prepared.get(cql)
        if found is None:
            try:
                found = await asyncio.to_thread(self._session.prepare, cql, None, self.config.keyspace)
            except Exception as error:
                raise failure(error, self.config) from error
            found.is_idempotent = True
            self._prepared[cql] = found
        return found

    async def execute(self, cql: str, values: Sequence[Any] = ()) -> Rows:
        """Run the prepared `cql`; all rows of its answer. Raises CassandraFailed, SchemaMissing."""
        statement = await self.prepare(cql)
        return await self._run(statement.bind(values))

    async def execute_plain(self, cql: str) -> Rows:
        """Run `cql`, which names its keyspace, without preparing it: for what is run once, such as making a table.

        Raises CassandraFailed, SchemaMissing.
        """
        return await self._run(cql)

    async def execute_packed(self, batch: PackedBatch) -> None:
        """Run a batch whose rows lie in one Cassandra partition. Raises CassandraFailed."""
        batch.keyspace = self.config.keyspace  # by it and the routing key the driver finds the replicas
        await self._run(batch)

    def replicas(self, routing_key: bytes) -> Hashable:
        """What is equal for keys whose rows lie on the same servers, as far as the driver knows."""
        metadata = self._cluster.metadata
        if metadata.token_map is not self._ring or len(self._replicas) >= REPLICAS_CACHED:
            self._ring, self._replicas = metadata.token_map, {}
        found = self._replicas.get(routing_key)
        if found is None:
            hosts = metadata.get_replicas(self.config.keyspace, routing_key)
            found = self._replicas[routing_key] = frozenset(host.endpoint for host in hosts)
        return found

    async def execute_all(self, statements: Iterable[tuple[str, Sequence[Any]]]) -> list[Rows]:
        """`execute` of each, at most IN_FLIGHT_MAX at a time; their answers in this order.

        The first failure ends it.
        """
        asked = list(statements)
        answers: list[Rows] = [[] for _ in asked]

        async def one(number: int) -> None:
            answers[number] = await self.execute(*asked[number])

        await each(range(len(asked)), one)
        return answers

    async def _run(self, statement: Statement | str) -> Rows:
        async with self._slot():
            loop = asyncio.get_running_loop()
            waiting: asyncio.Future[Any] = loop.create_future()
            try:
                future = self._session.execute_async(statement)
            except Exception as error:
                raise failure(error, self.config) from error
            future.add_callbacks(
                lambda rows: _settle(loop, waiting, (rows, future.has_more_pages), None),
                lambda error: _settle(loop, waiting, None, error),
            )
            try:
                rows, more = await waiting
            except asyncio.CancelledError:
                raise
            except Exception as error:
                raise failure(error, self.config) from error
            found = list(rows or ())
            if not more:
                return found
            pages = await asyncio.to_thread(self._rest, future)
            return found + pages

    def _rest(self, future: Any) -> Rows:
        """The pages after the first. Runs in a thread."""
        found: Rows = []
        try:
            while future.has_more_pages:
                future.start_fetching_next_page()
                found += future.result().current_rows
        except Exception as error:
            raise failure(error, self.config) from error
        return found

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        if self._gate_of is not loop:
            self._gate, self._gate_of = asyncio.Semaphore(IN_FLIGHT_MAX), loop
        async with self._gate:
            yield


def _settle(
    loop: asyncio.AbstractEventLoop,
    waiting: "asyncio.Future[Any]",
    value: Any,
    error: BaseException | None,
) -> None:
    """Hand over an answer; runs in the driver's thread."""

    def hand_over() -> None:
        if waiting.done():  # nobody waits any more
            return
        if error is None:
            waiting.set_result(value)
        else:
            waiting.set_exception(error)

    if not loop.is_closed():
        loop.call_soon_threadsafe(hand_over)


async def each(
    items: Iterable[T], work: Callable[[T], Awaitable[None]], at_most: int = IN_FLIGHT_MAX
) -> None:
    """`work(item)` of each, `at_most` at a time; the first failure ends the others."""
    left = iter(items)

    async def go_on(item: T) -> None:
        await work(item)
        for other in left:
            await work(other)

    first = list(islice(left, at_most))
    if len(first) == 1:
        await go_on(first[0])
        return
    tasks = [asyncio.ensure_future(go_on(item)) for item in first]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def connect(config: CassandraConfig, *, keyspace: bool = True) -> Cassandra:
    """Connect; without `keyspace`, whether there is the keyspace or not.

    Raises CassandraFailed, SchemaMissing, TlsUnusable, ValueError.
    """
    return await asyncio.to_thread(connect_now, config, keyspace=keyspace)


def connect_now(config: CassandraConfig, *, keyspace: bool = True) -> Cassandra:
    """`connect`, for those who have no event loop yet. Blocks."""
    points = [point_of(text) for text in config.contact_points]
    if not points:
        raise ValueError("no contact point of Cassandra is named; cassandra_contact_points needs host:port")
    balance = TokenAwarePolicy(DCAwareRoundRobinPolicy(local_dc=config.local_dc))
    profile = ExecutionProfile(
        load_balancing_policy=balance,
        retry_policy=_Again(),
        consistency_level=ConsistencyLevel.name_to_value[config.consistency],
        request_timeout=config.request_timeout_ms / 1_000,
        row_factory=tuple_factory,
    )
    cluster = Cluster(
        contact_points=points,
        port=points[0][1],
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        auth_provider=PlainTextAuthProvider(config.username, config.password) if config.username else None,
        ssl_context=_ssl_context(config),
        reconnection_policy=ExponentialReconnectionPolicy(RECONNECT_LEAST_S, RECONNECT_MOST_S, None),
        connect_timeout=CONNECT_S,
        control_connection_timeout=CONNECT_S,
        protocol_version=5,  # of Cassandra 4 and newer
        schema_metadata_enabled=False,  # else all tables of all keyspaces are read, and again whenever one is changed
    )
    try:
        session = cluster.connect()
        if keyspace:  # of ours, how it is replicated: a statement goes to a node that has its rows
            cluster.refresh_keyspace_metadata(config.keyspace, max_schema_agreement_wait=0)
    except Exception as error:
        cluster.shutdown()
        raise failure(error, config) from error
    if keyspace and config.keyspace not in cluster.metadata.keyspaces:
        cluster.shutdown()
        raise SchemaMissing(
            f"Cassandra at {', '.join(config.contact_points)} has no keyspace {config.keyspace}; "
            "run `fanbell store apply`"
        )
    session.client_protocol_handler = PackedHandler
    return Cassandra(cluster, session, config)


def point_of(text: str) -> tuple[str, int]:
    """Host and port of a contact point. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon:
        return text, PORT
    if not host or not port.isdigit():
        raise ValueError(f"a contact point of Cassandra must be host or host:port, not {text!r}")
    return host, int(port)


def _ssl_context(config: CassandraConfig) -> ssl.SSLContext | None:
    if not (config.tls or config.ssl_cafile or config.ssl_certfile):
        return None
    names = ("ssl_cafile", "ssl_certfile", "ssl_keyfile")
    with readable({f"cassandra_{name}": getattr(config, name) for name in names}):
        context = ssl.create_default_context(cafile=config.ssl_cafile or None)
        if config.ssl_certfile:
            context.load_cert_chain(config.ssl_certfile, config.ssl_keyfile or None)
    return context


def failure(error: Exception, config: CassandraConfig) -> CassandraFailed:
    """`error` of the driver in plain words: where, what happened, what to do."""
    if isinstance(error, CassandraFailed):
        return error
    where = f"Cassandra at {', '.join(config.contact_points)}"
    said = " ".join(str(error).split())[:300]
    if isinstance(error, InvalidRequest) and any(
        word in said for word in ("does not exist", "unconfigured", "Undefined column", "Unknown identifier")
    ):
        return SchemaMissing(f"{where}, keyspace {config.keyspace}: {said}; run `fanbell store apply`")
    if isinstance(error, NoHostAvailable):
        return CassandraFailed(
            f"{where} cannot be reached or refuses us ({said}): see that it runs, that cassandra_contact_points "
            "is right, and user and certificates too; it is tried again by itself"
        )
    return CassandraFailed(
        f"{where}: {type(error).__name__}: {said}; see its log; what failed may be repeated"
    )
