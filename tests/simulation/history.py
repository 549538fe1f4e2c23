"""What a run leaves behind for the checker: what was asked, what came of it, and when.

Times are turns of the scheduler. Plain values only: a history of three lines is written by hand in the checker's tests.
"""

from typing import NamedTuple

from msgspec import Struct

from fanbell.schemas.records import Told
from tests.simulation.rules import Declared

NEVER = 1 << 60


class Op(Struct):
    """One activity or change, or one read mark, or new rules. `kind` is the activity's or the change's; `user` acts."""

    id: str
    kind: str
    user: str
    object: str = ""
    target: str | None = None
    mentions: tuple[str, ...] = ()
    scope: str | None = None
    aspect: str | None = None
    off: tuple[str, ...] = ()
    """Preferences: the kinds that the user wants no more (all others they do)."""
    long_way: bool = False
    """A change that was published as an activity: stage 1 passes it on, so it is in force once all has settled."""
    verb: str | None = None
    ids: tuple[str, ...] = ()
    """What was shown at `seqs`."""
    seqs: tuple[int, ...] = ()
    up_to: int | None = None
    expires_at: int | None = None
    rules: Declared | None = None
    """What new rules declare."""
    invoked: int = 0
    acked: int = NEVER
    settled: int = NEVER
    """From when on everything that came of it is out, and what comes later cannot change whether it is heard."""
    invoked_ms: int = 0
    settled_ms: int = NEVER
    """The same by the clock (Unix ms), by which things expire."""


class Shown(Struct, frozen=True):
    """One row of an inbox at the end, expired or not."""

    seq: int
    id: str
    kind: str
    reason: str
    object: str
    target: str | None
    count: int
    actors: tuple[str, ...]
    flags: int
    expires_at: int | None = None


class Reading(NamedTuple):
    """The newest page of an inbox as the product gave it at `at_ms`: seqs of its rows, and the counters beside them."""

    at_ms: int
    listed: tuple[int, ...]
    unread: int
    unseen: int


class Noticed(Struct, frozen=True):
    """One record of `notices` as it stands in the log. `saw`: ends of the log before and after its writer opened."""

    time: int
    offset: int
    record: Told
    saw: tuple[int, int] = (-1, -1)


class Pair(NamedTuple):
    """An output that carries its origin, as it stands in a log: repeats included."""

    time: int
    n: int
    index: int
    prev_n: int
    prev_index: int
    digest: bytes


class Moved(NamedTuple):
    """`stage`[`partition`] committed, or saved a snapshot of, everything up to and including `offset`."""

    time: int
    what: str
    stage: str
    partition: int
    offset: int


class History(Struct):
    ops: list[Op] = []
    inboxes: dict[str, list[Shown]] = {}
    read: dict[str, list[Reading]] = {}
    """user → what they were shown, at one time after the other"""
    notices: dict[int, list[Noticed]] = {}
    outputs: dict[tuple[str, int, str, int], list[Pair]] = {}
    """(stage, partition of the fold, topic, partition) → what it put out there, in the order of that log"""
    moved: list[Moved] = []
    expected: dict[tuple[str, int, str, int], list[tuple[int, int, bytes]]] = {}
    """The same as `outputs`, of one fold of the whole log that nothing ever disturbed: (n, index, digest)"""
    complaints: list[tuple[str, str]] = []
    """(what, detail) that the parts themselves, or those who watched the run, had to say"""
