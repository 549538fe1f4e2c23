"""Fanbell: from what people do to what other people hear about it."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("fanbell")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"

__all__ = ["__version__"]
