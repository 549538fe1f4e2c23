"""What a process without an API answers about itself: `/healthz`, `/readyz`, `/metrics`."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fanbell.edge.http.metrics import CONTENT_TYPE

Numbers = Mapping[tuple[str, int], Mapping[str, float]]
"""By stage and partition, numbers by name."""
LABELS: Final = ("stage", "partition")
TOTAL: Final = "_total"  # names that end so only grow, from 0 when what they are of was opened
MEANINGS: Final = {
    "open": "1 once the partition is read up to where the log was, 0 before and while log or store fail",
    "offset": "last record whose effects are acknowledged",
    "end": "offset after the last record of the partition, as last seen",
    "lag_records": "records that are in the partition and not done yet",
    "waiting_bytes": "fetched and not taken yet",
    "snapshot_age_s": "since a snapshot was kept, or since the partition was opened",
    "snapshot_offset": "where that snapshot stands; -1 is none",
    "fold_time_ms": "the fold's clock, Unix ms",
    "position": "last record that the inboxes hold",
    "changes_forwarded": "changes of other producers passed on since the partition was opened",
    "strays": "activities sent on from a partition that is not their key's, since the partition was opened",
    "dead_letters_total": "dead letters put out since the partition was opened",
}
"""Of a partition that the process holds. What is not in it is shown too, by its name alone."""
PROCESS: Final = {
    "rebalances_total": "how often the group has given out partitions",
    "ready": "what /readyz says, as 1 or 0",
}
"""Of the process."""


def behind(numbers: Numbers, lag_max: int) -> str:
    """Why a worker that holds these partitions is not ready: which is not open, or too far behind. Empty if none is."""
    for (stage, partition), one in numbers.items():
        if not one.get("open", 1.0):
            return f"{stage}[{partition}] is not open: it is being read up, or log or store do not answer"
    lags = {place: one.get("lag_records", 0.0) for place, one in numbers.items()}
    worst = max(lags, key=lambda place: lags[place], default=None)
    if worst is None or lags[worst] <= lag_max:
        return ""
    return f"{worst[0]}[{worst[1]}] is {lags[worst]:.0f} records behind (at most {lag_max})"


class _Shown(Collector):
    def __init__(self, numbers: Callable[[], Numbers], process: Callable[[], Mapping[str, float]]) -> None:
        self._numbers, self._process = numbers, process

    def describe(self) -> Iterable[Metric]:
        return ()  # names are known once asked; without this, registering would ask

    def collect(self) -> Iterable[Metric]:
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for place, numbers in self._numbers().items():
            for name, value in numbers.items():
                if name not in families:
                    families[name] = _family(name, MEANINGS.get(name, name.replace("_", " ")), LABELS)
                families[name].add_metric([str(label) for label in place], float(value))
        for name, value in self._process().items():
            families[name] = _family(name, PROCESS.get(name, name.replace("_", " ")), ())
            families[name].add_metric([], float(value))
        return families.values()


def _family(name: str, told: str, labels: Iterable[str]) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if name.endswith(TOTAL) else GaugeMetricFamily
    return kind(f"fanbell_{name}", told, labels=tuple(labels))


def health_app(
    ready: Callable[[], tuple[bool, str]],
    numbers: Callable[[], Numbers],
    process: Callable[[], Mapping[str, float]] = dict,
) -> Any:
    """An ASGI app. `ready`: whether the process does its work, and if not why. `process`: its numbers as a whole."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Shown(numbers, process))

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        good, why = ready()
        return JSONResponse({"status": "ready" if good else "not ready", "why": why}, 200 if good else 503)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE.decode()})

    answers = (("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics))
    return Starlette(routes=[Route(path, answer) for path, answer in answers])
