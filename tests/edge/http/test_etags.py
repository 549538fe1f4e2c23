"""Who polls is told 304 if the answer is the one they have, and only then."""

import asyncio
from email.utils import formatdate
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fanbell.edge.auth import Auth
from fanbell.edge.cursor import encode_cursor
from fanbell.edge.http.app import create_app
from fanbell.edge.http.etags import SETTLED_S, TAGS_MAX, Tags, lists, seconds_of
from fanbell.infra.settings import Settings
from fanbell.projections.inbox import Inbox
from fanbell.projections.rows import Query
from fanbell.streams.core.kinds import default_source, parse_rules
from tests.edge.fake_notices import NOW_MS, FakeNotices
from tests.edge.http.conftest import Server
from tests.edge.http.streaming import running

PAGE = "/v1/users/ana/notifications"
COUNTS = "/v1/users/ana/counts"
NOW_S = 1_800_000_000.0


class Polled:
    """The API over a backend whose notices the test writes; clocks go by hand."""

    def __init__(self) -> None:
        self.backend = FakeNotices(partitions=1, keep=5)
        self.now_ms = NOW_MS
        self.now_s = NOW_S
        self.inbox = self.new_inbox()
        self.backend.listen(self.inbox.told)
        self.app = self.new_app(self.inbox)
        self.pages = 0
        self.group_seq = -1
        self._page = self.inbox.page
        self.inbox.page = self._counted

    def new_inbox(self) -> Inbox:
        backend = self.backend
        return Inbox(
            backend.store,
            lambda: backend.rules,
            lambda seq: encode_cursor(backend.epoch, seq),
            lambda: self.now_ms,
        )

    def new_app(self, inbox: Inbox) -> Any:
        return create_app(self.backend, inbox, Settings(), Auth(), tags=Tags(lambda: self.now_s))

    async def _counted(self, *args: Any) -> bytes:
        self.pages += 1
        return await self._page(*args)

    def new_rules(self) -> None:
        """A new version, in which a post is told otherwise."""
        version = self.backend.rules.version + 1
        source = default_source().replace("posted", f"posted ({version})")
        self.backend.rules = parse_rules(source, version)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:8787", verify=False
        ) as client:
            return await client.get(path, headers=named)


@pytest.mark.parametrize("path", [PAGE, COUNTS, f"{PAGE}?limit=1&locale=de"])
def test_what_the_client_has_is_not_sent_again(path: str) -> None:
    """
    An answer has a tag, and while it stays the same, who shows the tag gets 304 and no body, which was not even made.
    """

    async def story() -> None:
        polled = Polled()
        await polled.backend.notice(["ana"], "n1")
        first = await polled.get(path)
        made = polled.pages
        again = await polled.get(path, if_none_match=first.headers["etag"])
        assert (first.status_code, again.status_code, again.content, polled.pages) == (200, 304, b"", made)
        assert again.headers["etag"] == first.headers["etag"]
        assert "content-length" not in again.headers
        assert "content-type" not in again.headers
        for answer in (first, again):
            assert answer.headers.get_list("cache-control") == ["private, no-cache"]
            assert answer.headers["vary"] == "authorization, origin"
        await polled.backend.notice(["ana"], "n2")
        changed = await polled.get(path, if_none_match=first.headers["etag"])
        assert changed.status_code == 200
        assert changed.headers["etag"] != first.headers["etag"]

    asyncio.run(story())


def test_what_others_hear_changes_nothing() -> None:
    """
    A change that is none for this inbox leaves the tag as it is, at every process.
    """

    async def story() -> None:
        polled = Polled()
        await polled.backend.notice(["ana"], "n1")
        tag = (await polled.get(PAGE)).headers["etag"]
        await polled.backend.notice(["ben"], "n2")
        await polled.backend.wish("ben", "profile", name="Ben")
        assert (await polled.get(PAGE, if_none_match=tag)).status_code == 304
        polled.app = polled.new_app(polled.new_inbox())
        assert (await polled.get(PAGE, if_none_match=tag)).status_code == 304

    asyncio.run(story())


EXPIRING = ("notice", "bob", 5)


@pytest.mark.parametrize(
    ("before", "what"),
    [
        (EXPIRING, ("time", 6)), (("notice", "bob", None), ("rules",)),
        (("notice", "bob", None), ("profile", "bob", "X")),
        (("notice", "bob", None), ("locale", "de")), (("notice", "bob", None), ("mark", "read", 1)),
        (("group", True), ("group", False)), (("notice", "bob", None), ("retract", 1)),
    ],
)  # fmt: skip
def test_whatever_changes_a_page_changes_its_tag(before: tuple[Any, ...], what: tuple[Any, ...]) -> None:
    """
    A page is sent again when a row expires, and when rules, names, languages, marks or a group's content change.
    """

    async def story() -> None:
        polled = Polled()
        await take(polled, 1, before)
        tag = (await polled.get(PAGE)).headers["etag"]
        assert (await polled.get(PAGE, if_none_match=tag)).status_code == 304
        await take(polled, 2, what)
        changed = await polled.get(PAGE, if_none_match=tag)
        assert changed.status_code == 200
        assert changed.content == await made_anew(polled, PAGE)

    asyncio.run(story())


STEPS = st.one_of(
    st.tuples(st.just("notice"), st.sampled_from(["bob", "cleo"]), st.sampled_from([None, 5, 50])),
    st.tuples(st.just("mark"), st.sampled_from(["read", "unread", "seen", "archive"]), st.integers(1, 30)),
    st.tuples(st.just("group"), st.booleans()),
    st.tuples(st.just("forget group")),
    st.tuples(st.just("retract"), st.integers(1, 30)),
    st.tuples(st.just("profile"), st.sampled_from(["bob", "cleo", "dan"]), st.sampled_from(["X", "Y"])),
    st.tuples(st.just("locale"), st.sampled_from(["de", "en"])),
    st.tuples(st.just("rules")),
    st.tuples(st.just("time"), st.integers(1, 30)),
    st.tuples(st.just("evict")),
    st.tuples(st.just("other")),
)
PATHS: dict[str, tuple[Query, str | None] | None] = {
    PAGE: (Query(), None),
    f"{PAGE}?locale=de": (Query(), "de"),
    f"{PAGE}?limit=2&unread=true": (Query(limit=2, unread=True), None),
    f"{PAGE}?archived=only": (Query(archived="only"), None),
    COUNTS: None,
}


async def made_anew(polled: Polled, path: str) -> bytes:
    """What `path` is answered by who has kept nothing."""
    inbox, asked_for = polled.new_inbox(), PATHS[path]
    if asked_for is None:
        return msgspec.json.encode(await inbox.counts("ana"))
    return await inbox.page("ana", *asked_for)


@given(st.sampled_from(list(PATHS)), st.lists(STEPS, min_size=2, max_size=25))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_304_is_said_only_of_the_same_body(path: str, story: list[tuple[Any, ...]]) -> None:
    """
    Whatever happens between two polls (news, marks, retractions, expiry, names, languages, rules), 304 is said if and
    only if the answer would be, byte by byte, one that the client had with a tag it shows; and by date only then, too.
    """

    async def play() -> None:
        polled = Polled()
        had: dict[str, bytes] = {}
        dates: dict[str, bytes] = {}
        for number, step in enumerate(story):
            await take(polled, number, step)
            expected = await made_anew(polled, path)
            shown = ", ".join(had) or '"none"'
            answer = await polled.get(path, if_none_match=shown)
            assert (answer.status_code == 304) == (expected in had.values())
            if answer.status_code == 304:
                assert had[answer.headers["etag"]] == expected
            else:
                assert answer.content == expected
                had[answer.headers["etag"]] = expected
            for date, body in dates.items():
                dated = await polled.get(path, if_modified_since=date)
                assert dated.status_code == 200 or body == expected
            if (date := answer.headers.get("last-modified")) is not None:
                dates[date] = expected

    asyncio.run(play())


async def take(polled: Polled, number: int, step: tuple[Any, ...]) -> None:
    backend = polled.backend
    match step:
        case ("notice", actor, expires_s):
            expires_at = None if expires_s is None else polled.now_ms + expires_s * 1_000
            await backend.notice(["ana"], f"n{number}", actor=actor, expires_at=expires_at)
        case ("mark", verb, seq):
            await backend.mark("ana", verb, [seq])
        case ("group", announces):
            row = polled.group_seq
            told = await backend.update("ana", "g", row, announces=announces or row == -1, count=number + 1)
            polled.group_seq = told.row_seq
        case ("forget group",):
            if polled.group_seq != -1:
                await backend.retract("ana", "g", polled.group_seq)
                polled.group_seq = -1
        case ("retract", seq):
            await backend.retract("ana", f"n{seq}", seq)
        case ("profile", who, name):
            await backend.wish(who, "profile", name=name)
        case ("locale", locale):
            await backend.wish("ana", "profile", locale=locale)
        case ("rules",):
            polled.new_rules()
        case ("time", seconds):
            polled.now_ms += seconds * 1_000
            polled.now_s += seconds
        case ("evict",):
            polled.inbox.changed(["ana"])
        case ("other",):
            await backend.notice(["ben"], f"o{number}")


def test_dates_are_told_late_and_taken_exactly() -> None:
    """
    A date is told once it lies back; it counts if it is the one told, and not beside a tag.
    """

    async def story() -> None:
        polled = Polled()
        await polled.backend.notice(["ana"], "n1")
        first = await polled.get(PAGE)
        assert "last-modified" not in first.headers
        polled.now_s += SETTLED_S + 1
        date = (await polled.get(PAGE)).headers["last-modified"]
        assert seconds_of(date) == NOW_S + 1
        for said, status in (
            (date, 304),
            (formatdate(NOW_S, usegmt=True), 200),
            (formatdate(NOW_S + 3, usegmt=True), 200),
            ("yesterday", 200),
            ("Mon, 99 Foo 99999 99:99:99 GMT", 200),
        ):
            assert (await polled.get(PAGE, if_modified_since=said)).status_code == status
        both = await polled.get(PAGE, if_modified_since=date, if_none_match='"another"')
        assert both.status_code == 200
        await polled.backend.notice(["ana"], "n2")
        assert (await polled.get(PAGE, if_modified_since=date)).status_code == 200

    asyncio.run(story())


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ('"a"', True), ('W/"a"', True), ('"b", W/"a"', True), ('"b","a" , "c"', True), ("*", True), (" * ", True),
        (', "a",', True), ('"b"', False), ("", False), ("a", False), ('"a', False), ('w/"a"', False), ('"A"', False),
        ('"b, a"', False), ('"b" "a"', False), ('"a" x', False), ('"*"', False), ('"a", *', False),
    ],
)  # fmt: skip
def test_lists_of_tags(said: str, found: bool) -> None:
    """
    Of strong and weak tags, one or many, each is compared as it stands; what is no list of tags names none.
    """
    assert lists(said, "a") == found


@pytest.mark.parametrize(
    "date", ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
def test_three_forms_of_dates(date: str) -> None:
    """
    Dates are read in each of the forms that HTTP knows.
    """
    assert seconds_of(date) == 784_111_777


def test_tags_are_bounded() -> None:
    """
    So many tags are kept, those asked for last.
    """
    tags = Tags(lambda: NOW_S)
    for number in range(TAGS_MAX):
        tags.made(number, (1,), b"x")
    assert tags.known(0, (1,)) is not None
    tags.made("one more", (1,), b"x")

    assert tags.known(0, (1,)) is not None
    assert tags.known(1, (1,)) is None


def test_preflights_allow_conditions(server: Server) -> None:
    """
    Web pages may poll with conditions, and read the tag.
    """
    headers = {"origin": "http://127.0.0.1:8787", "access-control-request-method": "GET"}
    answer = server.ask("OPTIONS", PAGE, headers=headers)

    assert "if-none-match" in answer.headers["access-control-allow-headers"]
    got = server.get(PAGE, headers={"origin": "http://127.0.0.1:8787"})
    assert "etag" in got.headers["access-control-expose-headers"]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_conditions_on_a_socket() -> None:
    """
    HEAD has the tag too, and a 304 leaves the connection good for the next request.
    """
    async with running() as server, server.asking() as client:
        await server.backend.notice(["ana"], "n1")
        head = await client.head(PAGE)
        tag = head.headers["etag"]
        again = [await client.get(PAGE, headers={"if-none-match": f'W/{tag}, "x"'}) for _ in range(2)]
        conditional = await client.head(PAGE, headers={"if-none-match": tag})
        whole = await client.get(PAGE)

    assert (head.status_code, head.content) == (200, b"")
    assert [answer.status_code for answer in again] == [304, 304]
    assert conditional.status_code == 304
    assert (whole.status_code, whole.headers["etag"]) == (200, tag)
