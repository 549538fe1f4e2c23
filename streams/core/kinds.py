"""Kinds as data: the rules file, read into values; what is wrong with one, by line and key.

A kind says whom an activity concerns, why, and how its notices group. Everything else that shapes outputs (limits of
time and number) stands in the same file, so that a replay of the log decides the same.
"""

import re
import tomllib
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

from jinja2 import TemplateSyntaxError
from jinja2.sandbox import SandboxedEnvironment

from fanbell.schemas.parse import IMPORTANCES, FieldError
from fanbell.schemas.records import Activity

REASONS: Final = ("message", "mention", "reply", "comment", "thread", "follow", "repost", "like", "post")
"""Strongest first: one activity gives one recipient one notification, for the strongest reason."""
RANK: Final = {reason: rank for rank, reason in enumerate(REASONS)}
AUDIENCES: Final = (
    "owner", "thread", "recipients", "object",
    "followers_of_actor", "followers_of_scope", "followers_of_object", "followers_of_target",
)  # fmt: skip
GRAPH: Final = ("follow", "unfollow", "mute", "unmute", "block", "unblock")
"""Kinds that change the graph: they go to users' partitions, not to entities'."""
DELETE: Final = "delete"
FOLD_VERSION: Final = 1
"""The newest version of the fold that this code can run; which one is in force, the log says (`core/fold.py`)."""
FOLD_OLDEST: Final = 1
"""The oldest: the one before the newest, so that workers can be replaced one after the other."""
KINDS_MAX: Final = 1_000  # kinds in one file: each costs templates in every process


class BadRules(ValueError):
    """A rules file that cannot be used; `line` (from 1, 0 if unknown), `key` and what would be right."""

    def __init__(self, line: int, key: str, message: str) -> None:
        super().__init__(f"line {line}, {key}: {message}" if key else f"line {line}: {message}")
        self.line, self.key, self.message = line, key, message


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits in time (fold time, ms) and number (per partition) that shape outputs."""

    waiting_ms: int = 600_000
    waiting_per_entity: int = 1_000
    waiting_per_partition: int = 100_000
    window_ms: int = 86_400_000
    update_every_ms: int = 5_000
    group_actors: int = 10_000
    thread_members: int = 1_000
    dedupe_ms: int = 86_400_000
    dedupe_ids: int = 1_000_000
    entities: int = 10_000_000
    told: int = 200_000


@dataclass(frozen=True, slots=True)
class Kind:
    """One declared type of activity. `audience` is (to whom, reason), strongest reason first."""

    name: str
    audience: tuple[tuple[str, str], ...] = ()
    change: bool = False
    creates: bool = False
    target: str = "optional"
    joins_thread: bool = False
    undoes: str | None = None
    groups_by: str | None = None
    importance: str = "normal"
    mandatory: bool = False
    channels: tuple[str, ...] = ("inbox",)
    window_ms: int | None = None
    expires_after_ms: int | None = None
    url: str = ""
    text: dict[str, str] = field(default_factory=dict)

    @property
    def needs_entity(self) -> bool:
        """Whether routing it takes knowing the entity acted on: its owner or its thread."""
        return self.joins_thread or any(to in ("owner", "thread") for to, _ in self.audience)

    @property
    def asks_thread(self) -> bool:
        """Whether routing it takes those who took part in the thread."""
        return self.joins_thread or any(to == "thread" for to, _ in self.audience)

    @property
    def asks_followers(self) -> bool:
        return any(to.startswith("followers") for to, _ in self.audience)


@dataclass(frozen=True, slots=True)
class Rules:
    """A version of the rules, ready to use."""

    version: int
    source: str
    limits: Limits
    kinds: dict[str, Kind]
    people: dict[str, tuple[str, str, str]]

    def faults(self, activity: Activity) -> list[FieldError]:
        """What is wrong with `activity` by these rules; empty if nothing is. Its fields are well formed already."""
        kind = self.kinds.get(activity.kind)
        if kind is None and activity.kind != DELETE and activity.kind not in GRAPH:
            known = ", ".join(sorted({*self.kinds, *GRAPH, DELETE}))
            return [("kind", f"unknown kind {activity.kind!r}; known are {known}")]
        errors: list[FieldError] = []
        if activity.deliver_at is not None:
            errors.append(("deliver_at", "is not supported yet; leave it out"))
        if activity.kind in GRAPH:
            return errors + graph_faults(activity)
        if kind is None:
            if activity.target is not None:  # who owns the target need not own the object
                errors.append(("target", f"must be absent for kind {activity.kind}"))
            return errors
        if kind.target == "required" and activity.target is None:
            errors.append(("target", f"is required for kind {kind.name}"))
        if kind.target == "none" and activity.target is not None:
            errors.append(("target", f"must be absent for kind {kind.name}"))
        if kind.creates and activity.target == activity.object:
            errors.append(("target", "must differ from object: a new entity cannot answer itself"))
        if not activity.recipients and any(to == "recipients" for to, _ in kind.audience):
            errors.append(("recipients", f"is required for kind {kind.name}"))
        if kind.name == "mention" and not activity.mentions:
            errors.append(("mentions", "is required for kind mention"))
        return errors


def graph_faults(activity: Activity) -> list[FieldError]:
    """What is wrong with `activity`, of a kind in GRAPH, whatever the rules."""
    if activity.kind in ("mute", "unmute"):
        aspect, colon, what = activity.object.partition(":")
        if not colon or not what or aspect not in ("author", "entity", "thread", "scope"):
            return [("object", "must be author:ID, entity:ID, thread:ID or scope:ID")]
        if aspect == "author" and what == activity.actor:
            return [("object", f"{activity.actor!r} cannot {activity.kind} themselves")]
    elif activity.actor == activity.object:
        return [("object", f"{activity.actor!r} cannot {activity.kind} themselves")]
    return []


def default_source() -> str:
    """The TOML text of the kinds that ship with Fanbell."""
    return files(__package__).joinpath("default.toml").read_text(encoding="utf-8")


_KIND_KEYS: Final = {
    "audience", "change", "creates", "target", "joins_thread", "undoes", "groups_by", "importance", "mandatory",
    "channels", "window", "expires_after", "url", "text",
}  # fmt: skip
_DURATION: Final = re.compile(r"(\d{1,9})(ms|s|m|h|d)")
_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_TEMPLATES: Final = SandboxedEnvironment()


@lru_cache(maxsize=8)  # every partition of both stages takes the same text
def parse_rules(source: str, version: int = 0) -> Rules:
    """The rules that the TOML text `source` declares. Raises BadRules at the first fault."""
    try:
        tree = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        line = int(found[1]) if (found := re.search(r"line (\d+)", str(error))) else source.count("\n") + 1
        raise BadRules(line, "", f"not valid TOML: {error}") from None
    lines = _Lines(source)
    for key in tree:
        if key not in ("limits", "locales", "kinds"):
            raise lines.bad((key,), "unknown table; known are limits, locales, kinds")
    kinds_tree = _table(lines, ("kinds",), tree.get("kinds", {}))
    if not kinds_tree:
        raise lines.bad(("kinds",), "declare at least one kind, such as [kinds.post]")
    if len(kinds_tree) > KINDS_MAX:
        raise lines.bad(("kinds",), f"has {len(kinds_tree)} kinds, at most {KINDS_MAX} are allowed")
    kinds = {
        name: _kind(lines, name, _table(lines, ("kinds", name), kind)) for name, kind in kinds_tree.items()
    }
    for kind in kinds.values():
        if kind.undoes is not None and kind.undoes not in kinds:
            raise lines.bad(("kinds", kind.name, "undoes"), f"names {kind.undoes!r}, which is not declared")
    people = {
        locale: _people(lines, locale, _table(lines, ("locales", locale), table))
        for locale, table in _table(lines, ("locales",), tree.get("locales", {})).items()
    }
    people.setdefault("en", ("{0}", "{0} and {1}", "{0} and {n} others"))
    return Rules(
        version, source, _limits(lines, _table(lines, ("limits",), tree.get("limits", {}))), kinds, people
    )


class _Lines:
    """Where each key of a TOML text stands; good enough to point at it."""

    def __init__(self, source: str) -> None:
        self.of: dict[tuple[str, ...], int] = {}
        table: tuple[str, ...] = ()
        for number, line in enumerate(source.splitlines(), 1):
            if header := re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line):
                table = self._path(header[1])
                for depth in range(1, len(table) + 1):
                    self.of.setdefault(table[:depth], number)
            elif pair := re.match(
                r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""", line
            ):
                path = table + self._path(pair[1])
                for depth in range(len(table) + 1, len(path) + 1):
                    self.of.setdefault(path[:depth], number)

    @staticmethod
    def _path(text: str) -> tuple[str, ...]:
        return tuple(part.strip("\"'") for part in re.findall(r"""[\w-]+|"[^"]*"|'[^']*'""", text))

    def bad(self, path: tuple[str, ...], message: str) -> BadRules:
        line = next(
            (self.of[path[:depth]] for depth in range(len(path), 0, -1) if path[:depth] in self.of), 1
        )
        return BadRules(line, ".".join(path), message)


def _table(lines: _Lines, path: tuple[str, ...], value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise lines.bad(path, "must be a table")
    return value


def _limits(lines: _Lines, table: dict[str, Any]) -> Limits:
    for key, value in table.items():
        if key not in Limits.__dataclass_fields__:
            raise lines.bad(
                ("limits", key), f"unknown limit; known are {', '.join(Limits.__dataclass_fields__)}"
            )
        least = 0 if key == "update_every_ms" else 1
        if type(value) is not int or not least <= value <= 10**12:
            raise lines.bad(("limits", key), f"must be a whole number from {least} to 10**12")
    return Limits(**table)


def _people(lines: _Lines, locale: str, table: dict[str, Any]) -> tuple[str, str, str]:
    path = ("locales", locale, "people")
    forms = table.get("people")
    if not isinstance(forms, list) or len(forms) != 3 or not all(isinstance(form, str) for form in forms):
        raise lines.bad(
            path, 'must be three strings: for one, two and more people, such as "{0} and {n} others"'
        )
    try:
        for form in forms:
            form.format("A", "B", n=2)
    except (IndexError, KeyError, ValueError, AttributeError):
        raise lines.bad(path, "may use {0}, {1} and {n} only") from None
    return (forms[0], forms[1], forms[2])


def _kind(lines: _Lines, name: str, table: dict[str, Any]) -> Kind:
    path = ("kinds", name)
    if not _NAME.fullmatch(name):
        raise lines.bad(path, "a kind's name is 1 to 64 of a-z, 0-9 and _, a letter first")
    if name == DELETE or (name in GRAPH and name != "follow"):
        raise lines.bad(path, f"{name} is built in and cannot be declared")
    for key in table:
        if key not in _KIND_KEYS:
            raise lines.bad((*path, key), f"unknown key; known are {', '.join(sorted(_KIND_KEYS))}")

    def flag(key: str) -> bool:
        value = table.get(key, False)
        if type(value) is not bool:
            raise lines.bad((*path, key), "must be true or false")
        return value

    def choice(key: str, default: str | None, among: tuple[str, ...]) -> Any:
        value = table.get(key, default)
        if value is not default and value not in among:
            raise lines.bad((*path, key), f"must be one of {', '.join(among)}")
        return value

    def duration(key: str) -> int | None:
        value = table.get(key)
        if value is None:
            return None
        found = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if not found or int(found[1]) == 0:
            raise lines.bad((*path, key), 'must be a duration such as "30s", "10m", "24h" or "7d"')
        return int(found[1]) * _UNIT_MS[found[2]]

    undoes = table.get("undoes")
    if undoes is not None and (not isinstance(undoes, str) or undoes == name):
        raise lines.bad((*path, "undoes"), "must name another kind")
    channels = table.get("channels", ["inbox"])
    if not isinstance(channels, list) or not all(
        isinstance(channel, str) and _NAME.fullmatch(channel) for channel in channels
    ):
        raise lines.bad((*path, "channels"), 'must be an array of channels, such as ["inbox", "push"]')
    if name == "follow" and not flag("change"):
        raise lines.bad((*path, "change"), "must be true for follow: it changes the graph")
    if flag("change") and name != "follow":
        raise lines.bad((*path, "change"), "only follow changes the graph and is heard of")
    return Kind(
        name=name,
        audience=_audience(lines, path, table.get("audience", [])),
        change=flag("change"),
        creates=flag("creates"),
        target=choice("target", "optional", ("none", "required", "optional")),
        joins_thread=flag("joins_thread"),
        undoes=undoes,
        groups_by=choice("groups_by", None, ("object", "target", "recipient")),
        importance=choice("importance", "normal", IMPORTANCES),
        mandatory=flag("mandatory"),
        channels=tuple(channels),
        window_ms=duration("window"),
        expires_after_ms=duration("expires_after"),
        url=_template(lines, (*path, "url"), table.get("url", "")),
        text={
            locale: _template(lines, (*path, "text", locale), text)
            for locale, text in _table(lines, (*path, "text"), table.get("text", {})).items()
        },
    )


def _audience(lines: _Lines, path: tuple[str, ...], value: object) -> tuple[tuple[str, str], ...]:
    path = (*path, "audience")
    if not isinstance(value, list):
        raise lines.bad(path, 'must be an array such as [{ to = "owner", reason = "like" }]')
    pairs = []
    for item in value:
        if not isinstance(item, dict) or set(item) != {"to", "reason"}:
            raise lines.bad(path, 'each item has exactly "to" and "reason"')
        if item["to"] not in AUDIENCES:
            raise lines.bad(path, f"to must be one of {', '.join(AUDIENCES)}")
        if item["reason"] not in RANK:
            raise lines.bad(path, f"reason must be one of {', '.join(REASONS)}")
        pairs.append((item["to"], item["reason"]))
    return tuple(sorted(pairs, key=lambda pair: RANK[pair[1]]))


def _template(lines: _Lines, path: tuple[str, ...], value: object) -> str:
    if not isinstance(value, str):
        raise lines.bad(path, "must be a string")
    try:
        _TEMPLATES.parse(value)
    except TemplateSyntaxError as error:
        raise lines.bad(path, f"not a valid template: {error.message}") from None
    return value
