"""The embedded backend: real files, real threads."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fanbell.edge.backend import Busy, Conflict
from fanbell.infra import embedded
from fanbell.infra.embedded import Embedded
from fanbell.infra.folder import DataFolder
from fanbell.infra.intake import Intake, run
from fanbell.infra.settings import Settings
from fanbell.schemas.records import Activity, Change
from fanbell.streams.core.kinds import BadRules, default_source
from fanbell.streams.folds import Folds
from fanbell.streams.log import Record
from fanbell.streams.log_sqlite import SqliteLog
from fanbell.streams.replica import LogShort
from fanbell.streams.sqlite import DatabaseFailed, open_database

JOB = '\n[kinds.job]\ncreates = true\naudience = [{ to = "followers_of_scope", reason = "post" }]\n'
Story = Callable[[Embedded], Awaitable[None]]


def live(folder: Path, story: Story, **settings: object) -> None:
    """Tell `story` to a backend over `folder`, from its start to its end."""

    async def main() -> None:
        backend = Embedded(Settings(data=folder, **settings))  # type: ignore[arg-type]
        try:
            await backend.start()
            await story(backend)
        finally:
            await backend.stop()

    asyncio.run(main())


async def follow_and_post(backend: Embedded) -> None:
    await backend.change([Change("f", "follow", "bob", object="ana")])
    await backend.publish([Activity("a1", "post", "ana", "p1")])
    assert await backend.settle(10)


def test_what_was_published_is_in_the_inbox_and_still_is_after_a_restart(tmp_path: Path) -> None:
    """
    A follower has the post in the inbox, before a restart and after it.
    """

    async def after(backend: Embedded) -> None:
        assert [row.kind for row in await backend.store.rows("bob")] == ["post"]

    live(tmp_path, follow_and_post)
    live(tmp_path, after)


def test_an_id_is_used_once_also_across_a_restart(tmp_path: Path) -> None:
    """
    The same activity again is a duplicate, the same id with another body a conflict; a restart forgets neither.
    """

    async def again(backend: Embedded) -> None:
        assert await backend.publish([Activity("a1", "post", "ana", "p1")]) == ["duplicate"]
        with pytest.raises(Conflict) as caught:
            await backend.publish([Activity("a2", "post", "ana", "p2"), Activity("a1", "post", "ana", "p3")])
        assert caught.value.items == [(1, "a1")]
        assert await backend.trace("a2") is None, "a batch with a conflict is refused whole"

    live(tmp_path, follow_and_post)
    live(tmp_path, again)


def test_a_like_of_an_unknown_post_waits_then_counts(tmp_path: Path) -> None:
    """
    A like that comes before its post is traced as waiting, and is heard once the post is there.
    """

    async def story(backend: Embedded) -> None:
        await backend.publish([Activity("l1", "like", "bob", "p1")])
        assert await backend.settle(10)
        trace = await backend.trace("l1")
        assert trace is not None
        assert trace.state == "waiting"
        await backend.publish([Activity("a1", "post", "ana", "p1")])
        assert await backend.settle(10)
        trace = await backend.trace("l1")
        assert trace is not None
        assert (trace.state, trace.heard) == ("routed", 1)

    live(tmp_path, story)


def test_a_dead_letter_goes_through_once_retried(tmp_path: Path) -> None:
    """
    What waited too long is in the dead letters with its reason; retried after the post came, it is heard.
    """
    now_ms = time.time_ns() // 1_000_000
    rules = default_source().replace("waiting_ms = 600_000", "waiting_ms = 1")

    async def story(backend: Embedded) -> None:
        await backend.apply_rules(rules)
        await backend.publish([Activity("l1", "like", "bob", "p1", occurred_at=now_ms)])
        await backend.publish([Activity("a1", "post", "ana", "p1", occurred_at=now_ms + 1_000)])
        assert await backend.settle(10)
        letters = await backend.dead_letters(-1, 10)
        assert [(letter.dead.id, letter.dead.reason) for letter in letters] == [("l1", "unknown_entity")]
        trace = await backend.trace("l1")
        assert trace is not None
        assert (trace.state, trace.reason) == ("dead", "unknown_entity")
        assert await backend.retry_dead([letters[0].offset]) == 1
        assert await backend.settle(10)
        assert await backend.dead_letters(-1, 10) == []
        assert [row.kind for row in await backend.store.rows("ana")] == ["like"]

    live(tmp_path, story)


def test_a_dead_letter_as_json_goes_through_too(tmp_path: Path) -> None:
    """
    What an activity as JSON died of may pass: its kind is declared, it is retried, and it is heard.
    """

    async def story(backend: Embedded) -> None:
        await backend.change([Change("f", "follow", "bob", object="acme")])
        job = b'{"id": "j1", "kind": "job", "actor": "ana", "object": "job1", "scope": "acme"}'
        await backend._intake.append([job, b"{"])
        assert await backend.settle(10)
        letters = await backend.dead_letters(-1, 10)
        assert sorted(letter.dead.value for letter in letters) == [b"{", job]
        await backend.apply_rules(default_source() + JOB)
        assert await backend.retry_dead([letter.offset for letter in letters]) == 1
        assert await backend.settle(10)
        assert [letter.dead.value for letter in await backend.dead_letters(-1, 10)] == [b"{"]
        assert [row.kind for row in await backend.store.rows("bob")] == ["job"]

    live(tmp_path, story)


def test_bad_rules_leave_the_running_ones(tmp_path: Path) -> None:
    """
    A rules file with a fault changes nothing; a good one is in force for what comes after.
    """

    async def story(backend: Embedded) -> None:
        before = backend.rules
        with pytest.raises(BadRules):
            await backend.apply_rules("[kinds.post]\naudience = 3\n")
        assert backend.rules is before
        await backend.apply_rules(default_source() + JOB)
        await backend.change([Change("f", "follow", "bob", object="acme")])
        await backend.publish([Activity("j1", "job", "ana", "job1", scope="acme")])
        assert await backend.settle(10)
        assert [row.kind for row in await backend.store.rows("bob")] == ["job"]

    live(tmp_path, story)


def test_too_long_a_backlog_is_refused(tmp_path: Path) -> None:
    """
    Past its bound the backlog makes publishers wait, with a time to come back.
    """

    async def story(backend: Embedded) -> None:
        activities = [Activity(f"a{n}", "post", "ana", f"p{n}") for n in range(500)]

        async def publish_for_ever() -> None:
            for batch in range(1_000):
                await backend.publish(
                    [Activity(f"{batch}.{a.id}", a.kind, a.actor, f"{batch}.{a.object}") for a in activities]
                )

        with pytest.raises(Busy) as caught:
            await publish_for_ever()
        assert caught.value.retry_after_s >= 1

    live(tmp_path, story, backlog_max=10)


def test_another_number_of_partitions_is_refused(tmp_path: Path) -> None:
    """
    A folder keeps its number of partitions; another one is refused with what to do.
    """
    live(tmp_path, follow_and_post, partitions=4)

    with pytest.raises(DatabaseFailed, match="4 partitions"):
        Embedded(Settings(data=tmp_path, partitions=8))


def test_a_damaged_file_is_said_and_left(tmp_path: Path) -> None:
    """
    A file that is no database stops the start with its name, and stays as it is.
    """
    (tmp_path / "fanbell.db").write_bytes(b"not a database" * 1_000)

    with pytest.raises(DatabaseFailed, match=r"fanbell\.db"):
        Embedded(Settings(data=tmp_path))

    assert (tmp_path / "fanbell.db").read_bytes() == b"not a database" * 1_000


def test_an_intake_that_was_lost_is_said(tmp_path: Path) -> None:
    """
    Without the intake, or with an older copy of it, nothing starts: what is accepted next would be heard by nobody.
    """
    live(tmp_path, follow_and_post)
    older = (tmp_path / "intake.db").read_bytes()

    async def another(backend: Embedded) -> None:
        await backend.publish([Activity("a2", "post", "ana", "p2")])

    live(tmp_path, another)
    for copy in (None, older):
        (tmp_path / "intake.db").unlink()
        if copy is not None:
            (tmp_path / "intake.db").write_bytes(copy)

        with pytest.raises(LogShort, match=r"intake ends at \d, but 4 of its records were taken"):
            live(tmp_path, another)


def test_a_state_that_was_lost_is_said_once_intake_was_trimmed(tmp_path: Path) -> None:
    """
    Where the intake no longer holds what the state was made of, a lost state is not made anew from the rest.
    """
    live(tmp_path, follow_and_post)
    with closing(open_database(tmp_path / "intake.db")) as connection:
        run(SqliteLog(connection, 1).trim("intake", 0, 2))
    (tmp_path / "fanbell.db").unlink()

    with pytest.raises(LogShort, match="intake begins at 2"):
        live(tmp_path, follow_and_post)


def test_a_store_that_was_lost_is_filled_from_the_log(tmp_path: Path) -> None:
    """
    Inboxes are made again from `notices` where the store does not have them.
    """
    live(tmp_path, follow_and_post)
    import sqlite3

    connection = sqlite3.connect(tmp_path / "fanbell.db")
    for (name,) in connection.execute(
        "SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'log%' AND name != 'meta'"
    ).fetchall():
        connection.execute(f"DELETE FROM {name}")
    connection.commit()
    connection.close()

    async def after(backend: Embedded) -> None:
        assert [row.kind for row in await backend.store.rows("bob")] == ["post"]

    live(tmp_path, after)


def test_what_cannot_be_folded_is_named_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    If folding fails, the log line names the activity and its offset; nothing is skipped, and it goes on when it can.
    """
    take, failing = Folds._take, [True]

    def trip(self: Folds, record: Record) -> None:
        if b"a1" in record.value and failing:
            failing.pop()
            raise RuntimeError("stumbled")
        take(self, record)

    monkeypatch.setattr(Folds, "_take", trip)
    monkeypatch.setattr(embedded, "RETRY_S", (0.01, 0.01))
    with capture_logs() as lines:
        live(tmp_path, follow_and_post)

    (line,) = [line for line in lines if line["event"] == "runner_failed"]
    assert (line["activity"], line["offset"], line["error"]) == ("a1", 2, "RuntimeError: stumbled")


def test_trimming_leaves_what_a_restart_needs(tmp_path: Path) -> None:
    """
    The log forgets what both kept snapshots have applied, and no more: the next start finds everything it needs.
    """
    names = iter("abcdefgh")

    async def another_post(backend: Embedded) -> None:
        name = next(names)
        await backend.publish([Activity(name, "post", "ana", f"p{name}")])
        assert await backend.settle(10)

    live(tmp_path, follow_and_post, partitions=1)
    for _ in range(3):  # each end keeps a snapshot
        live(tmp_path, another_post, partitions=1)
    folder = DataFolder(Settings(data=tmp_path, partitions=1))
    intake = open_database(tmp_path / "intake.db")
    runner = folder.runner(SqliteLog(intake, 1))
    run(runner.open())
    before = run(runner.trim(before_ms=1 << 52))
    assert before == runner.position
    starts = {replica.topic: run(folder.log.start(replica.topic, 0)) for replica in runner.replicas}
    assert starts == {replica.topic: run(replica.needed()) for replica in runner.replicas}
    assert all(start > 0 for start in starts.values())
    folder.close()
    intake.close()

    async def after(backend: Embedded) -> None:
        await another_post(backend)
        assert len(await backend.store.rows("bob")) == 5

    live(tmp_path, after, partitions=1)


def test_what_was_accepted_is_forgotten_only_once_what_came_of_it_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Power that fails after `intake` was trimmed takes nothing back that could not be made again from it.
    """
    done: list[str] = []
    trim, durable = Intake.trim, embedded.make_durable
    monkeypatch.setattr(embedded, "TRIM_EVERY_S", 0.0)
    monkeypatch.setattr(embedded, "make_durable", lambda file: (done.append("durable"), durable(file)))
    monkeypatch.setattr(Intake, "trim", lambda self, before: (done.append("trim"), trim(self, before)))

    live(tmp_path, follow_and_post, log_keep_hours=1)

    assert done[0] == "durable"
    assert "trim" in done
    assert all(before == "durable" for before, what in pairwise(done) if what == "trim")
