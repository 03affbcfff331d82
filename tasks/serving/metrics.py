"""What Prometheus is told of the models that are served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tasks.serving.pool import Pool

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
REQUESTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of what has happened, and gauges of the pools as they are when somebody asks."""

    TYPE = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        """Begin to count; `pools` are those that are served, by the names of their models."""
        self._registry = registry = CollectorRegistry()
        registry.register(_Pools(pools))
        # Finding them by their labels takes longer than counting.
        self._answers: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._work: dict[str, tuple[Histogram, Histogram]] = {}
        self._requests = Counter(
            "modelmake_requests", "Requests that were answered", ["model", "ask", "status"],
            registry=registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "modelmake_request_seconds", "From a request to its answer", ["model", "ask"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self._batches = Histogram(
            "modelmake_batch_requests", "Requests that were put to a worker at once", ["model"],
            buckets=REQUESTS, registry=registry,
        )  # fmt: skip
        self._working = Histogram(
            "modelmake_batch_seconds", "Time of a worker for a batch", ["model"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self._restarts = Counter(
            "modelmake_worker_restarts", "Workers that ended and were started again", ["model"],
            registry=registry,
        )  # fmt: skip

    def answered(self, model: str, ask: str, status: int, seconds: float) -> None:
        """Count a request, and the seconds that it took."""
        which = (model, ask, status)
        if which not in self._answers:
            self._answers[which] = (
                self._requests.labels(model, ask, str(status)), self._seconds.labels(model, ask)
            )  # fmt: skip
        requests, time_taken = self._answers[which]
        requests.inc()
        time_taken.observe(seconds)

    def worked(self, model: str, requests: int, seconds: float) -> None:
        """Count a batch of so many requests, and the seconds that the worker took."""
        if model not in self._work:
            self._work[model] = self._batches.labels(model), self._working.labels(model)
        counted, time_taken = self._work[model]
        counted.observe(requests)
        time_taken.observe(seconds)

    def restarted(self, model: str) -> None:
        """Count a worker that is started again."""
        self._restarts.labels(model).inc()

    def text(self) -> bytes:
        """Return it all in Prometheus' text format."""
        return generate_latest(self._registry)


class _Pools(Collector):
    """Looks at the pools when it is asked."""

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self._pools = pools

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return what the pools are like: requests that wait, workers, versions, drift."""
        waiting = GaugeMetricFamily(
            "modelmake_queue_requests", "Requests that wait for a worker", labels=["model"]
        )
        workers = GaugeMetricFamily(
            "modelmake_workers", "Workers that are there to answer", labels=["model"]
        )
        versions = GaugeMetricFamily(
            "modelmake_model_info", "The version that answers", labels=["model", "version", "key",
            "lock", "code"],
        )  # fmt: skip
        drift = {
            "psi": GaugeMetricFamily(
                "modelmake_drift_psi", "How far what is scored is from the training's data (PSI)",
                labels=["model", "column"],
            ),
            "ks": GaugeMetricFamily(
                "modelmake_drift_ks", "The same, by Kolmogorov and Smirnov",
                labels=["model", "column"],
            ),
        }  # fmt: skip
        for name, pool in list(self._pools.items()):  # in a thread of its own
            for column, psi, ks in pool.monitor.shifts() if pool.monitor else ():
                drift["psi"].add_metric([name, column], psi)
                if ks is not None:
                    drift["ks"].add_metric([name, column], ks)
            waiting.add_metric([name], len(pool.queue))
            workers.add_metric([name], pool.workers)
            release = pool.release
            facts = [release.version, release.key, release.lock, release.code]
            versions.add_metric([name, *facts], 1)
        yield from (waiting, workers, versions, *drift.values())
