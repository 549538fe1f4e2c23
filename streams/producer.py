"""Publishing from a service of one's own, straight into Kafka: `from fanbell import Producer`."""

import secrets
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from fanbell.schemas.parse import Invalid, parse_activity
from fanbell.schemas.parse_change import parse_change
from fanbell.schemas.records import Activity, Change
from fanbell.schemas.wellformed import activity_faults, change_fault
from fanbell.streams.core.changes import fault_of
from fanbell.streams.core.kinds import GRAPH, graph_faults
from fanbell.streams.kafka import KafkaConfig
from fanbell.streams.log import LogFailed
from fanbell.streams.log_kafka import KafkaLog
from fanbell.streams.publish import batches_of_activities, batches_of_changes
from fanbell.streams.tls import TlsUnusable
from fanbell.streams.topics_kafka import TopicsUnusable


class Producer:
    """An async context manager; for one event loop, and any number of tasks in it.

    What many tasks publish at once goes to the brokers together, so that waiting for each acknowledgement costs
    nothing. `options` are those of `KafkaConfig`: `topic_prefix`, `security_protocol`, `sasl_username`, …
    """

    def __init__(self, bootstrap_servers: str | Sequence[str], **options: Any) -> None:
        """Raises ValueError for options that cannot be."""
        servers = bootstrap_servers.split(",") if isinstance(bootstrap_servers, str) else bootstrap_servers
        self._config = KafkaConfig(bootstrap_servers=tuple(servers), **options)
        self._log: KafkaLog | None = None

    async def __aenter__(self) -> Self:
        """Connect. Raises LogFailed; TopicsUnusable with what to do; TlsUnusable, which names the file."""
        self._log = await KafkaLog.open(self._config)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._log is not None:
            await self._log.close()
            self._log = None

    async def publish(self, activity: Activity | Mapping[str, Any] | None = None, /, **fields: Any) -> str:
        """Publish one activity, given whole or by its fields; its id, once it is acknowledged.

        Without an `id` it gets one. Give one of your own (the order's number, the row's key) wherever you may try
        again: the same id twice is told once. Raises Invalid, which names every bad field and nothing is published
        then, and LogFailed, after which it may or may not be in the log: publish it again, by the same id.
        """
        given = fields if activity is None else activity
        return (await self.publish_many([given]))[0]

    async def publish_many(self, activities: Sequence[Activity | Mapping[str, Any]]) -> list[str]:
        """As `publish`, for many; those of one entity stand in their order.

        Changes of the graph (follow, mute, block and their opposites) go before all others of the same call, so what
        is to be heard before an unfollow needs a call of its own, awaited before the next. Raises as `publish` does; on
        LogFailed a part of them may be in the log.
        """
        log = self._opened()
        whole = [_whole(activity) for activity in activities]
        now_ms = time.time_ns() // 1_000_000
        await log.append_all(batches_of_activities(whole, log.partitions, now_ms))
        return [activity.id for activity in whole]

    async def change(self, change: Change | Mapping[str, Any] | None = None, /, **fields: Any) -> str:
        """Make one change, given whole or by its fields: follow, unfollow, mute, unmute, block, unblock (`user`,
        `object`), preferences, profile; its id, once it is acknowledged, and so in force for what is published after.

        Raises Invalid, which names every bad field and nothing is changed then, and LogFailed, after which it may or
        may not be in force: make it again, twice changes nothing.
        """
        log = self._opened()
        whole = _whole_change(fields if change is None else change)
        now_ms = time.time_ns() // 1_000_000
        await log.append_all(batches_of_changes([whole], log.partitions, now_ms))
        return whole.id

    def _opened(self) -> KafkaLog:
        if self._log is None:
            raise LogFailed("this producer is not open: use it in `async with`")
        return self._log


def _whole(given: Activity | Mapping[str, Any]) -> Activity:
    """With an id, and all that can be known to be wrong without the rules said now rather than by a dead letter."""
    if isinstance(given, Activity):
        activity, errors = given, activity_faults(given)
    else:
        activity, errors = parse_activity({"id": secrets.token_hex(16), **given}), []
    if not errors and activity.kind in GRAPH:
        errors = graph_faults(activity)
    if errors:
        raise Invalid(errors)
    return activity


def _whole_change(given: Change | Mapping[str, Any]) -> Change:
    """As `_whole`, for a change."""
    if not isinstance(given, Change):
        return parse_change({"id": secrets.token_hex(16), **given})
    if fault := change_fault(given) or fault_of(given):
        field, _, message = fault.partition(": ")
        raise Invalid([(field, message)])
    return given


__all__ = ["Invalid", "LogFailed", "Producer", "TlsUnusable", "TopicsUnusable"]
