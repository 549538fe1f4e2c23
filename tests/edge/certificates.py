"""Certificates for tests, self-signed for this machine."""

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM


def make(name: str, days: int = 1) -> tuple[bytes, bytes]:
    """(certificate, key) as PEM, of 127.0.0.1; `name` tells it from others; good for `days`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days, hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(PEM), private


class Pair:
    """The two files, as whoever renews them writes them."""

    def __init__(self, folder: Path) -> None:
        self.certfile, self.keyfile = folder / "tls.crt", folder / "tls.key"

    def write(self, name: str) -> bytes:
        """A new pair; its certificate."""
        certificate, key = make(name)
        self.put(certificate, key)
        return certificate

    def put(self, certificate: bytes, key: bytes) -> None:
        """Replace both, each as a whole."""
        for file, content in ((self.certfile, certificate), (self.keyfile, key)):
            fresh = file.with_suffix(".new")
            fresh.write_bytes(content)
            fresh.replace(file)


def trusting(certificate: bytes) -> ssl.SSLContext:
    """What a client that trusts `certificate` alone connects with."""
    return ssl.create_default_context(cadata=certificate.decode())
