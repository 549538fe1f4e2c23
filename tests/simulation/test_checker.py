"""The checker notices each sort of wrong in a history of a few lines, and nothing in one where all is well."""

from typing import Any

from fanbell.projections.store import READ, SEEN
from fanbell.schemas.codec import encode_body
from fanbell.schemas.records import Content, Mark, Notice, Retraction, Update
from tests.simulation.checker import check
from tests.simulation.history import History, Moved, Noticed, Op, Pair, Reading, Shown
from tests.simulation.rules import Declared

PLACE = ("fan_out", 0, "notices", 0)


def op(id_: str, kind: str, user: str, object_: str = "", at: int = 1, **more: Any) -> Op:
    """Invoked at `at`, acknowledged at once, settled at once; the clock says the same."""
    times = {"invoked": at, "acked": at, "settled": at, "invoked_ms": at, "settled_ms": at}
    return Op(id_, kind, user, object_, **(times | more))


FOLLOW = op("f", "follow", "bo", "ana", at=1)
POST = op("p", "post", "ana", "post", at=3)


def content(of: Op, **more: Any) -> bytes:
    values = {"expires_at": of.expires_at} | more
    return encode_body(
        Content(of.id, of.kind, of.user, of.object, of.target, None, None, None, "normal", 1, **values)
    )


def post(
    seq: int = 1, n: int = 1, prev_n: int = -1, time: int = 9, of: Op = POST, user: str = "bo", **more: Any
) -> Noticed:
    reason = "post" if of.kind == "post" else "mention"
    return Noticed(time, n, Notice(n, 0, prev_n, min(prev_n, 0), seq, reason, content(of, **more), [user]))


def row(seq: int = 1, of: Op = POST, flags: int = 0, count: int = 1, **more: Any) -> Shown:
    reason = {"post": "post", "like": "like", "follow": "follow"}.get(of.kind, "mention")
    values = {"reason": reason, "actors": (of.user,)} | more
    return Shown(seq, of.id, of.kind, object=of.object, target=of.target, count=count, flags=flags, **values)


def history(*ops: Op, bo: list[Shown] = [], notices: list[Noticed] = [], **more: Any) -> History:  # noqa: B006
    return History(list(ops), {"bo": bo}, notices={0: notices}, **more)


def whats(history: History) -> set[str]:
    return {wrong.what for wrong in check(history)}


def test_all_is_well() -> None:
    """
    A follower who hears once of a post is nothing wrong.
    """
    assert check(history(op("g", "follow", "ana", "cy"), FOLLOW, POST, bo=[row()], notices=[post()])) == []


def test_lost() -> None:
    """
    A follower who never hears of a post that came after the follow was acknowledged: lost.
    """
    assert whats(history(FOLLOW, POST)) == {"lost"}


def test_lost_on_the_way_to_the_inbox() -> None:
    """
    A notice that never became a row: lost.
    """
    assert "lost" in whats(history(FOLLOW, POST, notices=[post()]))


def test_lost_out_of_the_log() -> None:
    """
    An output that an undisturbed fold has and the log has not: lost.
    """
    assert whats(history(expected={PLACE: [(1, 0, b"x")]})) == {"lost"}


def test_either_way() -> None:
    """
    A follow at the same time as the post may count or not.
    """
    meanwhile = op("f", "follow", "bo", "ana", at=2)
    meanwhile.acked = 4
    assert whats(history(meanwhile, POST)) == set()
    assert whats(history(meanwhile, POST, bo=[row()], notices=[post()])) == set()


def test_twice() -> None:
    """
    The same notification in two rows: twice.
    """
    told = [post(), post(seq=2, n=2, prev_n=1)]
    assert whats(history(FOLLOW, POST, bo=[row(2), row(1)], notices=told)) == {"twice"}


def test_twice_in_a_group() -> None:
    """
    A group that counts more than there were: twice.
    """
    follow = op("f", "follow", "ana", "bo")
    grown = Update(1, 0, -1, -1, 1, "f", "follow", 1, -1, True, 2, ["ana"], 1, content(follow), ["bo"])
    shown = [row(of=follow, count=2)]
    assert whats(history(follow, bo=shown, notices=[Noticed(9, 0, grown)])) == {"twice"}


def test_put_out_twice() -> None:
    """
    A writer that puts out what it could see when it opened: twice.
    """
    again = post(n=1)
    again = Noticed(20, 2, again.record, saw=(2, 2))
    assert whats(history(FOLLOW, POST, bo=[row()], notices=[post(), again])) == {"twice"}


def test_a_zombies_repeat_is_nothing_wrong() -> None:
    """
    A writer that opened before may put out what another has put out meanwhile.
    """
    again = Noticed(20, 2, post().record, saw=(0, 0))
    assert whats(history(FOLLOW, POST, bo=[row()], notices=[post(), again])) == set()


def test_unwanted() -> None:
    """
    A row for somebody whom it does not concern: unwanted.
    """
    mention = op("m", "mention", "ana", "post", at=5, mentions=("cy",))
    told = [post(of=mention)]
    assert whats(history(POST, mention, bo=[row(of=mention)], notices=told)) == {"unwanted"}


def test_unwanted_output() -> None:
    """
    An output that nothing gives rise to: unwanted.
    """
    assert whats(history(outputs={PLACE: [Pair(5, 1, 0, -1, -1, b"x")]})) == {"unwanted"}


def test_too_late() -> None:
    """
    A post heard although a mute was acknowledged before it: the mute came too late.
    """
    mute = op("m", "mute", "bo", "ana", at=2, aspect="author")
    assert whats(history(FOLLOW, mute, POST, bo=[row()], notices=[post()])) == {"too late"}


def test_a_later_mute_takes_nothing_back() -> None:
    """
    A mute is for the future only.
    """
    mute = op("m", "mute", "bo", "ana", at=5, aspect="author")
    assert whats(history(FOLLOW, POST, mute, bo=[row()], notices=[post()])) == set()


def test_too_early() -> None:
    """
    A like heard of before the post was there: too early.
    """
    mine = op("p", "post", "bo", "post", at=7)
    like = op("l", "like", "ana", "post", at=2)
    like.settled = 9
    told = Update(1, 0, -1, -1, 1, "l", "like", 1, -1, True, 1, ["ana"], 1, content(like), ["bo"])
    assert whats(history(mine, like, bo=[row(of=like)], notices=[Noticed(5, 0, told)])) == {"too early"}


def test_out_of_order() -> None:
    """
    Two mentions at one entity, heard the other way round: out of order.
    """
    first = op("m1", "mention", "ana", "post", at=5, mentions=("bo",))
    second = op("m2", "mention", "ana", "post", at=6, mentions=("bo",))
    told = [post(1, 1, -1, of=second), post(2, 2, 1, of=first)]
    rows = [row(2, first), row(1, second)]
    mine = op("p", "post", "ana", "post")
    assert whats(history(mine, first, second, bo=rows, notices=told)) == {"out of order"}


def test_out_of_order_in_the_log() -> None:
    """
    An output before the one that comes before it: out of order.
    """
    pairs = [Pair(5, 2, 0, 1, 0, b"y"), Pair(6, 1, 0, -1, -1, b"x")]
    expected = {PLACE: [(1, 0, b"x"), (2, 0, b"y")]}
    assert whats(history(outputs={PLACE: pairs}, expected=expected)) == {"out of order"}


def test_differs() -> None:
    """
    The same place with other bytes: two folds of one log did not agree.
    """
    pairs = {PLACE: [Pair(5, 1, 0, -1, -1, b"other")]}
    assert whats(history(outputs=pairs, expected={PLACE: [(1, 0, b"x")]})) == {"differs"}


def test_retracted_rows_are_not_resurrected() -> None:
    """
    A row that was taken back and is there all the same: unwanted.
    """
    retraction = Noticed(12, 2, Retraction(2, 0, 1, 0, 2, "p", 1, "delete", ["bo"]))
    assert "unwanted" in whats(history(FOLLOW, POST, bo=[row()], notices=[post(), retraction]))


def test_counter_drift() -> None:
    """
    A counter that does not say what the list says: counter drift.
    """
    wrong = history(FOLLOW, POST, bo=[row()], notices=[post()], read={"bo": [Reading(9, (1,), 2, 1)]})
    assert whats(wrong) == {"counter drift"}


def test_what_expires_is_listed_and_counted_until_then() -> None:
    """
    A row is on the list and counted up to the moment at which it expires, and nowhere from then on.
    """
    said = op("p", "post", "ana", "post", at=3, expires_at=50)
    made = {"bo": [row(of=said, expires_at=50)], "notices": [post(of=said)]}
    readings = [Reading(49, (1,), 1, 1), Reading(50, (), 0, 0)]

    assert whats(history(FOLLOW, said, read={"bo": readings}, **made)) == set()
    assert whats(history(FOLLOW, said, read={"bo": [Reading(50, (1,), 0, 0)]}, **made)) == {"unwanted"}
    assert whats(history(FOLLOW, said, read={"bo": [Reading(49, (), 1, 1)]}, **made)) == {"lost"}
    assert whats(history(FOLLOW, said, read={"bo": [Reading(50, (), 1, 0)]}, **made)) == {"counter drift"}


def test_what_has_expired_is_not_told() -> None:
    """
    A post heard of that had expired when it was said: too late.
    """
    said = op("p", "post", "ana", "post", at=3, expires_at=2)

    assert whats(history(FOLLOW, said)) == set()
    assert whats(history(FOLLOW, said, bo=[row(of=said, expires_at=2)], notices=[post(of=said)])) == {
        "too late"
    }


def test_expiry_is_as_the_rules_of_the_time_say() -> None:
    """
    A post that expires otherwise than its kind said when it came: differs. New rules are not for what came before.
    """
    day = op("r2", "rules", "site", at=2, rules=Declared(2, lives_ms=(("post", 100),)))
    week = op("r3", "rules", "site", at=5, rules=Declared(3, lives_ms=(("post", 700),)))

    def told(expires_at: int | None) -> set[str]:
        said = [post(of=POST, expires_at=expires_at)]
        return whats(history(FOLLOW, day, POST, week, bo=[row(expires_at=expires_at)], notices=said))

    assert told(103) == set()
    assert told(703) == told(None) == {"differs"}


def test_rules_are_in_force_for_what_comes_after_them() -> None:
    """
    Who hears is decided by the rules that were there: no follower of a kind without audience, all of a mandatory one.
    """
    off = op("w", "preferences", "bo", at=2, off=("post",))
    heard = {"bo": [row()], "notices": [post()]}
    hushed = op("r2", "rules", "site", at=2, rules=Declared(2, hushed=("post",)))
    later = op("r2", "rules", "site", at=5, rules=Declared(2, hushed=("post",)))
    must = op("r2", "rules", "site", at=2, rules=Declared(2, mandatory=("post",)))

    assert whats(history(FOLLOW, hushed, POST, **heard)) == {"unwanted"}
    assert whats(history(FOLLOW, POST, later, **heard)) == set()
    assert whats(history(FOLLOW, off, POST, **heard)) == {"too late"}
    assert whats(history(FOLLOW, off, must, POST, **heard)) == set()
    assert whats(history(FOLLOW, off, must, POST)) == {"lost"}


def test_a_mark_on_another_row() -> None:
    """
    A row that is read though another one was marked: counter drift.
    """
    mark = op("k", "mark", "bo", at=12, verb="read", seqs=(7,))
    told = [post(), Noticed(13, 2, Mark(2, 0, 1, 0, 2, "bo", "read", [], [1], None))]
    assert whats(history(FOLLOW, POST, mark, bo=[row(flags=READ | SEEN)], notices=told)) == {"counter drift"}


def test_ahead_of_acknowledgements() -> None:
    """
    A commit before the outputs of what it covers are out: ahead of acks.
    """
    outputs = {PLACE: [Pair(9, 1, 0, -1, -1, b"x")]}
    moved = [Moved(8, "committed", "fan_out", 0, 1)]
    wrong = history(outputs=outputs, expected={PLACE: [(1, 0, b"x")]}, moved=moved)
    assert whats(wrong) == {"ahead of acks"}


def test_stuck() -> None:
    """
    A part that stopped is said, and what follows from that is not.
    """
    assert whats(history(FOLLOW, POST, complaints=[("stuck", "a jump")])) == {"stuck"}
