import pytest

from fanbell.edge.presence import Here
from tests.edge.http.conftest import Server, bearer

HERE = Here(2, 1_800_000_000_000, 1_800_000_060_000)


def test_who_is_connected_is_shown(server: Server) -> None:
    """
    A user who is connected shows with devices, since when, and when last active.
    """
    server.backend.here["ana/1"] = HERE
    answer = server.get("/v1/users/ana%2F1/presence")

    assert answer.status_code == 200
    assert answer.json() == {
        "user": "ana/1",
        "online": True,
        "devices": 2,
        "since": "2027-01-15T08:00:00.000Z",
        "last_active": "2027-01-15T08:01:00.000Z",
    }


def test_who_is_not_connected_is_no_error(server: Server) -> None:
    """
    A user who is away, or whom nobody has heard of, is simply not online.
    """
    assert server.get("/v1/users/ben/presence").json() == {
        "user": "ben", "online": False, "devices": 0, "since": None, "last_active": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("user", "roles", "status"),
    [
        ("ana", ("user",), 200),
        ("ben", ("user",), 403),
        ("site", ("producer",), 200),
        ("root", ("operator",), 200),
    ],
)
def test_presence_is_for_producers_operators_and_oneself(
    guarded: Server, user: str, roles: tuple[str, ...], status: int
) -> None:
    """
    Other users do not learn who is connected.
    """
    guarded.backend.here["ana"] = HERE

    assert guarded.get("/v1/users/ana/presence").status_code == 401
    assert guarded.get("/v1/users/ana/presence", headers=bearer(user, *roles)).status_code == status


def test_questions_that_are_not_understood_are_refused(server: Server) -> None:
    """
    Unknown parameters and impossible ids are refused, as everywhere.
    """
    assert server.get("/v1/users/ana/presence?since=1").status_code == 400
    assert server.get("/v1/users/%00/presence").status_code == 422
