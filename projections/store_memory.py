"""Inboxes in dicts: for tests, and as the plain statement of what a store does. Nothing survives the process.

Honest about what it does not give: no durability, no isolation between a batch that fails half way and its readers,
and it trims at once, so that an inbox of `keep` rows costs a search for its oldest with every new one.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from fanbell.projections import apply as meaning
from fanbell.projections.store import Body, Profile, Reading, Row, Traced
from fanbell.schemas.codec import content_of
from fanbell.schemas.records import Mark, Notice, Outcome, Preference, Retraction, Told, Update, Wish

TRACES_MAX: Final = 500_000  # activities whose outcome is remembered; the oldest is forgotten first

Entry = tuple[Row, Body]


class MemoryStore:
    """The port `Store` in dicts. `keep`: rows of an inbox; `keep_age_ms`: how long one is shown, None for ever."""

    def __init__(self, keep: int = 200, keep_age_ms: int | None = None) -> None:
        self.keep = keep
        self.keep_age_ms = keep_age_ms
        self._positions: dict[int, int] = {}
        self._inboxes: dict[str, dict[int, Entry]] = {}
        self._taken_back: dict[str, int] = {}
        """Seq of the last record that took a row back from a full inbox, by user."""
        self._lists: dict[tuple[str, str], set[str]] = {}
        self._preferences: dict[str, list[Preference]] = {}
        self._profiles: dict[str, Profile] = {}
        self._traces: dict[str, dict[str, int]] = {}

    async def apply(self, batches: Mapping[int, Sequence[Told]], positions: Mapping[int, int]) -> None:
        for partition, records in batches.items():
            if positions[partition] <= self._positions.get(partition, -1):
                continue  # was applied before
            for record in records:
                self._apply(record)
        for partition, position in positions.items():
            self._positions[partition] = max(position, self._positions.get(partition, -1))

    def _apply(self, record: Told) -> None:
        match record:
            case Notice():
                self._trace(content_of(record.content).id, "", len(record.recipients))
                for user in record.recipients:
                    self._put(user, record, record.seq, 0)
            case Update():
                for user in record.recipients:
                    self._update(user, record)
            case Retraction():
                for user in record.recipients:
                    self._take_back(user, record)
            case Mark():
                self._mark(record)
            case Wish():
                self._wish(record)
            case Outcome():
                self._trace(record.id, "", record.heard)
                for item in record.silenced:
                    self._trace(record.id, item.rule, item.count)

    def _put(self, user: str, record: Notice | Update, seq: int, flags: int) -> None:
        inbox = self._inboxes.setdefault(user, {})
        inbox[seq] = (meaning.row_of(record, seq, flags, self.keep_age_ms), meaning.body_of(record))
        if len(inbox) > self.keep:
            del inbox[min(inbox)]

    def _update(self, user: str, record: Update) -> None:
        inbox = self._inboxes.setdefault(user, {})
        if record.announces:
            inbox.pop(record.prev_row_seq, None)
            self._put(user, record, record.row_seq, 0)
        elif record.prev_row_seq == -1:
            self._put(user, record, record.row_seq, meaning.RESTORED_FLAGS)
        elif record.row_seq in inbox:
            self._put(user, record, record.row_seq, inbox[record.row_seq][0].flags)

    def _take_back(self, user: str, record: Retraction) -> None:
        inbox = self._inboxes.get(user, {})
        if len(inbox) >= self.keep:
            self._taken_back[user] = record.seq
        inbox.pop(record.row_seq, None)

    def _mark(self, mark: Mark) -> None:
        inbox = self._inboxes.get(mark.user, {})
        if mark.up_to is None:
            seqs = [seq for seq in mark.row_seqs if seq in inbox]
        else:
            seqs = [seq for seq in inbox if seq <= mark.up_to]
        for seq in seqs:
            row, body = inbox[seq]
            flags = meaning.marked(row.flags, mark.verb)
            if flags != row.flags:
                changed = Row(seq, mark.seq, flags, row.kind, row.scope, row.expires_at, row.body)
                inbox[seq] = (changed, body)

    def _wish(self, wish: Wish) -> None:
        change = meaning.change_of(wish)
        for listing in meaning.listings(change):
            items = self._lists.setdefault((listing.what, listing.user), set())
            if listing.stands:
                items.add(listing.item)
            else:
                items.discard(listing.item)
        profile, preferences = meaning.profile_of(change), meaning.preferences_of(change)
        if profile is not None:
            self._profiles[change.user] = profile
        if preferences is not None:
            self._preferences[change.user] = preferences

    def _trace(self, activity: str, rule: str, count: int) -> None:
        """Count `count` more for `rule` of `activity`; the rule "" stands for having heard."""
        rules = self._traces.setdefault(activity, {})
        rules[rule] = rules.get(rule, 0) + count
        if len(self._traces) > TRACES_MAX:
            del self._traces[next(iter(self._traces))]

    async def positions(self) -> dict[int, int]:
        return dict(self._positions)

    async def rows(self, user: str) -> list[Row]:
        inbox = self._inboxes.get(user, {})
        return [inbox[seq][0] for seq in sorted(inbox, reverse=True)]

    async def read(self, user: str) -> Reading:
        rows = await self.rows(user)
        return Reading(rows, max([self._taken_back.get(user, 0), *(row.changed_seq for row in rows)]))

    async def bodies(self, user: str, seqs: Sequence[int]) -> dict[int, Body]:
        wanted = set(seqs)
        return {row.body: body for row, body in self._inboxes.get(user, {}).values() if row.body in wanted}

    async def seqs_of(self, user: str, ids: Sequence[str]) -> dict[str, int]:
        wanted = set(ids)
        return {body.id: row.seq for row, body in self._inboxes.get(user, {}).values() if body.id in wanted}

    async def changed_since(self, user: str, seq: int) -> list[Row]:
        return [row for row in await self.rows(user) if row.changed_seq > seq]

    async def preferences(self, user: str) -> list[Preference]:
        return list(self._preferences.get(user, []))

    async def profiles(self, users: Sequence[str]) -> dict[str, Profile]:
        return {user: self._profiles[user] for user in users if user in self._profiles}

    async def listed(self, user: str, what: str, after: str | None, limit: int) -> list[str]:
        items = self._lists.get((what, user), set())
        return sorted(item for item in items if after is None or item > after)[:limit]

    async def traced(self, activity_id: str) -> Traced | None:
        rules = self._traces.get(activity_id)
        if rules is None:
            return None
        silenced = {rule: count for rule, count in rules.items() if rule and count}
        return Traced(rules.get("", 0), silenced)
