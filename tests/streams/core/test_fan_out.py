import pytest

from fanbell.schemas.codec import content_of, encode
from fanbell.schemas.limits import RECORD_BYTES_MAX
from fanbell.schemas.records import Activity, Audience, Change, Mark, Notice, Outcome, Rules, Update
from fanbell.schemas.topics import ROUTED
from fanbell.streams.core.fold import Jump, UnknownRules
from fanbell.streams.core.kinds import default_source
from tests.streams.core.folds import NOW_MS, Shard, limited, silenced, told, wishes


def test_followers_hear_of_a_post() -> None:
    """
    One notice tells all followers who live here; nobody else hears.
    """
    shard = Shard()
    shard.follow("bob", "cy")
    shard.follow("di", followed="ed")

    assert told(shard.post("1", "ana", "p")) == [("new", "1", ["bob", "cy"])]


def test_one_activity_is_one_notification_for_the_strongest_reason() -> None:
    """
    Who is concerned for several reasons hears once, for the strongest.
    """
    shard = Shard()
    shard.follow("bob", "cy")
    out = shard.tell("1", "post", "ana", "p", Audience("mention", None, ["bob"]), Audience("post", "ana"))

    assert [(notice.reason, notice.recipients) for notice in out] == [("mention", ["bob"]), ("post", ["cy"])]


def test_a_mention_is_a_row_of_its_own() -> None:
    """
    Kinds that group do not group mentions.
    """
    shard = Shard()
    mention = Audience("mention", None, ["bob"])

    assert told(shard.tell("1", "comment", "ana", "c", mention, target="p")) == [("new", "1", ["bob"])]
    assert told(shard.tell("2", "comment", "cy", "d", mention, target="p")) == [("new", "2", ["bob"])]


def test_places_are_dense_and_every_record_names_the_one_before() -> None:
    """
    Outputs carry (n, index), the pair before theirs, and a seq without gaps from 1.
    """
    shard = Shard()
    out = [
        *shard.like("1", "ana"),
        *shard.like("2", "ana", "cy"),
        *shard.change("mute", "bob", "x", aspect="author"),
    ]

    assert [record.seq for record in out] == list(range(1, len(out) + 1))
    pairs = [(-1, -1), *((record.n, record.index) for record in out)]
    assert [(record.prev_n, record.prev_index) for record in out] == pairs[:-1]
    assert pairs == sorted(pairs)


def test_large_notices_are_split() -> None:
    """
    A notice that would not fit into one record becomes several, each below 512 KiB; everybody is told once.
    """
    shard = Shard()
    users = [f"{number:0256}" for number in range(4_500)]
    shard.follow(*users)

    out = shard.post("1", "ana", "p", data=b"x" * 16_000)

    assert [type(record) for record in out] == [Notice] * 3
    assert all(len(output.value) <= RECORD_BYTES_MAX for output in shard.outputs)
    assert [user for notice in out for user in notice.recipients] == users
    assert [user for *_, some in told(shard.delete("p")) for user in some] == users


def test_large_groups_and_retractions_fit_as_well() -> None:
    """
    Groups of very many recipients are told, grown and retracted in records that fit.
    """
    shard = Shard()
    users = [f"{number:0256}" for number in range(2_000)]
    for id_, actor in (("1", "ana"), ("2", "bob")):
        out = shard.like(id_, actor, *users)
        assert [user for *_, some in told(out) for user in some] == users
        assert all(len(output.value) <= RECORD_BYTES_MAX for output in shard.outputs)
        shard.after(6)
    out = shard.delete("p")

    assert [user for *_, some in told(out) for user in some] == users
    assert all(len(output.value) <= RECORD_BYTES_MAX for output in shard.outputs)


# Changes


def test_following_announces_once() -> None:
    """
    A follow is told to the followed, once; an unfollow takes the telling back.
    """
    shard = Shard()
    assert told(shard.change("follow", "ana", "bob")) == [("grew", "x1", 1, ["ana"], ["bob"])]
    assert shard.change("follow", "ana", "bob") == []
    assert told(shard.change("unfollow", "ana", "bob")) == [("gone", 2, ["bob"])]
    assert shard.change("unfollow", "ana", "bob") == []


def test_follows_expire_as_their_kind_says() -> None:
    """
    Where follows are declared to be shown for a day, the row of one carries when it expires.
    """
    shard = Shard(default_source().replace("[kinds.follow]\n", '[kinds.follow]\nexpires_after = "1d"\n'))
    grown = next(item for item in shard.change("follow", "ana", "bob") if type(item) is Update)

    assert content_of(grown.content).expires_at == NOW_MS + 86_400_000


def test_follow_after_unfollow_is_quiet() -> None:
    """
    Unfollowing and following again does not announce again.
    """
    shard = Shard()
    shard.change("follow", "ana", "bob")
    shard.after(6)
    shard.change("unfollow", "ana", "bob")

    assert told(shard.change("follow", "ana", "bob")) == [("quiet", "x1", 1, ["ana"], ["bob"])]


def test_each_side_of_a_follow_does_its_part() -> None:
    """
    The follower's shard learns the edge; the followed's tells.
    """
    shard = Shard()

    assert wishes(shard.change("follow", "ana", "bob", side="user")) == [("follow", "ana", "user")]
    assert told(shard.change("follow", "cy", "bob", side="other")) == [("grew", "x2", 1, ["cy"], ["bob"])]
    assert told(shard.tell("1", "post", "bob", "p", Audience("post", "bob"))) == [("new", "1", ["ana"])]


def test_a_block_ends_follows_both_ways() -> None:
    """
    A block ends both follows, and unblocking does not bring them back; nobody follows across it.
    """
    shard = Shard()
    shard.change("follow", "ana", "bob")
    shard.change("follow", "bob", "ana")

    assert wishes(shard.change("block", "ana", "bob")) == [
        ("block", "ana", "user"),
        ("block", "ana", "other"),
    ]
    assert shard.change("block", "ana", "bob") == []
    assert shard.change("follow", "bob", "ana") == []
    assert shard.change("unfollow", "bob", "ana") == []
    assert wishes(shard.change("unblock", "ana", "bob")) == [("unblock", "ana", "both")]
    assert told(shard.post("1", "bob", "p")) == []
    assert wishes(shard.change("follow", "bob", "ana")) == [("follow", "bob", "both")]


def test_a_block_takes_back_what_only_the_blocked_told() -> None:
    """
    Rows whose only actor is blocked go, for who blocked alone; rows with others in them stay.
    """
    shard = Shard()
    shard.follow("bob", "cy")
    shard.post("1", "ana", "p")
    shard.like("2", "ana", "bob", object_="x")
    shard.like("3", "ana", "bob", "cy", object_="y")
    for actor in ("ana", "di"):
        shard.like(f"4{actor}", actor, "bob", object_="z")

    out = shard.change("block", "bob", "ana")

    assert sorted(users for *_, users in told(out)) == [["bob"]] * 3
    assert told(shard.delete("p")) == [("gone", 3, ["cy"])]


def test_a_mute_is_for_the_future_only() -> None:
    """
    A mute takes nothing back.
    """
    shard = Shard()
    shard.follow("bob")
    shard.post("1", "ana", "p")

    out = shard.change("mute", "bob", "ana", aspect="author")

    assert (told(out), wishes(out)) == ([], [("mute", "bob", "both")])
    assert shard.change("mute", "bob", "ana", aspect="author") == []
    assert silenced(shard.post("2", "ana", "q")) == [("mute", 1)]


def test_a_mark_says_what_was_shown() -> None:
    """
    Marks go out as they came, with the seqs that were shown; also those of somebody who never heard anything.
    """
    mark = Shard().mark("bob", "read", ("1", 7), ("2", 9))[0]

    assert type(mark) is Mark
    assert (mark.user, mark.verb, mark.ids, mark.row_seqs, mark.up_to) == (
        "bob",
        "read",
        ["1", "2"],
        [7, 9],
        None,
    )


# Undo of singles


def test_an_undo_takes_back_what_it_undoes_alone() -> None:
    """
    Same kind, same actor, same object: nothing else goes.
    """
    shard = Shard()
    mention = Audience("mention", None, ["bob"])
    for id_, kind, actor, object_ in (
        ("1", "repost", "ana", "p"), ("2", "like", "ana", "p"), ("3", "repost", "cy", "p"), ("4", "repost", "ana", "q"),
    ):  # fmt: skip
        shard.tell(id_, kind, actor, object_, mention)

    assert told(shard.undo("repost", "ana", "p")) == [("gone", 1, ["bob"])]
    assert told(shard.undo("repost", "ana", "p")) == []


# What is wrong


def test_a_dropped_activity_is_noted() -> None:
    """
    What was dropped leaves a trace that says why.
    """
    shard = Shard()
    out = shard.ask("drop", shard.content("1", "like", "ana", "p"), why="deleted")

    assert [type(record) for record in out] == [Outcome]
    assert silenced(out) == [("deleted", 1)]


def test_what_cannot_be_read_is_dead_and_the_stream_goes_on() -> None:
    """
    A bad record becomes a dead letter with its bytes; notices keep their places.
    """
    shard = Shard()
    bad = [
        b"junk",
        encode(Activity("1", "post", "ana", "p")),
        encode(Change("1", "dance", "ana", object="bob")),
    ]
    bad += [encode(Change("1", "mark", "ana", verb="burn")), b"\xc3\x01"]

    dead = [shard.put_bytes(value)[0] for value in bad]

    assert [d.reason for d in dead] == ["undecodable", "misplaced", "invalid", "invalid", "undecodable"]
    assert [(letter.topic, letter.offset, letter.value) for letter in dead] == [
        (ROUTED, at, value) for at, value in enumerate(bad, 1)
    ]
    shard.follow("bob")
    assert shard.post("1", "ana", "p")[0].seq == 2


def test_commands_are_taken_once_and_a_jump_stops() -> None:
    """
    A command handed over twice does nothing the second time; one that skips others stops the shard.
    """
    shard = Shard()
    shard.follow("bob")
    shard.post("1", "ana", "p")
    shard.last, shard.asked = (-1, -1), 0
    assert shard.post("1", "ana", "p") == []

    shard.last = (7, 0)
    shard.asked = 8
    with pytest.raises(Jump):
        shard.post("2", "ana", "q")


def test_rules_that_never_came_stop_the_shard() -> None:
    """
    A command that names a version of the rules that this shard has not seen stops it: it does not guess.
    """
    shard = Shard()
    shard.follow("bob")
    content = shard.content("1", "post", "ana", "p")

    with pytest.raises(UnknownRules, match="version 2"):
        shard.ask("announce", content, Audience("post", "ana"), rules=2)


def test_a_command_is_judged_by_the_rules_it_was_made_with() -> None:
    """
    New rules hold for what is routed after them; a command on its way keeps its own.
    """
    shard = Shard()
    shard.follow("bob")
    quiet = default_source().replace("[kinds.post]\n", '[kinds.post]\nchannels = ["push"]\n')
    shard.put(Rules(2, 1, quiet, NOW_MS))
    post, more = shard.content("1", "post", "ana", "p"), shard.content("2", "post", "ana", "q")

    assert told(shard.ask("announce", post, Audience("post", "ana"), rules=1)) == [("new", "1", ["bob"])]
    assert silenced(shard.ask("announce", more, Audience("post", "ana"), rules=2)) == [("preference", 1)]


def test_a_group_keeps_the_rules_it_began_with() -> None:
    """
    New rules change the pace of new groups, not of those that are open.
    """
    shard = Shard()
    shard.like("1", "ana")
    shard.put(Rules(2, 1, limited(update_every_ms=0), NOW_MS))

    assert told(shard.like("2", "cy")) == []
    shard.like("3", "ana", object_="q")
    assert told(shard.like("4", "cy", object_="q")) == [("grew", "3", 2, ["cy", "ana"], ["bob"])]


def test_a_shard_is_the_same_after_a_snapshot() -> None:
    """
    Names, edges, wishes, what was told and where it stands outlive a snapshot: the same bytes come out.
    """
    shard = Shard()
    shard.follow("bob", "cy")
    shard.change("block", "di", "ana")
    shard.post("1", "ana", "p")
    again = shard.reopened()

    assert again.fold.dump() == shard.fold.dump()
    for each in (shard, again):
        each.follow("ed")
        each.post("2", "ana", "q")
    assert [o.value for o in again.outputs] == [o.value for o in shard.outputs]
    assert told(shard.delete("p")) == told(again.delete("p")) == [("gone", 4, ["bob", "cy"])]
