"""`schemas/parse_change.py`: changes as JSON."""

from typing import Any

import pytest

from fanbell.schemas.parse import Invalid
from fanbell.schemas.parse_change import GRAPH_KINDS, parse_change
from fanbell.schemas.records import Change, Preference


@pytest.mark.parametrize("kind", GRAPH_KINDS)
def test_changes_of_the_graph(kind: str) -> None:
    """Each names two; a mute also says under which aspect."""
    more = {"aspect": "thread"} if kind.endswith("mute") else {}
    value = {"id": "c1", "kind": kind, "user": "ben", "object": "a/b", "occurred_at": 5, **more}
    assert parse_change(value) == Change("c1", kind, "ben", object="a/b", occurred_at=5, **more)


def test_preferences_and_profile() -> None:
    """They replace what there was; a field of the profile that is null is none."""
    item = {"kind": "like", "channel": "inbox", "value": "off"}
    assert parse_change({"id": "c", "kind": "preferences", "user": "ben", "preferences": [item]}) == Change(
        "c", "preferences", "ben", preferences=[Preference("like", "inbox", "*", "off")]
    )
    profile = {
        "id": "c",
        "kind": "profile",
        "user": "ben",
        "name": "Ben",
        "locale": "pt-BR",
        "timezone": None,
    }
    assert parse_change(profile) == Change("c", "profile", "ben", name="Ben", locale="pt-BR")


GOOD: dict[str, Any] = {"id": "c1", "kind": "follow", "user": "ben", "object": "ana"}


@pytest.mark.parametrize(
    ("changed", "field", "said"),
    [
        ({"id": None}, "id", "is required"),
        ({"user": ""}, "user", "must not be empty"),
        ({"kind": "mark"}, "kind", "must be one of follow"),
        ({"object": None}, "object", "is required for a change of kind follow"),
        ({"object": "ben"}, "object", "nobody can follow themselves"),
        ({"aspect": "author"}, "aspect", "does not belong"),
        ({"kind": "mute"}, "aspect", "is required"),
        ({"kind": "mute", "aspect": "all"}, "aspect", "must be one of author"),
        ({"occurred_at": "today"}, "occurred_at", "RFC 3339"),
        ({"friend": 1}, "friend", "unknown field"),
        ({"kind": "profile", "object": None, "avatar_url": "javascript:x"}, "avatar_url", "http"),
        ({"kind": "profile", "object": None, "name": "a\x00"}, "name", "control"),
        ({"kind": "profile", "object": None, "locale": "?"}, "locale", "language tag"),
        ({"kind": "preferences", "object": None, "preferences": [1]}, "preferences[0]", "must be an object"),
        ({"kind": "preferences", "object": None}, "preferences", "is required"),
    ],
)
def test_a_fault_is_named_by_its_field(changed: dict[str, Any], field: str, said: str) -> None:
    """What is wrong is said by field, and what would be right."""
    with pytest.raises(Invalid) as raised:
        parse_change({**GOOD, **changed})

    ((found, message),) = raised.value.errors
    assert found == field
    assert said in message


@pytest.mark.parametrize("value", [None, [], "x", 1])
def test_a_change_is_an_object(value: object) -> None:
    """Anything else is refused."""
    with pytest.raises(Invalid, match="must be a JSON object"):
        parse_change(value)
