"""The topics of a cluster: compared, made, and never changed behind an operator's back."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from fanbell.infra import cli
from fanbell.infra.cli.exits import Exit
from fanbell.infra.local.cluster import Cluster
from fanbell.schemas.codec import decode
from fanbell.schemas.topics import ACTIVITIES, DEAD, NOTICES, PRESENCE, ROUTED
from fanbell.streams.kafka import KafkaConfig, connection
from fanbell.streams.kafka_calls import Calls
from fanbell.streams.log import LogFailed
from fanbell.streams.log_kafka import KafkaLog
from fanbell.streams.topics_kafka import TopicsUnusable, Wanted, apply, plan
from tests.cluster.kafka import Logs, config_of
from tests.cluster.servers import RUNNING
from tests.cluster.worker_process import until_true

pytestmark = [pytest.mark.anyio, pytest.mark.cluster]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def logs(servers: Cluster) -> AsyncIterator[Logs]:
    async with Logs(servers) as logs:
        yield logs


@pytest.fixture
async def admin(logs: Logs) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**connection(logs.config()))
    await admin.start()
    yield admin
    await admin.close()


async def settings_of(admin: AIOKafkaAdminClient, config: KafkaConfig, topic: str) -> dict[str, str]:
    """What a topic is set to, told by the broker."""
    resource = ConfigResource(ConfigResourceType.TOPIC, config.topic(topic))
    (answer,) = await admin.describe_configs([resource])
    ((_, _, _, _, entries),) = answer.resources
    return {name: value for name, value, *_ in entries}


async def test_what_is_made_keeps_everything(logs: Logs, admin: AIOKafkaAdminClient) -> None:
    """Topics never forget by time or size, elect nobody who lacks records, and take our largest record."""
    await logs.open()

    for topic in (ACTIVITIES, NOTICES, DEAD):
        found = await settings_of(admin, logs.config(), topic)
        assert (found["retention.ms"], found["retention.bytes"]) == ("-1", "-1")
        assert found["unclean.leader.election.enable"] == "false"
        assert found["cleanup.policy"] == "delete"
        assert found["message.timestamp.type"] == "CreateTime"
        assert found["compression.type"] == "producer"
        assert int(found["max.message.bytes"]) >= 2 * 1024 * 1024


async def test_who_is_connected_is_forgotten_after_an_hour(logs: Logs, admin: AIOKafkaAdminClient) -> None:
    """What only says how things are is forgotten by Kafka's clock; all else of that topic is as of the others."""
    await logs.open()
    found = await settings_of(admin, logs.config(), PRESENCE)

    assert (found["retention.ms"], found["segment.ms"]) == ("3600000", "600000")
    assert found["unclean.leader.election.enable"] == "false"


async def test_a_volatile_topic_made_anew_is_no_other_log(logs: Logs) -> None:
    """A cluster of an earlier release gets the topic by `apply`, and stays the same log; so does one that lost it."""
    log = await logs.open()
    await logs.delete("log", PRESENCE)
    with pytest.raises(TopicsUnusable, match=r"presence.*fanbell topics apply"):
        await logs.open()

    await apply(logs.config(), logs.wanted)

    assert (await logs.open()).identity == log.identity


async def test_making_them_twice_changes_nothing(logs: Logs) -> None:
    """What was made is as it must be, and stays the same log."""
    log = await logs.open()

    assert {one.state for one in await plan(logs.config(), logs.wanted)} == {"ok"}
    await apply(logs.config(), logs.wanted)

    assert (await logs.open()).identity == log.identity


async def test_a_plan_changes_nothing(logs: Logs) -> None:
    """Looking at what would be made makes nothing."""
    for _ in range(2):
        found = await plan(logs.config(), logs.wanted)
        assert {one.state for one in found} == {"create"}
        assert [one.partitions for one in found] == [2, 2, 2, 2, 2, 1, 1, 1]


async def test_settings_that_differ_are_put_right_and_others_stay(
    logs: Logs, admin: AIOKafkaAdminClient
) -> None:
    """A topic that would forget is shown and put right; what an operator set beside our settings stays."""
    await logs.open()
    config = logs.config()
    theirs = {"retention.ms": "1000", "segment.bytes": "1048576"}
    name = config.topic(NOTICES)
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=theirs)])

    async def in_force() -> bool:
        """The controller has acknowledged it; the broker hears of it from there."""
        return (await settings_of(admin, config, NOTICES))["retention.ms"] == "1000"

    async def all_is_well() -> bool:
        return {one.state for one in await plan(config, logs.wanted)} == {"ok"}

    await until_true(in_force, "the broker knows")
    (differing,) = [one for one in await plan(config, logs.wanted) if one.state != "ok"]
    assert differing.topic == name
    assert differing.differs["retention.ms"] == ("1000", "-1")
    await apply(config, logs.wanted)

    await until_true(all_is_well, "nothing differs any more")
    found = await settings_of(admin, config, NOTICES)
    assert (found["retention.ms"], found["segment.bytes"]) == ("-1", "1048576")


async def test_another_number_of_partitions_is_shown_and_refused(logs: Logs) -> None:
    """It is a migration: the plan says so, and making changes nothing, not even what could be put right."""
    await logs.open()
    await logs.delete("log", DEAD)
    other = Wanted(partitions=3, replication_factor=1)

    found = {one.topic: one for one in await plan(logs.config(), other)}
    assert "migration" in found[logs.config().topic(NOTICES)].left[0]
    with pytest.raises(TopicsUnusable, match="migration"):
        await apply(logs.config(), other)

    states = {one.topic: one.state for one in await plan(logs.config(), logs.wanted)}
    assert states[logs.config().topic(DEAD)] == "create"


async def test_a_topic_that_is_being_deleted_is_to_be_made(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brokers learn of a deletion one after the other: seen a moment ago, and its settings are not there."""
    await logs.open()
    await logs.delete("log", DEAD)
    monkeypatch.setattr(Calls, "partitions", lambda self, topic: logs.wanted.partitions)

    states = {one.topic: one.state for one in await plan(logs.config(), logs.wanted)}

    assert states.pop(logs.config().topic(DEAD)) == "create"
    assert "create" not in states.values()


async def test_a_topic_with_another_number_than_the_others_is_refused(
    logs: Logs, admin: AIOKafkaAdminClient
) -> None:
    """Somebody who makes a topic anew by hand, with another number, is told on opening."""
    await logs.open()
    await logs.delete("log", NOTICES)
    await admin.create_topics([NewTopic(logs.config().topic(NOTICES), 5, 1)])

    with pytest.raises(TopicsUnusable, match="has 5 partitions, not 2"):
        await logs.open()


@pytest.mark.parametrize("gone", [(NOTICES,), ()], ids=["one", "all"])
async def test_topics_made_anew_are_another_log(logs: Logs, gone: tuple[str, ...]) -> None:
    """Once a topic was deleted, what is made in its place has another identity: snapshots do not fit it."""
    log = await logs.open()
    await logs.delete("log", *gone)
    with pytest.raises(TopicsUnusable, match="fanbell topics apply"):
        await logs.open()

    await apply(logs.config(), logs.wanted)

    assert (await logs.open()).identity != log.identity


async def test_more_replicas_than_brokers_are_refused(logs: Logs) -> None:
    """Kafka's own refusal is passed on, and nothing is made."""
    with pytest.raises(TopicsUnusable, match="InvalidReplicationFactor"):
        await apply(logs.config(), Wanted(partitions=2, replication_factor=3))

    assert {one.state for one in await plan(logs.config(), logs.wanted)} == {"create"}


async def test_no_broker_is_said() -> None:
    """Where nobody listens, neither comparing nor making hangs."""
    config = config_of(1, request_timeout_ms=1_000)
    for do in (plan, apply):
        with pytest.raises(LogFailed, match="cannot be reached"):
            await do(config, Wanted(partitions=2))


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"replication_factor": 3, "min_insync_replicas": 1}, "must be 2 or more"),
        ({"replication_factor": 1, "min_insync_replicas": 2}, "nothing could be appended"),
        ({"replication_factor": 0}, "must be 1 or more"),
    ],
)
def test_what_would_lose_records_is_refused(wanted: dict[str, int], said: str) -> None:
    """Three replicas of which one is enough, or more in sync than there are: no setting allows it."""
    with pytest.raises(ValueError, match=said):
        Wanted(partitions=8, **wanted)


@pytest.mark.parametrize(("replicas", "in_sync"), [(1, 1), (2, 1), (3, 2), (5, 4)])
def test_replicas_in_sync_follow_from_the_replicas(replicas: int, in_sync: int) -> None:
    """One broker may be missing, where there are several."""
    assert Wanted(partitions=8, replication_factor=replicas).settings()["min.insync.replicas"] == str(in_sync)


async def first_records(config: KafkaConfig) -> set[str]:
    """What the first record of every partition is that stages read."""
    log = await KafkaLog.open(config)
    try:
        found = [await log.read(topic, p, 0, 1) for topic in (ACTIVITIES, ROUTED) for p in range(2)]
        return {type(decode(records[0].value)).__name__ for records in found}
    finally:
        await log.close()


def test_the_command_shows_makes_and_says_so(
    servers: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`plan` ends with 1 while anything is to be done, `apply` does it, then `plan` ends with 0."""
    logs = Logs(servers)
    monkeypatch.delenv(RUNNING, raising=False)  # the tests' own, and no setting
    monkeypatch.setenv("FANBELL_KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{logs.port}")
    monkeypatch.setenv("FANBELL_KAFKA_TOPIC_PREFIX", logs.config().topic_prefix)
    monkeypatch.setenv("FANBELL_KAFKA_REPLICATION_FACTOR", "1")

    def topics(verb: str, *more: str) -> tuple[int, list[dict[str, object]]]:
        code = cli.run(["topics", verb, "--json", *more])
        printed = capsys.readouterr().out
        return code, json.loads(printed) if printed else []

    code, found = topics("plan")
    assert (code, {line["state"] for line in found}) == (Exit.FAILED, {"create"})
    assert topics("apply", "--partitions", "2")[0] == Exit.OK
    assert asyncio.run(first_records(logs.config())) == {"Rules"}
    code, found = topics("plan", "--partitions", "2")
    assert (code, {line["state"] for line in found}) == (Exit.OK, {"ok"})
    assert topics("apply", "--partitions", "4")[0] == Exit.FAILED
    assert topics("plan", "--kafka-min-insync-replicas", "2")[0] == Exit.USAGE
    assert topics("plan", "--kafka-bootstrap-servers", "127.0.0.1:1")[0] == Exit.UNREACHABLE
    assert topics("plan", "--kafka-bootstrap-servers", "")[0] == Exit.USAGE
