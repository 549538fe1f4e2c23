from typing import Any

import pytest

from fanbell.schemas.codec import decode, decode_body, encode
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity, Change, Command, Dead, Preference, Rules, Tick
from fanbell.schemas.topics import CHANGES, DEAD, NOTICES, ROUTED
from fanbell.streams.core.fan_out import FanOut
from fanbell.streams.core.fold import DETAIL_MAX
from fanbell.streams.core.forward import Forwarding
from fanbell.streams.core.kinds import FOLD_VERSION, default_source
from fanbell.streams.log import Record

NOW_MS = 1_760_000_000_000


def record(offset: int, item: Any) -> Record:
    return Record(offset, item if isinstance(item, bytes) else encode(item), NOW_MS)


def shard() -> FanOut:
    made = FanOut(0)
    made.step(record(0, Rules(1, FOLD_VERSION, default_source(), NOW_MS)))
    return made


def follow(id_: str, user: str, whom: str, kind: str = "follow") -> Change:
    return Change(id_, kind, user, object=whom)


def test_a_follow_reaches_both_sides() -> None:
    """
    A follow goes to the partitions of both persons; each command names the one before it in its partition.
    """
    forwarding = Forwarding(0, 4)
    ana, bo = partition_of("ana", 4), partition_of("dan", 4)
    assert ana != bo

    first, second, third = forwarding.step(record(7, follow("c1", "ana", "dan"))) + forwarding.step(
        record(9, Change("c2", "profile", "ana", name="Ana"))
    )

    assert [(one.topic, one.partition) for one in (first, second, third)] == [
        (ROUTED, ana),
        (ROUTED, bo),
        (ROUTED, ana),
    ]
    commands = [decode(one.value) for one in (first, second, third)]
    assert all(type(command) is Command for command in commands)
    assert [(c.n, c.index, c.prev_n, c.prev_index) for c in commands] == [
        (7, 0, -1, -1),
        (7, 1, -1, -1),
        (9, 0, 7, 0),
    ]
    assert {command.source for command in commands} == {4}, "sources below 4 are those of stage 1"
    assert [decode_body(Change, command.ask.content).side for command in commands] == [
        "user",
        "other",
        "user",
    ]


def test_a_forward_that_comes_again_changes_nothing() -> None:
    """
    A follow that is forwarded again, after the unfollow that followed on it, does not undo the unfollow.
    """
    forwarding, taking = Forwarding(0, 1), shard()
    first = forwarding.step(record(0, follow("c1", "ana", "bo")))[0].value
    second = forwarding.step(record(1, follow("c2", "ana", "bo", "unfollow")))[0].value

    told = [taking.step(record(n, value)) for n, value in enumerate((first, second, first, second), 1)]

    assert [bool(outputs) for outputs in told] == [True, True, False, False]


def test_what_it_puts_out_goes_on_after_a_snapshot() -> None:
    """
    A forwarding that was saved and loaded puts out the same bytes as the one that went on.
    """
    forwarding = Forwarding(1, 4)
    forwarding.step(record(0, follow("c1", "ana", "bo")))
    again = Forwarding.load(1, 4, forwarding.dump())
    change = record(3, follow("c2", "ana", "bo", "unfollow"))

    assert forwarding.step(change) == again.step(change)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (b"no record", "undecodable"),
        (b"", "undecodable"),
        (Activity("a", "post", "ana", "post"), "misplaced"),
        (Tick(NOW_MS), "misplaced"),
        (follow("c", "ana", "ana"), "invalid"),
        (follow("c", "a\x00na", "bo"), "invalid"),
        (follow("c", "", "bo"), "invalid"),
        (Change("c", "applause", "ana"), "invalid"),
        (Change("c", "profile", "ana", avatar_url="javascript:alert(1)"), "invalid"),
        (Change("c", "profile", "ana", name="a\x1bna"), "invalid"),
        (Change("c", "profile", "ana", locale="?"), "invalid"),
        (Change("c", "preferences", "ana"), "invalid"),
        (Change("c", "preferences", "ana", preferences=[Preference("*", "inbox", "*", "loud")]), "invalid"),
        (Change("c", "follow", "ana", object="bo", occurred_at=-1), "invalid"),
        (Change("c", "mark", "ana", verb="read", ids=[""], seqs=[1]), "invalid"),
        (b'{"id": "c", "kind": "follow", "user": "ana"}', "invalid"),
        (b'{"id": "c", "kind": "follow", "user": "ana", "object": "bo"', "invalid"),
        (b'{"id": "c", "kind": "profile", "user": "ana", "avatar_url": "javascript:alert(1)"}', "invalid"),
    ],
)
def test_what_is_no_change_is_put_aside(item: Any, reason: str) -> None:
    """
    What cannot be a change goes to `dead` with its place and the reason, and nowhere else.
    """
    (output,) = Forwarding(2, 4).step(record(5, item))

    dead = decode(output.value)
    assert output.topic == DEAD
    assert isinstance(dead, Dead)
    assert (dead.topic, dead.partition, dead.offset, dead.reason) == (CHANGES, 2, 5, reason)
    assert dead.detail


@pytest.mark.parametrize(
    ("json", "change"),
    [
        (b'{"id": "c", "kind": "follow", "user": "ana", "object": "bo"}', follow("c", "ana", "bo")),
        (
            b'{"id": "c", "kind": "mute", "user": "ana", "aspect": "thread", "object": "p", "occurred_at": 5}',
            Change("c", "mute", "ana", aspect="thread", object="p", occurred_at=5),
        ),
        (
            b'{"id": "c", "kind": "preferences", "user": "ana", "preferences": [{"kind": "like", "value": "off"}]}',
            Change("c", "preferences", "ana", preferences=[Preference("like", "*", "*", "off")]),
        ),
        (
            b'{"id": "c", "kind": "profile", "user": "ana", "name": "Ana", "timezone": "Mars/Olympus"}',
            Change("c", "profile", "ana", name="Ana", timezone="Mars/Olympus"),
        ),
    ],
)
def test_json_says_the_same_as_avro(json: bytes, change: Change) -> None:
    """
    A change as JSON is forwarded as the same bytes as one in Avro; a time zone that not every machine knows as well.
    """
    assert Forwarding(1, 4).step(record(3, json)) == Forwarding(1, 4).step(record(3, change))


def test_a_long_explanation_is_cut() -> None:
    """
    A change with very many faults is put aside with the first of them.
    """
    many = b'{"id": "c", "kind": "follow", %s}' % b",".join(b'"%d": 1' % n for n in range(2_000))

    (output,) = Forwarding(0, 1).step(record(5, many))

    assert len(decode(output.value).detail) == DETAIL_MAX


def test_a_follow_is_announced_once() -> None:
    """
    A forwarded follow tells the followed user, as one by the short way does.
    """
    forwarding, taking = Forwarding(0, 1), shard()
    command = forwarding.step(record(0, follow("c1", "ana", "bo")))[0].value

    outputs = taking.step(record(1, command)) + taking.step(record(2, command))

    kinds = [type(decode(output.value)).__name__ for output in outputs if output.topic == NOTICES]
    assert kinds.count("Update") == 1
