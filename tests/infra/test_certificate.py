"""TLS by files, and files that are replaced while sockets are open."""

import asyncio
import json
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop
from cryptography.hazmat.primitives import serialization
from structlog.testing import capture_logs
from websockets.asyncio.client import connect

from fanbell.infra.certificate import Certificate
from fanbell.infra.settings import Settings
from fanbell.infra.up import running
from fanbell.streams.tls import TlsUnusable
from tests.edge.certificates import Pair, make, trusting


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def settings_of(folder: Path, pair: Pair) -> Settings:
    return Settings(
        data=folder / "data", port=0, tls_certfile=str(pair.certfile), tls_keyfile=str(pair.keyfile)
    )


async def edge(url: str, tls: ssl.SSLContext) -> Any:
    return await connect(url, ssl=tls, subprotocols=["fanbell.v1"], compression=None, proxy=None)  # type: ignore[list-item]


async def hear(socket: Any, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            frame: dict[str, Any] = json.loads(await socket.recv())
            if frame["type"] == kind:
                return frame


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_renewed_certificate_is_in_use_without_a_restart(run: Any, tmp_path: Path, pair: Pair) -> None:
    """
    API and edge speak TLS, and say so; when the files are replaced, new connections get the new certificate, and
    sessions that are open go on.
    """
    old = pair.write("old")

    async def story() -> None:
        async with running(settings_of(tmp_path, pair)) as live:
            assert live.http.startswith("https://")
            async with httpx.AsyncClient(base_url=live.http, verify=trusting(old), trust_env=False) as client:
                url = (await client.get("/v1/edge")).json()["url"]
            assert url.startswith("wss://127.0.0.1:")
            session = await edge(url, trusting(old))
            await session.send(json.dumps({"type": "connect", "user": "ana"}))
            await hear(session, "page")
            new = pair.write("new")
            assert await asyncio.to_thread(live.certificate.renew)
            assert not await asyncio.to_thread(live.certificate.renew)
            async with httpx.AsyncClient(base_url=live.http, verify=trusting(new), trust_env=False) as client:
                assert (await client.get("/healthz")).status_code == 200
            fresh = await edge(url, trusting(new))
            await fresh.close()
            with pytest.raises(ssl.SSLCertVerificationError):
                await edge(url, trusting(old))
            await session.send(json.dumps({"type": "ping"}))
            await hear(session, "pong")
            await session.close()

    run(story())


def served(certificate: Certificate) -> bytes:
    """The certificate that a handshake is answered with, in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    client = trust.wrap_bio(to_client, to_server)
    server = certificate.context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    der = client.getpeercert(True)
    assert der is not None
    return ssl.DER_cert_to_PEM_cert(der).encode()


def test_a_bad_pair_changes_nothing(pair: Pair) -> None:
    """
    A certificate without its key, garbage or a file that is gone is said once, and the pair before it stays in use.
    """
    old = pair.write("old")
    certificate = Certificate(str(pair.certfile), str(pair.keyfile))
    new, key = make("new")
    for content in (new, b"garbage", b""):
        pair.certfile.write_bytes(content)
        with capture_logs() as lines:
            assert not certificate.renew()
            assert not certificate.renew()
        assert [line["log_level"] for line in lines] == ["error"]
        assert served(certificate) == old
    pair.certfile.unlink()
    assert not certificate.renew()
    pair.put(new, key)
    assert certificate.renew()
    assert served(certificate) == new


def test_files_are_looked_at_by_themselves(pair: Pair) -> None:
    """
    Nobody has to say that files were replaced.
    """
    pair.write("old")

    async def story() -> None:
        certificate = Certificate(str(pair.certfile), str(pair.keyfile), every_s=0.01)
        watching = asyncio.ensure_future(certificate.watch())
        new = pair.write("new")
        async with asyncio.timeout(20):
            while served(certificate) != new:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    asyncio.run(story())


def test_a_pair_that_cannot_be_used_stops_the_start(pair: Pair) -> None:
    """
    A server that could not speak TLS does not start, and says which file of which setting is to blame.
    """
    with pytest.raises(TlsUnusable, match=r"tls_certfile = .* cannot be read"):
        Certificate(str(pair.certfile), str(pair.keyfile))
    pair.write("one")
    pair.keyfile.write_bytes(make("other")[1])
    with pytest.raises(TlsUnusable, match="tls_keyfile"):
        Certificate(str(pair.certfile), str(pair.keyfile))


def test_a_locked_key_is_refused_and_not_asked_for(pair: Pair) -> None:
    """
    A key with a password would have the server wait for somebody to type it.
    """
    certificate, key = make("one")
    locked = serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"hunter2"),
    )
    pair.put(certificate, locked)
    with pytest.raises(TlsUnusable, match="password"):
        Certificate(str(pair.certfile), str(pair.keyfile))


def test_key_and_certificate_may_share_a_file(pair: Pair) -> None:
    """
    One file with both is enough.
    """
    certificate, key = make("one")
    pair.certfile.write_bytes(certificate + key)

    assert served(Certificate(str(pair.certfile))) == certificate
