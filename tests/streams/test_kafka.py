"""How Kafka is reached: what is refused, and what is never shown."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError
from mode.threads import ServiceThread

from fanbell.streams.kafka import KafkaConfig, client, connection, producer
from fanbell.streams.tls import TlsUnusable

LOGIN = {"security_protocol": "SASL_PLAINTEXT", "sasl_username": "ana", "sasl_password": "s3cret"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"bootstrap_servers": ()}, "name one broker"),
        ({"security_protocol": "TLS"}, "must be one of PLAINTEXT"),
        ({"compression": "gzip"}, "must be one of zstd"),
        ({**LOGIN, "sasl_mechanism": "GSSAPI"}, "must be one of PLAIN"),
        ({**LOGIN, "sasl_password": ""}, "needs kafka_sasl_username and kafka_sasl_password"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, object], said: str) -> None:
    """A way to reach Kafka that cannot work is an error that says what could."""
    with pytest.raises(ValueError, match=said):
        KafkaConfig(**{"bootstrap_servers": ("broker:9092",), **given})  # type: ignore[arg-type]


def test_a_password_is_never_shown() -> None:
    """Neither repr nor str of a configuration holds the password."""
    config = KafkaConfig(bootstrap_servers=("broker:9092",), **LOGIN)  # type: ignore[arg-type]

    assert "s3cret" not in f"{config!r} {config}"
    assert "broker:9092" in repr(config)
    assert connection(config)["sasl_plain_password"] == "s3cret"


def test_certificates_are_read_only_where_they_are_used() -> None:
    """Without TLS none is needed; with it, the system's authorities are enough, and a wrong file is an error."""
    plain = KafkaConfig(bootstrap_servers=("broker:9092",), ssl_cafile="/nowhere")
    assert connection(plain)["ssl_context"] is None

    tls = KafkaConfig(bootstrap_servers=("broker:9092",), security_protocol="SSL")
    assert connection(tls)["ssl_context"].check_hostname

    wrong = KafkaConfig(bootstrap_servers=("broker:9092",), security_protocol="SSL", ssl_cafile="/nowhere")
    with pytest.raises(TlsUnusable, match="kafka_ssl_cafile = '/nowhere' cannot be read: No such file"):
        connection(wrong)


def test_a_certificate_that_is_none_is_said_with_its_setting(tmp_path: Path) -> None:
    """A file that can be read and is no certificate is named too, with the setting that it came from."""
    (tmp_path / "ca.pem").write_text("none")
    config = KafkaConfig(
        bootstrap_servers=("broker:9092",), security_protocol="SSL", ssl_cafile=str(tmp_path / "ca.pem")
    )
    with pytest.raises(TlsUnusable, match=r"kafka_ssl_cafile = '.*ca.pem' cannot be used"):
        connection(config)


async def written_after_the_end() -> None:
    """Write twice to a connection that is gone."""
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        writer.transport.abort()
        await asyncio.sleep(0)  # a turn of the loop, in which it is closed
        writer.write(b"x")
    finally:
        server.close()


def of_single_questions() -> AIOKafkaClient:
    """What asks brokers single questions."""
    return client(KafkaConfig(bootstrap_servers=("broker:9092",)))


def of_a_producer() -> AIOKafkaClient:
    """What a producer sends by."""
    made = producer(KafkaConfig(bootstrap_servers=("broker:9092",)))
    made._closed = True  # nothing was opened that would have to be closed
    assert made._sender.client is made.client
    return made.client


@pytest.mark.parametrize("asking", [of_single_questions, of_a_producer])
def test_a_connection_that_is_gone_is_an_error_of_kafkas(
    monkeypatch: pytest.MonkeyPatch, asking: Callable[[], AIOKafkaClient]
) -> None:
    """A broker that closes the connection as it is asked is asked again, under uvloop too; other faults are ours."""
    faults: list[Exception] = []

    async def send(*given: Any, **more: Any) -> None:
        if faults:
            raise faults[0]
        await written_after_the_end()

    monkeypatch.setattr(AIOKafkaClient, "send", send)

    async def asked() -> None:
        await asking().send(1, None)

    with pytest.raises(KafkaConnectionError, match="broker 1 is gone") as raised:
        uvloop.run(asked())
    assert raised.value.retriable

    faults.append(RuntimeError("no such thing"))
    with pytest.raises(RuntimeError, match="no such thing"):
        uvloop.run(asked())


def test_the_thread_of_fausts_consumer_has_asyncios_own_loop() -> None:
    """The client that it makes for itself needs no such care: no uvloop carries its connections."""

    async def made() -> str:
        thread = ServiceThread()
        thread.thread_loop.close()
        return type(thread.thread_loop).__module__

    assert uvloop.run(made()).startswith("asyncio.")
