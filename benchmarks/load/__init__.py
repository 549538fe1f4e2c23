"""A load client that is not the bottleneck: `sockets.c`, compiled when it is first wanted, and how to drive it."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import cpu_s

SOURCE: Final = Path(__file__).parent / "sockets.c"
BUILD: Final = Path(__file__).parents[2] / "build" / "load"


class NoCompiler(Exception):
    """There is no C compiler here."""


def sockets_program() -> Path:
    """The compiled client. Raises NoCompiler."""
    program = BUILD / f"sockets-{blake2b(SOURCE.read_bytes(), digest_size=8).hexdigest()}"
    if program.exists():
        return program
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoCompiler("no C compiler, and the load client is in C")
    BUILD.mkdir(parents=True, exist_ok=True)
    made = program.with_name(f"{program.name}.{id(program):x}")  # another benchmark may compile it at once
    subprocess.run([compiler, "-O2", "-o", str(made), str(SOURCE)], check=True)
    made.replace(program)
    return program


class Sockets:
    """A running client. Each method says one of the commands that `sockets.c` lists."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    @property
    def cpu_s(self) -> float:
        return cpu_s(self._process.pid)

    def say(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """What it says next. Raises RuntimeError if it has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the load client has ended")
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, command: str) -> dict[str, Any]:
        self.say(command)
        return self.answer()


@contextmanager
def sockets(
    at: tuple[str, int], users: Path, *, bare: bool = False, ids: bool = False, at_once: int = 256
) -> Iterator[Sockets]:
    """Sockets to the server `at` for the `users` in a file, until the block ends. Raises NoCompiler."""
    command: list[str] = [str(sockets_program()), at[0], str(at[1]), str(users), "--at-once", str(at_once)]
    command += ["--bare"] * bare + ["--ids"] * ids
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Sockets(process)
        finally:
            process.kill()


def users_file(path: Path, lines: Sequence[Sequence[str]]) -> Path:
    """Write who connects, a line each: user, and optionally token and cursor."""
    path.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
    return path


def numbers_in(path: Path) -> dict[str, list[int]]:
    """By user, the numbers of the notifications that it was told of, as `ids` wrote them."""
    lines = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    return {user: [int(number) for number in numbers] for user, *numbers in lines}
