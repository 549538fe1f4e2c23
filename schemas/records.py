"""The classes of the records, one per Avro file. What a field means is said there, in `avro/*.avsc`."""

from typing import Final, Literal

from msgspec import Struct

Side = Literal["user", "other", "both"]
Op = Literal["announce", "undo", "retract", "drop", "change"]


class Activity(Struct, gc=False):
    id: str
    kind: str
    actor: str
    object: str
    owner: str | None = None
    target: str | None = None
    thread: str | None = None
    scope: str | None = None
    mentions: list[str] = []
    recipients: list[str] = []
    data: bytes | None = None
    importance: str | None = None
    occurred_at: int | None = None
    deliver_at: int | None = None
    expires_at: int | None = None
    by_operator: bool = False


class Fact(Struct, gc=False):
    source: int
    n: int
    index: int
    prev_n: int
    prev_index: int
    entity: str
    owner: str
    thread: str
    time_ms: int


class Forward(Struct, gc=False):
    source: int
    n: int
    index: int
    prev_n: int
    prev_index: int
    owner: str
    thread: str
    time_ms: int
    rules: int
    activity: bytes


class Stray(Struct, gc=False):
    source: int
    n: int
    index: int
    prev_n: int
    prev_index: int
    appended_ms: int
    value: bytes


class Rules(Struct, gc=False):
    version: int
    fold_version: int
    source: str
    time_ms: int


class Tick(Struct, gc=False):
    time_ms: int


class Preference(Struct, gc=False, frozen=True):
    kind: str
    channel: str
    scope: str
    value: str


class Change(Struct, gc=False):
    id: str
    kind: str
    user: str
    side: Side = "both"
    object: str | None = None
    aspect: str | None = None
    preferences: list[Preference] | None = None
    name: str | None = None
    avatar_url: str | None = None
    locale: str | None = None
    timezone: str | None = None
    verb: str | None = None
    ids: list[str] = []
    seqs: list[int] = []
    up_to: int | None = None
    occurred_at: int | None = None


class Content(Struct, gc=False):
    id: str
    kind: str
    actor: str
    object: str
    target: str | None
    thread: str | None
    scope: str | None
    data: bytes | None
    importance: str | None
    at_ms: int
    expires_at: int | None


class Audience(Struct, gc=False):
    reason: str
    followers_of: str | None = None
    users: list[str] = []


class Ask(Struct, gc=False):
    rules: int
    time_ms: int
    op: Op
    why: str | None
    content: bytes
    audiences: list[Audience]


class Command(Struct, gc=False):
    source: int
    n: int
    index: int
    prev_n: int
    prev_index: int
    ask: Ask


class Silenced(Struct, gc=False, frozen=True):
    rule: str
    count: int


class Notice(Struct, gc=False, tag=True, array_like=True):
    n: int
    index: int
    prev_n: int
    prev_index: int
    seq: int
    reason: str
    content: bytes
    recipients: list[str]


class Update(Struct, gc=False, tag=True, array_like=True):
    n: int
    index: int
    prev_n: int
    prev_index: int
    seq: int
    id: str
    reason: str
    row_seq: int
    prev_row_seq: int
    announces: bool
    count: int
    actors: list[str]
    created_ms: int
    content: bytes
    recipients: list[str]


class Retraction(Struct, gc=False):
    n: int
    index: int
    prev_n: int
    prev_index: int
    seq: int
    id: str
    row_seq: int
    why: str
    recipients: list[str]


class Mark(Struct, gc=False):
    n: int
    index: int
    prev_n: int
    prev_index: int
    seq: int
    user: str
    verb: str
    ids: list[str]
    row_seqs: list[int]
    up_to: int | None


class Wish(Struct, gc=False):
    n: int
    index: int
    prev_n: int
    prev_index: int
    seq: int
    change: bytes


class Outcome(Struct, gc=False, tag=True, array_like=True):
    n: int
    index: int
    prev_n: int
    prev_index: int
    seq: int
    id: str
    heard: int
    silenced: list[Silenced]


class Dead(Struct, gc=False):
    topic: str
    partition: int
    offset: int
    index: int
    n: int
    id: str
    reason: str
    detail: str
    time_ms: int
    value: bytes


class Present(Struct, gc=False, frozen=True):
    user: str
    devices: int
    since_ms: int
    active_ms: int


class Presence(Struct, gc=False):
    edge: str
    life: int
    number: int
    time_ms: int
    lease_ms: int
    here: list[Present]
    gone: list[str]


Told = Notice | Update | Retraction | Mark | Wish | Outcome
"""What the topic `notices` carries."""

RECORDS: Final[tuple[type[Struct], ...]] = (
    Activity, Fact, Forward, Stray, Rules, Tick, Preference, Change, Content, Audience, Ask, Command,
    Silenced, Notice, Update, Retraction, Mark, Wish, Outcome, Dead, Present, Presence,
)  # fmt: skip
