from typing import Any

import pytest

from fanbell.edge.backend import Busy, Trace, Unavailable
from tests.edge.http.conftest import Server, activity, bearer, errors_of

POST = "/v1/activities"


def test_one_activity_is_accepted(server: Server) -> None:
    """
    One activity is answered 202 with its id and status, and is in the log.
    """
    answer = server.post(POST, activity())

    assert (answer.status_code, answer.json()) == (202, {"results": [{"id": "a1", "status": "accepted"}]})
    assert server.backend.published["a1"].actor == "ana"


def test_results_come_in_the_order_of_the_batch(server: Server) -> None:
    """
    A batch is answered item by item, and what was published before is a duplicate.
    """
    server.post(POST, activity("a2"))
    answer = server.post(POST, [activity("a1"), activity("a2"), activity("a3"), activity("a1")])

    assert answer.json()["results"] == [
        {"id": "a1", "status": "accepted"},
        {"id": "a2", "status": "duplicate"},
        {"id": "a3", "status": "accepted"},
        {"id": "a1", "status": "duplicate"},
    ]


def test_empty_batch_is_nothing(server: Server) -> None:
    """
    An empty batch is accepted and is nothing.
    """
    assert ((answer := server.post(POST, [])).status_code, answer.json()["results"]) == (202, [])


def test_bad_items_refuse_the_batch_by_item_and_field(server: Server) -> None:
    """
    One bad item refuses the whole batch, and each bad item and field is named.
    """
    answer = server.post(
        POST,
        [
            activity("good"),
            activity("bad", kind="nonsense"),
            {"id": "worse", "kind": "post", "actor": 7},
            activity("later", deliver_at=1),
            3,
            activity("self", kind="follow", actor="ana", object="ana"),
        ],
    )

    assert answer.status_code == 422
    assert errors_of(answer) == [
        (1, "kind"),
        (2, "actor"),
        (2, "object"),
        (3, "deliver_at"),
        (4, ""),
        (5, "object"),
    ]
    assert server.backend.published == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", "x" * 257),
        ("actor", "a\x00b"),
        ("object", "a\nb"),
        ("occurred_at", "3000-01-01T00:00:00Z"),
        ("occurred_at", "yesterday"),
        ("expires_at", -1),
        ("data", []),
        ("data", {"x": "y" * 17_000}),
        ("mentions", ["m"] * 51),
        ("recipients", ["r"] * 1_001),
        ("importance", "very"),
        ("by_operator", True),
        ("unheard_of", 1),
    ],
)
def test_bad_fields_are_named(field: str, value: Any, server: Server) -> None:
    """
    Missing, oversized, absurd or unknown fields are refused by name.
    """
    answer = server.post(POST, activity(**{field: value}) if field != "id" else {**activity(), "id": value})

    assert answer.status_code == 422
    assert [(0, field)] == errors_of(answer)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"nonsense", b'{"id": "a"} {}', b'{"id": NaN}', b'{"id": "a", "id": "b"}', b'{"id": "\\ud800"}',
        b'{"id": "\xff"}', b"[" * 100_000, b'{"a":' * 100_000, b'{"id": "\x00"}', b"\xef\xbb\xbf{}",
    ],
)  # fmt: skip
def test_malformed_json_is_refused(body: bytes, server: Server) -> None:
    """
    What is not strict JSON is a 400: cut off, doubled keys, NaN, lone surrogates, not UTF-8, nested without end.
    """
    answer = server.ask("POST", POST, content=body, headers={"content-type": "application/json"})

    assert answer.status_code == 400
    assert errors_of(answer) == [(None, "")]


def test_deep_nesting_is_named(server: Server) -> None:
    """
    Data nested too deep is refused by its field.
    """
    data: dict[str, Any] = {}
    for _ in range(20):
        data = {"x": data}

    assert errors_of(server.post(POST, activity(data=data))) == [(0, "data")]


def test_too_many_activities_are_refused(server: Server) -> None:
    """
    A batch of 1,000 passes, a larger one is refused.
    """
    assert server.post(POST, [activity(str(n)) for n in range(1_000)]).status_code == 202
    assert server.post(POST, [activity(f"b{n}") for n in range(1_001)]).status_code == 422


def test_too_large_activity_is_413_and_named(server: Server) -> None:
    """
    An activity over 64 KiB encoded is refused, by its place in the batch.
    """
    people = [f"{n:0>200}" for n in range(400)]
    large = activity("m", kind="message", target="c", recipients=people)
    answer = server.post(POST, [activity(), large])

    assert answer.status_code == 413
    assert errors_of(answer) == [(1, "")]


def test_largest_activity_without_recipients_fits() -> None:
    """
    Without recipients an activity cannot pass 64 KiB, so its size need not be measured.
    """
    from fanbell.schemas.codec import encode
    from fanbell.schemas.limits import ACTIVITY_BYTES_MAX, DATA_BYTES_MAX, ID_BYTES_MAX, MENTIONS_MAX
    from fanbell.schemas.records import Activity

    longest = "x" * ID_BYTES_MAX
    largest = Activity(
        *[longest] * 8, [longest] * MENTIONS_MAX, [], b"x" * DATA_BYTES_MAX, "normal", 2**62, 2**62, 2**62
    )

    assert len(encode(largest)) <= ACTIVITY_BYTES_MAX


def test_used_id_with_another_body_is_409(server: Server) -> None:
    """
    An id that was used with another body refuses the batch and is named, in the log or in the batch itself.
    """
    server.post(POST, activity("a1"))
    before = server.post(POST, [activity("a2"), activity("a1", object="other")])
    inside = server.post(POST, [activity("a3"), activity("a3"), activity("a3", object="other")])

    assert (before.status_code, errors_of(before)) == (409, [(1, "id")])
    assert (inside.status_code, errors_of(inside)) == (409, [(2, "id")])
    assert list(server.backend.published) == ["a1"]


def test_graph_changes_are_activities(server: Server) -> None:
    """
    Follow, mute and block are published like any activity.
    """
    batch = [
        activity("f", kind="follow", object="ben"),
        activity("m", kind="mute", object="author:ben"),
        activity("b", kind="unblock", object="ben"),
    ]

    assert server.post(POST, batch).status_code == 202
    assert errors_of(server.post(POST, activity("n", kind="mute", object="ben"))) == [(0, "object")]


def test_backlog_is_503_with_retry_after(server: Server) -> None:
    """
    Past the backlog's bound publishers are told when to come again.
    """
    server.backend.fails = Busy(7)
    answer = server.post(POST, activity())

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")


def test_full_disk_is_503_with_why(server: Server) -> None:
    """
    What cannot be made durable is refused with the reason, and may be tried again.
    """
    server.backend.fails = Unavailable("the disk is full")
    answer = server.post(POST, activity())

    assert (answer.status_code, answer.json()["detail"]) == (503, "the disk is full")
    assert "retry-after" in answer.headers


def test_users_publish_as_themselves(guarded: Server) -> None:
    """
    A user's token publishes what that user does, nothing else; a producer's whatever anybody does.
    """
    batch = [activity("a1", actor="ana"), activity("a2", actor="ben")]
    refused = guarded.post(POST, batch, headers=bearer("ana"))

    assert (refused.status_code, errors_of(refused)) == (403, [(1, "actor")])
    assert guarded.backend.published == {}
    assert guarded.post(POST, batch[:1], headers=bearer("ana")).status_code == 202
    assert guarded.post(POST, batch, headers=bearer("site", "producer")).status_code == 202


def test_only_an_operators_token_deletes_as_operator(server: Server, guarded: Server) -> None:
    """
    A delete is the operator's only if a token says so; other kinds never are.
    """
    delete = activity("d", kind="delete", object="post-1")
    server.post(POST, delete)
    guarded.post(POST, [delete, activity("p")], headers=bearer("root", "operator"))
    guarded.post(POST, {**delete, "id": "d2"}, headers=bearer("site", "producer"))

    assert not server.backend.published["d"].by_operator
    assert {k: a.by_operator for k, a in guarded.backend.published.items()} == {
        "d": True,
        "p": False,
        "d2": False,
    }


def test_trace_tells_what_became_of_it(server: Server, guarded: Server) -> None:
    """
    A trace says how far an activity came, who heard and what silenced others; users do not see it.
    """
    server.backend.traces["a/1"] = Trace("a/1", "routed", heard=3, silenced={"mutes": 1}, stored=True)
    found = server.get("/v1/activities/a%2F1/trace")

    assert found.json() == {
        "id": "a/1", "state": "routed", "heard": 3, "silenced": {"mutes": 1}, "stored": True, "reason": None,
    }  # fmt: skip
    assert server.get("/v1/activities/unknown/trace").status_code == 404
    assert guarded.get("/v1/activities/a1/trace", headers=bearer("ana")).status_code == 403
