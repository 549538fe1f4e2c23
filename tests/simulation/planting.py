"""Planted bugs: each is a mistake that somebody could make, and the simulation must find it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

Patch = tuple[object, str, Any]
MUTANTS: Final[dict[str, Callable[[], list[Patch]]]] = {}
EMBEDDED: Final[set[str]] = set()
"""Those that are looked for in the embedded mode."""


def mutant(make: Callable[[], list[Patch]]) -> Callable[[], list[Patch]]:
    MUTANTS[make.__name__.replace("_", " ")] = make
    return make


def embedded_mutant(make: Callable[[], list[Patch]]) -> Callable[[], list[Patch]]:
    EMBEDDED.add(make.__name__.replace("_", " "))
    return mutant(make)


@contextmanager
def planted(name: str) -> Iterator[None]:
    """While it lasts, the product has the bug `name`."""
    patches = MUTANTS[name]()
    before = [(target, attribute, vars(target)[attribute]) for target, attribute, _ in patches]
    for target, attribute, value in patches:
        setattr(target, attribute, value)
    try:
        yield
    finally:
        for target, attribute, value in before:
            setattr(target, attribute, value)
