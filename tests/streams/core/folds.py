"""One fold at a time, fed by hand: what the tests of its parts share."""

from typing import Any

from fanbell.schemas.codec import content_of, decode, decode_body, encode, encode_body
from fanbell.schemas.records import (
    Ask,
    Audience,
    Change,
    Command,
    Content,
    Dead,
    Fact,
    Forward,
    Mark,
    Notice,
    Outcome,
    Retraction,
    Rules,
    Tick,
    Update,
    Wish,
)
from fanbell.streams.core.fan_out import FanOut
from fanbell.streams.core.kinds import FOLD_VERSION, default_source
from fanbell.streams.core.route import Route
from fanbell.streams.log import Record

NOW_MS = 1_760_000_000_000
SECOND_MS = 1_000


def limited(**limits: int) -> str:
    """The rules that ship, with other limits."""
    lines = "".join(f"{name} = {value}\n" for name, value in limits.items())
    source = default_source()
    return f"[limits]\n{lines}{source[source.index('[locales.en]') :]}"


class _Fed:
    """A fold that takes what it is given as the next record. `now` is the time of appending."""

    def __init__(self, fold: Any, rules: str) -> None:
        self.fold, self.now, self.offset = fold, NOW_MS, 0
        self.put(Rules(1, FOLD_VERSION, rules, NOW_MS))

    def put(self, record: Any) -> list[Any]:
        return self.put_bytes(encode(record))

    def put_bytes(self, value: bytes) -> list[Any]:
        """What comes out, decoded."""
        self.outputs = self.fold.step(Record(self.offset, value, self.now))
        self.offset += 1
        decoded = [decode(output.value) for output in self.outputs]
        for output, record in zip(self.outputs, decoded, strict=True):
            assert output.told in (None, record), "what is handed over is what is written"
        return decoded

    def after(self, seconds: float) -> list[Any]:
        """What comes out once so much time has passed."""
        self.now += int(seconds * SECOND_MS)
        return self.put(Tick(self.now))


class Entities(_Fed):
    """Stage 1 of one partition of `partitions`. Its own facts and forwards come back to it."""

    def __init__(self, rules: str = default_source(), partition: int = 0, partitions: int = 1) -> None:
        super().__init__(Route(partition, partitions), rules)

    def publish(self, *activities: Any) -> list[Any]:
        """What is asked of the shards, and dead letters, in order."""
        out: list[Any] = []
        for activity in activities:
            fresh = self.put(activity)
            while fresh:
                item = fresh.pop(0)
                if type(item) in (Fact, Forward) and self.fold.partitions == 1:
                    fresh += self.put(item)
                else:
                    out.append(item.ask if type(item) is Command else item)
        return out


def concerned(out: list[Any]) -> dict[str, set[str]]:
    """Whom the announcements among `out` concern, by reason; `follows X` for the followers of X."""
    found: dict[str, set[str]] = {}
    for ask in out:
        if type(ask) is Ask and ask.op == "announce":
            for audience in ask.audiences:
                users = {f"follows {audience.followers_of}"} if audience.followers_of else set(audience.users)
                found.setdefault(audience.reason, set()).update(users)
    return found


def reasons(out: list[Any]) -> list[tuple[str, str]]:
    """(activity, reason) of the dead letters among `out`."""
    return [(dead.id, dead.reason) for dead in out if type(dead) is Dead]


def dropped(out: list[Any]) -> list[tuple[str, str | None]]:
    """(activity, why) of what was dropped."""
    return [(content_of(ask.content).id, ask.why) for ask in out if type(ask) is Ask and ask.op == "drop"]


class Shard(_Fed):
    """Stage 2 of one partition; all its commands come from one source."""

    def __init__(self, rules: str = default_source()) -> None:
        self.last = (-1, -1)
        self.asked = 0
        super().__init__(FanOut(0, values=True), rules)

    def follow(self, *users: str, followed: str = "ana") -> None:
        for user in users:
            self.change("follow", user, followed, side="user")

    def change(self, kind: str, user: str, object_: str | None = None, **fields: Any) -> list[Any]:
        return self.put(Change(f"x{self.offset}", kind, user, object=object_, **fields))

    def ask(
        self, op: str, content: Content, *audiences: Audience, why: str | None = None, rules: int = 1
    ) -> list[Any]:
        self.asked += 1
        prev, self.last = self.last, (self.asked, 0)
        ask = Ask(rules, self.now, op, why, encode_body(content), list(audiences))
        return self.put(Command(0, *self.last, *prev, ask))

    def tell(
        self, id_: str, kind: str, actor: str, object_: str, *audiences: Audience, **fields: Any
    ) -> list[Any]:
        return self.ask("announce", self.content(id_, kind, actor, object_, **fields), *audiences)

    def like(self, id_: str, actor: str, *owners: str, object_: str = "p") -> list[Any]:
        return self.tell(id_, "like", actor, object_, Audience("like", None, list(owners or ("bob",))))

    def post(self, id_: str, actor: str, object_: str, **fields: Any) -> list[Any]:
        return self.tell(id_, "post", actor, object_, Audience("post", actor), **fields)

    def undo(self, kind: str, actor: str, object_: str = "p") -> list[Any]:
        return self.ask("undo", self.content(f"undo{self.offset}", kind, actor, object_))

    def delete(self, entity: str) -> list[Any]:
        return self.ask("retract", self.content(f"delete{self.offset}", "delete", "ana", entity))

    def mark(self, user: str, verb: str, *shown: tuple[str, int], up_to: int | None = None) -> list[Any]:
        ids, seqs = [id_ for id_, _ in shown], [seq for _, seq in shown]
        return self.change("mark", user, verb=verb, ids=ids, seqs=seqs, up_to=up_to)

    def content(self, id_: str, kind: str, actor: str, object_: str, **fields: Any) -> Content:
        given = {
            "target": None,
            "thread": None,
            "scope": None,
            "data": None,
            "importance": None,
            "expires_at": None,
        } | fields
        return Content(id_, kind, actor, object_, at_ms=self.now, **given)

    def reopened(self) -> "Shard":
        """The same, out of a snapshot."""
        made = Shard()
        made.fold = FanOut.load(0, self.fold.dump(), values=True)
        made.now, made.offset, made.last, made.asked = self.now, self.offset, self.last, self.asked
        return made


def told(out: list[Any]) -> list[tuple[Any, ...]]:
    """The records among `out` that change inboxes, as short as a test can read them.

    ("new", id, users), ("grew" or "quiet", id, count, actors, users), ("gone", row seq, users), ("mark", verb).
    """
    found: list[tuple[Any, ...]] = []
    for record in out:
        if type(record) is Notice:
            found.append(("new", content_of(record.content).id, record.recipients))
        elif type(record) is Update:
            how = "grew" if record.announces else "quiet"
            found.append((how, record.id, record.count, record.actors, record.recipients))
        elif type(record) is Retraction:
            found.append(("gone", record.row_seq, record.recipients))
        elif type(record) is Mark:
            found.append(("mark", record.verb))
    return found


def silenced(out: list[Any]) -> list[tuple[str, int]]:
    """(rule, how many) of the outcomes among `out`."""
    return [(item.rule, item.count) for record in out if type(record) is Outcome for item in record.silenced]


def wishes(out: list[Any]) -> list[tuple[str, str, str]]:
    """(kind, user, side) of the changes that took effect."""
    changes = [decode_body(Change, record.change) for record in out if type(record) is Wish]
    return [(change.kind, change.user, change.side) for change in changes]
