"""What the projection made of `notices`: rows, marks and counters."""

from collections import Counter
from collections.abc import Iterator

from msgspec import structs

from fanbell.projections.store import ARCHIVED, CLICKED, READ, SEEN
from fanbell.schemas.codec import content_of
from fanbell.schemas.records import Mark, Notice, Retraction, Told, Update
from tests.simulation.check_log import taken
from tests.simulation.history import History, Reading, Shown
from tests.simulation.wrong import What, Wrong

SETS = {
    "read": (READ | SEEN, 0), "unread": (0, READ), "seen": (SEEN, 0), "archive": (ARCHIVED | READ | SEEN, 0),
    "unarchive": (0, ARCHIVED), "click": (CLICKED | READ | SEEN, 0),
}  # fmt: skip


def inboxes(history: History) -> Iterator[Wrong]:
    """Rows are what `notices` say, and counters are what rows say."""
    told: dict[str, dict[int, Shown]] = {}
    for noticed in history.notices.values():
        for one in taken(noticed):
            _tell(told, one.record)
    for user in sorted({*told, *history.inboxes}):
        rows = {row.seq: row for row in history.inboxes.get(user, ())}
        should = told.get(user, {})
        for seq in sorted({*rows, *should}):
            if seq not in rows:
                yield Wrong("lost", f"{user} has no row {seq}: {should[seq]}")
            elif seq not in should:
                yield Wrong("unwanted", f"{user} has a row {seq} that should not be: {rows[seq]}")
            elif rows[seq] != should[seq]:
                yield Wrong("differs", f"{user} has {rows[seq]}, not {should[seq]}")
        ids = Counter(row.id for row in rows.values())
        for id_ in (id_ for id_, count in ids.items() if count > 1):
            yield Wrong("twice", f"{user} has {id_} in several rows")
        for reading in history.read.get(user, ()):
            yield from _readings(user, reading, should)


def _readings(user: str, reading: Reading, should: dict[int, Shown]) -> Iterator[Wrong]:
    """The list shows what has not expired and is not archived, newest first, and the counters say the same."""
    shown = [
        row
        for row in should.values()
        if not row.flags & ARCHIVED and (row.expires_at is None or row.expires_at > reading.at_ms)
    ]
    listed = tuple(sorted((row.seq for row in shown), reverse=True))
    if reading.listed != listed:
        what: What = "unwanted" if set(reading.listed) - set(listed) else "lost"
        yield Wrong(what, f"{user} was shown {reading.listed} at {reading.at_ms}, not {listed}")
    counted = (sum(not row.flags & READ for row in shown), sum(not row.flags & SEEN for row in shown))
    if (reading.unread, reading.unseen) != counted:
        yield Wrong("counter drift", f"{user} was counted {reading}, unread and unseen are {counted}")


def _tell(told: dict[str, dict[int, Shown]], record: Told) -> None:
    if isinstance(record, Notice):
        content = content_of(record.content)
        for user in record.recipients:
            row = Shown(
                record.seq,
                content.id,
                content.kind,
                record.reason,
                content.object,
                content.target,
                1,
                (content.actor,),
                0,
                content.expires_at,
            )
            told.setdefault(user, {})[record.seq] = row
    elif isinstance(record, Update):
        for user in record.recipients:
            _tell_update(told.setdefault(user, {}), record)
    elif isinstance(record, Retraction):
        for user in record.recipients:
            told.setdefault(user, {}).pop(record.row_seq, None)
    elif isinstance(record, Mark):
        rows = told.setdefault(record.user, {})
        for seq, row in rows.items():
            if seq in record.row_seqs if record.up_to is None else seq <= record.up_to:
                rows[seq] = _flagged(row, _marked(row.flags, record.verb))


def _tell_update(rows: dict[int, Shown], update: Update) -> None:
    content, flags = content_of(update.content), 0
    if update.announces:
        rows.pop(update.prev_row_seq, None)
    elif update.prev_row_seq == -1:
        flags = READ | SEEN
    elif update.row_seq in rows:
        flags = rows[update.row_seq].flags
    else:
        return
    rows[update.row_seq] = Shown(
        update.row_seq, update.id, content.kind, update.reason, content.object, content.target,
        update.count, tuple(update.actors[:3]), flags, content.expires_at,
    )  # fmt: skip


def _flagged(row: Shown, flags: int) -> Shown:
    return structs.replace(row, flags=flags)


def _marked(flags: int, verb: str) -> int:
    sets, clears = SETS[verb]
    return (flags | sets) & ~clears


def marks(history: History) -> Iterator[Wrong]:
    """A row is marked as its reader marked what was shown there, and not otherwise."""
    restored = {
        (user, one.record.row_seq)
        for noticed in history.notices.values()
        for one in noticed
        if isinstance(one.record, Update) and not one.record.announces and one.record.prev_row_seq == -1
        for user in one.record.recipients
    }
    for user, rows in history.inboxes.items():
        ops = sorted(
            (op for op in history.ops if op.kind == "mark" and op.user == user), key=lambda op: op.invoked
        )
        for row in rows:
            flags = 0
            for op in ops:
                if row.seq in op.seqs and op.ids and op.ids[op.seqs.index(row.seq)] != row.id:
                    shown = op.ids[op.seqs.index(row.seq)]
                    yield Wrong("differs", f"{user} was shown {shown} at {row.seq}, where {row.id} is now")
                if row.seq in op.seqs or (op.up_to is not None and row.seq <= op.up_to):
                    flags = _marked(flags, op.verb or "")
            if flags != row.flags and (user, row.seq) not in restored:
                yield Wrong(
                    "counter drift",
                    f"{user}'s row {row.seq} has flags {row.flags}; what was marked there gives {flags}",
                )
