"""Who hears: the ordered, named rules between an audience and those who are told.

Each rule takes a shard's graph, what happened and the recipients still in question, and returns those it silences.
The order is part of the product: the first rule that silences a recipient is the reason that is shown.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from msgspec import Struct
from pyroaring import BitMap

from fanbell.schemas.codec import pack
from fanbell.schemas.records import Content, Silenced
from fanbell.streams.core import sets
from fanbell.streams.core.graph import Graph, Table
from fanbell.streams.core.kinds import Kind


class Happening(Struct, gc=False):
    """An activity as the rules see it."""

    content: Content
    kind: Kind
    clock_ms: int
    actor: bytes


NOBODY: Final = BitMap()


def _in(table: Table, key: bytes) -> BitMap:
    return sets.bitmap(table.get(key)) if table else NOBODY


def expired(graph: Graph, what: Happening, asked: BitMap) -> BitMap:
    """What is not worth hearing any more is not announced."""
    expires_at = what.content.expires_at
    return asked if expires_at is not None and expires_at <= what.clock_ms else NOBODY


def oneself(graph: Graph, what: Happening, asked: BitMap) -> BitMap:
    """Nobody hears of what they did themselves."""
    ordinal = graph.names.known(what.actor)
    return BitMap((ordinal,)) if ordinal is not None and ordinal in asked else NOBODY


def block(graph: Graph, what: Happening, asked: BitMap) -> BitMap:
    """Neither hears of the other, whoever blocked whom; not even what is mandatory."""
    return (_in(graph.blocked_by, what.actor) | _in(graph.blocking, what.actor)) & asked


def mute(graph: Graph, what: Happening, asked: BitMap) -> BitMap:
    """Muted: the author, the entity acted on or made, its thread, its scope."""
    content = what.content
    silenced = _in(graph.mute_author, what.actor)
    if graph.mute_entity:
        silenced = silenced | _in(graph.mute_entity, pack(content.object))
        if content.target is not None:
            silenced = silenced | _in(graph.mute_entity, pack(content.target))
    if graph.mute_thread and content.thread is not None:
        silenced = silenced | _in(graph.mute_thread, pack(content.thread))
    if graph.mute_scope and content.scope is not None:
        silenced = silenced | _in(graph.mute_scope, pack(content.scope))
    return silenced & asked


def preference(graph: Graph, what: Happening, asked: BitMap) -> BitMap:
    """Who does not want this kind in the inbox; a mandatory kind asks nobody."""
    if what.kind.mandatory:
        return NOBODY
    return graph.wishes.unwilling(asked, what.kind.name, "inbox", what.content.scope, "inbox" in what.kind.channels)


class Rule(NamedTuple):
    """`silences` is None where the place is kept for a rule that is not there yet."""

    name: str
    silences: Callable[[Graph, Happening, BitMap], BitMap] | None


RULES: Final = (
    Rule("expired", expired),
    Rule("oneself", oneself),
    Rule("block", block),
    Rule("mute", mute),
    Rule("stranger", None),
    Rule("preference", preference),
    Rule("quiet_hours", None),
    Rule("cap", None),
    Rule("channel", None),
)
_ACTIVE: Final = tuple((rule.name, rule.silences) for rule in RULES if rule.silences is not None)


def hears(graph: Graph, what: Happening, audience: BitMap) -> tuple[BitMap, list[Silenced]]:
    """Those of `audience` who hear, and how many each rule silenced, in the rules' order."""
    silenced: list[Silenced] = []
    for name, rule in _ACTIVE:
        quiet = rule(graph, what, audience)
        if quiet:
            silenced.append(Silenced(name, len(quiet)))
            audience = audience - quiet
            if not audience:
                break
    return audience, silenced
