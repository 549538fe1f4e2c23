"""What a reader is shown of a row: text and address in the reader's language, names and pictures of who acted.

Takes a row, its body and profiles; returns the item of the API. A template that fails, or a kind that is declared no
more, gives a plain text and is counted: one bad rule must not take a page away. Text is text; a page that shows it
escapes it.
"""

import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

import msgspec
import structlog
from jinja2 import ChainableUndefined, Template
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from fanbell.projections.store import ARCHIVED, CLICKED, READ, SEEN, Body, Profile, Row
from fanbell.streams.core.kinds import Kind, Rules

TEXT_CHARS_MAX: Final = 500  # one line of a list; longer is cut, ending in …
URL_CHARS_MAX: Final = 2_048  # what browsers and proxies agree on; longer is none
PIECES_MAX: Final = 10_000  # of one rendering: a loop in a template ends here
RENDERED_MAX: Final = 20_000  # items kept ready, about 2 KB each
FRESH_MAX: Final = 512  # items of new rows, for as long as it takes all partitions to tell of one activity
LOCALE_DEFAULT: Final = "en"

Profiles = Mapping[str, Profile | None]
Item = dict[str, Any]

log: Final = structlog.get_logger(__name__)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_UNFIT: Final = re.compile(r"[\x00-\x20\x7f\\]")  # browsers drop or turn these, and so read another address
_UNKNOWN: Final = Profile()
_FLAGS: Final = tuple(
    {
        "seen": bool(flags & SEEN),
        "read": bool(flags & READ),
        "archived": bool(flags & ARCHIVED),
        "clicked": bool(flags & CLICKED),
    }
    for flags in range(16)
)


class _Templates(ImmutableSandboxedEnvironment):
    """Templates without side effects, and without the operators that make much out of little."""

    intercepted_binops = frozenset(("*", "**", "%"))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if not isinstance(left, int | float) or not isinstance(right, int | float) or operator == "**":
            raise SecurityError(f"{operator} is for plain numbers only, and ** for none")
        return super().call_binop(context, operator, left, right)


_ENVIRONMENT: Final = _Templates(autoescape=False, undefined=ChainableUndefined)
_ENVIRONMENT.globals.clear()  # range and lipsum make much out of little; without any, rendering is a third faster
for _filter in ("center", "format", "indent", "random", "xmlattr"):
    del _ENVIRONMENT.filters[_filter]


def rfc3339(ms: int) -> str:
    """Unix ms as RFC 3339 in UTC, with milliseconds."""
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").removesuffix(
        "+00:00"
    ) + "Z"


def best_locale(wanted: str, offered: Mapping[str, Any]) -> str | None:
    """Of `offered`, the tag for who wants `wanted`: that one, its language, English, any. None if there is none."""
    by_tag = {tag.replace("_", "-").lower(): tag for tag in offered}
    wanted = wanted.replace("_", "-").lower()
    for tag in (wanted, wanted.partition("-")[0], LOCALE_DEFAULT):
        if tag in by_tag:
            return by_tag[tag]
    return next(iter(offered), None)


def fit_url(url: str) -> str | None:
    """`url` if it is a relative or http(s) address that browsers read as it stands; None if not."""
    if not url or len(url) > URL_CHARS_MAX or _UNFIT.search(url) or url.startswith("//"):
        return None
    if _SCHEME.match(url) and not url.lower().startswith(("http://", "https://")):
        return None
    return url


class Renderer:
    """Items by one version of the rules. Rendered ones are kept for as long as body and profiles are the same."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.failures: Counter[str] = Counter()
        """Renderings that failed, by kind."""
        self._locales = dict.fromkeys(
            [*rules.people, *(tag for kind in rules.kinds.values() for tag in kind.text)]
        )
        self._resolved: dict[str, str] = {}
        self._people: dict[str, tuple[str, str, str]] = {}
        self._texts: dict[tuple[str, str], Template | None] = {}
        self._urls: dict[str, Template | None] = {}
        self._rendered: dict[tuple[int, str], tuple[Body, tuple[Profile | None, ...], Item]] = {}
        self._fresh: dict[tuple[str, str], tuple[Body, tuple[Profile | None, ...], bytes]] = {}

    def item(self, row: Row, body: Body, profiles: Profiles, locale: str) -> Item:
        """The item of the API for `row`, but for its cursor. Parts of it are shared with other items: not to be
        changed.
        """
        resolved = self._resolved.get(locale) or self._resolve(locale)
        known = tuple(map(profiles.get, body.actors))
        key = (id(body), resolved)
        kept = self._rendered.get(key)
        if kept is None or kept[0] is not body or kept[1] != known:
            if len(self._rendered) >= RENDERED_MAX:
                self._rendered.clear()
            kept = self._rendered[key] = (body, known, self.shared(body, profiles, resolved))
        return kept[2] | _FLAGS[row.flags & 15]

    def fresh(self, body: Body, profiles: Profiles, locale: str) -> bytes:
        """The item for a new row as JSON, but for its cursor and the end of the object.

        Kept for a moment: other partitions are about to tell the same.
        """
        resolved = self._resolved.get(locale) or self._resolve(locale)
        known = tuple(map(profiles.get, body.actors))
        key = (body.id, resolved)
        kept = self._fresh.get(key)
        if kept is None or kept[0] != body or kept[1] != known:
            if len(self._fresh) >= FRESH_MAX:
                self._fresh.clear()
            item = self.shared(body, profiles, resolved) | _FLAGS[0]
            kept = self._fresh[key] = (body, known, msgspec.json.encode(item).removesuffix(b"}"))
        return kept[2]

    def shared(self, body: Body, profiles: Profiles, locale: str) -> Item:
        """What the item says to whoever reads it in `locale`."""
        content = body.content
        data = self._data(body)
        known = [(id_, profiles.get(id_) or _UNKNOWN) for id_ in body.actors]
        names = [profile.name or id_ for id_, profile in known]
        return {
            "id": body.id,
            "kind": content.kind,
            "reason": body.reason,
            "text": self._text(body, data, names, locale),
            "url": self._url(body, data),
            "actors": [
                {"id": id_, "name": name, "avatar_url": profile.avatar_url}
                for (id_, profile), name in zip(known, names, strict=True)
            ],
            "count": body.count,
            "object": content.object,
            "target": content.target,
            "scope": content.scope,
            "data": data,
            "created_at": rfc3339(body.created_ms),
            "updated_at": rfc3339(content.at_ms),
        }

    def people(self, names: list[str], count: int, locale: str) -> str:
        """Who acted, in words: "Ana", "Ana and Ben", "Ana and 12 others"."""
        forms = self._people.get(locale)
        if forms is None:
            tag = best_locale(locale, self.rules.people) or LOCALE_DEFAULT
            forms = self._people[locale] = self.rules.people[tag]
        first, second = (*names, "", "")[:2]
        form = forms[0] if count < 2 else forms[1] if count == 2 and second else forms[2]
        return form.format(first, second, n=max(1, count - 1))

    def _resolve(self, locale: str) -> str:
        """The tag of the rules that stands for `locale`, so that made-up tags do not fill memory."""
        if len(self._resolved) > 1_000:
            self._resolved.clear()
        resolved = self._resolved[locale] = best_locale(locale, self._locales) or LOCALE_DEFAULT
        return resolved

    def _data(self, body: Body) -> Any:
        if body.content.data is None:
            return None
        try:
            return msgspec.json.decode(body.content.data)
        except msgspec.DecodeError as error:
            self._failed(body, error)
            return None

    def _text(self, body: Body, data: Any, names: list[str], locale: str) -> str:
        content = body.content
        people = self.people(names, body.count, locale)
        kind = self.rules.kinds.get(content.kind)
        template = self._text_template(kind, locale) if kind else None
        if template is not None:
            said = {
                "people": people,
                "object": content.object,
                "target": content.target,
                "thread": content.thread,
            }
            said |= {"actor": content.actor, "scope": content.scope, "id": body.id}
            text = self._render(template, body, {**said, "names": names, **_numbers(body, data)})
            if text:
                return text if len(text) <= TEXT_CHARS_MAX else text[: TEXT_CHARS_MAX - 1] + "…"
        return f"{people}: {content.kind.replace('_', ' ')}"[:TEXT_CHARS_MAX]

    def _url(self, body: Body, data: Any) -> str | None:
        content = body.content
        kind = self.rules.kinds.get(content.kind)
        if kind is None or not kind.url:
            return None
        if kind.name not in self._urls:
            self._urls[kind.name] = self._compiled(kind.url, kind)
        template = self._urls[kind.name]
        if template is None:
            return None
        ids = {"id": body.id, "actor": content.actor, "object": content.object, "target": content.target}
        ids |= {"thread": content.thread, "scope": content.scope}
        quoted = {name: quote(id_, safe="") for name, id_ in ids.items() if id_ is not None}
        return fit_url(self._render(template, body, {**quoted, **_numbers(body, data)}) or "")

    def _text_template(self, kind: Kind, locale: str) -> Template | None:
        key = (kind.name, locale)
        if key not in self._texts:
            tag = best_locale(locale, kind.text)
            self._texts[key] = None if tag is None else self._compiled(kind.text[tag], kind)
        return self._texts[key]

    def _compiled(self, source: str, kind: Kind) -> Template | None:
        try:
            return _ENVIRONMENT.from_string(source)
        except Exception as error:  # noqa: BLE001 - unknown filters and tests are met only here
            log.warning("template cannot be used", kind=kind.name, error=f"{type(error).__name__}: {error}")
            self.failures[kind.name] += 1
            return None

    def _render(self, template: Template, body: Body, said: Mapping[str, object]) -> str | None:
        """At most about twice what an item may have; None if rendering failed."""
        parts: list[str] = []
        length = 0
        try:
            for part in islice(template.generate(said), PIECES_MAX):
                parts.append(part)
                length += len(part)
                if length > URL_CHARS_MAX:
                    break
        except Exception as error:  # noqa: BLE001 - a template may raise anything that Python can
            self._failed(body, error)
            return None
        return "".join(parts).strip()

    def _failed(self, body: Body, error: Exception) -> None:
        kind = body.content.kind
        self.failures[kind] += 1
        if self.failures[kind] == 1:  # once; the counter tells of the others
            log.warning(
                "item not rendered",
                kind=kind,
                activity=body.content.id,
                error=f"{type(error).__name__}: {error}",
            )


def _numbers(body: Body, data: Any) -> dict[str, object]:
    """What text and address know alike."""
    return {
        "count": body.count,
        "reason": body.reason,
        "kind": body.content.kind,
        "data": {} if data is None else data,
    }
