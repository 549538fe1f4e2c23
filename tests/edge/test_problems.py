import json

from fanbell.edge.problems import ERRORS_MAX, fault, internal, unprocessable


def test_body_has_the_five_members() -> None:
    """
    A problem says type, title, status, detail and errors, each error with item, field and message.
    """
    body = json.loads(unprocessable("No.", [fault("kind", "is unknown", 3)]).body())

    assert body == {
        "type": "fanbell:invalid",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "No.",
        "errors": [{"item": 3, "field": "kind", "message": "is unknown"}],
    }


def test_errors_are_bounded() -> None:
    """
    A thousand bad items are answered with the first hundred faults and how many there are.
    """
    body = json.loads(unprocessable("No.", [fault("id", "bad", n) for n in range(1_000)]).body())

    assert len(body["errors"]) == ERRORS_MAX
    assert "of 1000 faults" in body["detail"]


def test_internal_problem_tells_nothing() -> None:
    """
    A fault of ours is told without any of the inside.
    """
    assert json.loads(internal().body())["errors"] == []
