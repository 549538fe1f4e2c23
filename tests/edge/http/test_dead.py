from typing import Any

import pytest

from fanbell.edge.backend import Letter
from fanbell.schemas.codec import encode
from fanbell.schemas.records import Activity, Dead
from tests.edge.http.conftest import Server, errors_of


@pytest.fixture
def server() -> Server:
    server = Server()
    carried = encode(Activity("a1", "like", "ana", "gone", data=b'{"x":1}'))
    for offset, value in ((2, carried), (5, b"\xc3\x01 not ours"), (9, b"")):
        dead = Dead(
            "activities", 1, 40 + offset, 0, 7, f"a{offset}", "unknown-entity", "waited 10 min", 1_000, value
        )
        server.backend.letters.append(Letter(offset, dead))
    return server


def test_list_comes_in_pages(server: Server) -> None:
    """
    Dead letters are listed with origin and reason, in pages.
    """
    first = server.get("/v1/dead?limit=2").json()
    second = server.get(f"/v1/dead?limit=2&after={first['next']}").json()

    assert [letter["offset"] for letter in first["items"]] == [2, 5]
    assert ([letter["offset"] for letter in second["items"]], second["next"]) == ([9], None)
    letter = first["items"][0]
    assert (
        letter["reason"],
        letter["origin"],
    ) == ("unknown-entity", {"topic": "activities", "partition": 1, "offset": 42})


def test_letter_is_shown_with_what_it_carries(server: Server) -> None:
    """
    A letter shows the record it carries, and its bytes whether or not they are one.
    """
    good, bad = server.get("/v1/dead/2").json(), server.get("/v1/dead/5").json()

    assert (good["record_type"], good["record"]["object"]) == ("Activity", "gone")
    assert (bad["record"], bad["value_base64"]) == (None, "wwEgbm90IG91cnM=")


@pytest.mark.parametrize(
    ("offset", "status"), [("3", 404), ("x", 422), ("-1", 422), ("1" * 30, 422), ("%C2%B2", 422)]
)
def test_no_such_letter(offset: str, status: int, server: Server) -> None:
    """
    An offset without a letter is a 404, what is no offset a 422.
    """
    assert status == server.get(f"/v1/dead/{offset}").status_code


@pytest.mark.parametrize(("verb", "done"), [("retry", "retried"), ("drop", "dropped")])
def test_retry_and_drop_say_how_many(verb: str, done: str, server: Server) -> None:
    """
    Letters are retried or dropped by offset; those that are not there do not count.
    """
    assert {done: 2} == server.post(f"/v1/dead/{verb}", {"offsets": [2, 9, 9, 100]}).json()
    assert [letter["offset"] for letter in server.get("/v1/dead").json()["items"]] == [5]


@pytest.mark.parametrize(
    "body", [{}, {"offsets": "all"}, {"offsets": [-1]}, {"offsets": [True]}, {"offsets": [1.0]}]
)
def test_bad_offsets_are_refused(body: Any, server: Server) -> None:
    """
    Offsets are whole numbers.
    """
    answer = server.post("/v1/dead/retry", body)

    assert (answer.status_code, errors_of(answer)[0][1]) == (422, "offsets")
