"""A backend whose `notices` are written by the test: a memory store, and listeners told when the test says so."""

from collections.abc import Callable, Sequence
from typing import Any

from fanbell.edge.backend import Listener, Places
from fanbell.edge.cursor import encode_cursor
from fanbell.edge.tickets import MemoryTickets
from fanbell.projections.inbox import Inbox
from fanbell.projections.store_memory import MemoryStore
from fanbell.schemas.codec import encode_body
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Change, Content, Mark, Notice, Presence, Retraction, Told, Update, Wish
from fanbell.streams.core.kinds import default_source, parse_rules

NOW_MS = 1_800_000_000_000


def content(id_: str, kind: str = "post", actor: str = "ana", **more: Any) -> bytes:
    """The content of an activity, as notices carry it."""
    fields: dict[str, Any] = {
        "object": f"o:{id_}", "target": None, "thread": None, "scope": None, "data": None, "importance": None,
        "at_ms": NOW_MS, "expires_at": None,
    }  # fmt: skip
    return encode_body(Content(id_, kind, actor, **(fields | more)))


class FakeNotices:
    """`tell` appends a record, projects it, and tells listeners; `project` leaves the last step to `catch_up`."""

    epoch = "epoch-1"

    def __init__(self, partitions: int = 2, keep: int = 200) -> None:
        self.partitions = partitions
        self.rules = parse_rules(default_source(), 1)
        self.store = MemoryStore(keep)
        self.tickets = MemoryTickets()
        self.log: list[list[tuple[int, Told]]] = [[] for _ in range(partitions)]
        self.changes: list[Change] = []
        self.said: list[tuple[int, Presence]] = []
        self.mute: Exception | None = None
        self.fails: Exception | None = None
        self.reads = 0
        self._told = [0] * partitions
        self._listeners: list[Listener] = []

    def next_seq(self, user: str) -> int:
        return len(self.log[partition_of(user, self.partitions)]) + 1

    async def notice(self, users: Sequence[str], id_: str, **more: Any) -> Notice:
        """Tell `users`, who live in one partition, of the activity `id_`."""
        told = Notice(0, 0, -1, -1, self.next_seq(users[0]), "post", content(id_, **more), list(users))
        await self.tell(users[0], told)
        return told

    async def update(
        self, user: str, id_: str, prev: int = -1, *, announces: bool = True, count: int = 1, **more: Any
    ) -> Update:
        """Tell `user` of the group `id_`, shown at `prev` before."""
        seq = self.next_seq(user)
        told = Update(
            0, 0, -1, -1, seq, id_, "like", seq if announces else prev, prev, announces, count, ["bob"], NOW_MS,
            content(f"{id_}:{seq}", "like", "bob", **more), [user],
        )  # fmt: skip
        await self.tell(user, told)
        return told

    async def retract(self, user: str, id_: str, row_seq: int) -> None:
        told = Retraction(0, 0, -1, -1, self.next_seq(user), id_, row_seq, "undo", [user])
        await self.tell(user, told)

    async def mark(
        self, user: str, verb: str, row_seqs: Sequence[int] = (), up_to: int | None = None
    ) -> None:
        seqs = list(row_seqs)
        await self.tell(
            user, Mark(0, 0, -1, -1, self.next_seq(user), user, verb, ["?"] * len(seqs), seqs, up_to)
        )

    async def wish(self, user: str, kind: str, **more: Any) -> None:
        change = encode_body(Change("c", kind, user, **({"side": "user"} | more)))
        await self.tell(user, Wish(0, 0, -1, -1, self.next_seq(user), change))

    async def tell(self, user: str, told: Told) -> None:
        await self.project(user, told)
        self.catch_up()

    async def project(self, user: str, told: Told) -> None:
        """Append and project, but tell no listener yet."""
        partition = partition_of(user, self.partitions)
        offset = len(self.log[partition])
        self.log[partition].append((offset, told))
        await self.store.apply({partition: [told]}, {partition: offset})

    def catch_up(self) -> None:
        """Tell listeners what they have not been told."""
        for partition, records in enumerate(self.log):
            fresh, self._told[partition] = records[self._told[partition] :], len(records)
            for listener in list(self._listeners):
                if fresh:
                    listener(partition, fresh)

    def lose(self) -> None:
        """Forget to tell listeners what they have not been told."""
        self._told = [len(records) for records in self.log]

    async def change(self, changes: Sequence[Change]) -> Places:
        if self.fails:
            raise self.fails
        self.changes += changes
        for change in changes:
            if change.kind == "mark":
                await self.mark(change.user, change.verb or "", change.seqs, change.up_to)
        return {}

    on_demand = False

    async def follow(self, partition: int) -> None:
        pass

    def unfollow(self, partition: int) -> None:
        pass

    async def say_presence(self, partition: int, said: Sequence[Presence]) -> None:
        if self.mute:
            raise self.mute
        self.said += [(partition, record) for record in said]

    async def settle(self, timeout_s: float, places: Places | None = None) -> bool:
        return True

    def stats(self) -> dict[str, object]:
        return {"reads": self.reads}

    def ready(self) -> tuple[bool, str]:
        return True, ""

    def listen(self, listener: Listener) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def notices(self, partition: int, offset: int, at_most: int) -> list[tuple[int, Told]]:
        self.reads += 1
        return self.log[partition][offset : offset + at_most]


def inbox_of(backend: FakeNotices) -> Inbox:
    """The inbox projection over `backend`, told of what happens before the edge is."""
    inbox = Inbox(
        backend.store, lambda: backend.rules, lambda seq: encode_cursor(backend.epoch, seq), lambda: NOW_MS
    )
    backend.listen(inbox.told)
    return inbox
