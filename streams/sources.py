"""Sources of other people's libraries, as they were when they were read: what is overridden, or leaned on inside.

What a library promises, its own tests watch. Of what it keeps to itself a new release may say nothing; so the functions
that we lean on are named, with digests of their sources, and a library that has others is refused.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Any

Source = Callable[..., Any] | property


class SourcesChanged(Exception):
    """An installed library differs from the release that was read, where it is overridden or leaned on."""


def changed(leaned_on: Iterable[Source], read: Mapping[str, str]) -> list[str]:
    """Those of `leaned_on` whose digest is not the one in `read`, each with the digest that it has."""
    found = {name_of(source): digest_of(source) for source in leaned_on}
    return [f"{name} ({digest})" for name, digest in found.items() if read.get(name) != digest]


def name_of(source: Source) -> str:
    function = _function(source)
    return f"{function.__module__}.{function.__qualname__}"


def digest_of(source: Source) -> str:
    text = inspect.getsource(inspect.unwrap(_function(source)))
    return blake2b(text.encode(), digest_size=4).hexdigest()


def _function(source: Source) -> Callable[..., Any]:
    if isinstance(source, property):
        assert source.fget is not None
        return source.fget
    return source
