"""`fanbell publish`: batches, bad lines by number, busy servers, running again."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from fanbell.infra.cli import client
from fanbell.infra.cli.exits import Exit
from fanbell.infra.cli.publishing import BATCH_BYTES_MAX, LINE_BYTES_MAX, BadLine, numbered_lines
from tests.infra.conftest import Run
from tests.infra.fake_server import Asked, Reply, Server, problem


class Log:
    """Accepts activities as the API does: an id counts once."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def __call__(self, asked: Asked) -> Reply:
        faults = [(i, "kind", "unknown kind") for i, item in enumerate(asked.body) if item["kind"] == "bad"]
        if faults:
            return 422, problem(422, "The batch was refused.", *faults)
        results = []
        for item in asked.body:
            results.append(
                {"id": item["id"], "status": "duplicate" if item["id"] in self.ids else "accepted"}
            )
            self.ids.append(item["id"])
        return 202, {"results": results}


def lines(count: int, **more: Any) -> str:
    return "".join(
        json.dumps({"id": f"a{i}", "kind": "post", "actor": "ana", "object": f"p{i}", **more}) + "\n"
        for i in range(count)
    )


@pytest.fixture
def log(server: Server) -> Log:
    server.answer = log = Log()
    return log


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client would have waited, without waiting."""
    waited: list[float] = []
    monkeypatch.setattr(
        client.Client.__init__,
        "__kwdefaults__",
        client.Client.__init__.__kwdefaults__ | {"sleep": waited.append},
    )
    return waited


def test_lines_arrive_in_order_in_full_batches(
    fanbell: Run, server: Server, log: Log, tmp_path: Path
) -> None:
    """
    Lines are published in the order of the file, up to 1,000 in a request.
    """
    (tmp_path / "a.jsonl").write_text(lines(2_500))

    ran = fanbell("publish", str(tmp_path / "a.jsonl"), "--url", server.url, "--json")

    assert log.ids == [f"a{i}" for i in range(2_500)]
    assert [len(asked.body) for asked in server.asked] == [1_000, 1_000, 500]
    assert ran.json | {"seconds": 0, "per_second": 0} == {
        "published": 2_500, "accepted": 2_500, "duplicate": 0, "refused": 0, "bad": [], "seconds": 0, "per_second": 0,
    }  # fmt: skip


def test_batches_stay_below_the_size_of_a_request(
    fanbell: Run, server: Server, log: Log, tmp_path: Path
) -> None:
    """
    Long lines make shorter batches.
    """
    (tmp_path / "a.jsonl").write_text(lines(200, data={"text": "x" * 15_000}))

    assert fanbell("publish", str(tmp_path / "a.jsonl"), "--url", server.url).code == Exit.OK

    assert len(log.ids) == 200
    assert max(int(asked.headers["Content-Length"]) for asked in server.asked) <= BATCH_BYTES_MAX + 16_000


def test_running_again_repeats_nothing(fanbell: Run, server: Server, log: Log, tmp_path: Path) -> None:
    """
    What is there already counts as duplicate.
    """
    (tmp_path / "a.jsonl").write_text(lines(3))
    fanbell("publish", str(tmp_path / "a.jsonl"), "--url", server.url)

    ran = fanbell("publish", str(tmp_path / "a.jsonl"), "--url", server.url)

    assert ran.code == Exit.OK
    assert "(3 were there already)" in ran.out


def test_standard_input(fanbell: Run, server: Server, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    `-` reads standard input; blank lines are nothing.
    """
    monkeypatch.setattr(
        "sys.stdin", io.TextIOWrapper(io.BytesIO(b"\n" + lines(2).encode().replace(b"\n", b"\r\n\n")))
    )

    assert fanbell("publish", "-", "--url", server.url).code == Exit.OK
    assert log.ids == ["a0", "a1"]


def test_a_refused_line_is_named_by_its_number(
    fanbell: Run, server: Server, log: Log, tmp_path: Path
) -> None:
    """
    A line that the server refuses is named by its number in the file, with each field's message.
    """
    bad = json.dumps({"id": "b", "kind": "bad", "actor": "ana", "object": "p"}) + "\n"
    (tmp_path / "a.jsonl").write_text(lines(1_500) + "\n" + bad)

    ran = fanbell("publish", str(tmp_path / "a.jsonl"), "--url", server.url)

    assert ran.code == Exit.REFUSED
    assert "line 1502: kind: unknown kind" in ran.err
    assert "1,000 before it are published" in ran.err


@pytest.mark.parametrize(
    "broken",
    [
        '{"id": "b"',
        '{"id": "b", "id": "c"}',
        '{"id": "b"},{"id": "c"}',
        "[]",
        '{"x": NaN}',
        '{"x": "\\ud800"}',
    ],
)
def test_a_broken_line_is_named_before_it_is_sent(
    fanbell: Run, server: Server, log: Log, tmp_path: Path, broken: str
) -> None:
    """
    A line that is no JSON object is named by its number; what stood before it is published.
    """
    (tmp_path / "a.jsonl").write_text(lines(2) + broken + "\n" + lines(1))

    ran = fanbell("publish", str(tmp_path / "a.jsonl"), "--url", server.url)

    assert ran.code == Exit.REFUSED
    assert "line 3: " in ran.err
    assert log.ids == ["a0", "a1"]


def test_bad_lines_can_be_left_out(fanbell: Run, server: Server, log: Log, tmp_path: Path) -> None:
    """
    With --skip-bad all else is published, and the exit code still tells.
    """
    bad = json.dumps({"id": "b", "kind": "bad", "actor": "ana", "object": "p"}) + "\n"
    (tmp_path / "a.jsonl").write_text(bad + lines(2) + "{\n" + bad)

    ran = fanbell("publish", str(tmp_path / "a.jsonl"), "--skip-bad", "--json", "--url", server.url)

    assert ran.code == Exit.REFUSED
    assert log.ids == ["a0", "a1"]
    assert (ran.json["published"], ran.json["refused"]) == (2, 3)
    assert [line.split(":")[0] for line in ran.json["bad"]] == ["line 4", "line 1", "line 5"]


def test_a_line_too_long_is_never_read_whole() -> None:
    """
    A file without line ends does not fill the memory.
    """

    class Endless(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            assert size > 0
            return b"x" * size

    with pytest.raises(BadLine, match=f"longer than {LINE_BYTES_MAX} bytes"):
        list(numbered_lines(Endless()))


def test_a_busy_server_is_waited_for(
    fanbell: Run, server: Server, log: Log, tmp_path: Path, pauses: list[float]
) -> None:
    """
    429 and 503 are waited out as long as Retry-After says, and nothing is published twice.
    """
    replies: list[Reply] = [
        (503, problem(503, "backlog"), {"Retry-After": "3"}),
        (429, problem(429, "slow down"), {"Retry-After": "2"}),
    ]
    server.answer = lambda asked: replies.pop(0) if replies else log(asked)
    (tmp_path / "a.jsonl").write_text(lines(2))

    ran = fanbell("publish", str(tmp_path / "a.jsonl"), "--url", server.url)

    assert ran.code == Exit.OK
    assert pauses == [3.0, 2.0]
    assert log.ids == ["a0", "a1"]
    assert "backlog" in ran.err


def test_patience_has_an_end(fanbell: Run, server: Server, tmp_path: Path, pauses: list[float]) -> None:
    """
    A server that stays busy ends the command, after a bounded time, with its own code.
    """
    server.answer = lambda asked: (503, problem(503, "backlog"), {"Retry-After": "30"})
    (tmp_path / "a.jsonl").write_text(lines(2))

    ran = fanbell("publish", str(tmp_path / "a.jsonl"), "--url", server.url)

    assert ran.code == Exit.BUSY
    assert sum(pauses) <= 300
    assert "0 before it are published" in ran.err
