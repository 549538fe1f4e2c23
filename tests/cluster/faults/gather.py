"""From real logs, inboxes and sockets to an outcome."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

import httpx
from msgspec import Struct

from fanbell.edge.cursor import decode_cursor
from fanbell.projections.store import Store
from fanbell.schemas.codec import decode
from fanbell.schemas.records import Activity, Change
from fanbell.schemas.topics import ACTIVITIES, DEAD, NOTICES, ROUTED
from fanbell.streams.log import Log, Record
from tests.cluster import town
from tests.cluster.faults.listening import Listener
from tests.cluster.faults.outcome import Counted, Outcome
from tests.cluster.faults.people import ANSWER_S, PEOPLE, People
from tests.simulation.history import Op, Reading
from tests.simulation.observe import logs, shown_as

PAGE: Final = 200


class Kept(Struct):
    """The port `simulation.observe.Kept`, of topics that were read to their end."""

    partitions: int
    records: dict[tuple[str, int], list[Record]] = {}

    @property
    def times(self) -> Mapping[Any, Any]:
        """None are known."""
        return defaultdict(lambda: (0, (-1, -1)))

    def records_now(self, topic: str, partition: int) -> list[Record]:
        return self.records.get((topic, partition), [])


async def read_logs(log: Log) -> Kept:
    kept = Kept(log.partitions)
    for partition in range(log.partitions):
        for topic in (ACTIVITIES, ROUTED, NOTICES):
            kept.records[topic, partition] = await town.read_all(log, topic, partition)
    kept.records[DEAD, 0] = await town.read_all(log, DEAD, 0)
    return kept


def published(kept: Kept) -> tuple[list[Activity], list[Change]]:
    """What people did, as it stands in the logs: each activity once, each follow once."""
    activities: dict[str, Activity] = {}
    changes: dict[str, Change] = {}
    for (topic, _), records in sorted(kept.records.items()):
        for record in records if topic in (ACTIVITIES, ROUTED) else ():
            item = decode(record.value)
            if isinstance(item, Activity):
                activities.setdefault(item.id, item)
            elif isinstance(item, Change) and item.kind == "follow":
                changes.setdefault(item.id, item)
    return list(activities.values()), list(changes.values())


def model(activities: Iterable[Activity], changes: Iterable[Change]) -> town.Told:
    """What one process in memory tells of the same."""
    whole = [Change(one.id, one.kind, one.user, object=one.object) for one in changes]
    return town.expected(whole, list(activities))


async def gather(
    log: Log, store: Store, api: str, people: Iterable[People], listeners: Iterable[Listener]
) -> Outcome:
    """All of it, once everything has come to rest. Raises LogFailed, StoreFailed."""
    kept = await read_logs(log)
    taken, changes = published(kept)
    made = Outcome(taken=taken, follows=changes, told=model(taken, changes))
    made.history.ops = [_op(one) for one in taken] + [
        Op(one.id, one.kind, one.user, one.object or "") for one in changes
    ]
    logs(made.history, kept)
    for who in people:
        made.acknowledged |= who.acknowledged.keys()
        made.unknown |= who.unknown.keys()
        for user in PEOPLE:
            made.marked.setdefault(user, set()).update(who.marked[user])
            made.maybe_marked.setdefault(user, set()).update(who.maybe_marked[user])
    for user in PEOPLE:
        await _inbox(made, store, user)
    try:
        async with httpx.AsyncClient(base_url=api, timeout=ANSWER_S, verify=False) as client:
            for user in PEOPLE:
                await _read(made, client, user, log.identity)
    except httpx.HTTPError as error:
        made.history.complaints.append(("stuck", f"the API does not answer: {error!r}"))
    made.frames = {one.user: [plain(frame, log.identity) for frame in one.frames] for one in listeners}
    return made


def _op(one: Activity) -> Op:
    return Op(one.id, one.kind, one.actor, one.object, one.target, mentions=tuple(one.mentions))


async def _inbox(made: Outcome, store: Store, user: str) -> None:
    rows = await store.rows(user)
    bodies = await store.bodies(user, [row.body for row in rows])
    made.history.inboxes[user] = [shown_as(row, bodies[row.body]) for row in rows]


async def _read(made: Outcome, client: httpx.AsyncClient, user: str, epoch: str) -> None:
    """The inbox as the API shows it, page by page, and its counters."""
    seqs: list[int] = []
    before: dict[str, str] = {}
    while True:
        answer = await client.get(f"/v1/users/{user}/notifications", params={"limit": str(PAGE), **before})
        answer.raise_for_status()
        page = answer.json()
        seqs += [decode_cursor(item["cursor"], epoch) for item in page["items"]]
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    counts = (await client.get(f"/v1/users/{user}/counts")).raise_for_status().json()
    made.counted[user] = Counted(counts["unread"], counts["unseen"])
    made.history.read[user] = [Reading(0, tuple(seqs), page["unread"], page["unseen"])]


def plain(frame: Mapping[str, Any], epoch: str) -> dict[str, Any]:
    """The frame with seqs in place of cursors."""

    def uncover(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: decode_cursor(one, epoch) if key == "cursor" and one is not None else uncover(one)
                for key, one in value.items()
            }
        return [uncover(one) for one in value] if isinstance(value, list) else value

    found: dict[str, Any] = uncover(frame)
    return found
