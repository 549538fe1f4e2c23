from typing import Any
from urllib.parse import quote

import pytest

from tests.edge.http.conftest import Server, bearer, errors_of

ANA = "/v1/users/ana"


@pytest.mark.parametrize(
    ("what", "name", "aspect", "other"),
    [
        ("follows", "ben", None, "ben"),
        ("mutes", "author:ben", "author", "ben"),
        ("mutes", "thread:t:1", "thread", "t:1"),
        ("blocks", "ben", None, "ben"),
    ],
)
def test_put_and_delete(what: str, name: str, aspect: str | None, other: str, server: Server) -> None:
    """
    PUT puts into the list, DELETE takes out; both may be repeated, and a read sees them at once.
    """
    path = f"{ANA}/{what}/{quote(name, safe='')}"
    for _ in range(2):
        assert server.put(path).json() == {"status": "accepted", "shown": True}
    assert {"items": [name], "next": None} == server.get(f"{ANA}/{what}").json()
    change = server.backend.changes[0]
    assert ("ana", aspect, other, "both") == (change.user, change.aspect, change.object, change.side)
    for _ in range(2):
        assert server.delete(path).status_code == 202
    assert server.get(f"{ANA}/{what}").json()["items"] == []


def test_users_see_what_they_can_choose(guarded: Server) -> None:
    """
    A user's token reads the kinds that can be turned off, without the rules: not those that nobody can turn off, nor
    those that only take others back. Another's token does not.
    """
    rules = """
[kinds.price_drop]
channels = ["inbox", "email"]
audience = [{ to = "recipients", reason = "message" }]
[kinds.alarm]
mandatory = true
audience = [{ to = "recipients", reason = "message" }]
[kinds.unlike]
undoes = "like"
target = "none"
[kinds.like]
target = "none"
audience = [{ to = "owner", reason = "like" }]
"""
    guarded.put("/v1/kinds", json={"source": rules}, headers=bearer("root", "operator"))
    answer = guarded.get(f"{ANA}/kinds", headers=bearer("ana"))

    assert answer.json() == {
        "items": [
            {"kind": "price_drop", "channels": ["inbox", "email"]},
            {"kind": "like", "channels": ["inbox"]},
        ]
    }
    assert guarded.get(f"{ANA}/kinds", headers=bearer("ben")).status_code == 403


def test_an_answer_waits_for_its_own_change(server: Server) -> None:
    """
    What is waited for is where this change is in the log, not what others changed.
    """
    for number in (1, 2):
        server.put(f"{ANA}/follows/ben")
        assert server.backend.settled == {0: number}


def test_unfollow_of_nobody_is_fine(server: Server) -> None:
    """
    To follow somebody no longer whom one never followed is accepted, and is nothing.
    """
    assert server.delete(f"{ANA}/follows/nobody").status_code == 202


@pytest.mark.parametrize(
    "path",
    ["follows/ana", "blocks/ana", "mutes/author:ana", "mutes/ben", "mutes/colour:red", "mutes/author:"],
)
def test_wishes_that_make_no_sense_are_422(path: str, server: Server) -> None:
    """
    Nobody follows, blocks or mutes themselves, and a mute says what of whom.
    """
    answer = server.put(f"{ANA}/{path}")

    assert (answer.status_code, errors_of(answer)) == (422, [(None, "id")])
    assert server.backend.changes == []


def test_lists_come_in_pages(server: Server) -> None:
    """
    A list comes in pages, each going on where the one before ended.
    """
    for name in "dacb":
        server.put(f"{ANA}/follows/{name}")
    first = server.get(f"{ANA}/follows?limit=3").json()
    second = server.get(f"{ANA}/follows?limit=3&after={first['next']}").json()

    assert (first, second) == ({"items": ["a", "b", "c"], "next": "c"}, {"items": ["d"], "next": None})


def test_page_of_mutes_goes_on_after_the_longest_id(server: Server) -> None:
    """
    A muted id may be as long as any, and its page goes on after it.
    """
    name = f"author:{'x' * 256}"
    server.put(f"{ANA}/mutes/{name}")

    assert server.get(f"{ANA}/mutes?after={name}").status_code == 200
    assert server.put(f"{ANA}/mutes/{name}x").status_code == 422


def test_preferences_are_replaced(server: Server) -> None:
    """
    PUT replaces all preferences; what a preference leaves away is any.
    """
    server.put(f"{ANA}/preferences", json={"items": [{"kind": "like", "value": "off"}]})
    server.put(f"{ANA}/preferences", json={"items": [{"kind": "post", "scope": "s", "value": "on"}]})

    expected = {"kind": "post", "channel": "*", "scope": "s", "value": "on"}
    assert {"items": [expected]} == server.get(f"{ANA}/preferences").json()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "items"), ({"items": 3}, "items"), ({"items": [3]}, "items[0]"),
        ({"items": [{"value": "loud"}]}, "items[0].value"),
        ({"items": [], "more": 1}, "more"), ({"items": [{"value": "on"}] * 2}, "items[1]"),
    ],
)  # fmt: skip
def test_bad_preferences_are_named(body: Any, field: str, server: Server) -> None:
    """
    A preference that cannot be is refused by its place.
    """
    answer = server.put(f"{ANA}/preferences", json=body)

    assert (422, [(None, field)]) == (answer.status_code, errors_of(answer))


def test_profile_is_replaced(server: Server) -> None:
    """
    PUT replaces the profile: what it leaves away, or gives as null, is cleared.
    """
    full = {
        "name": "Ana",
        "avatar_url": "https://e.org/a.png",
        "locale": "de-AT",
        "timezone": "Europe/Vienna",
    }
    server.put(ANA, json=full)
    assert {"id": "ana", **full} == server.get(ANA).json()

    server.put(ANA, json={"name": "Anna", "locale": None})
    assert server.get(ANA).json() == {
        "id": "ana",
        "name": "Anna",
        "avatar_url": None,
        "locale": None,
        "timezone": None,
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""), ("name", 3), ("name", "a\x1bb"), ("name", "ü" * 600), ("avatar_url", "javascript:alert(1)"),
        ("avatar_url", "data:image/png;base64,x"), ("avatar_url", "https://["), ("avatar_url", "a.png"),
        ("locale", "x"),
        ("locale", "de/../x"), ("timezone", "Mars/Olympus"), ("age", 3),
    ],
)  # fmt: skip
def test_bad_profiles_are_named(field: str, value: Any, server: Server) -> None:
    """
    A profile is shown to others, so pictures are web addresses and names have no control characters.
    """
    answer = server.put(ANA, json={field: value})

    assert (422, [(None, field)]) == (answer.status_code, errors_of(answer))


def test_who_may_wish(guarded: Server) -> None:
    """
    Wishes are made by the user, by producers in their name, and by operators; read by the user and operators.
    """
    callers = {
        "own": bearer("ana"),
        "other": bearer("ben"),
        "producer": bearer("site", "producer"),
        "operator": bearer("root", "operator"),
    }
    put = {who: guarded.put(f"{ANA}/follows/eve", headers=told).status_code for who, told in callers.items()}
    get = {who: guarded.get(f"{ANA}/follows", headers=told).status_code for who, told in callers.items()}

    assert put == {"own": 202, "other": 403, "producer": 202, "operator": 202}
    assert get == {"own": 200, "other": 403, "producer": 403, "operator": 200}
