"""What a process without an API answers about itself: `/healthz`, `/readyz`, `/metrics`."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fanbell.edge.http.metrics import CONTENT_TYPE

Numbers = Mapping[tuple[str, int], Mapping[str, float]]
"""By stage and partition, numbers by name."""
LABELS: Final = ("stage", "partition")


class _Partitions(Collector):
    def __init__(self, numbers: Callable[[], Numbers]) -> None:
        self._numbers = numbers

    def describe(self) -> Iterable[Metric]:
        return ()  # names are known once asked; without this, registering would ask

    def collect(self) -> Iterable[Metric]:
        families: dict[str, GaugeMetricFamily] = {}
        for (stage, partition), numbers in self._numbers().items():
            for name, value in numbers.items():
                family = families.get(name)
                if family is None:
                    told = f"{name.replace('_', ' ')}, of a partition that this process holds"
                    family = families[name] = GaugeMetricFamily(f"fanbell_{name}", told, labels=LABELS)
                family.add_metric((stage, str(partition)), float(value))
        return families.values()


def health_app(ready: Callable[[], tuple[bool, str]], numbers: Callable[[], Numbers]) -> Any:
    """An ASGI app. `ready`: whether the process does its work, and if not why."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Partitions(numbers))

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        good, why = ready()
        return JSONResponse({"status": "ready" if good else "not ready", "why": why}, 200 if good else 503)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE.decode()})

    answers = (("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics))
    return Starlette(routes=[Route(path, answer) for path, answer in answers])
