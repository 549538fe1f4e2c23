"""How much memory does an idle socket take?

The edge with 10,000 sockets, each of a user of its own who said who they are by a token, with nothing to hear;
keepalive as it is by default, and measured after every socket has had its ping. Beside it, the same of a bare
`websockets` server. Resident size after, less that of the same server once 500 sockets had come and gone, so that
what is made once does not count.

Figure asked: at most 20 KB (of 1,024 bytes) a socket.
"""

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks.edge.serve import Load, Served, served
from benchmarks.harness import asked, hash_of, report, say, skip
from benchmarks.load import NoCompiler, Sockets, sockets, users_file
from fanbell.edge.socket import PING_EVERY_S

QUESTION: Final = "edge: memory of an idle socket"
SOCKETS: Final = 10_000
WARM: Final = 500
AT_ONCE: Final = 400  # below the edge's bound of sockets that have not said who they are
KB: Final = 1_024


def until_gone(server: Served) -> int:
    """Resident size once no socket is left, bytes."""
    while True:
        found = server.ask("stats")
        if not found["edge"]["sockets"]:
            return int(found["rss_bytes"])
        time.sleep(0.05)  # nothing tells of a connection that was dropped


def opened(client: Sockets, count: int) -> None:
    assert client.ask("opened")["open"] == count


def main(tiny: bool = False) -> None:
    count, warm = (40, 10) if tiny else (SOCKETS, WARM)
    loads = {
        "edge": Load(users=count, recipients=1, pool=1),
        "bare": Load(users=count, recipients=1, pool=1, bare=True),
    }
    figures: dict[str, object] = {}
    try:
        with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
            lines = [loads["edge"].line(user) for user in loads["edge"].names]
            everybody = users_file(Path(name) / "users", lines)
            few = users_file(Path(name) / "few", lines[:warm])
            running: dict[str, tuple[Served, Sockets, int]] = {}
            for what, load in loads.items():
                server = stack.enter_context(served(load))
                with sockets(server.at, few, bare=load.bare, at_once=AT_ONCE) as client:
                    opened(client, warm)
                before = until_gone(server)
                client = stack.enter_context(sockets(server.at, everybody, bare=load.bare, at_once=AT_ONCE))
                begun = time.monotonic()
                opened(client, count)
                figures[f"{what}_sockets_opened_per_s"] = round(count / (time.monotonic() - begun))
                say(f"{what}: {count:,} sockets are open")
                running[what] = server, client, before
            if not tiny:
                time.sleep(PING_EVERY_S + 5)  # each has been pinged by then, and has answered
            for what, (server, client, before) in running.items():
                found = server.ask("stats")
                assert found["edge"]["sockets"] == count
                assert client.ask("report")["open"] == count
                figures[f"{what}_kb_per_socket"] = round((found["rss_bytes"] - before) / count / KB, 2)
                figures[f"{what}_rss_mb"] = round(found["rss_bytes"] / KB / KB, 1)
    except NoCompiler as error:
        skip(QUESTION, str(error))
        return
    report(QUESTION, figures, hash_of([b"all open"]), synthetic=True, sockets=count)


if __name__ == "__main__":
    main(**vars(asked()))
