"""Stage 2: who hears of it, within one shard.

One partition of `routed` in, the same partition of `notices` out: commands joined with the followers, mutes, blocks and
preferences of the recipients who live here. Records carry many recipients; nothing here is done once per recipient but
joining their names.
"""

import heapq
from typing import Any, ClassVar, Final

import msgspec
from pyroaring import BitMap

from fanbell.schemas.by_hand import (
    notice_bytes,
    outcome_bytes,
    recipients_bytes,
    recipients_of,
    update_bytes,
    with_recipients,
)
from fanbell.schemas.codec import (
    HEADER_BYTES,
    HEADERS,
    Undecodable,
    decode,
    encode,
    encode_body,
    pack,
    zigzag,
)
from fanbell.schemas.limits import RECORD_BYTES_MAX
from fanbell.schemas.records import (
    Change,
    Command,
    Content,
    Dead,
    Mark,
    Notice,
    Outcome,
    Retraction,
    Rules,
    Silenced,
    Tick,
    Update,
    Wish,
)
from fanbell.schemas.topics import DEAD, NOTICES, ROUTED
from fanbell.streams.core import sets
from fanbell.streams.core.asked import REASON_BYTES, Asked, Happening, asked_of, happening
from fanbell.streams.core.changes import fault_of
from fanbell.streams.core.fold import NONE_YET, Output, Taken, Versions, effective_ms, number, pair_bytes
from fanbell.streams.core.graph import Followers, Graph
from fanbell.streams.core.groups import Group, Key
from fanbell.streams.core.hears import Asking, hears
from fanbell.streams.core.sets import Ordinals, bitmap, each, packed
from fanbell.streams.core.slices import Steps, finished
from fanbell.streams.core.told import Book, Single
from fanbell.streams.log import Record

_COMMAND: Final = HEADERS[Command]
_BYTES_MAX: Final = RECORD_BYTES_MAX - 4 * 1024  # leaves room for what a notice has beside content and names
_UNSTAMPED: Final = (0, 0, 0, 0, 0)  # n, index, prev_n, prev_index, seq: known when the record goes out
COHORT_MAX: Final = (
    1_700  # members of a cohort: as many names as fit into one record beside the largest content
)


class FanOut:
    """One shard."""

    stage: ClassVar[str] = "fan_out"

    def __init__(self, partition: int, values: bool = False) -> None:
        self.partition = partition
        self._values = values
        """Whether outputs come with what they encode"""
        self.clock_ms = 0
        self.seq = 0
        self.versions = Versions()
        self.graph = Graph()
        self.book = Book()
        self.pending: list[tuple[int, int, int, Group]] = []
        """(due, place among those of one moment, born, group), a heap; entries that are true no more are passed over"""
        self.read_up_to: dict[int, int] = {}
        """ordinal → seq up to which everything was marked read or archived"""
        self.taken = Taken()
        self.last = NONE_YET
        self._last_bytes = pair_bytes(*NONE_YET)
        self.told = 0
        """Notifications put out since opening; a gauge, no state."""
        self._queued = 0
        self._out: list[Output] = []
        self._n = 0
        self._record = Record(0, b"", 0)

    @property
    def fold_version(self) -> int:
        return self.versions.fold_version

    # The step, and what each sort of record does

    def step(self, record: Record) -> list[Output]:
        self._out, self._n, self._record = [], record.offset, record
        value = record.value
        try:
            if value.startswith(_COMMAND):
                new, at = self.taken.take(value, HEADER_BYTES)
                if new:
                    self._command(asked_of(value[at:]))
                return self._out
            item = decode(value)
        except (Undecodable, IndexError) as error:
            self._advance(record.timestamp_ms)
            self._dead("undecodable", str(error))
            return self._out
        if type(item) is Change:
            self._advance(effective_ms(item.occurred_at, record.timestamp_ms))
            self._change(item)
        elif type(item) is Rules:  # they are of no time: history may be older than they are
            self.versions.take(item)
        elif type(item) is Tick:
            self._advance(item.time_ms)
        else:
            self._advance(record.timestamp_ms)
            self._dead("misplaced", f"a {type(item).__name__} does not belong into {ROUTED}")
        return self._out

    def numbers(self) -> dict[str, int]:
        return {}

    def due_ms(self) -> int | None:
        while self.pending and not self._is_due(self.pending[0]):
            heapq.heappop(self.pending)
        return self.pending[0][0] if self.pending else None

    def _advance(self, own_ms: int) -> None:
        """Move fold time; updates whose time has come go out, before anything else happens."""
        if own_ms > self.clock_ms:
            self.clock_ms = own_ms
        pending = self.pending
        while pending and pending[0][0] <= self.clock_ms:
            entry = heapq.heappop(pending)
            if self._is_due(entry):
                self._update(entry[3], entry[0])

    @staticmethod
    def _is_due(entry: tuple[int, int, int, Group]) -> bool:
        return entry[3].pending and entry[3].queued == entry[1]

    def _command(self, asked: Asked) -> None:
        if asked.time_ms > self.clock_ms or self.pending:
            self._advance(asked.time_ms)
        what = asked.what
        if what is None:
            assert asked.change is not None
            self._change(asked.change)
        elif asked.op == "announce":
            kind = self.versions.get(asked.rules).kinds[what.content.kind]
            audiences = asked.audiences
            if len(audiences) == 1 and audiences[0][1] is not None:
                followers = self.graph.followers_of(audiences[0][1])
                if followers is not None:
                    self._announce_to_followers(Asking(what, kind, self.clock_ms), audiences[0][0], followers)
            elif found := self._audiences(asked):
                self._announce(Asking(what, kind, self.clock_ms), found)
        elif asked.op == "undo":
            self._undo(what.content.kind, what.content.actor, what.content.object)
        elif asked.op == "retract":
            self._retract_entity(what.content.object)
        else:
            self._outcome(what.content.id, 0, [Silenced(asked.why or "dropped", 1)])

    def _audiences(self, asked: Asked) -> list[tuple[str, BitMap]]:
        """Those of this shard whom the command concerns, by reason, strongest first."""
        audiences = []
        for reason, followed, users in asked.audiences:
            if followed is not None:
                followers = self.graph.followers_of(followed)
                if followers is not None:
                    audiences.append((reason, followers.ordinals))
            else:
                ordinal = self.graph.names.ordinal
                audiences.append((reason, BitMap([ordinal(user) for user in users])))
        return audiences

    # Telling

    def _announce_to_followers(self, asking: Asking, reason: str, followers: Followers) -> None:
        """`_announce` where followers are all the audience, as they are for most of what is told."""
        hearing, silenced = hears(self.graph, asking, followers.ordinals)
        grouped = asking.kind.groups_by is not None
        if hearing and grouped:
            self._grow(asking, reason, hearing)
        elif hearing is followers.ordinals and len(followers.names) + len(asking.what.data) <= _BYTES_MAX:
            self._put_notice(asking.what, reason, followers.members, followers.names, followers.count)
        elif hearing:
            self._notice(asking.what, reason, hearing)
        if silenced or (grouped and hearing):
            self._outcome(asking.what.content.id, len(hearing) if grouped else 0, silenced)

    def _announce(self, asking: Asking, audiences: list[tuple[str, BitMap]]) -> None:
        """Tell those of the audiences who hear: each once, for the strongest reason, which comes first."""
        audience = audiences[0][1]
        for _, some in audiences[1:]:
            audience = audience | some
        hearing, silenced = hears(self.graph, asking, audience)
        grouped, folded = asking.kind.groups_by is not None, 0
        for reason, some in audiences:
            if not hearing:
                break
            told = some & hearing if len(audiences) > 1 else hearing
            if not told:
                continue
            if grouped and reason != "mention":
                folded += len(told)
                self._grow(asking, reason, told)
            else:
                self._notice(asking.what, reason, told)
            if len(audiences) > 1:
                hearing = hearing - told
        if folded or silenced:
            self._outcome(asking.what.content.id, folded, silenced)

    def _notice(self, what: Happening, reason: str, told: BitMap) -> None:
        """Tell `told`, in as many records as it takes."""
        names = self.graph.names.packed
        chunk: list[int] = []
        size = len(what.data)
        for ordinal in told:
            size += len(names[ordinal])
            if size > _BYTES_MAX:
                self._notice_chunk(what, reason, chunk)
                chunk, size = [], len(what.data) + len(names[ordinal])
            chunk.append(ordinal)
        self._notice_chunk(what, reason, chunk)

    def _notice_chunk(self, what: Happening, reason: str, ordinals: list[int]) -> None:
        names = self.graph.names.packed
        count = len(ordinals)
        recipients = recipients_bytes([names[ordinal] for ordinal in ordinals])
        self._put_notice(what, reason, packed(ordinals, count), recipients, count)

    def _put_notice(
        self, what: Happening, reason: str, told: Ordinals, recipients: bytes, count: int
    ) -> None:
        prev = self.last
        value = notice_bytes(self._stamp(), REASON_BYTES[reason], what.field, recipients)
        notice = None
        if self._values:
            notice = Notice(*self.last, *prev, self.seq, reason, what.data, recipients_of(recipients))
        self._emit(value, notice)
        self.told += count
        content = what.content
        single = Single(
            content.id, content.kind, content.actor, content.object, content.target, self.seq, told
        )
        self.book.put_single(single, self.versions.newest.limits.told)

    def _outcome(self, id_: str, heard: int, silenced: list[Silenced]) -> None:
        prev = self.last
        value = outcome_bytes(self._stamp(), id_, heard, silenced)
        self._emit(
            value, Outcome(*self.last, *prev, self.seq, id_, heard, silenced) if self._values else None
        )

    # Groups

    def _grow(self, asking: Asking, reason: str, told: BitMap) -> None:
        """Put the activity into the open groups of those who are told; open one for those who have none."""
        content, kind = asking.what.content, asking.kind
        value = {"object": content.object, "target": content.target or "", "recipient": ""}[
            kind.groups_by or ""
        ]
        if kind.groups_by == "recipient":
            for ordinal in told:
                self._grow_key((kind.name, reason, value, ordinal), asking, BitMap((ordinal,)))
        else:
            self._grow_key((kind.name, reason, value, -1), asking, told)

    def _grow_key(self, key: Key, asking: Asking, told: BitMap) -> None:
        what, kind = asking.what, asking.kind
        content = what.content
        cohorts = self.book.open.get(key)
        rest = told
        if cohorts is not None:
            self._close_read(cohorts)
            cohorts[:] = [group for group in cohorts if group.takes(self.clock_ms)]
            for group in list(cohorts):
                members = bitmap(group.members)
                here = members & rest
                if here:
                    rest = rest - here
                    if len(here) < len(members):
                        group = self._split(group, here)
                        cohorts.append(group)
                    self._join(group, what)
        else:
            cohorts = self.book.open[key] = []
        limits = self.versions.newest.limits
        while rest:
            some = rest if len(rest) <= COHORT_MAX else rest[:COHORT_MAX]
            rest = rest - some
            group = Group(
                id=content.id, key=key, members=packed(some, len(some)), created_ms=content.at_ms,
                opened_ms=self.clock_ms, window_ms=kind.window_ms or limits.window_ms,
                pace_ms=limits.update_every_ms, actors_max=limits.group_actors, content=what.data, parts={},
            )  # fmt: skip
            group.join(content.actor, content.object, what.data)
            cohorts.append(group)
            self.book.put_group(group, limits.told)
            self._update(group, self.clock_ms)

    def _join(self, group: Group, what: Happening) -> None:
        content = what.content
        if group.has(content.actor, content.object):
            return  # said again: it is in the row already
        group.join(content.actor, content.object, what.data)
        self.book.grew(group, content.actor, content.object)
        self._changed(group)

    def _close_read(self, cohorts: list[Group]) -> None:
        """Those who marked everything read since the group's last news have closed it."""
        if not self.read_up_to:
            return
        for group in list(cohorts):
            if group.open and not group.fresh:
                read = [
                    ordinal
                    for ordinal in bitmap(group.members)
                    if self.read_up_to.get(ordinal, -1) >= group.row_seq
                ]
                if read:
                    self._close(group, BitMap(read))

    def _close(self, group: Group, ordinals: BitMap) -> None:
        """The group takes in nothing more for these members."""
        if len(ordinals) < len(each(group.members)):
            group = self._split(group, ordinals)
        group.open = False

    def _read(self, group: Group, ordinal: int) -> None:
        """The recipient has read the row as it stands: that closes the group, unless something new is on its way."""
        if not group.fresh:
            self._close(group, BitMap((ordinal,)))
            return
        if len(each(group.members)) > 1:
            group = self._split(group, BitMap((ordinal,)))
            self.book.open.setdefault(group.key, []).append(group)
        group.read = True

    def _split(self, group: Group, ordinals: BitMap) -> Group:
        cohort = group.split(ordinals)
        self.book.put_group(cohort, self.versions.newest.limits.told)
        if cohort.pending:
            self._enqueue(cohort)
        return cohort

    def _changed(self, group: Group) -> None:
        """Let the group's recipients know: at once, or when its last update is `pace_ms` old."""
        if not group.parts:
            group.pending = False
            if not group.retracted:
                group.retracted = True
                self._retract(group.id, group.row_seq, "undo", bitmap(group.members))
        elif self.clock_ms - group.out_ms >= group.pace_ms:
            self._update(group, self.clock_ms)
        elif not group.pending:
            group.pending = True
            self._queued += 1
            group.queued = self._queued
            self._enqueue(group)

    def _enqueue(self, group: Group) -> None:
        heapq.heappush(self.pending, (group.out_ms + group.pace_ms, group.queued, group.born, group))

    def _update(self, group: Group, at_ms: int) -> None:
        """Let the recipients know how the group stands. `at_ms`: now, or when it was due, whatever woke us since."""
        announces = bool(group.fresh)
        prev_row_seq = -1 if group.retracted else group.row_seq
        row_seq = self.seq + 1 if announces else group.row_seq
        members = each(group.members)
        self.told += len(members)
        names = self.graph.names.packed
        update = Update(
            *_UNSTAMPED, group.id, group.reason, row_seq, prev_row_seq, announces, len(group.parts), group.latest(),
            group.created_ms, group.content, [],
        )  # fmt: skip
        recipients = recipients_bytes([names[ordinal] for ordinal in members])
        update.prev_n, update.prev_index = self.last
        value = update_bytes(self._stamp(), update, recipients)
        if self._values:
            (update.n, update.index), update.seq = self.last, self.seq
            update.recipients = recipients_of(recipients)
        self._emit(value, update if self._values else None)
        group.row_seq, group.out_ms = row_seq, at_ms
        group.read = group.read and not announces
        group.fresh = {}
        group.pending = group.retracted = False

    # Taking back

    def _undo(self, kind: str, actor: str, object_: str) -> None:
        for told in self.book.of_entity(object_):
            if told.kind != kind:
                continue
            if isinstance(told, Group):
                self._leave(told, [(actor, object_)])
            elif told.actor == actor and told.object == object_:
                self._retract_single(told, "undo")

    def _retract_entity(self, entity: str) -> None:
        for told in self.book.of_entity(entity):
            if isinstance(told, Single):
                self._retract_single(told, "delete")
            elif told.key[2] == entity:
                self._retract_group(told, "delete")
            else:
                self._leave(told, [(actor, entity) for actor in told.parts])

    def _leave(self, group: Group, parts: list[tuple[str, str]]) -> None:
        left = [part for part in parts if group.leave(*part)]
        if left:
            self.book.left(group, left)
            self._changed(group)

    def _retract_single(self, told: Single, why: str) -> None:
        told.gone = True
        self._retract(told.id, told.seq, why, bitmap(told.members))

    def _retract_group(self, group: Group, why: str) -> None:
        group.open = group.pending = False
        if not group.retracted:
            group.retracted = True
            self._retract(group.id, group.row_seq, why, bitmap(group.members))
        parts = [(actor, object_) for actor, objects in group.parts.items() for object_ in objects]
        group.parts, group.undone = {}, {}
        self.book.left(group, parts)

    def _retract_from(self, ordinal: int, actor: str) -> None:
        """Take back one recipient's rows whose only actor is `actor`."""
        for told in self.book.of_actor(actor):
            if not sets.contains(told.members, ordinal):
                continue
            if isinstance(told, Group):
                if list(told.parts) == [actor]:
                    one = BitMap((ordinal,))
                    self._retract_group(
                        told if len(each(told.members)) == 1 else self._split(told, one), "block"
                    )
            elif told.actor == actor:
                self._retract(told.id, told.seq, "block", BitMap((ordinal,)))
                rest = bitmap(told.members) - BitMap((ordinal,))
                told.gone = not rest
                if rest:
                    told.members = packed(rest, len(rest))

    def _retract(self, id_: str, row_seq: int, why: str, members: BitMap) -> None:
        names = self.graph.names.packed
        self._emit_to(Retraction(*_UNSTAMPED, id_, row_seq, why, []), [names[ordinal] for ordinal in members])

    # Changes

    def _change(self, change: Change) -> None:
        fault = fault_of(change)
        if fault is not None:
            self._dead("invalid", fault)
            return
        own, other = change.side != "other", change.side != "user"
        user = pack(change.user)
        if change.kind == "mark":
            self._mark(change, user)
        elif change.kind == "preferences":
            if self.graph.wishes.replace(self.graph.names.ordinal(user), change.preferences or ()):
                self._wish(change)
        elif change.kind == "profile" or change.object is None:  # all else has an object
            self._wish(change)
        elif change.kind in ("mute", "unmute"):
            self._mute(change, user, pack(change.object))
        elif change.kind == "follow":
            if own and self.graph.follow(user, pack(change.object)):
                self._wish(change)
            if other and self.graph.announce_follow(user, pack(change.object)):
                self._announce_follow(change)
        elif change.kind == "unfollow":
            if own and self.graph.unfollow(user, pack(change.object)):
                self._wish(change)
            if other and self.graph.forget_follow(user, pack(change.object)):
                self._undo("follow", change.user, change.object)
        else:
            self._block(change, user, pack(change.object), own, other)

    def _announce_follow(self, change: Change) -> None:
        kind = self.versions.newest.kinds.get("follow")
        if kind is None or not kind.audience:
            return
        followed = change.object or ""
        at_ms = effective_ms(change.occurred_at, self._record.timestamp_ms)
        expires_at = None if kind.expires_after_ms is None else at_ms + kind.expires_after_ms
        content = Content(
            change.id,
            "follow",
            change.user,
            followed,
            None,
            None,
            None,
            None,
            kind.importance,
            at_ms,
            expires_at,
        )
        audiences = [(kind.audience[0][1], BitMap((self.graph.names.ordinal(pack(followed)),)))]
        self._announce(Asking(happening(content, encode_body(content)), kind, self.clock_ms), audiences)

    def _mute(self, change: Change, user: bytes, what: bytes) -> None:
        aspect = change.aspect or "author"
        changed = (self.graph.mute if change.kind == "mute" else self.graph.unmute)(user, aspect, what)
        if changed:
            self._wish(change)

    def _block(self, change: Change, user: bytes, blocked: bytes, own: bool, other: bool) -> None:
        graph = self.graph
        if own:
            ordinal = graph.names.ordinal(user)
            if change.kind == "unblock":
                if graph.discard(graph.blocked_by, blocked, ordinal):
                    self._wish(change)
            elif graph.add(graph.blocked_by, blocked, ordinal):
                graph.unfollow(user, blocked)
                graph.forget_follow(blocked, user)
                self._wish(msgspec.structs.replace(change, side="user"))
                self._retract_from(ordinal, change.object or "")
        if other:
            ordinal = graph.names.ordinal(blocked)
            if change.kind == "unblock":
                graph.discard(graph.blocking, user, ordinal)
            elif graph.add(graph.blocking, user, ordinal):
                graph.forget_follow(user, blocked)
                if graph.unfollow(blocked, user):
                    self._wish(msgspec.structs.replace(change, side="other"))

    def _mark(self, change: Change, user: bytes) -> None:
        """Marks take effect on rows as they were shown; read and archive close the groups that they show whole."""
        ordinal = self.graph.names.known(user)
        if ordinal is not None and change.verb in ("read", "archive", "click"):
            if change.up_to is not None:
                self.read_up_to[ordinal] = max(min(change.up_to, self.seq), self.read_up_to.get(ordinal, -1))
            for id_, seq in zip(change.ids, change.seqs, strict=False):
                for group in list(self.book.groups.get(id_, ())):
                    if group.open and group.row_seq == seq and sets.contains(group.members, ordinal):
                        self._read(group, ordinal)
        self._emit_record(
            Mark(*_UNSTAMPED, change.user, change.verb or "", change.ids, change.seqs, change.up_to)
        )

    def _wish(self, change: Change) -> None:
        self._emit_record(Wish(*_UNSTAMPED, encode_body(change)))

    # Output

    def _stamp(self) -> bytes:
        """n, index, the pair before, seq: what the next record of `notices` begins with."""
        index = len(self._out)
        pair = zigzag(self._n) + number(index)
        self.seq += 1
        numbers = pair + self._last_bytes + zigzag(self.seq)
        self.last, self._last_bytes = (self._n, index), pair
        return numbers

    def _emit_record(self, record: Any) -> None:
        self._number(record)
        self._emit(encode(record))

    def _emit_to(self, record: Retraction, names: list[bytes]) -> None:
        """Put out a retraction; for more names than one record holds, several."""
        for at in range(0, len(names), COHORT_MAX):
            some = names[at : at + COHORT_MAX]
            self._number(record)
            self._emit(with_recipients(encode(record), some))

    def _number(self, record: Any) -> None:
        """What `_stamp` says, as fields of a record that is encoded whole."""
        record.prev_n, record.prev_index = self.last
        self._stamp()
        record.n, record.index = self.last
        record.seq = self.seq

    def _emit(self, value: bytes, told: Notice | Update | Outcome | None = None) -> None:
        self._out.append(Output(NOTICES, self.partition, value, self._n, len(self._out), told))

    def _dead(self, reason: str, detail: str) -> None:
        index = len(self._out)
        dead = Dead(
            ROUTED,
            self.partition,
            self._n,
            index,
            self._n,
            "",
            reason,
            detail,
            self.clock_ms,
            self._record.value,
        )
        self._out.append(Output(DEAD, 0, encode(dead), self._n, index))

    # Snapshots

    def dump(self) -> bytes:
        return finished(self.dumping())

    def dumping(self) -> Steps[bytes]:
        book = yield from self.book.dumping()
        waiting = sorted(filter(self._is_due, self.pending), key=lambda entry: entry[:3])
        known = {told.born for told in self.book.order if isinstance(told, Group)} if waiting else ()
        return msgspec.msgpack.encode(
            {
                "clock_ms": self.clock_ms,
                "seq": self.seq,
                "rules": self.versions.dump(),
                "graph": self.graph.dump(),
                "book": book,
                "open": [
                    [*key, [group.born for group in cohorts if group.open]]
                    for key, cohorts in self.book.open.items()
                ],
                "pending": [list(entry[:3]) for entry in waiting],
                # Forgotten by the book, and yet with news that must go out
                "forgotten": [entry[3].dump() for entry in waiting if entry[2] not in known],
                "read_up_to": self.read_up_to,
                "taken": self.taken.dump(),
                "last": self.last,
                "queued": self._queued,
            }
        )

    @classmethod
    def load(cls, partition: int, data: bytes, values: bool = False) -> "FanOut":
        tree = msgspec.msgpack.decode(data, strict=False)
        made = cls(partition, values)
        made.clock_ms, made.seq, made._queued = tree["clock_ms"], tree["seq"], tree["queued"]
        made.versions = Versions.load(tree["rules"])
        made.graph = Graph.load(tree["graph"])
        made.book = Book.load(tree["book"])
        groups = {told.born: told for told in made.book.order if isinstance(told, Group)}
        for kind, reason, value, ordinal, born in tree["open"]:
            made.book.open[kind, reason, value, ordinal] = [
                groups[number] for number in born if number in groups
            ]
        groups |= {group.born: group for group in map(Group.load, tree["forgotten"])}
        made.pending = [(due, queued, born, groups[born]) for due, queued, born in tree["pending"]]
        made.read_up_to = tree["read_up_to"]
        made.taken = Taken.load(tree["taken"])
        made.last = tuple(tree["last"])
        made._last_bytes = pair_bytes(*made.last)
        return made
