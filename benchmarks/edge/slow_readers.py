"""Do clients that do not read make others wait?

2,000 sockets, each activity for all of them, evenly at half of the rate that this machine's edge can do (asked first:
where a core is full, latency says how long the queue has grown, and nothing else). There is so much data in each that
whoever does not read fills the kernel's buffers, then the edge's mailbox. First nobody is like that, then every
twentieth; each in an edge of its own, by turns, three times. The others' frames are timed from when their activity was
due, and the middle of three p99 counts.

Figure asked: the others' p99 at most 1.2 times as long as without.
"""

import statistics
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.edge.serve import Load, connected, fed, served
from benchmarks.harness import asked, hash_of, report, say, skip
from benchmarks.load import NoCompiler, sockets, users_file

QUESTION: Final = "edge: p99 of the others beside sockets that do not read"
SOCKETS: Final = 2_000
EVERY: Final = 20  # so many sockets, one does not read: 5 %
SHARE: Final = 0.5  # of the most activities a second that the edge can do
FLAT_OUT_S: Final = 3.0
DATA_BYTES: Final = (
    12_000  # near the most that an activity may have: the kernel's buffers are full after a second
)
ACTIVITIES: Final = 120  # each time
TURNS: Final = 3


def most(load: Load, seconds: float) -> float:
    """Activities a second that the edge can do, with everybody reading."""
    with served(load) as edge, connected(load, edge) as client:
        fed(edge, client, 0, seconds / 3)  # warm
        told, seen, _ = fed(edge, client, 0, seconds)
    return float(told["activities"] / seen["until_last_s"])


def once(folder: Path, load: Load, *, deaf: bool, rate: float, count: int) -> dict[str, Any]:
    """What the readers saw, beside some who do not read if `deaf`, of `count` activities."""
    seconds = count / rate
    users = users_file(folder / "users", [load.line(user) for user in load.names])
    readers = load.users - (load.users + EVERY - 1) // EVERY * deaf
    with served(load) as edge, sockets(edge.at, users) as client:
        client.ask("opened")
        edge.ask(f"feed {rate} {seconds / 6}")  # warm
        if deaf:
            client.say(f"deaf {EVERY}")
        client.ask("mark")
        told = edge.ask(f"feed {rate} {seconds}")
        client.say(f"until {told['activities'] * readers}")
        client.answer()
        seen = client.ask("report")
        assert seen["open"] == readers
        assert seen["types"]["notification"] == told["activities"] * readers
        stats = edge.ask("stats")["edge"]
    return {
        "p99": seen["latency_us"]["p99"] / 1_000,
        "p50": seen["latency_us"]["p50"] / 1_000,
        "waited": stats["frames_waited"],
        "resume": stats["closed"].get("resume", 0),
        "cpu_share": told["cpu_s"] / told["seconds"],
    }


def main(tiny: bool = False) -> None:
    count = 40 if tiny else SOCKETS
    load = Load(users=count, recipients=count, partitions=1, pool=1, data_bytes=100 if tiny else DATA_BYTES)
    found: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    try:
        rate = SHARE * most(load, 0.3 if tiny else FLAT_OUT_S)
        say(f"{rate:.1f} activities/s")
        with tempfile.TemporaryDirectory() as name:
            for number in range(1 if tiny else TURNS):
                for deaf in (False, True):
                    found[deaf].append(
                        once(Path(name), load, deaf=deaf, rate=rate, count=20 if tiny else ACTIVITIES)
                    )
                    say(
                        f"turn {number + 1}, {'some' if deaf else 'none'} deaf: p99 {found[deaf][-1]['p99']:.1f} ms"
                    )
    except NoCompiler as error:
        skip(QUESTION, str(error))
        return
    without, beside = (statistics.median(one["p99"] for one in found[deaf]) for deaf in (False, True))
    figures = {
        "activities_per_s": round(rate, 1),
        "latency_ms_p99_without": round(without, 2),
        "latency_ms_p99_beside": round(beside, 2),
        "ratio": round(beside / without, 2),
        "latency_ms_p50_without": round(statistics.median(one["p50"] for one in found[False]), 2),
        "latency_ms_p50_beside": round(statistics.median(one["p50"] for one in found[True]), 2),
        "frames_that_waited": sum(one["waited"] for one in found[True]),
        "asked_to_resume": sum(one["resume"] for one in found[True]),
        "cpu_share": round(max(one["cpu_share"] for one in found[True]), 2),
    }
    report(
        QUESTION, figures, hash_of([b"readers had all"]), synthetic=True, sockets=count, deaf_share=1 / EVERY
    )


if __name__ == "__main__":
    main(**vars(asked()))
