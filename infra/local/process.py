"""A server of another make, as a process of its own that outlives the command which started it."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

ASK_S: Final = 60  # `ps` waits for a server that is just taking its memory, and a busy machine for longer
ANSWER_S: Final = 2.0
POLL_S: Final = 0.1


class NotStarted(Exception):
    """A server did not come up; says which, why if it said so, and where its log is."""


class Node(Struct, kw_only=True):
    """One server: what it is, where it listens, and its process."""

    name: str
    port: int
    pid: int
    data: str
    log: str

    @property
    def alive(self) -> bool:
        """Whether it runs: that process, and not another one that got its number."""
        said = subprocess.run(
            ["ps", "-ww", "-o", "stat=,command=", "-p", str(self.pid)],
            capture_output=True, text=True, timeout=ASK_S, check=False,
        ).stdout  # fmt: skip
        return self.data in said and not said.startswith("Z")

    def end(self, within_s: float = 30.0, by: signal.Signals = signal.SIGTERM) -> None:
        """End it, by force if it takes longer than that."""
        if not self.alive:
            return
        os.kill(self.pid, by)
        until = time.monotonic() + within_s
        while self.alive:
            if time.monotonic() > until:
                os.kill(self.pid, signal.SIGKILL)
            _reap(self.pid)
            time.sleep(POLL_S)


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):  # of a command before this one
        os.waitpid(pid, os.WNOHANG)


def start(
    name: str, port: int, command: Sequence[str | Path], data: Path, env: dict[str, str] | None = None
) -> Node:
    """Start `command`, which names `data` in its arguments, with its output in a log beside its data."""
    log = data / "output.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd=data,
            env={**os.environ, **(env or {})},
        )  # fmt: skip
    return Node(name=name, port=port, pid=process.pid, data=str(data), log=str(log))


@contextmanager
def ended_unless_well() -> Iterator[list[Node]]:
    """Nodes that are put into the list end with the block, if that fails or somebody gives up."""
    nodes: list[Node] = []
    try:
        yield nodes
    except BaseException:
        for node in nodes:
            node.end()
        raise


def wait(node: Node, answers: Callable[[int], bool], within_s: float) -> None:
    """Wait until `answers(port)`. Raises NotStarted."""
    until = time.monotonic() + within_s
    while not answers(node.port):
        _reap(node.pid)
        if not node.alive:
            last = Path(node.log).read_text(errors="replace").strip().splitlines()[-1:]
            raise NotStarted(f"{node.name} ended at once ({''.join(last)[:300]}); its log is {node.log}")
        if time.monotonic() > until:
            raise NotStarted(f"{node.name} did not answer within {within_s:.0f} s; its log is {node.log}")
        time.sleep(POLL_S)


def ask(port: int, request: bytes) -> bytes:
    """The first bytes of the answer of whoever listens at `port`; none if nobody does."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S) as there:
            there.settimeout(ANSWER_S)
            there.sendall(request)
            return there.recv(64)
    except OSError:
        return b""


def free_ports(count: int) -> list[int]:
    """So many ports that nobody listens at now."""
    held = []
    try:
        for _ in range(count):
            one = socket.socket()
            one.bind(("127.0.0.1", 0))
            held.append(one)
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()
