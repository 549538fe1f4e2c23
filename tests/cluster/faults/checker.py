"""From the outcome of a run on real servers to what went wrong in it. Pure; tested by outcomes of a few lines.

Logs and inboxes go to the simulation's judges; what is told at sockets, and what producers were promised, is judged
here.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from typing import Any

from fanbell.projections.store import READ
from fanbell.schemas.records import Notice, Update
from tests.cluster.faults.outcome import Outcome
from tests.simulation.check_inboxes import inboxes
from tests.simulation.check_log import outputs, taken, times
from tests.simulation.history import Shown
from tests.simulation.wrong import Wrong

Item = dict[str, Any]


def check(outcome: Outcome) -> list[Wrong]:
    found = [Wrong("stuck", detail) for _, detail in outcome.history.complaints]
    for judge in (outputs, times, inboxes):
        found += judge(outcome.history)
    for own in (promises, same_as_one_process, marks, sockets):
        found += own(outcome)
    return found


def promises(outcome: Outcome) -> Iterator[Wrong]:
    """What was acknowledged stands in the log; what was never published does not."""
    there = {activity.id for activity in outcome.taken}
    for id_ in sorted(outcome.acknowledged - there):
        yield Wrong("lost", f"{id_} was acknowledged and is not in the log")
    for id_ in sorted(there - outcome.acknowledged - outcome.unknown):
        yield Wrong("unwanted", f"{id_} is in the log, and nobody published it for good")


def same_as_one_process(outcome: Outcome) -> Iterator[Wrong]:
    """Every inbox shows what one process in memory makes of the same activities."""
    for user in sorted({*outcome.told, *outcome.history.inboxes}):
        wanted = outcome.told.get(user, set())
        shown = Counter(came_to(row) for row in outcome.history.inboxes.get(user, ()))
        for one in sorted(wanted - shown.keys()):
            yield Wrong("lost", f"{user} has no {one}")
        for one in sorted(shown.keys() - wanted):
            yield Wrong("unwanted", f"{user} has {one}, which one process does not tell")
        for one in sorted(one for one, count in shown.items() if count > 1):
            yield Wrong("twice", f"{user} has {one} more than once")


def came_to(row: Shown) -> tuple[str, str]:
    """A row by what is the same in every order of events."""
    if row.kind in ("message", "follow"):
        return (f"{row.count} of {row.kind} {row.target}", "group")
    return (row.id, row.reason)


def marks(outcome: Outcome) -> Iterator[Wrong]:
    """What somebody marked read is read, and nothing else is."""
    for user, rows in outcome.history.inboxes.items():
        surely = outcome.marked.get(user, set())
        maybe = surely | outcome.maybe_marked.get(user, set())
        for row in rows:
            if row.id in surely and not row.flags & READ:
                yield Wrong("counter drift", f"{user} read {row.id}, which is unread")
            if row.flags & READ and row.id not in maybe:
                yield Wrong("counter drift", f"{user} has {row.id} read, and never read it")


def sockets(outcome: Outcome) -> Iterator[Wrong]:
    """Each notification comes once and in order; what a client then has is the inbox, its counters too."""
    announced: dict[str, dict[int, bool]] = {}
    for noticed in outcome.history.notices.values():
        for one in taken(noticed):
            record = one.record
            if isinstance(record, Notice) or (isinstance(record, Update) and record.announces):
                for user in record.recipients:
                    announced.setdefault(user, {})[record.seq] = isinstance(record, Notice)
    for user, frames in sorted(outcome.frames.items()):
        client = Client(user, announced.get(user, {}))
        for frame in frames:
            yield from client.take(frame)
        yield from client.end(outcome.history.inboxes.get(user, []))
        yield from client.count(outcome)


class Client:
    """What somebody has who goes by the protocol, and what they should have been told."""

    def __init__(self, user: str, announced: dict[int, bool]) -> None:
        self.user, self.announced = user, announced
        """seq → whether it is a notice, which must be told; of a group's updates the last one is enough"""
        self._musts = sorted(seq for seq, must in announced.items() if must)
        self.items: dict[str, Item] = {}
        self.told: set[int] = set()
        self.last = 0
        self.covered = 0
        """A page showed everything up to there."""
        self.floor = 0
        """That page did not show rows up to there."""
        self.counts: Item | None = None

    def take(self, frame: Item) -> Iterator[Wrong]:
        match frame["type"]:
            case "page":
                self._page(frame)
            case "notification":
                yield from self._notification(frame["item"])
            case "state":
                for item in frame["items"]:
                    if item["id"] in self.items or item["cursor"] > self.floor:
                        self.items[item["id"]] = item
            case "retract":
                self.items.pop(frame["id"], None)
            case "kept":
                self.items = {id_: item for id_, item in self.items.items() if id_ in set(frame["ids"])}
            case "hello" | "counts":
                self.counts = frame.get("counts", frame)

    def _page(self, page: Item) -> None:
        self.items = {item["id"]: item for item in page["items"]}
        seqs = [item["cursor"] for item in page["items"]]
        self.covered = max([page["cursor"], *seqs])
        self.floor = min(seqs) - 1 if page["next"] is not None else 0

    def _notification(self, item: Item) -> Iterator[Wrong]:
        seq = item["cursor"]
        if seq in self.told:
            yield Wrong("twice", f"{self.user} was told {item['id']} ({seq}) again")
        elif seq not in self.announced:
            yield Wrong("unwanted", f"{self.user} was told {item['id']} ({seq}), which no notice says")
        elif seq <= self.last:
            yield Wrong("out of order", f"{self.user} was told {item['id']} ({seq}) after {self.last}")
        first = bisect_right(self._musts, max(self.last, self.covered))
        for missed in self._musts[first : bisect_left(self._musts, seq)]:
            yield Wrong("lost", f"{self.user} was told {seq} and never {missed}")
        self.told.add(seq)
        self.last = max(self.last, seq)
        self.items[item["id"]] = item

    def end(self, rows: list[Shown]) -> Iterator[Wrong]:
        """`rows`: the inbox in the end."""
        should = {row.id: (row.seq, row.count, bool(row.flags & READ)) for row in rows}
        has = {id_: (item["cursor"], item["count"], item["read"]) for id_, item in self.items.items()}
        for id_ in sorted({*should, *has}):
            if id_ not in has:
                if should[id_][0] > self.floor:
                    yield Wrong("lost", f"{self.user}'s client has no {id_} {should[id_]}")
            elif id_ not in should:
                yield Wrong("unwanted", f"{self.user}'s client has {id_} {has[id_]}, the inbox has not")
            elif has[id_] != should[id_]:
                yield Wrong("differs", f"{self.user}'s client has {id_} as {has[id_]}, not {should[id_]}")

    def count(self, outcome: Outcome) -> Iterator[Wrong]:
        counted = outcome.counted.get(self.user)
        if counted is not None and self.counts is not None:
            told = (self.counts["unread"], self.counts["unseen"])
            if told != (counted.unread, counted.unseen):
                yield Wrong("counter drift", f"{self.user}'s client counts {told}, the inbox {counted}")
