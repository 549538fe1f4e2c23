"""`fanbell demo` as a process of its own, with a quiet town: nothing happens in it but what a test does."""

import json
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from subprocess import PIPE
from typing import Any, Final
from urllib.parse import quote

from tests.forked import clean

FANBELL: Final = Path(sys.executable).parent / "fanbell"
ANSWER_S: Final = 60  # a server that takes longer to answer hangs
NAMED: Final = re.compile(r"Open (http://\S+?)/ ")


class DemoServer:
    """Its ports and its folder stay the same when it is started again."""

    def __init__(self, folder: Path, *more: str) -> None:
        self._folder = folder
        self._log = folder / "log"
        self._more = more
        self._ports: list[str] = ["--port", "0"]
        self._process: subprocess.Popen[str] | None = None
        self.url = ""
        self._number = 0

    def start(self) -> None:
        """Start it, and return once it answers."""
        command = [FANBELL, "demo", "--data", self._folder / "data", "--rate", "0", *self._ports, *self._more]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=PIPE, stderr=log, text=True, cwd=self._folder, env=clean()
            )
        assert self._process.stdout is not None
        said = (NAMED.search(line) for line in self._process.stdout)
        found = next(filter(None, said), None)
        assert found is not None, self._log.read_text()
        self.url = found[1]
        edge = self.ask("GET", "/v1/edge")["port"]
        self._ports = ["--port", self.url.rpartition(":")[2], "--edge-port", str(edge)]

    def kill(self) -> None:
        """As kill -9 does: nothing is put in order first."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate(timeout=ANSWER_S)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What the API answers. Raises urllib.error.HTTPError."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            return json.load(answer)

    def publish(self, *activities: dict[str, Any]) -> None:
        """Publish, each with an id of its own."""
        self.ask("POST", "/v1/activities", [{"id": self.new("a"), **one} for one in activities])

    def new(self, what: str) -> str:
        """An id that no other test uses."""
        self._number += 1
        return f"{what}-{time.time_ns():x}-{self._number}"

    def message(self, user: str, text: str, actor: str = "ana") -> None:
        """`actor` writes to `user`; a row of its own, since each is of another conversation."""
        self.publish(self.a_message(user, text, actor))

    def a_message(self, user: str, text: str, actor: str = "ana") -> dict[str, Any]:
        """What `message` publishes, for those who publish many at once."""
        return {
            "kind": "message",
            "actor": actor,
            "object": self.new("m"),
            "target": self.new("talk"),
            "recipients": [user],
            "data": {"text": text},
        }

    def post(self, user: str, title: str = "A post") -> str:
        """A post of `user`'s, to be liked; its id."""
        post = self.new("p")
        self.publish({"kind": "post", "actor": user, "object": post, "data": {"title": title}})
        return post

    def like(self, post: str, user: str, *actors: str) -> None:
        """`actors` like `user`'s post."""
        self.publish(*({"kind": "like", "actor": actor, "object": post, "owner": user} for actor in actors))

    def named(self, user: str, name: str) -> None:
        """`user` is shown as `name` from now on."""
        self.ask("PUT", f"/v1/users/{quote(user, safe='')}", {"name": name})

    def inbox(self, user: str, more: str = "") -> list[dict[str, Any]]:
        """The rows of `user`'s inbox, newest first."""
        items: list[dict[str, Any]] = self.ask(
            "GET", f"/v1/users/{quote(user, safe='')}/notifications?limit=100{more}"
        )["items"]
        return items

    def counts(self, user: str) -> dict[str, Any]:
        """The counters of `user`'s inbox."""
        found: dict[str, Any] = self.ask("GET", f"/v1/users/{quote(user, safe='')}/counts")
        return found

    def until_unread(self, user: str, count: int) -> None:
        """Until so many rows of `user`'s inbox are unread; within ANSWER_S."""
        end = time.monotonic() + ANSWER_S
        while self.counts(user)["unread"] < count:
            assert time.monotonic() < end, f"{user} has {self.counts(user)} and not {count} unread"
