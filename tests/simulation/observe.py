"""What a run came to, as a history for the checker."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final, Protocol

from fanbell.projections.inbox import Inbox
from fanbell.projections.rows import LIMIT_MAX, Query
from fanbell.projections.store import Body, Row
from fanbell.projections.store_memory import MemoryStore
from fanbell.schemas.codec import decode
from fanbell.schemas.records import Command, Dead, Fact, Forward, Stray
from fanbell.schemas.topics import ACTIVITIES, DEAD, NOTICES, ROUTED
from fanbell.streams.core.fan_out import FanOut
from fanbell.streams.core.fold import Output
from fanbell.streams.core.kinds import parse_rules
from fanbell.streams.core.route import Route
from fanbell.streams.log import Record
from tests.simulation.cluster import Cluster
from tests.simulation.history import History, Noticed, Op, Pair, Reading, Shown
from tests.simulation.rules import SOURCE
from tests.simulation.scheduler import at_once
from tests.simulation.workload import USERS

RULES: Final = parse_rules(SOURCE, 1)


class Kept(Protocol):
    """Logs as they stand when all is over."""

    @property
    def partitions(self) -> int: ...

    @property
    def times(self) -> Mapping[tuple[str, int, int], tuple[int, tuple[int, int]]]:
        """(topic, partition, offset) → (turn, what its writer saw of `notices` when it opened)"""
        ...

    def records_now(self, topic: str, partition: int) -> list[Record]:
        """All that was ever there."""
        ...


def digest(value: bytes) -> bytes:
    return blake2b(value, digest_size=8).digest()


def inboxes(made: History, store: MemoryStore, now_ms: int) -> None:
    shown = Inbox(store, lambda: RULES)
    for user in USERS:
        rows = at_once(store.rows(user))
        bodies = at_once(store.bodies(user, [row.body for row in rows]))
        made.inboxes[user] = [shown_as(row, bodies[row.body]) for row in rows]
        made.read[user] = [_reading(shown, user, at_ms) for at_ms in _moments(rows, now_ms)]


def shown_as(row: Row, body: Body) -> Shown:
    content = body.content
    return Shown(
        row.seq, body.id, row.kind, body.reason, content.object, content.target, body.count, body.actors, row.flags,
        row.expires_at,
    )  # fmt: skip


def _moments(rows: list[Row], now_ms: int) -> list[int]:
    """Just before something expires, then, and at the end."""
    expire = sorted({row.expires_at for row in rows if row.expires_at is not None})
    some = expire[len(expire) // 2 :][:1]
    return [*(at_ms + later for at_ms in some for later in (-1, 0)), max(now_ms, *some, 0)]


def _reading(shown: Inbox, user: str, at_ms: int) -> Reading:
    answer = at_once(shown.answer(user, Query(LIMIT_MAX), "en", at_ms))
    listed = tuple(int(item["cursor"]) for item in answer["items"])
    return Reading(at_ms, listed, answer["unread"], answer["unseen"])


def history(cluster: Cluster, ops: list[Op], now_ms: int) -> History:
    made = History(ops=ops, complaints=cluster.complaints, moved=cluster.log.moved)
    inboxes(made, cluster.store, now_ms)
    logs(made, cluster.log)
    return made


def logs(made: History, log: Kept) -> None:
    """All that stages put out, and what an undisturbed fold of the same logs does."""
    for partition in range(log.partitions):
        for record in log.records_now(NOTICES, partition):
            time, saw = log.times[NOTICES, partition, record.offset]
            noticed = Noticed(time, record.offset, decode(record.value), saw)
            made.notices.setdefault(partition, []).append(noticed)
            pair = Pair(time, *_origin(noticed.record), digest(record.value))
            made.outputs.setdefault(("fan_out", partition, NOTICES, partition), []).append(pair)
        for topic in (ACTIVITIES, ROUTED):
            _collect(log, made, topic, partition)
    _collect(log, made, DEAD, 0)
    _expect(log, made)


def _origin(record: Any) -> tuple[int, int, int, int]:
    return record.n, record.index, record.prev_n, record.prev_index


def _collect(log: Kept, made: History, topic: str, partition: int) -> None:
    """The outputs that stand in a topic among what producers put there."""
    for record in log.records_now(topic, partition):
        item = decode(record.value)
        if isinstance(item, Command | Fact | Forward | Stray):
            place, origin = ("route", item.source, topic, partition), _origin(item)
        elif isinstance(item, Dead):
            stage = "route" if item.topic == ACTIVITIES else "fan_out"
            place, origin = (stage, item.partition, topic, partition), (item.n, item.index, -1, -1)
        else:
            continue
        time = log.times[topic, partition, record.offset][0]
        made.outputs.setdefault(place, []).append(Pair(time, *origin, digest(record.value)))


def _expect(log: Kept, made: History) -> None:
    """Fold the logs as they stand, once, undisturbed."""
    for partition in range(log.partitions):
        folds: list[tuple[str, Any]] = [
            (ACTIVITIES, Route(partition, log.partitions)),
            (ROUTED, FanOut(partition)),
        ]
        for topic, undisturbed in folds:
            try:
                for record in log.records_now(topic, partition):
                    for output in undisturbed.step(record):
                        _note(made, undisturbed.stage, partition, output)
            except Exception as error:  # noqa: BLE001 - whatever the fold raises is a finding
                made.complaints.append(
                    ("stuck", f"{undisturbed.stage}[{partition}] cannot be folded again: {error!r}")
                )


def _note(made: History, stage: str, partition: int, output: Output) -> None:
    place = (stage, partition, output.topic, output.partition)
    made.expected.setdefault(place, []).append((output.n, output.index, digest(output.value)))
