"""What a run on real servers came to, as plain values for the checker."""

from typing import Any

from msgspec import Struct, field

from fanbell.schemas.records import Activity, Change
from tests.simulation.history import History


class Counted(Struct, frozen=True):
    """The counters of one inbox, as they are told."""

    unread: int
    unseen: int


class Outcome(Struct):
    history: History = field(default_factory=History)
    """Logs and inboxes, for the simulation's judges."""
    acknowledged: set[str] = set()
    """Ids that a producer was told are kept."""
    unknown: set[str] = set()
    """Ids that were tried, with no answer."""
    taken: list[Activity] = []
    """What stands in `activities`, each once, in order of partition and offset."""
    follows: list[Change] = []
    told: dict[str, set[tuple[str, str]]] = {}
    """What one process in memory tells of `taken` and `follows`: user → {(id, or what a group came to; reason)}"""
    marked: dict[str, set[str]] = {}
    """user → ids whose mark was acknowledged"""
    maybe_marked: dict[str, set[str]] = {}
    frames: dict[str, list[dict[str, Any]]] = {}
    """user → all frames that came, over all connections; cursors are seqs"""
    counted: dict[str, Counted] = {}
    """user → the counters that the API tells in the end"""
