"""Our own certificate: TLS for API and edge, with files that may be replaced while sockets are open.

A changed pair is read into a context of its own, and handshakes from then on use that one; a pair that cannot be
used leaves the one before it in use. So a renewal that is seen half way (the certificate is new, the key is not yet)
does no harm, and sessions that are open never notice.
"""

import asyncio
import os
import ssl
from typing import Final

import structlog

from fanbell.streams.tls import TlsUnusable, readable

EVERY_S: Final = 5.0  # a look costs two calls; renewals come weeks before the end
Seen = tuple[tuple[int, int, int], ...]
logger = structlog.get_logger()


class Certificate:
    """The pair in use. Give `context` to servers, and let `watch` run as long as they do."""

    def __init__(self, certfile: str, keyfile: str = "", every_s: float = EVERY_S) -> None:
        """Raises TlsUnusable."""
        self._files = {"tls_certfile": certfile, "tls_keyfile": keyfile}
        self._every_s = every_s
        self._seen = self._look()
        self._newest = self._read()
        self.context = self._read()
        self.context.sni_callback = self._choose

    def _choose(self, handshake: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Called in every handshake, with or without a name: the newest pair answers it."""
        handshake.context = self._newest

    def _read(self) -> ssl.SSLContext:
        with readable(self._files):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.set_alpn_protocols(["http/1.1"])
            certfile, keyfile = self._files.values()
            context.load_cert_chain(certfile, keyfile or None, password=_no_password)
        return context

    def _look(self) -> Seen | None:
        """What the files are, as far as it shows without reading them; None while one is not there."""
        try:
            found = [os.stat(file) for file in self._files.values() if file]
        except OSError:
            return None
        return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in found)

    def renew(self) -> bool:
        """Read the files if they have changed; whether a new pair is in use. Blocks for as long as disks do."""
        seen = self._look()
        if seen is None or seen == self._seen:
            return False
        self._seen = seen
        try:
            self._newest = self._read()
        except TlsUnusable as error:
            logger.error("certificate not renewed, the one before it stays in use", error=str(error))
            return False
        logger.info("certificate renewed", file=self._files["tls_certfile"])
        return True

    async def watch(self) -> None:
        """Renew it whenever the files have changed, until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            await asyncio.to_thread(self.renew)


def _no_password() -> str:
    """Asked for where a key is locked: without it OpenSSL would wait at the terminal."""
    raise ssl.SSLError("the key is locked by a password; give one that is not, readable by this user alone")
