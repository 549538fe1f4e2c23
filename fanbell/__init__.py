"""Fanbell: from what people do to what other people hear about it."""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from fanbell import compiled

if TYPE_CHECKING:
    from fanbell.schemas.parse import Invalid
    from fanbell.streams.log import LogFailed
    from fanbell.streams.producer import Producer
    from fanbell.streams.tls import TlsUnusable
    from fanbell.streams.topics_kafka import TopicsUnusable

try:
    __version__ = version("fanbell")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"

compiled.use()  # before any module that it may be of is imported

__all__ = ["Invalid", "LogFailed", "Producer", "TlsUnusable", "TopicsUnusable", "__version__"]


def __getattr__(name: str) -> Any:
    """The SDK, when it is asked for: it needs the extra `cluster`, which nothing else here does."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from fanbell.streams import producer
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{name} needs Kafka's client ({error.name}): pip install 'fanbell[cluster]'"
        ) from error
    return getattr(producer, name)
