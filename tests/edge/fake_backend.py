"""A backend in memory for tests of the HTTP API: it keeps what it is given; no stream runs."""

from collections.abc import Callable, Sequence

from msgspec import json as msgspec_json

from fanbell.edge.backend import Accepted, Conflict, Letter, Listener, Places, Trace
from fanbell.edge.cursor import encode_cursor
from fanbell.edge.presence import Here
from fanbell.edge.tickets import MemoryTickets
from fanbell.projections.rows import Counts, Query
from fanbell.projections.store import Profile
from fanbell.schemas.records import Activity, Change, Preference, Presence, Told
from fanbell.streams.core.kinds import Rules, default_source, parse_rules

LISTED = {"follow": "follows", "mute": "mutes", "block": "blocks"}


class FakeStore:
    """Lists, preferences, profiles and the seqs of an inbox, as changes made them."""

    def __init__(self) -> None:
        self.lists: dict[tuple[str, str], set[str]] = {}
        self.wishes: dict[str, list[Preference]] = {}
        self.people: dict[str, Profile] = {}
        self.seqs: dict[str, dict[str, int]] = {}
        self.fails: Exception | None = None

    async def listed(self, user: str, what: str, after: str | None, limit: int) -> list[str]:
        if self.fails:
            raise self.fails
        names = sorted(self.lists.get((user, what), ()))
        return [name for name in names if after is None or name > after][:limit]

    async def preferences(self, user: str) -> list[Preference]:
        return self.wishes.get(user, [])

    async def profiles(self, users: Sequence[str]) -> dict[str, Profile]:
        return {user: self.people[user] for user in users if user in self.people}

    async def seqs_of(self, user: str, ids: Sequence[str]) -> dict[str, int]:
        shown = self.seqs.get(user, {})
        return {id_: shown[id_] for id_ in ids if id_ in shown}

    def take(self, change: Change) -> None:
        if change.kind == "preferences":
            self.wishes[change.user] = change.preferences or []
        elif change.kind == "profile":
            self.people[change.user] = Profile(change.name, change.avatar_url, change.locale, change.timezone)
        elif change.kind != "mark":
            what = f"{change.aspect}:{change.object}" if change.aspect else str(change.object)
            listed = self.lists.setdefault((change.user, LISTED[change.kind.removeprefix("un")]), set())
            (listed.discard if change.kind.startswith("un") else listed.add)(what)


class FakeBackend:
    """`fails`, if set, is raised by whatever writes."""

    epoch = "test-epoch"
    partitions = 8

    def __init__(self) -> None:
        self.rules: Rules = parse_rules(default_source(), 1)
        self.store = FakeStore()
        self.tickets = MemoryTickets()
        self.published: dict[str, Activity] = {}
        self.changes: list[Change] = []
        self.letters: list[Letter] = []
        self.traces: dict[str, Trace] = {}
        self.fails: Exception | None = None
        self.is_ready = (True, "")
        self.settles = True
        self.settled: Places | None = None
        self.here: dict[str, Here] = {}

    async def publish(self, activities: Sequence[Activity]) -> list[Accepted]:
        self._fail()
        conflicts = [
            (item, activity.id)
            for item, activity in enumerate(activities)
            if self.published.get(activity.id, activity) != activity
        ]
        if conflicts:
            raise Conflict(conflicts)
        answers: list[Accepted] = ["duplicate" if a.id in self.published else "accepted" for a in activities]
        self.published.update({activity.id: activity for activity in activities})
        return answers

    async def change(self, changes: Sequence[Change]) -> Places:
        self._fail()
        for change in changes:
            self.changes.append(change)
            self.store.take(change)
        return {0: len(self.changes)}

    async def settle(self, timeout_s: float, places: Places | None = None) -> bool:
        self.settled = places
        return self.settles

    async def trace(self, activity_id: str) -> Trace | None:
        if activity_id in self.traces:
            return self.traces[activity_id]
        return Trace(activity_id, "accepted") if activity_id in self.published else None

    async def apply_rules(self, source: str) -> int:
        self._fail()
        self.rules = parse_rules(source, self.rules.version + 1)
        return self.rules.version

    async def dead_letters(self, after: int, limit: int) -> list[Letter]:
        return [letter for letter in self.letters if letter.offset > after][:limit]

    async def retry_dead(self, offsets: Sequence[int]) -> int:
        return await self.drop_dead(offsets)

    async def drop_dead(self, offsets: Sequence[int]) -> int:
        before = len(self.letters)
        self.letters = [letter for letter in self.letters if letter.offset not in offsets]
        return before - len(self.letters)

    def stats(self) -> dict[str, object]:
        return {"backlog": 3, "positions": {0: 5, 1: 7}, "log": {"bytes": 1.5, "folder": "x"}}

    def ready(self) -> tuple[bool, str]:
        return self.is_ready

    def listen(self, listener: Listener) -> Callable[[], None]:
        return lambda: None

    async def notices(self, partition: int, offset: int, at_most: int) -> list[tuple[int, Told]]:
        return []

    on_demand = False

    async def follow(self, partition: int) -> None:
        pass

    def unfollow(self, partition: int) -> None:
        pass

    def presence(self, user: str) -> Here | None:
        return self.here.get(user)

    async def say_presence(self, partition: int, said: Sequence[Presence]) -> None:
        self._fail()

    def _fail(self) -> None:
        if self.fails:
            raise self.fails


class FakeInbox:
    """An empty inbox that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Query, str | None]] = []

    async def page(self, user: str, query: Query, locale: str | None) -> bytes:
        self.asked.append((user, query, locale))
        cursor = encode_cursor(FakeBackend.epoch, 0)
        return msgspec_json.encode(
            {"items": [], "cursor": cursor, "next": None, "prev": None, "total": 0, "unread": 0, "unseen": 0}
        )

    async def stamp(self, user: str) -> tuple[int, ...]:
        return (0,)

    async def counts(self, user: str) -> Counts:
        return Counts(unread=0, unseen=0, kinds={}, scopes={})
