from typing import Any

import pytest

from fanbell.edge.cursor import encode_cursor
from fanbell.projections.rows import Query
from tests.edge.http.conftest import Server, bearer, errors_of

PAGE = "/v1/users/ana/notifications"
CURSOR = encode_cursor("test-epoch", 9)


def test_page_without_a_query(server: Server) -> None:
    """
    Without a query the newest fifty rows are asked for.
    """
    answer = server.get(PAGE)

    assert (answer.status_code, answer.json()["total"]) == (200, 0)
    assert [("ana", Query(), None)] == server.inbox.asked


def test_page_with_every_filter(server: Server) -> None:
    """
    Every filter of the query reaches the inbox, cursors as seqs.
    """
    query = f"?limit=7&before={CURSOR}&unread=true&kind=like&scope=a%2Fb+c&locale=pt-BR&archived=only"
    server.get(PAGE + query)

    expected = Query(limit=7, before=9, unread=True, kind="like", scope="a/b c", archived="only")
    assert [("ana", expected, "pt-BR")] == server.inbox.asked


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"), ("limit=201", "limit"), ("limit=1e2", "limit"), ("limit=-1", "limit"),
        ("limit=%C2%B2", "limit"),
        ("limit=", "limit"), ("before=x", "before"), ("unread=yes", "unread"), ("archived=no", "archived"),
        ("kind=", "kind"), ("scope=%00", "scope"), ("locale=deutsch%20bitte", "locale"), ("colour=red", "colour"),
        ("limit=1&limit=2", "limit"), (f"before={CURSOR}&after={CURSOR}", "after"), ("scope=%ff", "scope"),
        ("scope=%2", "scope"),
    ],
)  # fmt: skip
def test_bad_queries_are_400_by_name(query: str, field: str, server: Server) -> None:
    """
    Unknown, repeated, unreadable or absurd query parameters are refused by name.
    """
    answer = server.get(f"{PAGE}?{query}")

    assert answer.status_code == 400
    assert [(None, field)] == errors_of(answer)
    assert server.inbox.asked == []


def test_cursor_of_another_log_says_so(server: Server) -> None:
    """
    A cursor of a log that was replaced is refused with what to do.
    """
    answer = server.get(f"{PAGE}?after={encode_cursor('old', 3)}")

    assert answer.status_code == 400
    assert "another log" in answer.json()["errors"][0]["message"]


def test_counts(server: Server) -> None:
    """
    The counters are unread and unseen, and unread by kind and scope.
    """
    assert server.get("/v1/users/ana/counts").json() == {"unread": 0, "unseen": 0, "kinds": {}, "scopes": {}}


@pytest.mark.parametrize("verb", ["read", "unread", "seen", "archive", "unarchive", "click"])
def test_marks_carry_the_seqs_shown(verb: str, server: Server) -> None:
    """
    A mark on ids names the seqs at which they are shown now; unknown ids are told and change nothing.
    """
    server.backend.store.seqs["ana"] = {"n1": 4, "n2": 8}
    answer = server.post(f"{PAGE}/{verb}", {"ids": ["n2", "gone", "n1", "n2"]})

    assert answer.json() == {"status": "accepted", "shown": True, "unknown": ["gone"]}
    (change,) = server.backend.changes
    assert ("mark", "ana", verb, ["n2", "n1"], [8, 4], None) == (
        change.kind, change.user, change.verb, change.ids, change.seqs, change.up_to
    )  # fmt: skip


def test_marks_carry_what_was_shown(server: Server) -> None:
    """
    With cursors a mark names what the client was shown, not what the rows have become; unknown ids are told as ever.
    """
    server.backend.store.seqs["ana"] = {"n1": 4, "n2": 8}
    cursors = [encode_cursor("test-epoch", seq) for seq in (7, 1, 4)]
    answer = server.post(f"{PAGE}/read", {"ids": ["n2", "gone", "n1"], "cursors": cursors})

    assert answer.json()["unknown"] == ["gone"]
    (change,) = server.backend.changes
    assert (change.ids, change.seqs) == (["n2", "n1"], [7, 4])


def test_mark_up_to_a_cursor(server: Server) -> None:
    """
    A mark up to a cursor carries the cursor's seq.
    """
    assert server.post(f"{PAGE}/read", {"up_to": CURSOR}).status_code == 202
    assert server.backend.changes[0].up_to == 9


@pytest.mark.parametrize("ids", [[], ["gone"]])
def test_mark_of_nothing_changes_nothing(ids: list[str], server: Server) -> None:
    """
    A mark that names nothing in the inbox is accepted and puts nothing in the log.
    """
    assert server.post(f"{PAGE}/read", {"ids": ids}).status_code == 202
    assert server.backend.changes == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422), ({"ids": ["a"], "up_to": CURSOR}, 422), ({"ids": "a"}, 422), ({"ids": ["a"] * 1_001}, 422),
        ({"ids": [""]}, 422), ({"ids": [1]}, 422), ({"ids": None}, 422), ({"up_to": 3}, 422), ({"up_to": "x"}, 400),
        ({"all": True}, 422), ([], 422), ({"ids": ["a"], "cursors": []}, 422), ({"ids": ["a"], "cursors": [9]}, 422),
        ({"ids": ["a"], "cursors": ["x"]}, 400), ({"up_to": CURSOR, "cursors": [CURSOR]}, 422),
    ],
)  # fmt: skip
def test_bad_marks_are_refused(body: Any, status: int, server: Server) -> None:
    """
    A mark is either up to 1,000 ids or one cursor.
    """
    assert status == server.post(f"{PAGE}/read", body).status_code
    assert server.backend.changes == []


def test_answer_says_whether_it_shows_already(server: Server) -> None:
    """
    A change that is in the log but does not show yet is accepted all the same, and the answer says so.
    """
    server.backend.settles = False

    assert server.post(f"{PAGE}/read", {"ids": []}).json() == {
        "status": "accepted",
        "shown": False,
        "unknown": [],
    }


@pytest.mark.parametrize("path", [PAGE, "/v1/users/ana/counts"])
def test_inbox_is_its_users(path: str, guarded: Server) -> None:
    """
    An inbox is read by its user and by operators, not by other users or producers, nor without a token.
    """
    asked = {
        role: guarded.get(path, headers=headers).status_code
        for role, headers in {
            "own": bearer("ana"),
            "other": bearer("ben"),
            "producer": bearer("site", "producer"),
            "operator": bearer("root", "operator"),
            "nobody": {},
        }.items()
    }

    assert asked == {"own": 200, "other": 403, "producer": 403, "operator": 200, "nobody": 401}


def test_marks_are_the_users_own(guarded: Server) -> None:
    """
    Nobody marks another's inbox.
    """
    assert guarded.post(f"{PAGE}/read", {"ids": []}, headers=bearer("ben")).status_code == 403
    assert guarded.post(f"{PAGE}/read", {"ids": []}, headers=bearer("ana")).status_code == 202
