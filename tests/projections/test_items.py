"""What a reader is shown of a row."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanbell.projections.items import RENDERED_MAX, TEXT_CHARS_MAX, Renderer, best_locale, fit_url, rfc3339
from fanbell.projections.store import READ, SEEN, Body, Profile, Row
from fanbell.schemas.parse import id_fault
from fanbell.streams.core.kinds import default_source, parse_rules
from tests.projections.told import content

RULES = parse_rules(default_source())


def renderer(text: str = "", url: str = "", more: str = "") -> Renderer:
    """By rules of one kind, `job`."""
    return Renderer(
        parse_rules(f"[kinds.job]\nurl = '''{url}'''\n[kinds.job.text]\nen = '''{text}'''\n{more}")
    )


def body(kind: str = "job", count: int = 1, actors: tuple[str, ...] = ("ana",), **fields: Any) -> Body:
    return Body("n1", "like", count, actors, 1_000, content("a1", kind, actor=actors[0], **fields))


def text(template: str, **fields: Any) -> str:
    return str(renderer(template).shared(body(**fields), {}, "en")["text"])


def test_item_has_the_fields_of_the_api() -> None:
    """
    An item says who, what, when, in words and in data, and what the reader did with it.
    """
    row = Row(7, 9, SEEN | READ, "like", "room", None, 9)
    shown = Body(
        "n1",
        "like",
        13,
        ("cem", "ana"),
        0,
        content("a9", "like", "cem", at_ms=1_700_000_000_123, scope="room", data=b'{"x":[1]}'),
    )
    assert Renderer(RULES).item(row, shown, {"cem": Profile("Cem Ö", "https://x/c.png")}, "en") == {
        "id": "n1", "kind": "like", "reason": "like", "text": "Cem Ö and 12 others liked your post", "url": "/posts/p1",
        "actors": [
            {"id": "cem", "name": "Cem Ö", "avatar_url": "https://x/c.png"},
            {"id": "ana", "name": "ana", "avatar_url": None},
        ],
        "count": 13, "object": "p1", "target": None, "scope": "room", "data": {"x": [1]},
        "created_at": "1970-01-01T00:00:00.000Z", "updated_at": "2023-11-14T22:13:20.123Z",
        "seen": True, "read": True, "archived": False, "clicked": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("count", "actors", "people"),
    [
        (1, ("ana",), "ana"),
        (2, ("ana", "ben"), "ana and ben"),
        (3, ("ana", "ben", "cem"), "ana and 2 others"),
        (10_000, ("ana", "ben", "cem"), "ana and 9999 others"),
    ],
)
def test_people(count: int, actors: tuple[str, ...], people: str) -> None:
    """
    One is named, two are named, more are counted.
    """
    assert text("{{ people }}", count=count, actors=actors) == people


@pytest.mark.parametrize(
    ("locale", "said"),
    [
        ("de", "ana und 2 weitere gefällt dein Beitrag"),
        ("de-AT", "ana und 2 weitere gefällt dein Beitrag"),
        ("DE_ch", "ana und 2 weitere gefällt dein Beitrag"),
        ("pt", "ana and 2 others liked your post"),
        ("", "ana and 2 others liked your post"),
    ],
)
def test_locales(locale: str, said: str) -> None:
    """
    Text is in the reader's locale, else its language, else English.
    """
    row = Row(1, 1, 0, "like", None, None, 1)
    assert Renderer(RULES).item(row, body("like", 3), {}, locale)["text"] == said


def test_any_locale_is_better_than_none() -> None:
    """
    Where neither the locale nor English is offered, some other is.
    """
    assert best_locale("de", {"fr": 1}) == "fr"
    assert best_locale("de", {}) is None


def test_names_are_text() -> None:
    """
    Names and data go into the text as they are: neither escaped nor run as templates.
    """
    shown = body(actors=("{{ 7 * 7 }}<b>{0}",), data=b'{"t":"{% x %}&\\u0027"}')
    assert (
        renderer("{{ people }}: {{ data.t }}").shared(shown, {}, "en")["text"]
        == "{{ 7 * 7 }}<b>{0}: {% x %}&'"
    )


def test_missing_data_is_empty() -> None:
    """
    A template may ask for data that an activity does not have.
    """
    assert text("new{% if data.title %}: {{ data.title }}{% endif %}{{ data.a.b.c }}") == "new"


def test_undeclared_kind_has_a_plain_text() -> None:
    """
    A row whose kind is no longer declared still shows who and what.
    """
    shown = Renderer(RULES).shared(body("price_drop"), {}, "en")
    assert (shown["text"], shown["url"]) == ("ana: price drop", None)


@pytest.mark.parametrize(
    "template",
    [
        "{{ 1 / 0 }}",
        "{{ data.title.upper() }}",
        "{{ ''.__class__.__mro__ }}{{ people.__class__.x() }}",
        "{{ nope | nosuchfilter }}",
        "{{ 'x' * 10000000000 }}",
        "{{ '%0999999999d' % 1 }}",
        "{{ 9 ** 99999999 }}",
        "{{ range(10) }}",
        "{% include 'x' %}",
    ],
)
def test_failing_template_falls_back(template: str) -> None:
    """
    A template that fails, or tries what it may not, gives a plain text and is counted; the page stands.
    """
    failing = renderer(template)
    for _ in range(3):
        assert failing.shared(body(), {}, "en")["text"] == "ana: job"
    assert failing.failures["job"] >= 1


def test_text_is_bounded() -> None:
    """
    A text is at most 500 characters, however much a template or its data would give.
    """
    long = text("{{ data.t }}", data=b'{"t":"' + b"x" * 10_000 + b'"}')
    assert (len(long), long[-1]) == (TEXT_CHARS_MAX, "…")
    looping = (
        "{% for a in data.t %}{% for b in data.t %}{% for c in data.t %}x{% endfor %}{% endfor %}{% endfor %}"
    )
    assert len(text(looping, data=b'{"t":[' + b",".join([b"1"] * 1_000) + b"]}")) == TEXT_CHARS_MAX


@pytest.mark.parametrize(
    ("template", "url"),
    [
        ("/posts/{{ object }}", "/posts/a%2Fb%20%3Fc%23%F0%9F%90%99"),
        ("https://x.example/{{ object }}", "https://x.example/a%2Fb%20%3Fc%23%F0%9F%90%99"),
        ("{{ data.url }}", None),
        ("javascript:alert(1)", None),
        ("//evil.example/{{ object }}", None),
        ("", None),
        ("{{ 1 / 0 }}", None),
    ],
)
def test_urls(template: str, url: str | None) -> None:
    """
    An address has ids percent-encoded, and is relative or http(s), or none.
    """
    shown = body(object="a/b ?c#🐙", data=b'{"url":"JavaScript:alert(1)"}')
    assert renderer("x", template).shared(shown, {}, "en")["url"] == url


@pytest.mark.parametrize(
    "url", ["java\tscript:x", " javascript:x", "data:text/html,x", "\\\\evil", "/\\evil", "/a\nb"]
)
def test_addresses_that_browsers_read_otherwise_are_none(url: str) -> None:
    """
    What a browser would read as another address than it looks like is no address.
    """
    assert fit_url(url) is None


@given(id_=st.text().filter(lambda text: id_fault(text) is None))
def test_any_id_stays_within_its_part_of_the_address(id_: str) -> None:
    """
    Whatever an id consists of, an address built with it keeps its shape.
    """
    url = renderer("x", "/p/{{ object }}?x={{ actor }}").shared(body(object=id_, actors=(id_,)), {}, "en")[
        "url"
    ]
    assert url is not None
    assert (url.count("/"), url.count("?"), url.count("="), url.count("#"), url.count("&")) == (2, 1, 1, 0, 0)


def test_data_that_is_no_json_is_none() -> None:
    """
    Data that cannot be read shows as none, and the rest of the item stands.
    """
    shown = renderer("{{ people }}").shared(body(data=b"{"), {}, "en")
    assert (shown["data"], shown["text"]) == (None, "ana")


def test_kept_items_follow_profiles_and_flags() -> None:
    """
    An item rendered before is shown with the flags and the names of now.
    """
    ready, shown = renderer("{{ people }}"), body()
    row, read = Row(1, 1, 0, "job", None, None, 1), Row(1, 2, SEEN | READ, "job", None, None, 1)
    first = ready.item(row, shown, {}, "en")
    assert (first["text"], first["read"]) == ("ana", False)
    second = ready.item(read, shown, {"ana": Profile("Ana")}, "en")
    assert (second["text"], second["read"]) == ("Ana", True)
    assert (first["text"], first["read"]) == ("ana", False)


def test_what_is_kept_is_bounded() -> None:
    """
    Rendered items and made-up locales do not fill memory.
    """
    ready, row, shown = renderer("x"), Row(1, 1, 0, "job", None, None, 1), body()
    for number in range(3_000):
        ready.item(row, shown, {}, f"x{number}")
    assert len(ready._resolved) <= 1_001
    assert len(ready._rendered) == 1 <= RENDERED_MAX


def test_times_are_exact() -> None:
    """
    Times are shown to the millisecond, over all years that are taken.
    """
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(4_102_444_799_999) == "2099-12-31T23:59:59.999Z"
