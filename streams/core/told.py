"""What was told and to whom, for as long as it may have to be taken back: by undo, delete or block.

Bounded in number; the oldest is forgotten first, counted, and can then not be taken back any more.
"""

from collections import deque
from typing import Any

from msgspec import Struct

from fanbell.streams.core.groups import Group, Key
from fanbell.streams.core.sets import Ordinals, packed
from fanbell.streams.core.slices import Steps, array


class Single(Struct, gc=False, eq=False):
    """An ungrouped notice: row `seq` of its members' inboxes."""

    id: str
    kind: str
    actor: str
    object: str
    target: str | None
    seq: int
    members: Ordinals
    born: int = 0
    gone: bool = False


Index = dict[str, "Single | Group | list[Single | Group]"]
"""What was told by something; one alone without a list around it, as most are."""


class Book:
    """Singles and groups by entity, actor and id."""

    def __init__(self) -> None:
        self.order: deque[Single | Group] = deque()
        self.by_entity: Index = {}
        self.by_actor: Index = {}
        self.groups: dict[str, list[Group]] = {}
        """by id: the cohorts of a group"""
        self.open: dict[Key, list[Group]] = {}
        """Groups that may still grow, and some that will not any more"""
        self.forgotten = 0
        self._born = 0

    def put_single(self, told: Single, at_most: int) -> None:
        told.born = self._born = self._born + 1
        self.order.append(told)
        _append(self.by_entity, told.object, told)
        if told.target is not None:
            _append(self.by_entity, told.target, told)
        _append(self.by_actor, told.actor, told)
        if len(self.order) > at_most:
            self._bound(at_most)

    def put_group(self, group: Group, at_most: int) -> None:
        self._bear(group)
        self.groups.setdefault(group.id, []).append(group)
        for entity in self._entities(group):
            _append(self.by_entity, entity, group)
        for actor in group.parts:
            _append(self.by_actor, actor, group)
        self._bound(at_most)

    def grew(self, group: Group, actor: str, object_: str) -> None:
        """`group` took in an activity: it is found by its actor and object from now on."""
        for index, key in ((self.by_actor, actor), (self.by_entity, object_)):
            found = index.get(key)
            # A group that grows is nearly always among the latest of its key.
            if found is not group and not (isinstance(found, list) and group in found[-4:]):
                _append(index, key, group)

    def left(self, group: Group, parts: list[tuple[str, str]]) -> None:
        """These (actor, object) have left `group`: it is found by them no more, unless by others of its parts."""
        entities = self._entities(group)
        for actor, object_ in parts:
            if actor not in group.parts:
                _remove(self.by_actor, actor, group)
            if object_ not in entities:
                _remove(self.by_entity, object_, group)

    def of_entity(self, entity: str) -> list[Single | Group]:
        """What told of the entity, in the order of telling."""
        return _in_order(self.by_entity.get(entity))

    def of_actor(self, actor: str) -> list[Single | Group]:
        return _in_order(self.by_actor.get(actor))

    def _bear(self, told: Single | Group) -> None:
        told.born = self._born = self._born + 1
        self.order.append(told)

    @staticmethod
    def _entities(group: Group) -> list[str]:
        entities = dict.fromkeys(object_ for objects in group.parts.values() for object_ in objects)
        if group.key[2]:
            entities.setdefault(group.key[2])
        return list(entities)

    def _bound(self, at_most: int) -> None:
        while len(self.order) > at_most:
            self._forget(self.order.popleft())
            self.forgotten += 1

    def _forget(self, told: Single | Group) -> None:
        if isinstance(told, Single):
            keys = [(self.by_entity, told.object), (self.by_actor, told.actor)]
            if told.target is not None:
                keys.append((self.by_entity, told.target))
        else:
            told.open = False
            _remove(self.groups, told.id, told)
            _remove(self.open, told.key, told)
            keys = [(self.by_entity, entity) for entity in self._entities(told)]
            keys += [(self.by_actor, actor) for actor in told.parts]
        for index, key in keys:
            _remove(index, key, told)

    def dumping(self) -> Steps[list[Any]]:
        told = yield from array(map(_dumped, self.order))
        return [self.forgotten, self._born, told]

    @classmethod
    def load(cls, data: list[Any]) -> "Book":
        made = cls()
        for item in data[2]:
            if len(item) == len(Single.__struct_fields__):
                members = item[6] if isinstance(item[6], int) else packed(item[6], len(item[6]))
                single = Single(item[0], item[1], item[2], item[3], item[4], item[5], members, gone=item[8])
                made.put_single(single, 1 << 62)  # those gone stay: they count for the bound
                single.born = item[7]
            else:
                group = Group.load(item)
                born = group.born
                made.put_group(group, 1 << 62)
                group.born = born
        made.forgotten, made._born = data[0], data[1]
        return made


def _dumped(told: Single | Group) -> list[Any]:
    if isinstance(told, Group):
        return told.dump()
    members = told.members if isinstance(told.members, int) else list(told.members)
    return [
        told.id, told.kind, told.actor, told.object, told.target, told.seq, members, told.born, told.gone
    ]  # fmt: skip


def _append(index: Index, key: str, told: Single | Group) -> None:
    found = index.setdefault(key, told)
    if found is told:
        return
    if isinstance(found, list):
        found.append(told)
    else:
        index[key] = [found, told]


def _in_order(found: "Single | Group | list[Single | Group] | None") -> list[Single | Group]:
    """Each once, in the order of telling: the lists themselves may differ after a snapshot."""
    some = found if isinstance(found, list) else () if found is None else (found,)
    unique = {told.born: told for told in some if not (isinstance(told, Single) and told.gone)}
    return [unique[born] for born in sorted(unique)]


def _remove(index: dict[Any, Any], key: Any, told: Single | Group) -> None:
    """Take `told` out from under one key, where it nearly always stands first: it is the oldest."""
    found = index.get(key)
    if isinstance(found, list):
        while told in found:
            found.remove(told)
    if not found or found is told:
        index.pop(key, None)
