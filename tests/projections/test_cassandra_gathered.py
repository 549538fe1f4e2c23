"""What goes to Cassandra in one request: held to its bounds, for any rows and any placement of them."""

import asyncio
from collections import defaultdict
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from fanbell.projections import cassandra_gathered as gathered
from fanbell.projections.cassandra_gathered import Gathered
from fanbell.streams.cassandra_packed import PackedBatch

SERVERS = 3


class Servers:
    """Takes batches as a connection does; notes what was under way at once, and what came in which order."""

    def __init__(self) -> None:
        self.under_way: set[bytes] = set()
        self.requests: list[list[bytes]] = []

    def replicas(self, routing_key: bytes) -> int:
        return routing_key[0] % SERVERS

    async def execute_packed(self, batch: Any) -> None:
        assert isinstance(batch, PackedBatch)
        rows: Any = batch._statements_and_parameters
        pieces = list(rows.pieces)
        assert rows.count == len(pieces)
        keys = {piece[:1] for piece in pieces}
        assert not keys & self.under_way, "two batches of one Cassandra partition at once"
        self.under_way |= keys
        await asyncio.sleep(0)
        self.under_way -= keys
        self.requests.append(pieces)


def rows() -> st.SearchStrategy[list[tuple[int, int, int]]]:
    """Of each row: its Cassandra partition, its length in bytes, what it counts for."""
    return st.lists(st.tuples(st.integers(0, 40), st.integers(3, 3_000), st.sampled_from((1, 25, 100))))


@given(rows())
@example([(key, 10, 1) for key in range(40)] * 2)
@example([(key, 1_500, 25) for key in range(9)])
def test_everything_is_sent_once_in_order_and_within_bounds(asked: list[tuple[int, int, int]]) -> None:
    """
    Rows of one Cassandra partition arrive in order, none beside another of it. A request over several of them stays
    below what servers warn of, and all of it lies on the same servers.
    """
    servers, one = Servers(), Gathered()
    wanted: defaultdict[int, list[bytes]] = defaultdict(list)
    for number, (key, length, weight) in enumerate(asked):
        piece = bytes((key, number >> 8, number & 0xFF)).ljust(length, b".")
        one.add(bytes((key,)), piece, weight=weight)
        wanted[key].append(piece)

    asyncio.run(one.send(servers))  # type: ignore[arg-type]

    arrived: defaultdict[int, list[bytes]] = defaultdict(list)
    for pieces in servers.requests:
        keys = {piece[0] for piece in pieces}
        if len(keys) > 1:
            assert len(keys) <= gathered.TOGETHER_MAX
            assert sum(map(len, pieces)) <= gathered.TOGETHER_BYTES
            assert len({key % SERVERS for key in keys}) == 1
        for piece in pieces:
            arrived[piece[0]].append(piece)
    assert arrived == wanted
    assert one.rows == 0
    assert not one.buckets


def test_small_rows_of_many_partitions_take_few_requests() -> None:
    """Thirty users in partitions of their own, on the same servers: three requests."""
    servers, one = Servers(), Gathered()
    for number in range(30):
        one.add(bytes((number * SERVERS,)), bytes((number * SERVERS,)) * 100)

    asyncio.run(one.send(servers))  # type: ignore[arg-type]

    assert [len(pieces) for pieces in servers.requests] == [10, 10, 10]
