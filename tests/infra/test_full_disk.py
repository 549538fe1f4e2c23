"""`fanbell up` where it cannot write: a full disk, files that may not grow, a folder that is read-only."""

import ctypes
import json
import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.infra.small_disk import SmallDisk, small_disk
from tests.infra.up_process import END_S, FANBELL, Up, fanbell_up

FLAGS: Final = ("--rate-limit-per-address", "0", "--inbox-keep", "100000")
BALLAST_BYTES: Final = 60_000_000
"""Room for what the runner has not told yet when the disk is full: 13 KB a post, most of it in the WAL, of 4,000 posts
at most. With less the disk is full again before the last one is told."""
DISK_BYTES: Final = BALLAST_BYTES + 3_500_000
FILE_BYTES: Final = 1_500_000
POSTS_MAX: Final = 20_000  # many times what there is room for
CAP_DAC_OVERRIDE: Final = 1
PR_CAPBSET_DROP: Final = 24


class Town:
    """Ana posts and Bob follows her; what was answered 202, and what was answered 503."""

    def __init__(self) -> None:
        self.accepted: list[str] = []
        self.refused: list[dict[str, Any]] = []
        self._number = 0

    def post(self, client: httpx.Client, count: int = 7) -> httpx.Response:
        """Publish so many posts more."""
        batch = []
        for _ in range(count):
            self._number += 1
            id_ = f"a{self._number}"
            data = {"title": "x" * 700}
            batch.append({"id": id_, "kind": "post", "actor": "ana", "object": f"p{id_}", "data": data})
        return self.publish(client, batch)

    def publish(self, client: httpx.Client, batch: list[dict[str, Any]]) -> httpx.Response:
        answer = client.post("/v1/activities", json=batch)
        if answer.status_code == 202:
            self.accepted += [activity["id"] for activity in batch]
        else:
            assert answer.status_code == 503, answer.text
            self.refused += batch
        return answer

    def post_until_refused(self, client: httpx.Client, count: int = 7) -> httpx.Response:
        """The first 503, publishing so many at once: with many the runner is far behind by then."""
        while True:
            answer = self.post(client, count)
            if answer.status_code == 503:
                return answer
            assert self._number < POSTS_MAX, "the disk never filled"

    def publish_refused(self, client: httpx.Client) -> None:
        """Once more what was refused, by the same ids."""
        refused, self.refused = self.refused, []
        for at in range(0, len(refused), 100):
            assert self.publish(client, refused[at : at + 100]).status_code == 202


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    (tmp_path / "data").mkdir()
    with small_disk(tmp_path / "data", DISK_BYTES, BALLAST_BYTES) as mounted:
        yield mounted


def client_of(up: Up) -> httpx.Client:
    return httpx.Client(base_url=up.url, timeout=END_S)


def until(holds: Callable[[], Any], what: str) -> Any:
    """Ask again and again until it holds."""
    end = time.monotonic() + END_S
    while not (found := holds()):
        assert time.monotonic() < end, f"never: {what}"
    return found


def ready(client: httpx.Client) -> bool:
    return client.get("/readyz").status_code == 200


def follow(client: httpx.Client) -> None:
    assert client.put("/v1/users/bob/follows/ana").status_code == 202


def heard(client: httpx.Client) -> list[str]:
    """Ids in Bob's inbox, oldest first, page by page."""
    ids: list[str] = []
    before: dict[str, str] = {}
    while True:
        page = client.get("/v1/users/bob/notifications", params={"limit": "200", **before}).json()
        ids += [item["id"] for item in page["items"]]
        if page["next"] is None:
            return ids[::-1]
        before = {"before": page["next"]}


def assert_refused(answer: httpx.Response, why: str) -> None:
    """503 as people and programs can use it."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0
    problem = answer.json()
    assert (problem["status"], problem["type"]) == (503, "fanbell:unavailable")
    assert why in problem["detail"]


def assert_all_told_once(client: httpx.Client, town: Town) -> None:
    """What was answered 202 is in the inbox, once and in its order; nothing else is."""
    until(lambda: client.get("/v1/stats").json()["backlog"] == 0, "what was accepted is told")
    assert heard(client) == town.accepted


@pytest.mark.parametrize("at_once", [7, 100])
def test_a_full_disk_refuses_loses_nothing_and_is_over_when_there_is_room(
    tmp_path: Path, disk: SmallDisk, at_once: int
) -> None:
    """
    On a full disk publishing is answered 503 with why, reading goes on, and with room again it goes on by itself.
    """
    town = Town()
    with (
        fanbell_up(tmp_path, *FLAGS, within=disk.within, log=tmp_path / "log") as up,
        client_of(up) as client,
    ):
        follow(client)
        refused = town.post_until_refused(client, at_once)
        assert_refused(refused, "the disk is full")
        disk.fill()
        why = until(
            lambda: None if ready(client) else client.get("/readyz").json().get("why"), "/readyz says why"
        )
        assert "the disk is full" in why
        assert client.get("/healthz").status_code == 200
        assert client.get("/v1/users/bob/counts").json()["unread"] > 0
        told = heard(client)
        assert told == town.accepted[: len(told)]
        assert town.post(client, 1).status_code == 503
        assert client.put("/v1/users/cleo/follows/ana").status_code == 503

        disk.make_room()

        until(lambda: ready(client), "ready once there is room")
        assert_all_told_once(client, town)
        town.publish_refused(client)
        assert_all_told_once(client, town)
        assert up.end() == 0
    assert "the disk is full" in (tmp_path / "log").read_text()


def test_a_log_on_the_same_full_disk_does_not_stop_it(tmp_path: Path, disk: SmallDisk) -> None:
    """
    A server whose own log lines find no room either goes on when there is room.
    """
    town = Town()
    log = disk.root / "log"
    with fanbell_up(tmp_path, *FLAGS, within=disk.within, log=log) as up, client_of(up) as client:
        follow(client)
        disk.fill()
        town.post_until_refused(client)
        until(
            lambda: (
                town.post(client, 1).status_code == 503
                and log.stat().st_size % os.sysconf("SC_PAGE_SIZE") == 0
            ),
            "the log's last page is full too",
        )

        disk.make_room()

        until(lambda: ready(client), "ready once there is room")
        assert_all_told_once(client, town)


def test_stopped_on_a_full_disk_it_has_everything_when_started_with_room(
    tmp_path: Path, disk: SmallDisk
) -> None:
    """
    It stops on a full disk as ever, and the next start with room has all that was answered 202.
    """
    town = Town()
    with (
        fanbell_up(tmp_path, *FLAGS, within=disk.within, log=tmp_path / "log") as up,
        client_of(up) as client,
    ):
        follow(client)
        town.post_until_refused(client)
        disk.fill()
        assert up.end() == 0

    disk.make_room()

    with (
        fanbell_up(tmp_path, *FLAGS, within=disk.within, log=tmp_path / "log") as up,
        client_of(up) as client,
    ):
        assert_all_told_once(client, town)
        town.publish_refused(client)
        town.post(client)
        assert_all_told_once(client, town)


def test_a_new_folder_on_a_full_disk_is_said_at_start(disk: SmallDisk) -> None:
    """
    Without room for the first byte it ends with 1 and one line that says so.
    """
    disk.fill()

    code, said = ends(disk)

    assert code == 1, said
    assert said == f"fanbell: the data folder {disk.path} cannot be used: No space left on device\n"


def ends(disk: SmallDisk) -> tuple[int, str]:
    """How a server that cannot start there ends, and what it says on stderr."""
    line = [*disk.within, FANBELL, "up", "--data", disk.path, "--port", "0"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=END_S, check=False)
    return done.returncode, done.stderr


def _files_at_most(size: int) -> None:
    """In the child: no file may grow past `size`; writing more is an error and no signal (Python ignores SIGXFSZ)."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def test_files_that_may_not_grow_refuse_and_lose_nothing(tmp_path: Path) -> None:
    """
    Past a limit on the size of files publishing is answered 503; a start without it has all that was answered 202.
    """
    town = Town()
    limit = partial(_files_at_most, FILE_BYTES)
    with fanbell_up(tmp_path, *FLAGS, before=limit, log=tmp_path / "log") as up, client_of(up) as client:
        follow(client)
        assert_refused(town.post_until_refused(client), "nothing of this transaction was kept")
        until(lambda: not ready(client) or town.post(client, 1).status_code == 503, "it goes on refusing")
        assert client.get("/v1/users/bob/counts").json()["unread"] > 0
        assert up.end() == 0
    with fanbell_up(tmp_path, *FLAGS, log=tmp_path / "log") as up, client_of(up) as client:
        assert_all_told_once(client, town)
        town.publish_refused(client)
        assert_all_told_once(client, town)


@pytest.mark.parametrize("had", [False, True], ids=["new", "existing"])
def test_a_read_only_file_system_is_said_at_start(tmp_path: Path, disk: SmallDisk, had: bool) -> None:
    """
    On a read-only file system it ends with 1 and one line that says so; what is there stays as it is.
    """
    town = Town()
    if had:
        with fanbell_up(tmp_path, *FLAGS, within=disk.within) as up, client_of(up) as client:
            follow(client)
            town.post(client)
            assert up.end() == 0
    disk.mount("ro")

    code, said = ends(disk)

    assert code == 1
    assert f"fanbell: the data folder {disk.path} is read-only for this user" in said
    assert len(said.splitlines()) == 1, said
    disk.mount("rw")
    with fanbell_up(tmp_path, *FLAGS, within=disk.within) as up, client_of(up) as client:
        assert_all_told_once(client, town)


def _as_others_do() -> None:
    """In the child: permissions hold for root too."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


def test_a_folder_that_becomes_read_only_stops_snapshots_alone(tmp_path: Path) -> None:
    """
    A folder made read-only under a server is said in the log; its open files go on, and nothing is lost.
    """
    town, data, log = Town(), tmp_path / "data", tmp_path / "log"
    flags = (*FLAGS, "--snapshot-every-records", "20")
    with fanbell_up(tmp_path, *flags, before=_as_others_do, log=log) as up, client_of(up) as client:
        follow(client)
        try:
            for folder in (data, data / "snapshots"):
                folder.chmod(0o555)
            until(
                lambda: town.post(client).status_code == 202 and "snapshot_failed" in log.read_text(),
                "a failed snapshot is said",
            )
            assert ready(client)
            assert_all_told_once(client, town)
        finally:
            for folder in (data, data / "snapshots"):
                folder.chmod(0o755)
        town.post(client)
        assert_all_told_once(client, town)
        assert up.end() == 0
    failed = next(line for line in log.read_text().splitlines() if "snapshot_failed" in line)
    assert "Permission denied" in json.loads(failed)["error"]
    with fanbell_up(tmp_path, *flags) as up, client_of(up) as client:
        assert_all_told_once(client, town)


@pytest.mark.parametrize("had", [False, True], ids=["new", "existing"])
def test_a_folder_without_permission_is_said_at_start(tmp_path: Path, had: bool) -> None:
    """
    In a folder that this user may not write it ends with 1 and one line that names what cannot be written.
    """
    data = tmp_path / "data"
    data.mkdir()
    if had:
        with fanbell_up(tmp_path) as up:
            assert up.end() == 0
    data.chmod(0o555)
    try:
        done = subprocess.run(
            [FANBELL, "up", "--data", data, "--port", "0"],
            capture_output=True, text=True, timeout=END_S, check=False, preexec_fn=_as_others_do,
        )  # fmt: skip
    finally:
        data.chmod(0o755)

    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("fanbell: ")
    assert str(data) in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "read-only" in done.stderr
