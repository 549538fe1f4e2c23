"""The rules of the simulated site: the shipped kinds without texts, and with times that a run of a minute reaches.

A site changes them while people go on; what a version declares otherwise than the first one is a `Declared`.
"""

from random import Random
from typing import Final, NamedTuple

HEARD: Final = ("post", "comment", "like", "follow")
LIVES_MS: Final = (90_000, 300_000)
"""How long what is told is shown, where a kind says so: longer than anybody waits to hear of it in a run."""


class Declared(NamedTuple):
    """What one version of the rules says of kinds, beside what all of them say."""

    version: int = 1
    hushed: tuple[str, ...] = ()
    """These have no audience; who is mentioned hears all the same."""
    mandatory: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    """These are not declared."""
    lives_ms: tuple[tuple[str, int], ...] = ()
    """How long what is told of a kind is shown."""


FIRST: Final = Declared()

LIMITS: Final = """
[limits]
update_every_ms = 400
waiting_ms = 600_000
"""

KINDS: Final = {
    "follow": 'change = true\naudience = [{ to = "object", reason = "follow" }]\ngroups_by = "recipient"',
    "post": 'creates = true\ntarget = "none"\naudience = [{ to = "followers_of_actor", reason = "post" }]',
    "comment": """creates = true
target = "required"
joins_thread = true
audience = [{ to = "owner", reason = "comment" }, { to = "thread", reason = "thread" }]
groups_by = "target\"""",
    "like": 'target = "none"\naudience = [{ to = "owner", reason = "like" }]\ngroups_by = "object"',
    "unlike": 'undoes = "like"\ntarget = "none"',
    "mention": 'target = "none"',
}


def source(declared: Declared) -> str:
    """The rules file."""
    tables, lives = [LIMITS], dict(declared.lives_ms)
    for kind, text in KINDS.items():
        if kind in declared.gone:
            continue
        lines = [f"[kinds.{kind}]", *text.splitlines()]
        if kind in declared.hushed:
            lines = [line for line in lines if not line.startswith("audience")]
        if kind in declared.mandatory:
            lines.append("mandatory = true")
        if kind in lives:
            lines.append(f'expires_after = "{lives[kind]}ms"')
        tables.append("\n".join(lines) + "\n")
    return "".join(tables)


def _other(random: Random) -> Declared:
    def some(chance: float, kinds: tuple[str, ...] = HEARD) -> tuple[str, ...]:
        return tuple(kind for kind in kinds if random.random() < chance)

    lives_ms = tuple((kind, random.choice(LIVES_MS)) for kind in some(0.3, (*HEARD, "mention")))
    return Declared(0, some(0.2), some(0.4), some(0.2, ("mention",)), lives_ms)


OTHERS: Final = tuple(_other(Random(number)) for number in range(24))  # few, so that each is parsed once


def changed(random: Random, version: int) -> Declared:
    """Another version."""
    return random.choice(OTHERS)._replace(version=version)


SOURCE: Final = source(FIRST)
