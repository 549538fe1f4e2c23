"""An identity provider for tests: keys, tokens signed by them, and a real server that publishes the keys."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

RSA = rsa.generate_private_key(65_537, 2_048)  # making one takes long, so all share it


class SigningKey:
    """A key pair. `jwk` is what the provider publishes of it."""

    def __init__(self, kid: str | None, algorithm: str = "ES256", **published: Any) -> None:
        self.kid = kid
        self.algorithm = algorithm
        self.private: Any
        if algorithm.startswith("ES"):
            self.private = ec.generate_private_key(
                {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1()}[algorithm]
            )
            shown = ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        elif algorithm == "EdDSA":
            self.private = ed25519.Ed25519PrivateKey.generate()
            shown = OKPAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        else:
            self.private = RSA
            shown = RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
            shown.pop("key_ops", None)
        named = {"kid": kid} if kid is not None else {}
        self.jwk: dict[str, Any] = {**shown, **named, "alg": algorithm, "use": "sig", **published}

    def token(self, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token of Ana's, good for an hour; claims that are None are left out."""
        full = {"sub": "ana", "exp": int(time.time()) + 3_600, **claims}
        head = {**({"kid": self.kid} if self.kid is not None else {}), **(headers or {})}
        full = {name: value for name, value in full.items() if value is not None}
        return jwt.encode(full, self.private, algorithm=self.algorithm, headers=head)


class Provider:
    """A server. What it answers is for the test to change: `body`, `status`, `gate` (cleared, answers wait)."""

    def __init__(self, *keys: SigningKey) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.gate = Event()
        self.gate.set()
        self.asked = 0
        self.body = b""
        self.publish(*keys)
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked += 1
                provider.gate.wait(30)
                self.send_response(provider.status)
                for name, value in provider.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                with suppress(OSError):  # who asked has had enough
                    self.wfile.write(provider.body)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/keys"

    def publish(self, *keys: SigningKey) -> None:
        self.body = json.dumps({"keys": [key.jwk for key in keys]}).encode()

    def away(self) -> None:
        """Stop answering, for good."""
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def provider(*keys: SigningKey) -> Iterator[Provider]:
    """A provider that publishes `keys`, until the block ends."""
    made = Provider(*keys)
    try:
        yield made
    finally:
        made.away()
