"""What records mean, apart from any store."""

import pytest

from fanbell.projections.apply import (
    Listing,
    body_of,
    expiry,
    listings,
    marked,
    preferences_of,
    profile_of,
    row_of,
)
from fanbell.projections.store import ARCHIVED, CLICKED, READ, SEEN, Profile
from fanbell.schemas.records import Change, Preference, Side
from tests.projections.told import content, notice, update


@pytest.mark.parametrize("verb", ["read", "unread", "seen", "archive", "unarchive", "click"])
@pytest.mark.parametrize("flags", range(16))
def test_same_mark_twice_is_one(verb: str, flags: int) -> None:
    """
    Marking again what is marked changes nothing.
    """
    assert marked(marked(flags, verb), verb) == marked(flags, verb)


def test_unread_keeps_what_was_seen() -> None:
    """
    What is marked unread stays seen, archived and clicked.
    """
    assert marked(SEEN | READ | ARCHIVED | CLICKED, "unread") == SEEN | ARCHIVED | CLICKED


def test_body_shows_three_actors() -> None:
    """
    A group shows its latest three actors, however many it has.
    """
    shown = body_of(update(5, ["ben"], actors=("d", "c", "b", "a"), count=12))
    assert (shown.actors, shown.count) == (("d", "c", "b"), 12)


def test_row_of_an_update_keeps_its_place() -> None:
    """
    A row says where it stands, when it changed and what it shows.
    """
    row = row_of(update(5, ["ben"], row_seq=2, prev=2, announces=False, scope="room"), 2, SEEN, None)
    assert (row.seq, row.changed_seq, row.flags, row.kind, row.scope, row.body) == (
        2,
        5,
        SEEN,
        "like",
        "room",
        5,
    )


def test_row_of_a_notice_expires_as_its_content() -> None:
    """
    A row expires when its content says so, or at the inbox's age, whichever is first.
    """
    assert row_of(notice(1, ["ben"], expires_at=70), 1, 0, None).expires_at == 70
    assert expiry(content(at_ms=50), 10) == 60
    assert expiry(content(at_ms=50, expires_at=55), 10) == 55
    assert expiry(content(at_ms=50), None) is None


def change(kind: str, side: Side = "user", object_: str | None = "ana", aspect: str | None = None) -> Change:
    return Change("c1", kind, "ben", side, object_, aspect)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (change("follow"), [Listing("follows", "ben", "ana", True)]),
        (change("follow", "other"), []),
        (change("unfollow", "both"), [Listing("follows", "ben", "ana", False)]),
        (change("mute", aspect="thread"), [Listing("mutes", "ben", "thread:ana", True)]),
        (change("block"), [Listing("blocks", "ben", "ana", True), Listing("follows", "ben", "ana", False)]),
        (change("block", "other"), [Listing("follows", "ana", "ben", False)]),
        (
            change("block", "both"),
            [
                Listing("blocks", "ben", "ana", True),
                Listing("follows", "ben", "ana", False),
                Listing("follows", "ana", "ben", False),
            ],
        ),
        (change("unblock"), [Listing("blocks", "ben", "ana", False)]),
        (change("profile", object_=None), []),
    ],
)
def test_listings(made: Change, expected: list[Listing]) -> None:
    """
    A change touches the lists of those who live where its copy is.
    """
    assert listings(made) == expected


def test_profile_and_preferences_are_replaced_whole() -> None:
    """
    A profile's absent fields are absent afterwards; another change is about neither.
    """
    assert profile_of(Change("c1", "profile", "ben", name="Ben")) == Profile("Ben")
    assert profile_of(change("follow")) is None
    items = [Preference("*", "email", "*", "off")]
    assert preferences_of(Change("c1", "preferences", "ben", preferences=items)) == items
    assert preferences_of(Change("c1", "preferences", "ben", preferences=None)) == []
    assert preferences_of(change("follow")) is None
