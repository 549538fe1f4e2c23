"""Counters for Prometheus: requests here, and the backend's `stats()` flattened into gauges."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_NOT_NAME: Final = re.compile(r"[^a-zA-Z0-9_]+")


class Metrics:
    """One registry of its own, so that two servers in one process do not count into each other."""

    def __init__(self, stats: Callable[[], Mapping[str, object]]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series for each series, of when it began: nobody asks
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(_Stats(stats))
        labels = ("method", "route")
        self._requests = Counter(
            "fanbell_http_requests", "Requests answered", (*labels, "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "fanbell_http_request_seconds",
            "Time to answer",
            labels,
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._activities = Counter(
            "fanbell_http_activities", "Activities answered", ("status",), registry=self.registry
        )
        # Looking children up by label costs more than counting; routes, methods and statuses are few.
        self._counts: dict[tuple[str, str, int], Counter] = {}
        self._times: dict[tuple[str, str], Histogram] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request. `route` is the path's pattern, never a path: ids do not become labels."""
        key = (method, route, status)
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = self._requests.labels(method, route, str(status))
        count.inc()
        time = self._times.get(key[:2])
        if time is None:
            time = self._times[key[:2]] = self._seconds.labels(method, route)
        time.observe(seconds)

    def activities(self, accepted: int, duplicate: int) -> None:
        """Count the activities of one request."""
        self._activities.labels("accepted").inc(accepted)
        if duplicate:
            self._activities.labels("duplicate").inc(duplicate)

    def text(self) -> bytes:
        """All of it in the text format of Prometheus."""
        return generate_latest(self.registry)


class _Stats(Collector):
    def __init__(self, stats: Callable[[], Mapping[str, object]]) -> None:
        self._stats = stats

    def describe(self) -> Iterable[Metric]:
        return ()  # names are known once asked; without this, registering would ask

    def collect(self) -> Iterable[Metric]:
        yield from gauges("fanbell", self._stats())


def gauges(prefix: str, value: object) -> Iterable[Metric]:
    """The numbers in `value` as gauges, named by the keys that lead to them; number keys become a label."""
    if isinstance(value, bool | int | float):
        gauge = GaugeMetricFamily(prefix, prefix.replace("_", " "))
        gauge.add_metric((), float(value))
        yield gauge
    elif isinstance(value, list | tuple):
        yield from gauges(prefix, dict(enumerate(value)))
    elif isinstance(value, Mapping):
        if value and all(str(key).isdigit() for key in value):
            gauge = GaugeMetricFamily(prefix, prefix.replace("_", " "), labels=("partition",))
            for key, item in value.items():
                if isinstance(item, bool | int | float):
                    gauge.add_metric((str(key),), float(item))
            yield gauge
        else:
            for key, item in value.items():
                yield from gauges(f"{prefix}_{_NOT_NAME.sub('_', str(key))}", item)
