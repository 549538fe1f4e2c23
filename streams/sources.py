"""Sources of other people's libraries, as they were when they were read: what is overridden, or leaned on inside.

What a library promises, its own tests watch. Of what it keeps to itself a new release may say nothing; so the functions
that we lean on are named, with digests of their sources, and a library that has others is refused.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Any

from msgspec import Struct

Source = Callable[..., Any] | property


class SourcesChanged(Exception):
    """An installed library differs from the release that was read, where it is overridden or leaned on."""


class Library(Struct, frozen=True, kw_only=True):
    """One that was read."""

    name: str
    package: str
    """As it is installed by"""
    release: str
    """That was read"""
    by: str
    """What was written for it, as the subject of a sentence"""
    read_in: str
    """The file that has the digests"""
    changed: type[SourcesChanged]


def check_read(
    library: Library, installed: str, leaned_on: Iterable[Source], digests: Mapping[str, str]
) -> None:
    """Raise `library.changed` unless all of `leaned_on` has its digest; says which have not, and those they have."""
    found = {name_of(source): digest_of(source) for source in leaned_on}
    differs = [f"{name} ({digest})" for name, digest in found.items() if digests.get(name) != digest]
    if differs:
        raise library.changed(
            f"{library.name} {installed} differs from {library.release}, which {library.by} written for, in "
            f"{', '.join(differs)}: install {library.package}=={library.release}, or read these functions anew and "
            f"then change {library.read_in}"
        )


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
