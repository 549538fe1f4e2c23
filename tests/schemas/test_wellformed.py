"""`schemas/wellformed.py`: what came as Avro is held to what JSON is. More in tests/streams/core."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanbell.schemas import wellformed
from fanbell.schemas.parse import Invalid, parse_activity
from fanbell.schemas.records import Activity, Change
from fanbell.schemas.wellformed import activity_faults, change_fault
from tests.schemas.records import of_schema, schema_json

ACTIVITIES: st.SearchStrategy[Activity] = of_schema(schema_json("Activity"))
TAKEN_BY_JSON = [name for name in Activity.__struct_fields__ if name not in ("data", "by_operator")]


@given(ACTIVITIES)
def test_avro_and_json_have_the_same_faults(activity: Activity) -> None:
    """Whatever an Avro activity holds, it has faults in the fields in which the same as JSON has them."""
    value = {name: getattr(activity, name) for name in TAKEN_BY_JSON}
    try:
        parse_activity(value)
        expected = set()
    except Invalid as error:
        expected = {field for field, _ in error.errors}

    assert {field for field, _ in activity_faults(activity)} == expected


@given(ACTIVITIES)
def test_a_short_look_finds_no_less(activity: Activity) -> None:
    """What passes at first sight has no fault at a second."""
    if wellformed._is_plain(activity):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(wellformed, "_is_plain", lambda _: False)
            assert activity_faults(activity) == []


def test_a_good_change_has_no_fault() -> None:
    """A follow, a mark, a profile: as our own API makes them."""
    for change in (
        Change("c", "follow", "ana", object="bo", occurred_at=1_760_000_000_000),
        Change("c", "mark", "ana", verb="read", ids=["a"], seqs=[3]),
        Change("c", "profile", "ana", name="Ana", avatar_url="/ana.png", locale="en", timezone="Europe/Rome"),
    ):
        assert change_fault(change) is None
