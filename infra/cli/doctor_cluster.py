"""What `fanbell doctor` looks at where there is a cluster: Kafka and its topics, Cassandra and its tables, lag, clocks.

The clients are imported where they are used: the embedded mode has none of them.
"""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from fanbell.infra.cli.finding import Finding
from fanbell.infra.cli.serving import missing_clients
from fanbell.infra.cli.show import number
from fanbell.infra.settings import BadSetting, Settings

if TYPE_CHECKING:
    from fanbell.streams.cassandra import Cassandra, CassandraConfig
    from fanbell.streams.topics_kafka import Planned

CLOCK_MAX_MS: Final = (
    5_000  # fold time follows the clocks of those who append; tokens and groups lean on them too
)
INBOXES: Final = "project_inbox"
START_WORKERS: Final = (
    "is `fanbell worker` running? Its /readyz says why it does not go on; more of them share the work"
)


def findings_of(settings: Settings) -> Iterator[Finding]:
    """Every check; one that leans on another that failed is left out."""
    missing = missing_clients()
    if missing:
        yield Finding(
            "clients", "bad", f"{', '.join(missing)} cannot be imported", "pip install 'fanbell[cluster]'"
        )
        return
    for name in ("aiokafka", "cassandra"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what they say comes as our finding too
    found = [*kafka(settings), *cassandra(settings)]
    yield from found
    if all(finding.verdict != "bad" for finding in found):
        yield lag(settings)


def kafka(settings: Settings) -> Iterator[Finding]:
    """Brokers answer, and the topics are as they must be."""
    from fanbell.infra.kafka import kafka_config, topics_wanted
    from fanbell.streams import topics_kafka
    from fanbell.streams.log import LogFailed

    try:
        planned = asyncio.run(topics_kafka.plan(kafka_config(settings), topics_wanted(settings)))
    except (LogFailed, BadSetting, OSError) as error:
        yield Finding(
            "Kafka", "bad", str(error), "`fanbell settings` shows the kafka_* in force; do brokers run?"
        )
        return
    yield Finding("Kafka", "ok", f"answers at {','.join(settings.kafka_bootstrap_servers)}")
    yield topics(planned)


def topics(planned: "list[Planned]") -> Finding:
    """The topics are there and as they must be."""
    left: dict[str, list[str]] = {}
    for one in planned:
        for why in one.left:
            left.setdefault(why, []).append(one.topic)
    if left:
        seen = "; ".join(f"{', '.join(names)}: {why}" for why, names in left.items())
        hint = "`apply` cannot change it: set `partitions` to what is there, or see `fanbell topics plan`"
        return Finding("topics", "bad", seen, hint)
    hint = "`fanbell topics plan` shows what `fanbell topics apply` makes of it"
    missing = [one.topic for one in planned if one.state == "create"]
    if missing:
        return Finding("topics", "bad", f"missing: {', '.join(missing)}", hint)
    differs = [one.topic for one in planned if one.state == "differs"]
    if differs:
        return Finding("topics", "bad", f"set otherwise than they must be: {', '.join(differs)}", hint)
    most = max(one.partitions for one in planned)
    return Finding("topics", "ok", f"{len(planned)} are as they must be, with {most} partitions")


def cassandra(settings: Settings) -> list[Finding]:
    """Cassandra answers, has its tables, and goes by the same clock."""
    from fanbell.infra.cassandra import cassandra_config
    from fanbell.projections.store import StoreFailed
    from fanbell.streams.cassandra import CassandraFailed

    try:
        return asyncio.run(_cassandra(cassandra_config(settings)))
    except (CassandraFailed, StoreFailed, BadSetting, OSError) as error:
        hint = "`fanbell settings` shows the cassandra_* in force; does Cassandra run?"
        return [Finding("Cassandra", "bad", str(error), hint)]


async def _cassandra(config: "CassandraConfig") -> list[Finding]:
    from fanbell.projections.cassandra_schema import left, plan
    from fanbell.streams.cassandra import connect

    connected = await connect(config, keyspace=False)
    try:
        files, kept = await plan(connected), await left(connected)
        ahead_ms = await _ahead_ms(connected)
    finally:
        await connected.close()
    found = [Finding("Cassandra", "ok", f"answers at {','.join(config.contact_points)}"), clock(ahead_ms)]
    if files:
        names = ", ".join(file.name for file in files)
        seen, hint = (
            f"keyspace {config.keyspace} lacks {names}",
            "`fanbell store apply` makes what is missing",
        )
        return [*found, Finding("tables", "bad", seen, hint)]
    if kept:
        return [*found, Finding("tables", "bad", "; ".join(kept), "`fanbell store plan` says the same")]
    return [*found, Finding("tables", "ok", f"all there in keyspace {config.keyspace}")]


async def _ahead_ms(connected: "Cassandra") -> int:
    """How far Cassandra's clock is ahead of ours; half of the way there and back is taken off."""
    before_ms = time.time_ns() // 1_000_000
    ((then_ms,),) = await connected.execute_plain("SELECT toUnixTimestamp(now()) FROM system.local")
    after_ms = time.time_ns() // 1_000_000
    return int(then_ms) - (before_ms + after_ms) // 2


def clock(ahead_ms: int) -> Finding:
    """This machine and Cassandra's agree on the time."""
    apart = f"{abs(ahead_ms) / 1000:.1f} s {'behind' if ahead_ms > 0 else 'ahead of'} Cassandra's"
    if abs(ahead_ms) > CLOCK_MAX_MS:
        return Finding("clock", "bad", f"this machine's is {apart}", "keep both by NTP, such as chrony")
    return Finding("clock", "ok", f"this machine's is {apart}")


def lag(settings: Settings) -> Finding:
    """No stage is far behind the log."""
    from fanbell.infra.connected import REFUSALS

    try:
        behind = asyncio.run(_lags(settings))
    except REFUSALS as error:
        return Finding("lag", "bad", str(error), "`fanbell doctor` again: something has just changed")
    return lag_of(behind, settings.ready_lag_max)


def lag_of(behind: Mapping[tuple[str, int], int], lag_max: int) -> Finding:
    """`behind`: by stage and partition, records not done yet."""
    (stage, partition), worst = max(behind.items(), key=lambda item: item[1])
    most = f"{number(worst)} records at most, {stage}[{partition}]" if worst else "no stage is behind"
    if worst > lag_max:
        return Finding("lag", "bad", f"{most}; {number(lag_max)} are allowed", START_WORKERS)
    return Finding("lag", "ok", most)


async def _lags(settings: Settings) -> dict[tuple[str, int], int]:
    from fanbell.infra.connected import clients
    from fanbell.schemas.topics import ACTIVITIES, CHANGES, NOTICES, ROUTED

    async with clients(settings) as connected:
        log, found = connected.log, {}
        for stage, topic in (("route", ACTIVITIES), ("fan_out", ROUTED), ("forward", CHANGES)):
            for partition in range(log.partitions):
                done = await log.committed(f"fanbell.{stage}", topic, partition)
                begin = await log.start(topic, partition) if done is None else done
                found[stage, partition] = max(0, await log.end(topic, partition) - begin)
        positions = await connected.store.positions()
        for partition in range(log.partitions):
            begin = max(await log.start(NOTICES, partition), positions.get(partition, -1) + 1)
            found[INBOXES, partition] = max(0, await log.end(NOTICES, partition) - begin)
        return found
