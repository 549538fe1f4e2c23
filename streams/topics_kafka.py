"""The topics of a cluster: what they must be, what they are, and how they are made.

Nothing of ours creates a topic but `apply`, and it neither deletes one nor changes a number of partitions. Beside the
topics of the table there is `about`: its last record names this very log and says how it was made.
"""

import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code
from msgspec import Struct

from fanbell.schemas.topics import INTAKE, TOPICS
from fanbell.streams.kafka import MESSAGE_BYTES_MAX, KafkaConfig, connection
from fanbell.streams.kafka_appends import Appends
from fanbell.streams.kafka_calls import Calls, check
from fanbell.streams.kafka_reads import Reads
from fanbell.streams.log import Entry, LogFailed

FORMAT: Final = 1
ABOUT: Final = "about"
PARTITIONED: Final = {topic.name: topic.partitioned for topic in TOPICS if topic.name != INTAKE}
IN_CLUSTER: Final = tuple(PARTITIONED)
"""The topics of the table that a cluster has."""
VOLATILE: Final = frozenset(topic.name for topic in TOPICS if topic.volatile)
VOLATILE_KEPT_MS: Final = 3_600_000  # six times as long as it takes until everything in one was said again
VOLATILE_SEGMENT_MS: Final = 600_000  # Kafka forgets whole segments, and never the one being written
_OF_THE_TOPIC: Final = 1  # where a setting comes from: set on the topic itself, not the broker's default

MIGRATION: Final = (
    "another number of partitions is a migration (stop, drain, split the state into new topics); "
    "it never happens by changing a setting"
)


class TopicsUnusable(Exception):
    """The topics are not there, or not what was asked for; says what to do."""


class About(Struct, frozen=True, kw_only=True):
    """What the log says of itself."""

    identity: str
    partitions: int
    topics: tuple[str, ...]
    """Those that it was made with: one of them made anew is another log."""
    format: int = FORMAT


class Wanted(Struct, frozen=True, kw_only=True):
    """What an operator decides about topics. Raises ValueError."""

    partitions: int
    replication_factor: int = 3
    min_insync_replicas: int = 0
    """0: one less than the replicas, at least 1."""

    def __post_init__(self) -> None:
        if self.replication_factor < 1:
            raise ValueError(f"kafka_replication_factor must be 1 or more, not {self.replication_factor}")
        if self.in_sync > self.replication_factor:
            raise ValueError(
                f"kafka_min_insync_replicas is {self.in_sync}, above kafka_replication_factor "
                f"({self.replication_factor}): nothing could be appended"
            )
        if self.replication_factor >= 3 and self.in_sync < 2:
            raise ValueError(
                "kafka_min_insync_replicas must be 2 or more where kafka_replication_factor is 3 or more: "
                "with 1, what was acknowledged is lost with one broker"
            )

    @property
    def in_sync(self) -> int:
        """How many replicas must have a record before it is acknowledged."""
        return self.min_insync_replicas or max(1, self.replication_factor - 1)

    def settings(self, topic: str = "") -> dict[str, str]:
        """Of `topic`. Nothing is deleted by Kafka's own clock, but for the volatile: Fanbell trims, by its own rule."""
        forgets = {"retention.ms": str(VOLATILE_KEPT_MS), "segment.ms": str(VOLATILE_SEGMENT_MS)}
        return {
            "cleanup.policy": "delete",
            "compression.type": "producer",
            "max.message.bytes": str(MESSAGE_BYTES_MAX),
            "message.timestamp.type": "CreateTime",
            "min.insync.replicas": str(self.in_sync),
            "retention.bytes": "-1",
            "retention.ms": "-1",
            "unclean.leader.election.enable": "false",
            **(forgets if topic in VOLATILE else {}),
        }

    def partitions_of(self, topic: str) -> int:
        """How many `topic` has to have."""
        return self.partitions if PARTITIONED.get(topic) else 1


class Planned(Struct, frozen=True, kw_only=True):
    """One topic: what is to be done about it."""

    topic: str
    state: Literal["create", "ok", "differs"]
    partitions: int
    replication_factor: int
    differs: dict[str, tuple[str, str]] = {}
    """Settings that `apply` alters: as it is, as it should be."""
    left: tuple[str, ...] = ()
    """What is not as it should be, and `apply` does not change."""


async def plan(config: KafkaConfig, wanted: Wanted) -> list[Planned]:
    """Compare the topics with what they must be; changes nothing. Raises LogFailed."""
    calls, admin = await _connect(config)
    try:
        return await _compare(calls, admin, config, wanted)
    finally:
        await admin.close()
        await calls.close()


async def apply(config: KafkaConfig, wanted: Wanted) -> list[Planned]:
    """Make what is missing, alter settings that differ, and return what was found before.

    Raises TopicsUnusable, having changed nothing, if there is another number of partitions, or if Kafka refuses what is
    wanted (more replicas than there are brokers); LogFailed.
    """
    calls, admin = await _connect(config)
    try:
        found = await _compare(calls, admin, config, wanted)
        _refuse_other_partitions(calls, config, wanted)
        missing = [one.topic for one in found if one.state == "create"]
        about = await _about(calls, config)
        if about is not None and set(missing) & {config.topic(t) for t in about.topics if t not in VOLATILE}:
            # What was in them is gone: another log from now on, and that is said before they are there again.
            await _say_about(config, wanted)
            about = None
        if missing:
            await _create(calls, admin, config, wanted, missing)
        if about is None or set(about.topics) != set(IN_CLUSTER):
            about = await _about(calls, config)
            if about is None or set(about.topics) != set(IN_CLUSTER):
                await _say_about(config, wanted, about.identity if about else None)
        await _alter(admin, {one.topic: one.differs for one in found if one.differs})
        return found
    except KafkaError as error:
        if error.retriable:
            raise LogFailed(f"topics at {config.servers}: {error!r}") from error
        raise TopicsUnusable(f"Kafka at {config.servers} refuses to make the topics so: {error!r}") from error
    finally:
        await admin.close()
        await calls.close()


async def look(calls: Calls, config: KafkaConfig, partitions: int | None = None) -> About:
    """What the log says of itself, its topics being there. Raises TopicsUnusable, LogFailed."""
    names = (*IN_CLUSTER, ABOUT)
    missing = [config.topic(name) for name in names if not calls.partitions(config.topic(name))]
    about = None if missing else await _about(calls, config)
    if about is None:
        which = f"has no topic {', '.join(missing)}" if missing else f"has an empty {config.topic(ABOUT)}"
        raise TopicsUnusable(
            f"Kafka at {config.servers} {which}: `fanbell topics plan` shows what is to be made, "
            "`fanbell topics apply` makes it"
        )
    if about.format > FORMAT:
        raise TopicsUnusable(
            f"the topics {config.topic('*')} are of format {about.format}, newer than this Fanbell knows ({FORMAT})"
        )
    if partitions is not None and partitions != about.partitions:
        raise TopicsUnusable(
            f"partitions is {partitions}, but the topics {config.topic('*')} were made with {about.partitions}: "
            f"set partitions to {about.partitions}; {MIGRATION}"
        )
    _refuse_other_partitions(calls, config, Wanted(partitions=about.partitions))
    return about


def _refuse_other_partitions(calls: Calls, config: KafkaConfig, wanted: Wanted) -> None:
    for topic in (*IN_CLUSTER, ABOUT):
        there, should = calls.partitions(config.topic(topic)), wanted.partitions_of(topic)
        if there and there != should:
            raise TopicsUnusable(
                f"topic {config.topic(topic)} has {there} partitions, not {should}: {MIGRATION}"
            )


async def _connect(config: KafkaConfig) -> tuple[Calls, AIOKafkaAdminClient]:
    calls = Calls(config)
    await calls.open()
    once = {"request_timeout_ms": config.request_timeout_ms}  # nothing here is tried again
    admin = AIOKafkaAdminClient(**connection(config) | once)
    try:
        await admin.start()
    except (KafkaError, OSError) as error:
        await calls.close()
        raise LogFailed(f"Kafka at {config.servers} cannot be reached: {error!r}") from error
    return calls, admin


async def _compare(
    calls: Calls, admin: AIOKafkaAdminClient, config: KafkaConfig, wanted: Wanted
) -> list[Planned]:
    names = {config.topic(topic): topic for topic in (*IN_CLUSTER, ABOUT)}
    try:
        kept = await _settings(admin, [name for name in names if calls.partitions(name)])
    except KafkaError as error:
        raise LogFailed(f"topics at {config.servers}: {error!r}") from error
    found = []
    for name, topic in names.items():
        partitions = wanted.partitions_of(topic)
        if name not in kept:
            found.append(
                Planned(
                    topic=name, state="create", partitions=partitions,
                    replication_factor=wanted.replication_factor,
                )
            )  # fmt: skip
            continue
        differs = {
            setting: (value, should)
            for setting, should in wanted.settings(topic).items()
            if (value := kept[name][setting][0]) != should
        }
        left = []
        if calls.partitions(name) != partitions:
            left.append(f"{calls.partitions(name)} partitions, not {partitions}: {MIGRATION}")
        replicas = calls.replicas(name)
        if replicas != wanted.replication_factor:
            left.append(
                f"{replicas} replicas, not {wanted.replication_factor}: kafka-reassign-partitions changes that"
            )
        found.append(
            Planned(
                topic=name, state="differs" if differs or left else "ok", partitions=calls.partitions(name),
                replication_factor=replicas, differs=differs, left=tuple(left),
            )
        )  # fmt: skip
    return found


async def _settings(
    admin: AIOKafkaAdminClient, topics: Iterable[str]
) -> dict[str, dict[str, tuple[str, int]]]:
    """topic: setting: (value, where it comes from); without those that were deleted since they were seen."""
    wanted = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
    found = {}
    for answer in await admin.describe_configs(wanted) if wanted else ():
        for error_code, message, _, topic, entries in answer.resources:
            if for_code(error_code) is UnknownTopicOrPartitionError:
                continue
            check(error_code, topic, message)
            found[topic] = {name: (value, source) for name, value, _, source, *_ in entries}
    return found


async def _create(
    calls: Calls, admin: AIOKafkaAdminClient, config: KafkaConfig, wanted: Wanted, missing: list[str]
) -> None:
    ours = {config.topic(topic): topic for topic in (*IN_CLUSTER, ABOUT)}
    answer = await admin.create_topics(
        [
            NewTopic(
                name, wanted.partitions_of(ours[name]), wanted.replication_factor,
                topic_configs=wanted.settings(ours[name]),
            )
            for name in missing
        ]
    )  # fmt: skip
    for name, error_code, *message in answer.topic_errors:
        if for_code(error_code) is not TopicAlreadyExistsError:  # made by another `apply` at the same time
            check(error_code, name, *message)
    until = time.monotonic() + config.bound_s
    while not all(calls.partitions(name) for name in missing):  # each broker learns of them on its own
        if time.monotonic() > until:
            raise LogFailed(
                f"topics {', '.join(missing)} were made, but {config.servers} do not show them yet"
            )
        await calls.refresh()


async def _alter(admin: AIOKafkaAdminClient, differing: Mapping[str, Mapping[str, tuple[str, str]]]) -> None:
    """Alter settings. Whoever alters one must name all that are set on the topic: the others would be unset."""
    if not differing:
        return
    kept = await _settings(admin, differing)
    if gone := differing.keys() - kept.keys():
        raise UnknownTopicOrPartitionError(f"deleted meanwhile: {', '.join(sorted(gone))}")
    resources = []
    for topic, differs in differing.items():
        values = {name: value for name, (value, source) in kept[topic].items() if source == _OF_THE_TOPIC}
        values |= {name: should for name, (_, should) in differs.items()}
        resources.append(ConfigResource(ConfigResourceType.TOPIC, topic, configs=values))
    for answer in await admin.alter_configs(resources):
        for error_code, message, _, topic in answer.resources:
            check(error_code, topic, message)


async def _about(calls: Calls, config: KafkaConfig) -> About | None:
    name = config.topic(ABOUT)
    if not calls.partitions(name):
        return None
    records = await Reads(calls).read(name, 0, 0, 1_000_000)  # one for each time that topics were made
    return msgspec.json.decode(records[-1].value, type=About) if records else None


async def _say_about(config: KafkaConfig, wanted: Wanted, identity: str | None = None) -> None:
    about = About(identity=identity or secrets.token_hex(16), partitions=wanted.partitions, topics=IN_CLUSTER)
    appends = Appends(config)
    try:
        entry = Entry(msgspec.json.encode(about), time.time_ns() // 1_000_000)
        await appends.append(config.topic(ABOUT), 0, [entry])
    finally:
        await appends.close()
