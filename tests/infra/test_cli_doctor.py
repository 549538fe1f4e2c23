"""`fanbell doctor`: what it looks at, and what it makes of it."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from fanbell.infra.cli import doctor
from fanbell.infra.cli.doctor import Finding, certificate, folder, lock, open_files, python, secrets, sqlite
from fanbell.infra.cli.exits import Exit
from fanbell.infra.lock import FolderLock
from fanbell.infra.settings import Settings
from tests.edge.certificates import Pair, make
from tests.infra.conftest import Run
from tests.infra.fake_server import Server


def port_of(running: Server) -> int:
    return int(running.url.rpartition(":")[2])


def verdict(finding: Finding) -> str:
    """The verdict; one that is bad must say what to do."""
    assert finding.verdict != "bad" or finding.hint or ":" in finding.seen
    return finding.verdict


def test_a_sound_machine_passes(fanbell: Run, tmp_path: Path) -> None:
    """
    Where all is well, doctor says so and ends with 0.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    ran = fanbell("doctor", "--data", str(tmp_path / "data"), "--port", str(port), "--json")

    assert ran.code == Exit.OK
    assert ran.json["ok"] is True


def test_what_is_wrong_decides_the_exit_code(fanbell: Run, tmp_path: Path) -> None:
    """
    One failed check is enough for exit code 1, and is named on stderr.
    """
    (tmp_path / "file").write_text("")

    ran = fanbell("doctor", "--data", str(tmp_path / "file" / "data"), "--port", "0")

    assert ran.code == Exit.FAILED
    assert "data folder" in ran.err
    assert "✗" in ran.out


def test_this_python_and_its_sqlite_are_good() -> None:
    """
    What runs the tests runs Fanbell.
    """
    assert [verdict(check()) for check in (python, sqlite)] == ["ok", "ok"]
    assert verdict(open_files()) in ("ok", "note")


def test_an_open_server_needs_a_secret() -> None:
    """
    Listening beyond loopback without a token secret is told before a start refuses it.
    """
    assert verdict(secrets(Settings())) == "ok"
    assert verdict(secrets(Settings(host="0.0.0.0"))) == "bad"
    assert verdict(secrets(Settings(token_secret="short"))) == "bad"
    assert verdict(secrets(Settings(host="0.0.0.0", token_secret="x" * 32))) == "ok"


def test_a_provider_whose_tokens_are_for_anybody_is_pointed_out() -> None:
    """
    A provider makes tokens for other services too; that they count here is told, and what would change it.
    """
    provider = Settings(host="0.0.0.0", token_jwks_url="https://id.example/keys")

    assert verdict(secrets(provider)) == "note"
    assert verdict(secrets(replace(provider, token_audience=("inbox",)))) == "ok"
    assert verdict(secrets(replace(provider, token_jwks_url="http://id.example/keys"))) == "bad"
    assert verdict(secrets(Settings(trusted_proxies=("proxy.example",)))) == "bad"


def test_a_certificate_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """
    A pair that does not fit is found before a start refuses it; one that ends soon is pointed out.
    """
    pair = Pair(tmp_path)
    settings = Settings(tls_certfile=str(pair.certfile), tls_keyfile=str(pair.keyfile))

    assert verdict(certificate(Settings())) == "ok"
    assert verdict(certificate(settings)) == "bad"
    pair.write("one")
    assert verdict(certificate(settings)) == "note"  # it is good for a day
    pair.put(*make("long", days=90))
    assert verdict(certificate(settings)) == "ok"
    pair.keyfile.write_bytes(make("other")[1])
    assert verdict(certificate(settings)) == "bad"


def test_a_folder_that_can_be_made_is_not_made(tmp_path: Path) -> None:
    """
    Doctor looks and leaves nothing behind.
    """
    assert verdict(folder(tmp_path / "a" / "b")) == "ok"
    assert list(tmp_path.iterdir()) == []


def test_the_holder_of_the_lock_is_named(tmp_path: Path) -> None:
    """
    A folder in use is told with the process that uses it; looking does not take the lock.
    """
    assert "nobody" in lock(tmp_path).seen
    with FolderLock(tmp_path):
        assert "open in process" in lock(tmp_path).seen
    assert "nobody" in lock(tmp_path).seen
    with FolderLock(tmp_path):
        pass


@pytest.mark.parametrize(("status", "expected"), [(200, "ok"), (503, "bad"), (404, "bad")])
def test_a_running_server_is_asked_whether_it_is_ready(server: Server, status: int, expected: str) -> None:
    """
    A port in use is fine if a ready Fanbell answers there, and nothing else.
    """
    server.answer = lambda asked: (status, {"status": "?", "why": "starting"})

    assert verdict(doctor.server(Settings(port=port_of(server)))) == expected


def test_a_port_that_does_not_speak_http() -> None:
    """
    Something else on the port is found out.
    """
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))  # bound, not listening

        assert verdict(doctor.server(Settings(port=other.getsockname()[1]))) == "bad"
