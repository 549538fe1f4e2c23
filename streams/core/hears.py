"""Who hears: the ordered, named rules between an audience and those who are told.

Each rule takes a shard's graph, what happened and the recipients still in question, and returns those it silences.
The order is part of the product: the first rule that silences a recipient is the reason that is shown.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from msgspec import Struct
from pyroaring import BitMap

from fanbell.schemas.records import Silenced
from fanbell.streams.core.asked import Happening
from fanbell.streams.core.graph import NOBODY, Graph
from fanbell.streams.core.kinds import Kind
from fanbell.streams.core.sets import bitmap


class Asking(Struct, gc=False):
    """What happened, what its kind says, and fold time."""

    what: Happening
    kind: Kind
    clock_ms: int


def expired(graph: Graph, asking: Asking, asked: BitMap) -> BitMap:
    """What is not worth hearing any more is not announced."""
    expires_at = asking.what.content.expires_at
    return asked if expires_at is not None and expires_at <= asking.clock_ms else NOBODY


def oneself(graph: Graph, asking: Asking, asked: BitMap) -> BitMap:
    """Nobody hears of what they did themselves."""
    ordinal = graph.names.ordinals.get(asking.what.actor)
    return BitMap((ordinal,)) if ordinal is not None and ordinal in asked else NOBODY


def block(graph: Graph, asking: Asking, asked: BitMap) -> BitMap:
    """Neither hears of the other, whoever blocked whom; not even what is mandatory."""
    author = graph.author(asking.what.actor_hash)
    return NOBODY if author is None else author.apart & asked


def mute(graph: Graph, asking: Asking, asked: BitMap) -> BitMap:
    """Muted: the author, the entity acted on or made, its thread, its scope."""
    what = asking.what
    author = graph.author(what.actor_hash)
    quiet = [] if author is None else [author.muted]
    for table, place in (
        (graph.mute_entity, what.object),
        (graph.mute_entity, what.target),
        (graph.mute_thread, what.thread),
        (graph.mute_scope, what.scope),
    ):
        if place in table:
            quiet.append(bitmap(table[place]))
    return BitMap.union(*quiet) & asked if quiet else NOBODY


def preference(graph: Graph, asking: Asking, asked: BitMap) -> BitMap:
    """Who does not want this kind in the inbox; a mandatory kind asks nobody."""
    kind = asking.kind
    if kind.mandatory:
        return NOBODY
    return graph.wishes.unwilling(
        asked, kind.name, "inbox", asking.what.content.scope, "inbox" in kind.channels
    )


class Rule(NamedTuple):
    """`silences` is None where the place is kept for a rule that is not there yet."""

    name: str
    silences: Callable[[Graph, Asking, BitMap], BitMap] | None


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
_PARTICULAR: Final = ("expired", "oneself", "block", "mute")
"""The rules that silence nobody where `_concerns` says so."""
_GENERAL: Final = tuple((name, rule) for name, rule in _ACTIVE if name not in _PARTICULAR)


def _concerns(graph: Graph, asking: Asking, audience: BitMap) -> bool:
    """Whether a `_PARTICULAR` rule may silence anybody: mostly none does, and asking each takes longer."""
    what = asking.what
    ordinal = graph.names.ordinals.get(what.actor)
    return (
        (ordinal is not None and ordinal in audience)
        or graph.author(what.actor_hash) is not None
        or what.content.expires_at is not None
        or what.object in graph.mute_entity
        or what.target in graph.mute_entity
        or what.thread in graph.mute_thread
        or what.scope in graph.mute_scope
    )


def hears(graph: Graph, asking: Asking, audience: BitMap) -> tuple[BitMap, list[Silenced]]:
    """Those of `audience` who hear, and how many each rule silenced, in the rules' order."""
    silenced: list[Silenced] = []
    for name, rule in _ACTIVE if _concerns(graph, asking, audience) else _GENERAL:
        quiet = rule(graph, asking, audience)
        if quiet:
            silenced.append(Silenced(name, len(quiet)))
            audience = audience - quiet
            if not audience:
                break
    return audience, silenced
