"""`fanbell doctor`: looks at this machine, the settings, the data folder and the server, and says what to do.

Of a cluster it looks at more: `doctor_cluster.py`.
"""

import datetime
import fcntl
import os
import resource
import shutil
import socket
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import typer

from fanbell.infra.cli import options, show
from fanbell.infra.cli.exits import Exit, Failed
from fanbell.infra.cli.finding import Finding, Verdict
from fanbell.infra.cli.serving import settings_of
from fanbell.infra.lock import NAME
from fanbell.infra.settings import Settings

SQLITE_MIN: Final = (3, 35, 0)  # RETURNING; all of ours is older than that
FILES_MIN: Final = 1_024  # a socket is a file: fewer serve a few hundred people at a time
CERTIFICATE_DAYS_MIN: Final = 14  # a renewal that failed has been failing for a while by then
FREE_BYTES_MIN: Final = 512 * 1024 * 1024  # a log that may not grow is a full disk soon

MARKS: Final[dict[Verdict, tuple[str, str]]] = {
    "ok": ("✓", "green"),
    "note": ("!", "yellow"),
    "bad": ("✗", "bold red"),
}


def doctor(
    context: typer.Context,
    data: options.Data = None,
    port: options.Port = None,
    host: options.Host = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Check machine, settings, data folder and server; of a cluster also Kafka, Cassandra, lag and clocks."""
    settings = settings_of(context, config, data=data, port=port, host=host)
    findings = list(findings_of(settings))
    bad = [finding for finding in findings if finding.verdict == "bad"]
    if json:
        show.as_json({"ok": not bad, "checks": [finding._asdict() for finding in findings]})
    else:
        table = show.table("", "", "")
        table.show_header = False
        for finding in findings:
            mark, style = MARKS[finding.verdict]
            hint = show.text(f"\n→ {finding.hint}", "yellow") if finding.hint else show.text("")
            table.add_row(
                show.text(mark, style), show.text(finding.check, "cyan"), show.text(finding.seen) + hint
            )
        show.out().print(table)
    if bad:
        raise Failed(
            Exit.FAILED, f"{len(bad)} of {len(findings)} checks failed: {', '.join(f.check for f in bad)}"
        )


def findings_of(settings: Settings) -> Iterator[Finding]:
    """Every check, in the order in which a start would meet them."""
    yield python()
    if not settings.kafka_bootstrap_servers:
        yield sqlite()
    yield open_files()
    yield secrets(settings)
    yield certificate(settings)
    yield folder(settings.data)
    yield disk(settings.data)
    if settings.kafka_bootstrap_servers:
        from fanbell.infra.cli import doctor_cluster

        yield from doctor_cluster.findings_of(settings)
    else:
        yield lock(settings.data)
    yield server(settings)


def python() -> Finding:
    """Python is new enough."""
    seen = f"{sys.version.split()[0]} at {sys.executable}"
    return Finding("Python", "ok" if sys.version_info >= (3, 11) else "bad", seen)


def sqlite() -> Finding:
    """SQLite is new enough."""
    good = sqlite3.sqlite_version_info >= SQLITE_MIN
    hint = (
        ""
        if good
        else f"Fanbell needs {'.'.join(map(str, SQLITE_MIN))}; a newer Python brings a newer SQLite"
    )
    return Finding("SQLite", "ok" if good else "bad", sqlite3.sqlite_version, hint)


def open_files() -> Finding:
    """The limit of open files is high enough for sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES_MIN:
        return Finding(
            "open files",
            "note",
            f"{hard} at most",
            "raise it (ulimit -Hn, or LimitNOFILE= of systemd): a socket is a file",
        )
    most = "any number" if hard == resource.RLIM_INFINITY else show.number(hard)
    return Finding("open files", "ok", f"{show.number(soft)}, and the server may raise that to {most}")


def secrets(settings: Settings) -> Finding:
    """The address to listen on and tokens go together; what tokens are checked by can be used."""
    from fanbell.edge.addresses import BadProxy, Proxies
    from fanbell.edge.auth import Auth, BadSecret, UnsafeBind, check_bind
    from fanbell.edge.jwks import BadJwksUrl

    try:
        Auth.of(settings)
        check_bind(settings.host, settings.secrets, settings.token_jwks_url)
        Proxies(settings.trusted_proxies)
    except (BadSecret, BadJwksUrl, BadProxy, UnsafeBind) as error:
        return Finding("access", "bad", str(error))
    if settings.token_jwks_url and not settings.token_audience:
        return Finding(
            "access",
            "note",
            "tokens that the identity provider makes for other services count here too",
            "set token_audience to the name that it gives this one (aud)",
        )
    if settings.needs_tokens:
        return Finding("access", "ok", f"tokens are on; listens on {settings.host}")
    return Finding(
        "access",
        "ok",
        f"no token secret: anybody on this machine, and nobody else (listens on {settings.host})",
    )


def certificate(settings: Settings) -> Finding:
    """Certificate and key go together, and are good for a while."""
    from cryptography.x509 import load_pem_x509_certificates

    from fanbell.infra.certificate import Certificate
    from fanbell.streams.tls import TlsUnusable

    if not settings.tls_certfile:
        return Finding("TLS", "ok", "off: API and edge speak plainly, or a proxy before them speaks TLS")
    try:
        Certificate(settings.tls_certfile, settings.tls_keyfile)
    except TlsUnusable as error:
        return Finding("TLS", "bad", str(error))
    ends = load_pem_x509_certificates(Path(settings.tls_certfile).read_bytes())[0].not_valid_after_utc
    left_days = (ends - datetime.datetime.now(datetime.UTC)).days
    seen = f"the certificate is good until {ends:%Y-%m-%d}"
    if left_days < 0:
        return Finding("TLS", "bad", seen, "replace it: no client accepts it any more")
    if left_days < CERTIFICATE_DAYS_MIN:
        return Finding("TLS", "note", seen, "replace its files; a running server reads them anew")
    return Finding("TLS", "ok", seen)


def folder(data: Path) -> Finding:
    """The data folder can be written, or made."""
    place = data if data.exists() else _nearest(data)
    if not place.is_dir():
        return Finding("data folder", "bad", f"{place} is not a folder", "name another one with --data")
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"fanbell")
    except OSError as error:
        return Finding(
            "data folder",
            "bad",
            f"cannot write in {place}: {error.strerror}",
            "give this user the right to, or name another one",
        )
    return Finding(
        "data folder",
        "ok",
        f"{data} is there, and can be written" if data.exists() else f"{data} can be made",
    )


def _nearest(path: Path) -> Path:
    return next((parent for parent in path.absolute().parents if parent.exists()), Path("/"))


def disk(data: Path) -> Finding:
    """There is room for the log to grow."""
    free = shutil.disk_usage(data if data.exists() else _nearest(data)).free
    seen = f"{free / 1e9:,.1f} GB free"
    if free < FREE_BYTES_MIN:
        return Finding(
            "disk", "bad", seen, "make room: a full disk stops publishing, though it loses nothing"
        )
    return Finding("disk", "ok", seen)


def lock(data: Path) -> Finding:
    """Who has the data folder open."""
    holder = lock_holder(data)
    if holder is None:
        return Finding("lock", "ok", "nobody has the data folder open")
    return Finding(
        "lock",
        "note",
        f"open in {holder}",
        "two servers cannot share a folder; `load` and a second `up` are refused",
    )


def lock_holder(data: Path) -> str | None:
    """Who holds the folder's lock, in words; None if nobody does."""
    path = data / NAME
    try:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = file.read(32).decode("ascii", "replace").strip()
                return f"process {pid}" if pid else "another process"
    except OSError:
        pass  # never opened, or not ours to read: `folder` says so
    return None


def server(settings: Settings) -> Finding:
    """A server answers at the port, or the port is free."""
    from fanbell.infra.cli.client import Client

    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::", "") else settings.host  # noqa: S104 - compared, not bound
    scheme = "https" if settings.tls_certfile else "http"
    url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}"
    if settings.port == 0:
        return Finding("server", "note", "the port is 0: each start takes a free one")
    if _is_free(host, settings.port):
        return Finding("server", "ok", f"port {settings.port} is free: no server runs there")
    try:
        # Its certificate is made out to the name that clients ask for, which is not this address.
        with Client(url, verify=not settings.tls_certfile) as client:
            status, body = client.status("/readyz")
    except Failed as failure:
        return Finding(
            "server",
            "bad",
            failure.message,
            f"something else has port {settings.port}; choose another with --port",
        )
    if status == 200:
        return Finding("server", "ok", f"answers at {url}, and is ready")
    if status == 503:
        return Finding(
            "server", "bad", f"answers at {url}, and is not ready: {body[:200]}", "its log says more"
        )
    return Finding(
        "server",
        "bad",
        f"{url} answers {status} to /readyz",
        f"something else has port {settings.port}; choose another with --port",
    )


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
