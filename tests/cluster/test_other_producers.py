"""Producers of other making, and our own, over a real broker: what they publish is in inboxes, read by HTTP."""

import ast
import asyncio
import json
import re
import subprocess
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any, Final

import confluent_kafka
import httpx
import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from fanbell import LogFailed, Producer, TopicsUnusable
from fanbell.infra.local.cluster import Cluster
from fanbell.infra.local.java import jars
from fanbell.schemas.codec import encode, schema_json
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity, Change
from fanbell.streams.kafka_appends import Appends
from tests.cluster.processes import Installation, installation
from tests.infra.up_process import END_S
from tests.streams.schema_registry import SchemaRegistry, schema_registry

pytestmark = pytest.mark.cluster
PARTITIONS: Final = 4
JAVA: Final = Path(__file__).parent / "Produce.java"
PAGE: Final = Path(__file__).parent.parent.parent / "docs" / "producing.md"


@dataclass
class Running:
    """A worker, an API, and a schema registry that the worker knows."""

    made: Installation
    worker: str
    api: httpx.Client
    registry: SchemaRegistry

    @property
    def broker(self) -> str:
        return self.made.environ["FANBELL_KAFKA_BOOTSTRAP_SERVERS"]

    def topic(self, name: str) -> str:
        return self.made.environ["FANBELL_KAFKA_TOPIC_PREFIX"] + name

    def producer(self, **options: Any) -> Producer:
        return Producer(self.broker, topic_prefix=self.topic(""), **options)

    def told(self, user: str) -> list[str]:
        """Ids in the user's inbox, newest first."""
        page = self.api.get(f"/v1/users/{user}/notifications", params={"limit": 200}).json()
        return [item["id"] for item in page["items"]]

    def comes_to_hold(self, user: str, ids: set[str]) -> None:
        """The user is told of exactly these, each once."""
        self.until(
            lambda: set(self.told(user)) >= ids, lambda: f"{user} has {self.told(user)}, not yet {ids}"
        )
        assert sorted(self.told(user)) == sorted(ids)

    def until(self, holds: Callable[[], Any], what: Callable[[], str]) -> None:
        end = time.monotonic() + END_S
        while not holds():
            assert time.monotonic() < end, what()
            time.sleep(0.05)

    def strays(self) -> int:
        """Activities that stood in a wrong partition, as the worker's metrics count them."""
        lines = httpx.get(f"{self.worker}/metrics", timeout=END_S, verify=False).text.splitlines()
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith("fanbell_strays{"))


@pytest.fixture(scope="module")
def running(servers: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with (
        schema_registry() as registry,
        installation(servers, tmp_path_factory.mktemp("running"), PARTITIONS) as made,
    ):
        made.environ["FANBELL_SCHEMA_REGISTRY_URL"] = registry.url
        api = made.start("api", "--port", "0").told["http"]
        worker = made.start("worker").told["health"]
        with httpx.Client(base_url=api, timeout=END_S) as client:
            yield Running(made, worker, client, registry)


def post(name: str, author: str) -> dict[str, Any]:
    return {"id": name, "kind": "post", "actor": author, "object": f"{name}/p"}


def put(
    producer: confluent_kafka.Producer, topic: str, key: str, value: Any, timestamp_ms: int | None = None
) -> None:
    """Publish; a failure is raised by the `flush` that follows."""

    def acknowledged(error: Any, _: Any) -> None:
        assert error is None, error

    data = value if isinstance(value, bytes) else json.dumps(value)
    when = {} if timestamp_ms is None else {"timestamp": timestamp_ms}
    producer.produce(topic, key=key, value=data, on_delivery=acknowledged, **when)


@pytest.mark.parametrize("partitioner", ["murmur2_random", "consistent_random"])
def test_confluents_client(running: Running, partitioner: str) -> None:
    """
    Changes and activities by librdkafka, as JSON and as Avro, are heard, by whichever partitioner; strays are counted.
    """
    who = partitioner.split("_")[0]
    author, reader, other = f"{who}-ana", f"{who}-ben", f"{who}-cleo"
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": running.broker, "acks": "all", "partitioner": partitioner}
    )
    follow = {"id": f"{who}-f", "kind": "follow", "user": reader, "object": author}
    put(producer, running.topic("changes"), reader, follow)
    put(producer, running.topic("changes"), other, encode(Change(f"{who}-g", "follow", other, object=author)))
    assert producer.flush(END_S) == 0
    running.until(lambda: len(running.told(author)) == 1, lambda: "both follows are told, in one group")
    running.until(
        lambda: running.api.get(f"/v1/users/{author}/notifications").json()["items"][0]["count"] == 2,
        lambda: "both follows are told",
    )
    before = running.strays()
    published = [post(f"{who}-{number}", author) for number in range(20)]
    for number, activity in enumerate(published):
        value = activity if number % 2 else encode(Activity(*activity.values()))
        put(producer, running.topic("activities"), activity["object"], value)
    like = {"id": f"{who}-like", "kind": "like", "actor": reader, "object": published[0]["object"]}
    put(producer, running.topic("activities"), like["object"], like)
    assert producer.flush(END_S) == 0

    ids = {activity["id"] for activity in published}
    running.comes_to_hold(reader, ids)
    running.comes_to_hold(other, ids)
    running.until(lambda: len(running.told(author)) == 2, lambda: "the like is told")
    keys = [activity["object"] for activity in (*published, like)]
    wrong = [key for key in keys if zlib.crc32(key.encode()) % PARTITIONS != partition_of(key, PARTITIONS)]
    assert running.strays() - before == (0 if who == "murmur2" else len(wrong))
    assert len(wrong) > 5


def test_java(running: Running) -> None:
    """
    Java's own client, by its default partitioner, publishes JSON; it is heard, and nothing of it stands wrong.
    """
    lines = {
        "changes": [
            ("java-ben", {"id": "java-f", "kind": "follow", "user": "java-ben", "object": "java-ana"})
        ],
        "activities": [(f"java-{n}/p", post(f"java-{n}", "java-ana")) for n in range(5)],
    }
    before = running.strays()
    for topic, records in lines.items():
        given = "".join(f"{key}\t{json.dumps(value)}\n" for key, value in records)
        line = ["java", "-cp", f"{jars('kafka')}/*", str(JAVA), running.broker, running.topic(topic)]
        done = subprocess.run(line, input=given, capture_output=True, text=True, timeout=END_S, check=False)
        assert done.returncode == 0, done.stderr
        if topic == "changes":
            running.until(lambda: running.told("java-ana"), lambda: "the follow is told")

    running.comes_to_hold("java-ben", {f"java-{n}" for n in range(5)})
    assert running.strays() == before


def test_confluents_serializer(running: Running) -> None:
    """
    What Confluent's serializer frames, by a schema in the registry, is heard; by one that nobody knows it is dead.
    """
    running.api.put("/v1/users/framed-ben/follows/framed-ana").raise_for_status()
    serialize: Any = AvroSerializer(
        SchemaRegistryClient({"url": running.registry.url}), json.dumps(schema_json("Activity"))
    )
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": running.broker, "acks": "all", "partitioner": "murmur2_random"}
    )
    topic = running.topic("activities")
    for number in range(3):
        activity = post(f"framed-{number}", "framed-ana")
        value = serialize(activity, SerializationContext(topic, MessageField.VALUE))
        assert value[:1] == b"\0"
        put(producer, topic, activity["object"], value)
    put(producer, topic, "unknown", b"\0\0\0\xff\xff what is it", timestamp_ms=1)  # long since
    assert producer.flush(END_S) == 0

    running.comes_to_hold("framed-ben", {f"framed-{n}" for n in range(3)})
    running.until(lambda: running.api.get("/v1/dead").json()["items"], lambda: "the unreadable one is dead")
    (letter,) = running.api.get("/v1/dead").json()["items"]
    assert letter["reason"] == "undecodable"
    assert "schema id 65535" in letter["detail"]


def test_a_registry_that_is_away_is_waited_for(running: Running) -> None:
    """
    While the registry does not answer, what needs it waits, and what comes behind it too; then all goes on in order.
    """
    running.api.put("/v1/users/away-ben/follows/away-ana").raise_for_status()
    schema = schema_json("Activity") | {"doc": "Another one, which the worker has not met."}
    serialize: Any = AvroSerializer(SchemaRegistryClient({"url": running.registry.url}), json.dumps(schema))
    topic = running.topic("activities")
    activity = post("away-1", "away-ana")
    value = serialize(activity, SerializationContext(topic, MessageField.VALUE))
    running.registry.trouble = (503, b"{}")
    running.registry.asked.clear()
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": running.broker, "acks": "all", "partitioner": "murmur2_random"}
    )
    put(producer, topic, activity["object"], value)
    put(producer, topic, activity["object"], activity | {"id": "away-2"})
    assert producer.flush(END_S) == 0
    running.until(lambda: len(running.registry.asked) > 2, lambda: "the worker asks again and again")
    assert running.told("away-ben") == []
    running.registry.trouble = None

    running.comes_to_hold("away-ben", {"away-1", "away-2"})
    assert running.told("away-ben") == ["away-2", "away-1"]


def test_the_page_runs(running: Running) -> None:
    """
    The Python of docs/producing.md, with broker and topics of this test, publishes what it says.
    """
    ours, theirs = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    ours = ours.replace('"localhost:9092"', f'"{running.broker}", topic_prefix="{running.topic("")}"')
    theirs = theirs.replace("localhost:9092", running.broker).replace("fanbell.", running.topic(""))

    asyncio.run(awaited(ours))
    running.comes_to_hold("ben", {"post-17"})
    exec(compile(theirs, str(PAGE), "exec"), {})  # the same id: it is told once
    marker = {"id": "page", "kind": "post", "actor": "ana", "object": "post/17"}
    asyncio.run(published(running, marker))
    running.comes_to_hold("ben", {"post-17", "page"})


async def awaited(source: str) -> None:
    """Run a piece of Python that awaits at its top."""
    code = compile(source, str(PAGE), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    made = FunctionType(code, {})()
    assert isinstance(made, Awaitable)
    await made


async def published(running: Running, *activities: dict[str, Any]) -> list[str]:
    async with running.producer() as producer:
        return await producer.publish_many(activities)


def test_our_producer(running: Running) -> None:
    """
    A follow that was acknowledged is in force for the post after it; an id that comes again is told once.
    """

    async def publishes() -> str:
        async with running.producer() as producer:
            for number in range(10):
                await producer.publish(kind="follow", actor=f"our-{number}", object="our-ana")
            found = await producer.publish(kind="post", actor="our-ana", object="our-p")
            for _ in range(3):
                await producer.publish(id="our-again", kind="post", actor="our-ana", object="our-q")
            return found

    first = asyncio.run(publishes())

    for number in range(10):
        running.comes_to_hold(f"our-{number}", {first, "our-again"})


def test_our_producer_changes(running: Running) -> None:
    """
    Preferences that were acknowledged are in force for the post after them; a profile is shown with the next page.
    """

    async def changes() -> None:
        async with running.producer() as producer:
            for user in ("ch-ben", "ch-cleo"):
                await producer.change(kind="follow", user=user, object="ch-ana")
            off = {"kind": "post", "channel": "inbox", "value": "off"}
            await producer.change(kind="preferences", user="ch-ben", preferences=[off])
            await producer.change(kind="profile", user="ch-ana", name="Ana of the Bridge")
            await producer.publish(id="ch-1", kind="post", actor="ch-ana", object="ch-p")

    asyncio.run(changes())

    running.comes_to_hold("ch-cleo", {"ch-1"})
    assert running.told("ch-ben") == []
    assert running.api.get("/v1/users/ch-ana").json()["name"] == "Ana of the Bridge"


def test_a_thousand_at_once_are_few_requests(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What a thousand tasks publish at once goes to the broker in a few batches, and all of it is told.
    """
    batches: list[str] = []
    send = Appends._send

    async def counted(self: Appends, held: Any, builder: Any, topic: str, partition: int) -> int:
        batches.append(topic)
        return await send(self, held, builder, topic, partition)

    monkeypatch.setattr(Appends, "_send", counted)

    async def publishes() -> float:
        async with running.producer() as producer:
            await producer.publish(kind="follow", actor="many-ben", object="many-ana")
            batches.clear()
            began = time.monotonic()
            posts = (producer.publish(post(f"many-{n}", "many-ana")) for n in range(1_000))
            await asyncio.gather(*posts)
            return time.monotonic() - began

    assert asyncio.run(publishes()) < 30.0
    assert len(batches) <= 10 * PARTITIONS
    count = lambda: running.api.get("/v1/users/many-ben/counts").json()["unread"]  # noqa: E731
    running.until(lambda: count() >= 1_000, lambda: f"{count()} of 1,000 are told")
    assert count() == 1_000


def test_a_broker_that_is_away_is_said_within_the_bound(running: Running) -> None:
    """
    Where nobody answers, opening ends by LogFailed; where the topics are not ours, by what to do.
    """

    async def opens(producer: Producer) -> None:
        async with producer:
            pass

    began = time.monotonic()
    with pytest.raises(LogFailed):
        asyncio.run(opens(Producer("127.0.0.1:9", request_timeout_ms=2_000)))
    assert time.monotonic() - began < 10.0
    with pytest.raises(TopicsUnusable, match="fanbell topics"):
        asyncio.run(opens(Producer(running.broker, topic_prefix="nobody.made.")))
