"""Certificates and keys of our clients, and what is said where they cannot be used."""

from collections.abc import Iterator
from contextlib import contextmanager


class TlsUnusable(OSError):
    """A file of certificates or keys cannot be used; says which, and of which setting."""


@contextmanager
def readable(files: dict[str, str]) -> Iterator[None]:
    """Around what makes a context of `files`, by setting; an empty name is none. Raises TlsUnusable.

    The library says neither file nor setting, so each is looked at before.
    """
    given = {setting: file for setting, file in files.items() if file}
    for setting, file in given.items():
        try:
            with open(file, "rb"):
                pass
        except OSError as error:
            raise TlsUnusable(f"{setting} = {file!r} cannot be read: {error.strerror}") from error
    try:
        yield
    except OSError as error:  # what is in it is no certificate, or no key of it: ssl.SSLError is one too
        named = " and ".join(f"{setting} = {file!r}" for setting, file in given.items())
        raise TlsUnusable(f"{named} cannot be used: {error}") from error
