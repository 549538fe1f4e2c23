"""How many frames a second does one edge process send when each activity is for a few, and how late do they come?

2,000 sockets, activities for 34 of them each (melcup17's mean), drawn evenly, so that its notices lie in up to 8
partitions with about four recipients in each. Activities come evenly at a rate, whether the edge keeps up or not, and
a frame's time runs from when its activity was due. First as many as the edge can send, one activity after the other;
then the highest rate at which 99 % of the frames come within 40 ms, found by halving. Only frames with a notification
count; counters come beside them.

Figures asked: at least 110,000 frames/s with a p99 of at most 40 ms.
"""

from typing import Any, Final

from benchmarks.edge.serve import Load, Served, connected, fed, heard_by, served
from benchmarks.harness import asked, hash_of, report, say, skip
from benchmarks.load import NoCompiler, Sockets

QUESTION: Final = "edge: 34 recipients an activity, frames a second and p99"
SOCKETS: Final = 2_000
RECIPIENTS: Final = 34
P99_MS_MAX: Final = 40.0
FLAT_OUT_S: Final = 4.0
TRY_S: Final = 5.0
TRIES: Final = 5


def tried(server: Served, client: Sockets, rate: float, seconds: float) -> dict[str, Any]:
    """Tell of `rate` activities a second for so long (0: as many as go); what the client saw."""
    told, seen, client_cpu_s = fed(server, client, rate, seconds)
    return {
        "frames_per_s": round(told["recipients"] / seen["until_last_s"]),
        "latency_ms_p50": round(seen["latency_us"]["p50"] / 1_000, 2),
        "latency_ms_p99": round(seen["latency_us"]["p99"] / 1_000, 2),
        "cpu_us_per_frame": round(told["cpu_s"] / told["recipients"] * 1e6, 2),
        "cpu_share": round(told["cpu_s"] / told["seconds"], 2),
        "frames_of_counters": seen["types"]["counts"],
        "client_cpu_share": round(client_cpu_s / seen["seconds"], 2),
    }


def searched(server: Served, client: Sockets, most: float) -> dict[str, Any]:
    """The highest rate that meets the bound, by halving between none and `most` frames a second."""
    best: dict[str, Any] = {"frames_per_s": 0}
    low, high = most * 0.4, most * 1.1
    for _ in range(TRIES):
        frames_per_s = (low + high) / 2
        found = tried(server, client, frames_per_s / RECIPIENTS, TRY_S)
        say(f"{frames_per_s:,.0f} frames/s: p99 {found['latency_ms_p99']} ms")
        if found["latency_ms_p99"] <= P99_MS_MAX:
            low = frames_per_s
            best = max(best, found, key=lambda one: int(one["frames_per_s"]))
        else:
            high = frames_per_s
    return best


def main(tiny: bool = False) -> None:
    load = Load(users=60 if tiny else SOCKETS, recipients=RECIPIENTS, pool=20 if tiny else 1_000)
    try:
        with served(load) as edge, connected(load, edge, ids=tiny) as client:
            figures: dict[str, Any] = {}
            if tiny:
                tried(edge, client, 200, 0.2)
                answer = told_once(heard_by(client))
            else:
                tried(edge, client, 500, 1.0)  # warm
                flat_out = tried(edge, client, 0, FLAT_OUT_S)
                say(f"flat out: {flat_out['frames_per_s']:,} frames/s")
                figures = searched(edge, client, flat_out["frames_per_s"])
                figures |= {
                    f"flat_out_{name}": value for name, value in flat_out.items() if "latency" not in name
                }
                answer = "every frame came"
    except NoCompiler as error:
        skip(QUESTION, str(error))
        return
    report(
        QUESTION,
        figures,
        hash_of([answer.encode()]),
        synthetic=True,
        sockets=load.users,
        recipients=RECIPIENTS,
    )


def told_once(heard: dict[str, list[int]]) -> str:
    """That the same number told nobody twice, and each as many as it is for; who heard of the first ones."""
    times: dict[int, int] = {}
    for numbers in heard.values():
        assert len(numbers) == len(set(numbers))
        for number in numbers:
            times[number] = times.get(number, 0) + 1
    assert set(times.values()) == {RECIPIENTS}
    return "\n".join(f"{user} {[n for n in numbers if n < 20]}" for user, numbers in sorted(heard.items()))


if __name__ == "__main__":
    main(**vars(asked()))
