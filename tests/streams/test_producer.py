"""`streams/producer.py` without a broker: what it refuses, and how it says so. With one: tests/cluster."""

import time
from typing import Any

import pytest

import fanbell
from fanbell import Invalid, LogFailed, Producer
from fanbell.schemas.codec import decode
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity, Change, Preference
from fanbell.schemas.topics import ACTIVITIES, ROUTED
from fanbell.streams.log_memory import MemoryLog, Moment

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def opened(log: MemoryLog) -> Producer:
    """A producer into a log in memory."""
    made = Producer("127.0.0.1:1")
    made._log = log  # type: ignore[assignment]
    return made


async def kept(log: MemoryLog, topic: str) -> dict[int, list[Any]]:
    """What stands in each partition of `topic` that has anything."""
    found = {
        p: [decode(one.value) for one in await log.read(topic, p, 0, 100)] for p in range(log.partitions)
    }
    return {partition: records for partition, records in found.items() if records}


async def test_an_activity_goes_to_its_entity() -> None:
    """
    What is published stands in the partition of its target, or else its object, by the id that is answered.
    """
    log = MemoryLog(8)

    post = await opened(log).publish(kind="post", actor="ana", object="p1")
    comment = await opened(log).publish(Activity("c", "comment", "ben", "c1", target="p1"))

    assert await kept(log, ACTIVITIES) == {
        partition_of("p1", 8): [
            Activity(post, "post", "ana", "p1"),
            Activity(comment, "comment", "ben", "c1", target="p1"),
        ]
    }
    assert (len(post), comment) == (32, "c")


async def test_a_follow_takes_the_short_way() -> None:
    """
    It stands where the join is, at both people, and nowhere else.
    """
    log = MemoryLog(8)

    await opened(log).publish(id="f", kind="follow", actor="ben", object="ana")

    assert await kept(log, ACTIVITIES) == {}
    assert await kept(log, ROUTED) == {
        partition_of("ben", 8): [Change("f", "follow", "ben", "user", "ana")],
        partition_of("ana", 8): [Change("f", "follow", "ben", "other", "ana")],
    }


async def test_a_change_takes_the_short_way() -> None:
    """
    What somebody wishes stands with them, and a block with both people, by the id that is answered.
    """
    log = MemoryLog(8)
    producer = opened(log)
    off = {"kind": "like", "value": "off"}

    wish = await producer.change(kind="preferences", user="ben", preferences=[off])
    await producer.change({"id": "b", "kind": "block", "user": "ben", "object": "ana"})
    await producer.change(Change("m", "mark", "ana", verb="read", up_to=7))

    assert len(wish) == 32
    assert await kept(log, ROUTED) == {
        partition_of("ben", 8): [
            Change(wish, "preferences", "ben", "user", preferences=[Preference("like", "*", "*", "off")]),
            Change("b", "block", "ben", "user", "ana"),
        ],
        partition_of("ana", 8): [
            Change("b", "block", "ben", "other", "ana"),
            Change("m", "mark", "ana", "user", verb="read", up_to=7),
        ],
    }


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({"kind": "preferences", "user": "ben"}, ["preferences"]),
        ({"kind": "profile", "user": "", "name": 3, "colour": "red"}, ["colour", "name", "user"]),
        ({"kind": "follow", "user": "ben", "object": "ben"}, ["object"]),
        ({"kind": "mark", "user": "ben"}, ["kind"]),
        (Change("c", "mute", "ben", object="ana"), ["aspect"]),
        (Change("c", "mark", "ben", verb="burn"), ["verb"]),
        (Change("c", "follow", "", object="ana"), ["user"]),
    ],
)
async def test_a_change_that_is_invalid_is_named(given: Any, fields: list[str]) -> None:
    """
    A change that would never take effect is refused with its fields, and is not in the log.
    """
    log = MemoryLog(2)

    with pytest.raises(Invalid) as refused:
        await opened(log).change(given)

    assert sorted(name for name, _ in refused.value.errors) == fields
    assert await kept(log, ROUTED) == {}


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({"kind": "post", "actor": "ana"}, ["object"]),
        (
            {"kind": "post", "actor": "", "object": "p", "mentions": "ben", "colour": "red"},
            ["actor", "mentions", "colour"],
        ),
        ({"kind": "post", "actor": "ana", "object": "p", "occurred_at": "yesterday"}, ["occurred_at"]),
        ({"kind": "post", "actor": "ana", "object": "p", "by_operator": True}, ["by_operator"]),
        ({"kind": "follow", "actor": "ana", "object": "ana"}, ["object"]),
        ({"kind": "mute", "actor": "ana", "object": "ben"}, ["object"]),
        (Activity("a", "post", "ana", "p", scope="", mentions=["m"] * 51), ["scope", "mentions"]),
    ],
)
async def test_what_is_invalid_is_named_and_nothing_published(given: Any, fields: list[str]) -> None:
    """
    Every bad field is named, and of many activities none is published when one is bad.
    """
    log = MemoryLog(2)

    with pytest.raises(Invalid) as refused:
        await opened(log).publish_many([{"kind": "post", "actor": "ana", "object": "good"}, given])

    assert sorted(name for name, _ in refused.value.errors) == sorted(fields)
    assert await kept(log, ACTIVITIES) == await kept(log, ROUTED) == {}


async def test_one_that_is_not_open_says_so() -> None:
    """
    Outside of `async with` nothing can be published.
    """
    with pytest.raises(LogFailed, match="async with"):
        await Producer("127.0.0.1:1").publish(kind="post", actor="ana", object="p1")
    with pytest.raises(LogFailed, match="async with"):
        await Producer("127.0.0.1:1").change(kind="profile", user="ana", name="Ana")


async def test_a_server_that_is_not_there_fails_within_the_bound() -> None:
    """
    Where no broker listens, opening ends by LogFailed within about the time that a call may take.
    """
    began = time.monotonic()
    with pytest.raises(LogFailed, match=r"127\.0\.0\.1:1"):
        async with Producer("127.0.0.1:1", request_timeout_ms=1_000):
            pass
    assert time.monotonic() - began < 10.0


@pytest.mark.parametrize(
    ("servers", "options", "error"),
    [
        ([], {}, "kafka_bootstrap_servers is empty"),
        ("k:9092", {"security_protocol": "TLS"}, "kafka_security_protocol must be one of"),
        ("k:9092", {"security_protocol": "SASL_SSL"}, "kafka_sasl_username"),
        ("k:9092", {"compression": "gzip"}, "kafka_compression must be one of"),
        ("k:9092", {"password": "x"}, "password"),
    ],
)
def test_options_that_cannot_be_are_refused_at_once(
    servers: Any, options: dict[str, Any], error: str
) -> None:
    """
    A wrong option is named before anything is connected.
    """
    with pytest.raises((ValueError, TypeError), match=error):
        Producer(servers, **options)


def test_what_a_service_imports() -> None:
    """
    The producer and what it raises have one home: `fanbell`.
    """
    assert {"Invalid", "LogFailed", "Producer"} <= set(fanbell.__all__)


async def test_what_keeps_it_from_opening_can_be_caught() -> None:
    """
    Errors that opening ends with are exported, and a file of certificates that is not there is said by its setting.
    """
    producer = Producer("127.0.0.1:1", security_protocol="SSL", ssl_cafile="/nowhere")

    with pytest.raises(fanbell.TlsUnusable, match="kafka_ssl_cafile = '/nowhere' cannot be read"):
        async with producer:
            pass

    assert issubclass(fanbell.TopicsUnusable, Exception)


async def test_changes_of_a_call_go_before_its_activities() -> None:
    """
    A post and an unfollow in one call: the unfollow is acknowledged before the post is sent, as the docs say.
    """
    topics: list[str] = []

    class Watched(MemoryLog):
        async def pause(self, moment: Moment, topic: str, partition: int) -> None:
            topics.append(topic)

    unfollow = {"kind": "unfollow", "actor": "ben", "object": "ana"}
    await opened(Watched(1)).publish_many([{"kind": "post", "actor": "ana", "object": "p"}, unfollow])

    assert topics == [ROUTED, ROUTED, ACTIVITIES, ACTIVITIES]
