import re
from typing import Any

import pytest

from fanbell.schemas.codec import content_of, decode, decode_body, encode
from fanbell.schemas.partitions import partition_of
from fanbell.schemas.records import Activity, Ask, Change, Dead, Fact, Forward, Notice, Rules, Stray
from fanbell.schemas.topics import ACTIVITIES, ROUTED
from fanbell.streams.core.fold import Jump, UnknownRules
from fanbell.streams.core.kinds import default_source
from fanbell.streams.core.route import Route
from fanbell.streams.log import Record
from tests.streams.core.folds import NOW_MS, Entities, concerned, dropped, limited, reasons

POST = Activity("1", "post", "ana", "p")
HOME, FAR = partition_of("p", 8), partition_of("d", 8)
"""Of 8 partitions, those of POST and of a comment on it"""


def comment(id_: str, actor: str, object_: str, target: str = "p", **fields: object) -> Activity:
    return Activity(id_, "comment", actor, object_, target=target, **fields)  # type: ignore[arg-type]


def without(kind: str) -> str:
    """The rules that ship, less one kind."""
    tables = re.split(r"^(?=\[)", default_source(), flags=re.MULTILINE)
    return "".join(table for table in tables if not table.startswith((f"[kinds.{kind}]", f"[kinds.{kind}.")))


def ops(out: list[Any]) -> list[str]:
    return [item.op if type(item) is Ask else "dead" for item in out]


# Whom an activity concerns


@pytest.mark.parametrize(
    ("activity", "expected"),
    [
        (Activity("2", "post", "ana", "q"), {"post": {"follows ana"}}),
        (Activity("2", "post", "ana", "q", scope="team"), {"post": {"follows ana", "follows team"}}),
        (Activity("2", "post", "ana", "q", mentions=["cy"]), {"post": {"follows ana"}, "mention": {"cy"}}),
        (Activity("2", "like", "bob", "p"), {"like": {"ana"}}),
        (Activity("2", "repost", "bob", "p"), {"repost": {"ana"}}),
        (comment("2", "bob", "c"), {"comment": {"ana"}}),
        (
            Activity("2", "reply", "bob", "c", target="p", mentions=["cy"]),
            {"reply": {"ana"}, "mention": {"cy"}},
        ),
        (Activity("2", "mention", "bob", "p", mentions=["cy", "di"]), {"mention": {"cy", "di"}}),
        (Activity("2", "message", "bob", "m", target="talk", recipients=["cy"]), {"message": {"cy"}}),
    ],
)
def test_whom_each_kind_concerns(activity: Activity, expected: dict[str, set[str]]) -> None:
    """
    The table of kinds: who is concerned by each, and why.
    """
    entities = Entities()
    entities.publish(POST)

    assert concerned(entities.publish(activity)) == expected


def test_the_thread_is_those_who_commented_before() -> None:
    """
    A comment concerns those who commented in its thread before it, in answers to comments as well; not those who only
    posted it or were mentioned.
    """
    entities = Entities()
    entities.publish(POST, comment("2", "bob", "c1"), comment("3", "cy", "c2", target="c1", mentions=["di"]))

    assert concerned(entities.publish(comment("4", "ed", "c3"))) == {
        "comment": {"ana"},
        "thread": {"bob", "cy"},
    }
    assert concerned(entities.publish(comment("5", "bob", "c4", target="c2"))) == {
        "comment": {"cy"}, "thread": {"bob", "ed"},
    }  # fmt: skip


def test_the_thread_is_bounded() -> None:
    """
    Only the latest who commented are concerned; commenting again makes one the latest.
    """
    entities = Entities(limited(thread_members=2))
    entities.publish(POST, comment("2", "bob", "c1"), comment("3", "cy", "c2"), comment("4", "bob", "c3"))
    entities.publish(comment("5", "di", "c4"))

    assert concerned(entities.publish(comment("6", "ed", "c5")))["thread"] == {"bob", "di"}


def test_what_fanbell_saw_posted_outranks_what_the_producer_says() -> None:
    """
    The owner that a producer names counts only as long as Fanbell does not know better.
    """
    entities = Entities()

    assert concerned(entities.publish(Activity("2", "like", "bob", "p", owner="mallory"))) == {
        "like": {"mallory"}
    }
    entities.publish(POST)
    assert concerned(entities.publish(Activity("3", "like", "bob", "p", owner="mallory"))) == {
        "like": {"ana"}
    }
    entities.publish(Activity("4", "post", "mallory", "p"))
    assert concerned(entities.publish(Activity("5", "like", "bob", "p"))) == {"like": {"ana"}}


def test_one_command_per_partition_holds_all_its_audiences() -> None:
    """
    Each partition is asked once, whoever lives there; those named are asked for where they live.
    """
    entities = Entities(partitions=4, partition=partition_of("p", 4))
    out = entities.publish(Activity("1", "post", "ana", "p", mentions=["bob", "cy"]))

    asked = [output.partition for output in entities.outputs if output.topic == ROUTED]
    assert sorted(asked) == [0, 1, 2, 3]
    for partition, ask in zip(asked, out, strict=True):
        assert type(ask) is Ask
        named = [user for audience in ask.audiences for user in audience.users]
        assert named == [user for user in ("bob", "cy") if partition_of(user, 4) == partition]
        assert [audience.reason for audience in ask.audiences if audience.followers_of] == ["post"]


def test_facts_and_forwards_go_where_they_are_needed() -> None:
    """
    A comment's owner and thread travel to the comment's partition; an answer to it goes home to its thread.
    """
    near = Entities(partitions=8, partition=HOME)
    near.publish(POST)
    fact = next(item for item in near.publish(comment("2", "bob", "d")) if type(item) is Fact)

    assert (fact.entity, fact.owner, fact.thread) == ("d", "bob", "p")
    assert [o.partition for o in near.outputs if o.topic == ACTIVITIES] == [FAR]
    far = Entities(partitions=8, partition=FAR)
    far.put(fact)
    forward = next(item for item in far.publish(comment("3", "cy", "c", target="d")) if type(item) is Forward)
    assert (forward.owner, forward.thread) == ("bob", "p")
    assert concerned(near.publish(forward)) == {}  # bob, the only one in the thread, was told where d is
    assert concerned(near.publish(comment("4", "di", "e")))["thread"] == {"bob", "cy"}


def answered_far() -> tuple[Entities, Forward]:
    """The home of a thread in which di and bob commented, and cy's answer to bob on its way there by rules 2."""
    home, far = Entities(partitions=8, partition=HOME), Entities(partitions=8, partition=FAR)
    home.publish(POST, comment("2", "di", "b"))
    far.put(next(item for item in home.publish(comment("3", "bob", "d")) if type(item) is Fact))
    far.put(Rules(2, 1, default_source(), NOW_MS))
    out = far.publish(comment("4", "cy", "c", target="d"))
    return home, next(item for item in out if type(item) is Forward)


def test_a_forward_waits_for_its_rules() -> None:
    """
    What comes from a partition that has newer rules already goes on once they are here too, also after a restart.
    """
    home, forward = answered_far()

    assert home.publish(forward) == []
    home.fold = Route.load(HOME, 8, home.fold.dump())
    assert concerned(home.publish(comment("5", "ed", "e")))["thread"] == {
        "di",
        "bob",
    }  # others go on meanwhile
    home.put(Rules(2, 1, default_source(), NOW_MS))
    asks = [decode(output.value).ask for output in home.outputs if output.topic == ROUTED]
    assert concerned(asks) == {"thread": {"di", "ed"}}
    assert home.put(Rules(3, 1, default_source(), NOW_MS)) == []


def test_a_forward_is_told_by_its_own_rules() -> None:
    """
    A comment that comes home when its kind was taken out of the rules is told by the rules it was said under.
    """
    home, forward = answered_far()
    home.put(Rules(2, 1, default_source(), NOW_MS))
    home.put(Rules(3, 1, without("comment"), NOW_MS))

    out = home.publish(forward)

    assert concerned(out) == {"thread": {"di"}}
    assert {ask.rules for ask in out if type(ask) is Ask} == {2}


# Activities in another partition than their entity's


def strays(out: list[Any]) -> list[Stray]:
    return [item for item in out if type(item) is Stray]


def test_a_stray_is_sent_to_its_entity_and_taken_there() -> None:
    """
    An activity in another partition than its entity's is sent there as it stands, told there, and counted.
    """
    wrong, right = Entities(partitions=8, partition=FAR), Entities(partitions=8, partition=HOME)

    (stray,) = wrong.publish(POST)

    assert [(output.topic, output.partition) for output in wrong.outputs] == [(ACTIVITIES, HOME)]
    assert stray == Stray(FAR, 1, 0, -1, -1, NOW_MS, encode(POST))
    assert concerned(right.publish(stray)) == {"post": {"follows ana"}}
    assert concerned(right.publish(Activity("2", "like", "bob", "p"))) == {"like": {"ana"}}
    assert (wrong.fold.numbers(), right.fold.numbers()) == ({"strays": 1}, {"strays": 0})


def test_a_stray_as_json_is_the_same_activity() -> None:
    """
    As JSON too it is sent on as it stands; its id counts at its entity, whatever the form it comes in.
    """
    wrong, right = Entities(partitions=8, partition=FAR), Entities(partitions=8, partition=HOME)
    right.publish(POST)

    (stray,) = wrong.put_bytes(b'{"id": "1", "kind": "post", "actor": "ana", "object": "p"}')

    assert right.publish(stray) == []
    (other,) = wrong.put_bytes(b'{"id": "1", "kind": "post", "actor": "eve", "object": "p"}')
    assert reasons(right.publish(other)) == [("1", "id_reused")]


def test_strays_keep_their_order_and_are_taken_once() -> None:
    """
    What stands in one wrong partition comes to an entity in the order it stood in; a repeat is dropped, a gap stops.
    """
    wrong, right = Entities(partitions=8, partition=FAR), Entities(partitions=8, partition=HOME)
    wrong.put(Activity("0", "post", "ana", "q"))  # goes elsewhere
    sent = strays(wrong.publish(POST, Activity("2", "like", "bob", "p"), Activity("3", "unlike", "bob", "p")))

    assert [(s.n, s.index, s.prev_n, s.prev_index) for s in sent] == [
        (2, 0, -1, -1),
        (3, 0, 2, 0),
        (4, 0, 3, 0),
    ]
    asked = [ops(right.publish(stray)) for stray in (*sent, *sent)]
    assert asked == [["announce"] * 8, ["announce"], ["undo"] * 8, [], [], []]
    with pytest.raises(Jump):
        right.put(Stray(FAR, 9, 0, 7, 0, NOW_MS, encode(POST)))


def test_a_stray_has_the_time_it_was_appended_at() -> None:
    """
    It is told as of when its producer appended it, however long it was on its way, and so over a restart.
    """
    wrong, right = Entities(partitions=8, partition=FAR), Entities(partitions=8, partition=HOME)
    (stray,) = wrong.publish(POST)
    wrong.fold = Route.load(FAR, 8, wrong.fold.dump())
    (later,) = wrong.publish(Activity("2", "like", "bob", "p"))
    right.after(300)

    asks = [*right.publish(stray), *right.publish(later)]

    assert {content_of(ask.content).at_ms for ask in asks} == {NOW_MS}
    assert wrong.fold.numbers() == {"strays": 2}


def test_what_a_stray_lacks_is_said_where_it_belongs() -> None:
    """
    An activity that no rule allows dies once, at its entity; what is none at all, where it stands.
    """
    wrong, right = Entities(partitions=8, partition=FAR), Entities(partitions=8, partition=HOME)

    (stray,) = wrong.publish(Activity("1", "unheard-of", "ana", "p"))

    (dead,) = right.publish(stray)
    assert type(dead) is Dead
    assert (dead.partition, dead.id, dead.reason, dead.value) == (HOME, "1", "invalid", stray.value)
    forged = [Stray(0, 0, 0, -1, -1, NOW_MS, b"{"), Stray(0, 1, 0, 0, 0, NOW_MS, encode(Rules(1, 1, "", 0)))]
    assert reasons([*right.put(forged[0]), *right.put(forged[1])]) == [("", "invalid"), ("", "misplaced")]
    assert reasons(wrong.put_bytes(b"{")) == [("", "invalid")]


def test_a_stray_waits_for_the_first_rules() -> None:
    """
    What is sent to a partition that the rules have not entered yet goes on once they have, also after a restart.
    """
    wrong = Entities(partitions=8, partition=FAR)
    (stray,) = wrong.publish(POST)
    right = Route(HOME, 8)

    assert right.step(Record(0, encode(stray), NOW_MS)) == []
    right = Route.load(HOME, 8, right.dump())
    outputs = right.step(Record(1, encode(Rules(1, 1, default_source(), NOW_MS)), NOW_MS))

    assert concerned([decode(output.value).ask for output in outputs]) == {"post": {"follows ana"}}


@pytest.mark.parametrize(
    ("field", "activity"),
    [
        ("object", Activity("1", "post", "ana", "")),
        ("id", Activity("i" * 257, "post", "ana", "p")),
        ("actor", Activity("1", "post", "a\nb", "p")),
        ("owner", Activity("1", "like", "bob", "p", owner="")),
        ("scope", Activity("1", "post", "ana", "p", scope="ü" * 129)),
        ("mentions", Activity("1", "post", "ana", "p", mentions=["m"] * 51)),
        ("mentions", Activity("1", "post", "ana", "p", mentions=["bob", ""])),
        ("recipients", Activity("1", "message", "ana", "p", target="t", recipients=["r"] * 1_001)),
        ("data", Activity("1", "post", "ana", "p", data=b"{" * 16_385)),
        ("importance", Activity("1", "post", "ana", "p", importance="urgent")),
        ("occurred_at", Activity("1", "post", "ana", "p", occurred_at=-1)),
        ("expires_at", Activity("1", "post", "ana", "p", expires_at=1 << 50)),
    ],
)
def test_avro_is_held_to_what_json_is(field: str, activity: Activity) -> None:
    """
    An activity that another producer wrote as Avro with a field that JSON would be refused for is put aside.
    """
    (dead,) = Entities().publish(activity)

    assert type(dead) is Dead
    assert (dead.reason, dead.detail.split(":")[0]) == ("invalid", field)


# Waiting


@pytest.mark.parametrize(
    "waits",
    [
        Activity("2", "like", "bob", "p"), Activity("2", "repost", "bob", "p"), comment("2", "bob", "c"),
        Activity("2", "delete", "ana", "p"),
    ],
)  # fmt: skip
def test_what_needs_an_unknown_entity_waits_for_it(waits: Activity) -> None:
    """
    A like, repost, comment or delete of what nobody has posted yet waits, and happens once it is posted.
    """
    entities = Entities()

    assert entities.publish(waits) == []
    assert len(entities.publish(POST)) >= 2


@pytest.mark.parametrize(
    "free",
    [
        Activity("2", "like", "bob", "p", owner="ana"), comment("2", "bob", "c", owner="ana"),
        Activity("2", "mention", "bob", "p", mentions=["cy"]), Activity("2", "unlike", "bob", "p"),
        Activity("2", "message", "bob", "m", target="p", recipients=["cy"]),
    ],
)  # fmt: skip
def test_what_needs_no_entity_does_not_wait(free: Activity) -> None:
    """
    With an owner named, and for kinds that ask for none, nothing waits.
    """
    assert ops(Entities().publish(free))[:1] in (["announce"], ["undo"])


def test_what_comes_behind_what_waits_queues() -> None:
    """
    Whatever else comes on an entity that something waits for goes on after it, in order: an undo does not overtake.
    """
    entities = Entities()
    assert entities.publish(Activity("2", "like", "bob", "p"), Activity("3", "unlike", "bob", "p")) == []

    assert ops(entities.publish(POST)) == ["announce", "announce", "undo"]


def test_what_waited_too_long_is_dead() -> None:
    """
    What waited for its entity in vain goes to the dead letters, with the reason; its id is free for another try.
    """
    entities = Entities()
    entities.publish(Activity("2", "like", "bob", "p"))

    assert entities.after(599) == []
    assert reasons(entities.after(1)) == [("2", "unknown_entity")]
    entities.publish(POST)
    assert concerned(entities.publish(Activity("2", "like", "bob", "p"))) == {"like": {"ana"}}


def test_waiting_is_bounded_in_number() -> None:
    """
    Only so many wait for one entity, and so many in one partition; the next is dead at once.
    """
    likes = [Activity(str(number), "like", f"user{number}", "p") for number in range(3)]

    assert reasons(Entities(limited(waiting_per_entity=2)).publish(*likes)) == [("2", "waiting_full")]
    elsewhere = [Activity("8", "like", "bob", "q"), Activity("9", "like", "bob", "r")]
    assert reasons(Entities(limited(waiting_per_partition=1)).publish(*elsewhere)) == [("9", "waiting_full")]


def test_nothing_is_due_that_no_longer_waits() -> None:
    """
    What was released wakes nobody any more.
    """
    entities = Entities()
    entities.publish(Activity("2", "like", "bob", "p"))
    assert entities.fold.due_ms() == NOW_MS + 600_000

    entities.publish(POST)
    assert entities.fold.due_ms() is None


# Undo, delete


def test_an_owner_deletes_and_nobody_else() -> None:
    """
    Only the owner, or an operator, deletes; whatever comes on it later is dropped, a new post of it as well.
    """
    entities = Entities()
    entities.publish(POST)

    assert dropped(entities.publish(Activity("2", "delete", "bob", "p"))) == [("2", "not_owner")]
    assert ops(entities.publish(Activity("3", "delete", "ana", "p"))) == ["retract"]
    assert dropped(entities.publish(Activity("4", "like", "bob", "p"))) == [("4", "deleted")]
    assert dropped(entities.publish(Activity("5", "post", "ana", "p"))) == [("5", "deleted")]
    entities.publish(Activity("6", "post", "ana", "q"))
    assert ops(entities.publish(Activity("7", "delete", "root", "q", by_operator=True))) == ["retract"]


def test_a_delete_by_way_of_ones_own_entity_is_refused() -> None:
    """
    Owning a target is no right to delete the object.
    """
    entities = Entities()
    entities.publish(POST, Activity("2", "post", "mallory", "mine"))

    assert reasons(entities.publish(Activity("3", "delete", "mallory", "p", target="mine"))) == [
        ("3", "invalid")
    ]


# Ids


def test_an_id_counts_once() -> None:
    """
    The same activity again is ignored, waiting or done; the same id with another body is dead; a day later it is free.
    """
    entities = Entities()
    like = Activity("2", "like", "bob", "p")
    assert entities.publish(like, like) == []
    assert reasons(entities.publish(Activity("2", "like", "cy", "p"))) == [("2", "id_reused")]

    assert ops(entities.publish(POST)) == ["announce", "announce"]
    assert entities.publish(POST, like) == []
    assert reasons(entities.publish(Activity("2", "like", "cy", "p"))) == [("2", "id_reused")]
    entities.after(86_400)
    assert ops(entities.publish(like)) == ["announce"]


# What is wrong


def test_dead_letters_keep_what_was_sent() -> None:
    """
    What cannot be read or does not belong here is dead, with origin, reason and bytes; the stream goes on.
    """
    entities = Entities()
    nonsense = [
        b"\0\1\2",
        b'{"id": "1"}',
        encode(Notice(0, 0, 0, 0, 1, "post", b"", [])),
        encode(Activity("1", "?", "ana", "p")),
    ]

    dead = [entities.put_bytes(value)[0] for value in nonsense]

    assert [(d.reason, d.topic, d.offset, d.value) for d in dead] == [
        (reason, ACTIVITIES, 1 + at, nonsense[at])
        for at, reason in enumerate(["undecodable", "invalid", "misplaced", "invalid"])
    ]
    assert "known are block, comment, delete, follow" in dead[3].detail
    assert ops(entities.publish(POST)) == ["announce"]


def test_json_is_read_as_well() -> None:
    """
    The topic takes JSON and Avro alike.
    """
    entities = Entities()
    entities.put_bytes(b'{"id": "1", "kind": "post", "actor": "ana", "object": "p"}')

    assert concerned(entities.publish(Activity("2", "like", "bob", "p"))) == {"like": {"ana"}}


def test_a_repeated_fact_is_dropped_and_a_missing_one_stops() -> None:
    """
    Facts are taken once and in their source's order; a jump in it stops the partition.
    """
    entities = Entities()
    fact = Fact(5, 3, 0, -1, -1, "c", "bob", "p", NOW_MS)
    entities.put(fact)
    entities.put(fact)

    assert concerned(entities.publish(Activity("2", "like", "ana", "c"))) == {"like": {"bob"}}
    with pytest.raises(Jump):
        entities.put(Fact(5, 9, 0, 7, 0, "d", "bob", "p", NOW_MS))


def test_without_rules_nothing_is_routed() -> None:
    """
    A partition that no rules have entered stops at the first activity rather than guess.
    """
    with pytest.raises(UnknownRules):
        Route(0, 1).step(Record(0, encode(POST), NOW_MS))


def test_changes_of_the_graph_go_to_people() -> None:
    """
    A follow published as an activity is asked of both people's partitions.
    """
    entities = Entities(partitions=8, partition=partition_of("bob", 8))
    out = entities.publish(Activity("1", "follow", "ana", "bob"))

    homes = {partition_of("ana", 8): "user", partition_of("bob", 8): "other"}
    assert {
        output.partition: decode_body(Change, ask.content).side
        for output, ask in zip(entities.outputs, out, strict=True)
    } == homes


def test_what_expires_carries_when() -> None:
    """
    A kind's expiry counts from when the activity occurred; the earlier of it and the activity's own holds.
    """
    entities = Entities(
        limited() + '[kinds.sale]\nexpires_after = "1h"\naudience = [{ to = "owner", reason = "post" }]\n'
    )
    hour = 3_600_000
    sales = [
        Activity("1", "sale", "ana", "p", owner="bob", occurred_at=NOW_MS - 5),
        Activity("2", "sale", "ana", "p", owner="bob", expires_at=NOW_MS + 7),
        Activity("3", "sale", "ana", "p", owner="bob", expires_at=NOW_MS + 2 * hour),
    ]

    out = entities.publish(*sales)

    assert [content_of(ask.content).expires_at for ask in out if type(ask) is Ask] == [
        NOW_MS - 5 + hour,
        NOW_MS + 7,
        NOW_MS + hour,
    ]


def test_the_oldest_entities_are_forgotten_first() -> None:
    """
    Entities are bounded in number; what is forgotten is counted.
    """
    entities = Entities(limited(entities=2))
    entities.publish(POST, Activity("2", "post", "ana", "q"), Activity("3", "post", "ana", "r"))

    assert entities.publish(Activity("4", "like", "bob", "p")) == []
    assert concerned(entities.publish(Activity("5", "like", "bob", "r"))) == {"like": {"ana"}}
    assert entities.fold.forgotten == 1


def test_stage_1_is_the_same_after_a_snapshot() -> None:
    """
    Owners, threads, used ids and what waits outlive a snapshot.
    """
    entities = Entities()
    entities.publish(
        POST, comment("2", "bob", "c"), Activity("3", "like", "cy", "q"), comment("4", "di", "d", target="c")
    )
    data = entities.fold.dump()

    entities.fold = Route.load(0, 1, data)

    assert entities.fold.dump() == data
    assert entities.publish(POST) == []
    assert ops(entities.publish(Activity("5", "post", "ana", "q"))) == ["announce", "announce"]
    assert concerned(entities.publish(comment("6", "ed", "e", target="d")))["thread"] == {"bob"}
