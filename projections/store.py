"""Where inboxes live: a port. Adapters: `store_memory.py`, `store_sqlite.py`; Cassandra in the cluster.

Writers hand over what the topic `notices` carries, partition by partition, in order; readers get rows. An inbox *is*
the newest `keep` rows by `seq`, trimmed already or not: readers never see more, and what has left does not come back
when a row above it is retracted. A row is named by (user, seq): an announcing update moves it to a new seq, marks name
the seq that was shown, so a mark on what has moved since marks nothing.

Who applies records to rows that show some of them already must know which, or a row that was put back below a full
inbox, and was gone at once, would come in where a retraction made room later. A retraction leaves nothing to see it by,
so the store keeps its seq (`Reading.as_of`).
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from fanbell.schemas.records import Content, Preference, Told

SEEN, READ, ARCHIVED, CLICKED = 1, 2, 4, 8
"""Bits of `Row.flags`."""


class Row(Struct, frozen=True, gc=False):
    """One row of an inbox, as light as counting and filtering allow. `body` names what it shows (`Store.bodies`)."""

    seq: int
    """Place in the list (newest first) and what it was shown with; the item's cursor."""
    changed_seq: int
    """Seq of its last change of any sort, marks included; never below `seq`."""
    flags: int
    kind: str
    scope: str | None
    expires_at: int | None
    body: int
    """Seq of the notice or update whose content it shows."""


class Body(Struct, frozen=True, gc=False):
    """What all recipients of one notice, or of one state of a group, are shown."""

    id: str
    """Of the notification."""
    reason: str
    count: int
    actors: tuple[str, ...]
    """The latest three, newest first."""
    created_ms: int
    content: Content


class Profile(Struct, frozen=True):
    """How a user is shown and addressed."""

    name: str | None = None
    avatar_url: str | None = None
    locale: str | None = None
    timezone: str | None = None


class Traced(Struct, frozen=True):
    """How many heard of an activity, and how many each rule silenced."""

    heard: int
    silenced: dict[str, int]


class Reading(Struct, frozen=True):
    """An inbox as it was read, for who goes on from there by the records."""

    rows: list[Row]
    """The newest `keep`, newest first; expired ones included."""
    as_of: int
    """The rows show every record up to this seq. They may show later ones, but only such that change nothing when they
    are applied again; those that took a row back from a full inbox are never among them."""


class StoreFailed(Exception):
    """The store could not be written or read; says what to do (disk full, read only, damaged)."""


class Store(Protocol):
    async def apply(self, batches: Mapping[int, Sequence[Told]], positions: Mapping[int, int]) -> None:
        """Put what partitions' `notices` carry into inboxes, then positions (the offset of the last record applied).

        In the order of each sequence. Applying the same again changes nothing: a batch whose position is not above
        the stored one is left out. Where the adapter has transactions, rows and positions are one. Raises StoreFailed.
        """
        ...

    async def positions(self) -> dict[int, int]:
        """Offset in `notices` of the last record applied, by partition; partitions without any are absent."""
        ...

    async def rows(self, user: str) -> list[Row]:
        """The user's inbox: the newest `keep` rows, newest first. Expired rows included; `rows.py` leaves them out."""
        ...

    async def read(self, user: str) -> Reading:
        """The same rows, and which records they show."""
        ...

    async def bodies(self, user: str, seqs: Sequence[int]) -> dict[int, Body]:
        """The bodies named by rows of `user`; one that was trimmed meanwhile is absent."""
        ...

    async def seqs_of(self, user: str, ids: Sequence[str]) -> dict[str, int]:
        """The seq at which the user's inbox shows each of these notifications; ids it does not show are absent."""
        ...

    async def changed_since(self, user: str, seq: int) -> list[Row]:
        """Rows of the user's inbox whose `changed_seq` is above `seq`, newest first."""
        ...

    async def preferences(self, user: str) -> list[Preference]: ...

    async def profiles(self, users: Sequence[str]) -> dict[str, Profile]:
        """Profiles of those who have one."""
        ...

    async def listed(self, user: str, what: str, after: str | None, limit: int) -> list[str]:
        """What the user follows, mutes or blocks (`what` = follows, mutes, blocks), in the order of ids, above `after`.

        Mutes are written `aspect:id`.
        """
        ...

    async def traced(self, activity_id: str) -> Traced | None:
        """What became of an activity; None if nobody was concerned, or it is too long ago."""
        ...
