"""Fanbell: from what people do to what other people hear about it."""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from fanbell import compiled

if TYPE_CHECKING:
    from fanbell.clients.errors import MarkFailed, Refused
    from fanbell.clients.inbox import connect
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

__all__ = [
    "Invalid",
    "LogFailed",
    "MarkFailed",
    "Producer",
    "Refused",
    "TlsUnusable",
    "TopicsUnusable",
    "__version__",
    "connect",
]


def __getattr__(name: str) -> Any:
    """The client and the SDK, when they are asked for: the SDK needs the extra `cluster`, which nothing else does."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in ("MarkFailed", "Refused", "connect"):
        from fanbell.clients import errors, inbox

        return inbox.connect if name == "connect" else getattr(errors, name)
    try:
        from fanbell.streams import producer
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{name} needs Kafka's client ({error.name}): pip install 'fanbell[cluster]'"
        ) from error
    return getattr(producer, name)
