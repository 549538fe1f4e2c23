"""`fanbell cluster` where it cannot work, or is asked for what there is not. What works is in tests/cluster/."""

import subprocess
from pathlib import Path

import pytest

from fanbell.infra.cli.exits import Exit
from fanbell.infra.local import java
from tests.infra.up_process import END_S, FANBELL


def fanbell(*args: str | Path) -> "subprocess.CompletedProcess[str]":
    line = [FANBELL, "cluster", *args]
    return subprocess.run(line, capture_output=True, text=True, timeout=END_S, check=False)


@pytest.mark.parametrize(("there", "said"), [((), "a JDK"), (("java",), "Maven")])
def test_what_is_missing_is_said_and_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], said: str
) -> None:
    """Without Java or Maven the message names it and the command that installs it."""
    for name in there:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(java.Missing, match=f"^{said}.*apt-get install"):
        java.check_tools()


def test_a_java_that_is_too_old_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Java 8 says its version in a way of its own, and is refused by it."""
    for name, does in (("java", "echo 'openjdk version \"1.8.0_312\"' >&2"), ("mvn", "")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    with pytest.raises(java.Missing, match="of version 8, 17 or newer"):
        java.check_tools()


@pytest.mark.parametrize("verb", ["status", "down"])
def test_a_folder_without_a_cluster_is_said(tmp_path: Path, verb: str) -> None:
    """There is nothing to show or end where nothing was started."""
    done = fanbell(verb, "--data", tmp_path)

    assert done.returncode == Exit.NOT_FOUND
    assert "`fanbell cluster up` starts one" in done.stderr


@pytest.mark.parametrize("wrong", [("--brokers", "2"), ("--ports", "1,2"), ("--ports", "a,b,c,d")])
def test_what_cannot_be_is_refused(tmp_path: Path, wrong: tuple[str, str]) -> None:
    """Numbers of brokers and ports that make no sense start nothing."""
    done = fanbell("up", "--data", tmp_path / "data", *wrong)

    assert done.returncode == Exit.USAGE
    assert wrong[0] in done.stderr
    assert not (tmp_path / "data").exists()
