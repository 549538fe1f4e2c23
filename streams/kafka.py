"""How Kafka is reached: the addresses, the login, and the clients that are made of them."""

import ssl
from typing import Any, Final, Literal

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import CloseReason
from aiokafka.errors import KafkaConnectionError
from aiokafka.helpers import create_ssl_context
from msgspec import Struct

from fanbell.streams.log import VALUE_BYTES_MAX
from fanbell.streams.tls import readable

BATCH_BYTES: Final = VALUE_BYTES_MAX  # appended at once: per record it costs a tenth of what single sends do
MESSAGE_BYTES_MAX: Final = (
    2 * VALUE_BYTES_MAX
)  # what a topic must take: a batch of one largest record and its key
RETRY_S: Final = 0.1  # between two tries: a new leader is found in less, and 10 questions/s burden nobody
_TRIES: Final = (
    3  # within the bound of a call: one lost answer, or one broker that is frozen, must not use it up
)

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Compression = Literal["zstd", "lz4", "none"]
PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
COMPRESSIONS: Final = ("zstd", "lz4", "none")
TRANSPORT_CLOSED: Final = "the handler is closed"  # how uvloop 0.23 says so


class KafkaConfig(Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    """All that a client needs to know. Raises ValueError for what cannot be."""

    bootstrap_servers: tuple[str, ...]
    client_id: str = "fanbell"
    topic_prefix: str = "fanbell."
    security_protocol: Protocol = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    sasl_username: str = ""
    sasl_password: str = ""
    ssl_cafile: str = ""
    """Empty: the system's authorities."""
    ssl_certfile: str = ""
    ssl_keyfile: str = ""
    compression: Compression = "zstd"
    request_timeout_ms: int = 15_000
    """The bound of every call of the log: longer than a broker is missed (9 s) before its partitions move."""

    def __post_init__(self) -> None:
        if not self.bootstrap_servers:
            raise ValueError("kafka_bootstrap_servers is empty: name one broker at least, as host:port")
        if self.security_protocol not in PROTOCOLS:
            raise ValueError(f"kafka_security_protocol must be one of {', '.join(PROTOCOLS)}")
        if self.compression not in COMPRESSIONS:
            raise ValueError(f"kafka_compression must be one of {', '.join(COMPRESSIONS)}")
        if self.sasl and self.sasl_mechanism not in MECHANISMS:
            raise ValueError(f"kafka_sasl_mechanism must be one of {', '.join(MECHANISMS)}")
        if self.sasl and not (self.sasl_username and self.sasl_password):
            raise ValueError(f"{self.security_protocol} needs kafka_sasl_username and kafka_sasl_password")

    def __repr__(self) -> str:
        """Without the password: reprs end up in logs."""
        return f"KafkaConfig({self.security_protocol} {self.servers}, {self.topic_prefix}*)"

    @property
    def sasl(self) -> bool:
        """Whether there is a login."""
        return self.security_protocol.startswith("SASL_")

    @property
    def tls(self) -> bool:
        """Whether what is sent is encrypted."""
        return self.security_protocol.endswith("SSL")

    @property
    def servers(self) -> str:
        """The addresses, for a person."""
        return ",".join(self.bootstrap_servers)

    @property
    def bound_s(self) -> float:
        """How long a call of the log may take."""
        return self.request_timeout_ms / 1_000

    def topic(self, name: str) -> str:
        """The name that a topic of ours has in this cluster."""
        return self.topic_prefix + name


def connection(config: KafkaConfig) -> dict[str, Any]:
    """What every client of aiokafka is given, Faust's too. Reads the certificates. Raises TlsUnusable."""
    return {
        "bootstrap_servers": list(config.bootstrap_servers),
        "client_id": config.client_id,
        "request_timeout_ms": max(1, config.request_timeout_ms // _TRIES),
        "retry_backoff_ms": int(RETRY_S * 1_000),
        "security_protocol": config.security_protocol,
        "ssl_context": _tls(config) if config.tls else None,
        "sasl_mechanism": config.sasl_mechanism,
        "sasl_plain_username": config.sasl_username or None,
        "sasl_plain_password": config.sasl_password or None,
    }


class Client(AIOKafkaClient):  # type: ignore[misc]  # aiokafka has no types
    """A client to whom a connection that is gone is an error of Kafka's, by whichever event loop it is told.

    asyncio takes bytes for a connection that a broker has just closed, and aiokafka expects an OSError at worst; uvloop
    raises a RuntimeError, which would end whoever asked as a fault of the program does.
    """

    async def send(self, node_id: int, request: Any, **more: Any) -> Any:
        """As aiokafka's. Raises KafkaError."""
        try:
            return await super().send(node_id, request, **more)
        except RuntimeError as error:
            if TRANSPORT_CLOSED not in str(error):
                raise
            for (node, _), one in list(self._conns.items()):
                if node == node_id:
                    one.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"the connection to broker {node_id} is gone: {error}") from error


def client(config: KafkaConfig) -> Client:
    """What asks brokers single questions. It follows all topics by not naming any: naming one could create it."""
    return Client(**connection(config))


def producer(config: KafkaConfig) -> AIOKafkaProducer:
    """An idempotent producer: a try that is repeated is not appended twice."""
    made = AIOKafkaProducer(
        **connection(config),
        acks="all",
        enable_idempotence=True,
        compression_type=None if config.compression == "none" else config.compression,
        max_batch_size=BATCH_BYTES,
        max_request_size=MESSAGE_BYTES_MAX,
        linger_ms=0,
    )
    made.client.__class__ = Client  # a producer makes its own; an unknown error would end what sends for it
    return made


def _tls(config: KafkaConfig) -> ssl.SSLContext:
    files = {name: getattr(config, name) for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile")}
    with readable({f"kafka_{name}": file for name, file in files.items()}):
        return create_ssl_context(  # type: ignore[no-any-return]
            **{name.removeprefix("ssl_"): file or None for name, file in files.items()}
        )
