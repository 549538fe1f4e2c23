"""The ports of the hub and of the sessions: the inbox projection behind them, and what they write to."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from fanbell.edge.close_codes import CloseCode
from fanbell.projections.items import Item, Profiles
from fanbell.projections.rows import Query
from fanbell.projections.store import Row
from fanbell.schemas.records import Notice, Told, Update

if TYPE_CHECKING:
    from fanbell.edge.feed import Feed
    from fanbell.edge.link import SocketLink

SEND_BUFFER_BYTES: Final = 128 * 1024  # in the kernel; it would grow to 4 MB for a client that does not read
WRITE_BUFFER_BYTES: Final = 32 * 1024  # of a wire; past it frames wait in the mailbox


class Inbox(Protocol):
    """What the edge asks of the inbox projection; `projections.inbox.Inbox`."""

    async def answer(self, user: str, query: Query, locale: str | None = None) -> dict[str, Any]:
        """A page, as the API gives it. Raises StoreFailed."""
        ...

    async def items(self, user: str, rows: Sequence[Row], locale: str | None = None) -> list[Item]:
        """The rows, ready to show, in the same order; those that are gone left out. Raises StoreFailed."""
        ...

    def item_of(self, told: Notice | Update, profiles: Profiles, locale: str) -> bytes:
        """What each recipient of `told` is shown, new and unread, as JSON."""
        ...

    def actors_of(self, told: Told) -> Sequence[str]:
        """Whose names it takes to show `told`."""
        ...

    def forget(self, concerns: Callable[[str], bool]) -> None:
        """Keep nothing of these users' inboxes: nobody tells when they change."""
        ...

    def forget_people(self) -> None:
        """Read anew how people are shown."""
        ...


class Reads(Protocol):
    """What is read for a feed, while its records queue; the hub."""

    def rows_due(self, feed: "Feed") -> None:
        """A full inbox has lost a row: read the rows anew, and say which are left."""
        ...

    def states_due(self, feed: "Feed", told: Told, rows: Sequence[Row]) -> None:
        """Tell the feed's sessions the state of `rows`, which `told` changed."""
        ...

    def end(self, feed: "Feed", why: str) -> None:
        """End its sessions."""
        ...


class Leaving(Protocol):
    """What sees to rows that leave by themselves; `leaving.Leaver`."""

    def expires(self, feed: "Feed", expires_ms: int) -> None: ...
    def pushed_out(self, feed: "Feed") -> None: ...


class Wire(Protocol):
    """What a link's frames travel by. It calls the link's `flush` once it takes bytes again."""

    link: "SocketLink | None"

    @property
    def put_out(self) -> Callable[[bytes], object]:
        """Send bytes, whole WebSocket frames of ours; never blocks. Only while `is_open`."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether anything may still be sent."""
        ...

    @property
    def paused(self) -> bool:
        """Whether the client has so much before it that frames had better wait."""
        ...

    def end(self, row: CloseCode) -> None:
        """Say why, and close; at once, or as soon as the client takes it. A second call does nothing."""
        ...

    def abort(self) -> None:
        """Drop the connection without another word."""
        ...
