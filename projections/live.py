"""A store as it will be once everything heard is projected: the store behind, and what `notices` has carried since.

For processes that hear `notices` sooner than the projection writes it down (the edge and the API of a cluster): what
they tell live and what they read agree, however far the projection is behind. A position of the store is learned
first, rows are read later, so a record that is held here may be in the rows already: `Reading.as_of` tells.
For the same reason a reader takes what is held before it asks the store: what is let go of while the store answers may
not be in the answer. What is heard meanwhile is left for the next read, or its end might be read without its beginning.
"""

import asyncio
from bisect import insort
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Final

from msgspec.structs import replace

from fanbell.projections import apply as meaning
from fanbell.projections.store import Body, Profile, Reading, Row, Store, StoreFailed, Traced
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Mark, Notice, Preference, Retraction, Told, Update, Wish

HELD_BYTES_MAX: Final = 400_000_000
"""Of all partitions together, by the estimates below: two million names, which is minutes of a projection that stands
still, in a process that has a gigabyte."""
RECORD_BYTES: Final = 400  # a record without its names and content, as tracemalloc has it
NAME_BYTES: Final = (
    175  # a name, its place in the record, and its list in the index; held once more it takes 95
)
LET_GO_BYTES: Final = 1_000_000  # between two turns of the event loop: 5,000 names, a millisecond
_BYTES: Final = attrgetter("bytes")


class _Partition:
    """What came after the store's position, in order, and by whom it concerns."""

    def __init__(self) -> None:
        self.offset = -1
        """Of the last record heard."""
        self.seq = 0
        self.position = -1
        """The store has everything up to there."""
        self.records: deque[tuple[int, Told]] = deque()
        self.by_user: dict[str, list[Told]] = {}
        self.bytes = 0
        self.gap_until = -1
        """Offset that the store must have reached before rows can be read: records up to it were let go."""

    def hold(self, offset: int, told: Told) -> int:
        """Keep it; the bytes that it takes."""
        self.offset, self.seq = offset, told.seq
        self.records.append((offset, told))
        for user in concerned(told):
            held = self.by_user.get(user)
            if held is None:
                self.by_user[user] = [told]  # most have no more; a list of one takes a tenth of a deque
            else:
                held.append(told)
        size = _bytes_of(told)
        self.bytes += size
        return size

    def reached(self, position: int) -> None:
        """The store has everything up to there."""
        self.position = position
        if position >= self.gap_until:
            self.gap_until = -1

    @property
    def has_projected(self) -> bool:
        """Whether it holds what the store has."""
        return bool(self.records) and self.records[0][0] <= self.position

    def let_go(self) -> int:
        """Of the oldest record; the bytes that it took."""
        offset, told = self.records.popleft()
        for user in concerned(told):
            held = self.by_user[user]
            if len(held) == 1:
                del self.by_user[user]
            else:
                del held[0]
        if offset > self.position:
            self.gap_until = offset
        size = _bytes_of(told)
        self.bytes -= size
        return size


class Live:
    """The port `Store`, read only. `hear` what `notices` carries, and say by `projected` how far the store is."""

    def __init__(self, store: Store, partitions: int, keep: int, keep_age_ms: int | None) -> None:
        self._store = store
        self._keep, self._keep_age_ms = keep, keep_age_ms
        self._partitions = [_Partition() for _ in range(partitions)]
        self._bytes = 0

    def stand_at(self, partition: int, offset: int, seq: int) -> None:
        """Begin after the record (offset, seq), up to which the store has everything."""
        place = self._partitions[partition]
        place.offset, place.seq = offset, seq

    def forget(self, partition: int) -> None:
        """Hold nothing of a partition that is not heard any more; `stand_at` begins anew."""
        place, self._partitions[partition] = self._partitions[partition], _Partition()
        self._bytes -= place.bytes
        place.records.clear()  # `projected` may be in the midst of it

    def hear(self, partition: int, records: Sequence[tuple[int, Told]]) -> list[tuple[int, Told]]:
        """Hold what is new of `records`, in order, and return it: repeats of a writer that had been replaced are not.

        Raises StoreFailed if some before it were never heard.
        """
        place = self._partitions[partition]
        fresh = []
        for offset, told in records:
            if told.seq <= place.seq:
                place.offset = max(place.offset, offset)
                continue
            if told.seq != place.seq + 1:
                raise StoreFailed(
                    f"notices[{partition}]: record {offset} has seq {told.seq}, but the last one heard has {place.seq}"
                )
            self._bytes += place.hold(offset, told)
            fresh.append((offset, told))
            while self._bytes > HELD_BYTES_MAX:
                self._bytes -= max(self._partitions, key=_BYTES).let_go()
        return fresh

    async def projected(self, positions: Mapping[int, int]) -> None:
        """Let go of what the store has by now; others get their turn meanwhile."""
        let_go = 0
        for partition, position in positions.items():
            place = self._partitions[partition]
            place.reached(position)
            while place.has_projected:
                size = place.let_go()
                self._bytes -= size
                let_go += size
                if let_go > LET_GO_BYTES:
                    let_go = 0
                    await asyncio.sleep(0)

    def offset(self, partition: int) -> int:
        """Of the last record heard."""
        return self._partitions[partition].offset

    @property
    def held_bytes(self) -> int:
        """About how much memory is taken by what the store does not have yet."""
        return self._bytes

    def held(self) -> dict[int, int]:
        """How many records the store does not have yet, by partition."""
        return {index: len(place.records) for index, place in enumerate(self._partitions)}

    def _later(self, user: str) -> Sequence[Told]:
        """What is held for the user now, whatever is heard or let go of afterwards."""
        place = self._partitions[partition_of(user, len(self._partitions))]
        if place.gap_until >= 0:
            raise StoreFailed(
                "inboxes are too far behind to be shown: the projection stands still; try again later"
            )
        return tuple(place.by_user.get(user, ()))

    # The port

    async def apply(self, batches: Mapping[int, Sequence[Told]], positions: Mapping[int, int]) -> None:
        raise NotImplementedError("inboxes are written by the projection alone")

    async def positions(self) -> dict[int, int]:
        """How far this reader has heard, which is how far rows are told."""
        return {index: place.offset for index, place in enumerate(self._partitions) if place.offset >= 0}

    async def rows(self, user: str) -> list[Row]:
        return (await self.read(user)).rows

    async def read(self, user: str) -> Reading:
        later = self._later(user)
        reading = await self._store.read(user)
        return _after(reading, later, self._keep, self._keep_age_ms) if later else reading

    async def bodies(self, user: str, seqs: Sequence[int]) -> dict[int, Body]:
        wanted = set(seqs)
        found = {
            told.seq: meaning.body_of(told)
            for told in self._later(user)
            if isinstance(told, Notice | Update) and told.seq in wanted
        }
        rest = wanted - found.keys()
        return {**found, **await self._store.bodies(user, sorted(rest))} if rest else found

    async def seqs_of(self, user: str, ids: Sequence[str]) -> dict[str, int]:
        if not self._later(user):
            return await self._store.seqs_of(user, ids)
        rows = await self.rows(user)
        bodies = await self.bodies(user, [row.body for row in rows])
        wanted = set(ids)
        shown = ((bodies[row.body].id, row.seq) for row in rows if row.body in bodies)
        return {id_: seq for id_, seq in shown if id_ in wanted}

    async def changed_since(self, user: str, seq: int) -> list[Row]:
        return [row for row in await self.rows(user) if row.changed_seq > seq]

    async def preferences(self, user: str) -> list[Preference]:
        later = self._later(user)
        found = await self._store.preferences(user)
        for change in map(meaning.change_of, _wishes(later)):
            if change.user == user and (wished := meaning.preferences_of(change)) is not None:
                found = wished
        return found

    async def profiles(self, users: Sequence[str]) -> dict[str, Profile]:
        later = {user: self._later(user) for user in users}
        found = await self._store.profiles(users)
        for user, records in later.items():
            for change in map(meaning.change_of, _wishes(records)):
                if change.user == user and (profile := meaning.profile_of(change)) is not None:
                    found[user] = profile
        return found

    async def listed(self, user: str, what: str, after: str | None, limit: int) -> list[str]:
        stands: dict[str, bool] = {}
        for wish in _wishes(self._later(user)):
            for listing in meaning.listings(meaning.change_of(wish)):
                if (listing.what, listing.user) == (what, user):
                    stands[listing.item] = listing.stands
        gone = sum(not there for there in stands.values())
        found = await self._store.listed(user, what, after, limit + gone)
        kept = [item for item in found if stands.get(item, True)]
        bound = found[-1] if len(found) == limit + gone else None  # beyond it are items that were not read
        for item, there in stands.items():
            if (
                there
                and (after is None or item > after)
                and (bound is None or item <= bound)
                and item not in kept
            ):
                insort(kept, item)
        return kept[:limit]

    async def traced(self, activity_id: str) -> Traced | None:
        return await self._store.traced(activity_id)


def concerned(told: Told) -> Iterable[str]:
    """Whose rows, lists or profile `told` changes."""
    if isinstance(told, Notice | Update | Retraction):
        return told.recipients
    if isinstance(told, Mark):
        return (told.user,)
    if isinstance(told, Wish):
        change = meaning.change_of(told)
        return (change.user,) if change.object is None else (change.user, change.object)
    return ()


def _bytes_of(told: Told) -> int:
    """What holding it takes, about."""
    names, carried = 1, b""
    if isinstance(told, Notice | Update):
        names, carried = len(told.recipients), told.content
    elif isinstance(told, Retraction):
        names = len(told.recipients)
    elif isinstance(told, Mark):
        names += len(told.ids)
    elif isinstance(told, Wish):
        carried = told.change
    return RECORD_BYTES + NAME_BYTES * names + len(carried)


def _wishes(records: Iterable[Told]) -> Iterable[Wish]:
    return (told for told in records if isinstance(told, Wish))


def _after(reading: Reading, records: Sequence[Told], keep: int, keep_age_ms: int | None) -> Reading:
    """The inbox `reading` after `records`, at least one, of which it may show some already."""
    inbox = {row.seq: row for row in reading.rows}

    def put(told: Notice | Update, seq: int, flags: int) -> None:
        inbox[seq] = meaning.row_of(told, seq, flags, keep_age_ms)
        if len(inbox) > keep:
            del inbox[min(inbox)]

    for told in records:
        if told.seq <= reading.as_of:
            continue
        if isinstance(told, Notice):
            put(told, told.seq, 0)
        elif isinstance(told, Update):
            if told.announces:
                inbox.pop(told.prev_row_seq, None)
                put(told, told.row_seq, 0)
            elif told.prev_row_seq == -1:
                put(told, told.row_seq, meaning.RESTORED_FLAGS)
            elif told.row_seq in inbox:
                put(told, told.row_seq, inbox[told.row_seq].flags)
        elif isinstance(told, Retraction):
            inbox.pop(told.row_seq, None)
        elif isinstance(told, Mark):
            for row in list(inbox.values()):
                named = row.seq in told.row_seqs if told.up_to is None else row.seq <= told.up_to
                flags = meaning.marked(row.flags, told.verb)
                if named and flags != row.flags:
                    inbox[row.seq] = replace(row, changed_seq=told.seq, flags=flags)
    rows = [inbox[seq] for seq in sorted(inbox, reverse=True)]
    return Reading(rows, max(reading.as_of, records[-1].seq))
