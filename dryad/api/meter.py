"""Counts what this process answered, and shows it to Prometheus."""

from collections.abc import Callable, Iterable, Mapping
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dryad.foundation.errors import DryadError

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Meter:
    """What this process answered since it started."""

    def __init__(self, task_counts: Callable[[], Mapping[str, int]]) -> None:
        self.requests_total = 0
        self.errors_total = 0
        self._lock = Lock()
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "dryad_requests",
            "Requests answered",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._errors = Counter(
            "dryad_errors", "Requests answered with a fault of ours (5xx)", registry=self._registry
        )
        self._seconds = Histogram(
            "dryad_request_seconds",
            "Seconds until a request was answered",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._registry.register(_TaskGauge(task_counts))

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer."""
        with self._lock:
            self.requests_total += 1
            self.errors_total += status >= 500
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)
        if status >= 500:
            self._errors.inc()

    def exposition(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self._registry)


class _TaskGauge(Collector):
    def __init__(self, counts: Callable[[], Mapping[str, int]]) -> None:
        self._counts = counts

    def describe(self) -> Iterable[Metric]:
        """Name the metric without asking the ledger."""
        return [self._gauge()]

    def collect(self) -> Iterable[Metric]:
        """Ask the ledger; when it is down the metric is missing, not the page."""
        gauge = self._gauge()
        try:
            for status, number in self._counts().items():
                gauge.add_metric([status], number)
        except DryadError:
            return []
        return [gauge]

    @staticmethod
    def _gauge() -> GaugeMetricFamily:
        return GaugeMetricFamily("dryad_tasks", "Tasks by status", labels=["status"])
