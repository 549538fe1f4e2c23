"""How many frames a second does one edge process send, each notice to all, against bare `websockets.broadcast`?

Two servers on uvloop, each in a process of its own with 2,000 sockets of its own: the edge, told record after record
with all 2,000 recipients in it, and a bare server that broadcasts a text of the same bytes but for the counters, which
the edge sends beside. They take turns of a second or two, so that whatever else the machine does meets both. Only
frames with a notification count; the counters' are extra work.

Figure asked: at least 0.85 of the bare server's frames a second. CPU time per frame is beside it.
"""

from typing import Any, Final

from benchmarks.edge.serve import Load, Served, connected, fed, heard_by, served
from benchmarks.harness import asked, hash_of, report, say, skip
from benchmarks.load import NoCompiler, Sockets

QUESTION: Final = "edge: each notice to all, against websockets.broadcast"
SOCKETS: Final = 2_000
TURNS: Final = 6
TURN_S: Final = 2.0


def turn(server: Served, client: Sockets, seconds: float) -> dict[str, float]:
    """Tell as much as it can for so long; what the client saw."""
    told, seen, client_cpu_s = fed(server, client, 0, seconds)
    return {
        "frames": told["recipients"],
        "seconds": seen["until_last_s"],
        "cpu_s": told["cpu_s"],
        "client_cpu_s": client_cpu_s,
        "extra": seen["frames"] - told["recipients"],
        "p99_ms": seen["latency_us"]["p99"] / 1_000,
    }


def figures_of(name: str, turns: list[dict[str, float]]) -> dict[str, Any]:
    def total(what: str) -> float:
        return sum(one[what] for one in turns)

    return {
        f"{name}_frames_per_s": round(total("frames") / total("seconds")),
        f"{name}_cpu_us_per_frame": round(total("cpu_s") / total("frames") * 1e6, 2),
        f"{name}_frames": round(total("frames")),
        f"{name}_frames_of_counters": round(total("extra")),
        f"{name}_latency_ms_p99": round(max(one["p99_ms"] for one in turns), 1),
        f"{name}_client_cpu_share": round(total("client_cpu_s") / total("seconds"), 2),
    }


def main(tiny: bool = False) -> None:
    count = 30 if tiny else SOCKETS
    load = Load(users=count, recipients=count, partitions=1, pool=1)
    try:
        with (
            served(load) as edge,
            served(Load(users=count, recipients=count, bare=True)) as bare,
            connected(load, edge, ids=tiny) as ours,
            connected(load, bare, bare=True, ids=tiny) as others,
        ):
            turn(edge, ours, 0.05 if tiny else 0.5)  # warm
            turn(bare, others, 0.05 if tiny else 0.5)
            found: dict[str, list[dict[str, float]]] = {"edge": [], "bare": []}
            for number in range(1 if tiny else TURNS):
                found["bare"].append(turn(bare, others, 0.1 if tiny else TURN_S))
                found["edge"].append(turn(edge, ours, 0.1 if tiny else TURN_S))
                say(f"turn {number + 1} of {TURNS}")
            answer = in_order(heard_by(ours)) if tiny else "every frame came"
    except NoCompiler as error:
        skip(QUESTION, str(error))
        return
    figures = figures_of("edge", found["edge"]) | figures_of("bare", found["bare"])
    figures["share"] = round(figures["edge_frames_per_s"] / figures["bare_frames_per_s"], 3)
    figures["share_by_cpu"] = round(figures["bare_cpu_us_per_frame"] / figures["edge_cpu_us_per_frame"], 3)
    report(QUESTION, figures, hash_of([answer.encode()]), synthetic=True, sockets=count)


def in_order(heard: dict[str, list[int]]) -> str:
    """That each user was told of the same notifications, in order, each once; who they were."""
    first = next(iter(heard.values()))
    assert first
    assert first == list(range(first[0], first[0] + len(first)))
    assert all(numbers == first for numbers in heard.values())
    return " ".join(sorted(heard))


if __name__ == "__main__":
    main(**vars(asked()))
