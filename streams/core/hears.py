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
from fanbell.streams.core.graph import Graph
from fanbell.streams.core.kinds import Kind
from fanbell.streams.core.sets import Ordinals, bitmap


class Asking(Struct, gc=False):
    """What happened, what its kind says, and fold time."""

    what: Happening
    kind: Kind
    clock_ms: int


NOBODY: Final = BitMap()


def _all(*found: Ordinals | None) -> BitMap:
    """The union of those sets that are there."""
    there = [bitmap(ordinals) for ordinals in found if ordinals is not None]
    return there[0] if len(there) == 1 else BitMap.union(*there) if there else NOBODY


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
    actor = asking.what.actor
    quiet = _all(graph.blocked_by.get(actor), graph.blocking.get(actor))
    return quiet & asked if quiet else NOBODY


def mute(graph: Graph, asking: Asking, asked: BitMap) -> BitMap:
    """Muted: the author, the entity acted on or made, its thread, its scope."""
    what, entities = asking.what, graph.mute_entity
    quiet = _all(
        graph.mute_author.get(what.actor),
        entities.get(what.object) if entities else None,
        entities.get(what.target) if entities and what.target is not None else None,
        graph.mute_thread.get(what.thread) if what.thread is not None else None,
        graph.mute_scope.get(what.scope) if what.scope is not None else None,
    )
    return quiet & asked if quiet else NOBODY


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


def hears(graph: Graph, asking: Asking, audience: BitMap) -> tuple[BitMap, list[Silenced]]:
    """Those of `audience` who hear, and how many each rule silenced, in the rules' order."""
    silenced: list[Silenced] = []
    for name, rule in _ACTIVE:
        quiet = rule(graph, asking, audience)
        if quiet:
            silenced.append(Silenced(name, len(quiet)))
            audience = audience - quiet
            if not audience:
                break
    return audience, silenced
