"""Is the process alive, can it work, what does it measure. Open to all: nothing here names an address or a secret."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from domain.errors import Unavailable
from worker.telemetry import log
from worker.web.problems import documented, problem

PROBE_SECONDS = 2.0
SILENT = f"it did not answer within {PROBE_SECONDS:g} seconds"

router = APIRouter(tags=["health"])


class Readiness:
    """Asks every server side by side. A probe that hangs is not started a second time until it comes back."""

    def __init__(self, probes: Mapping[str, Callable[[], object]]) -> None:
        self._probes = probes
        self._pool = ThreadPoolExecutor(max_workers=max(1, len(probes)), thread_name_prefix="probe")
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[object]] = {}

    def check(self) -> dict[str, str]:
        """ "ok" or what is wrong, by name."""
        with self._lock:
            for name, probe in self._probes.items():
                if name not in self._under_way or self._under_way[name].done():
                    self._under_way[name] = self._pool.submit(probe)
            asked = dict(self._under_way)
        wait(asked.values(), timeout=PROBE_SECONDS)
        return {name: _outcome(name, future) for name, future in asked.items()}

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _outcome(name: str, future: Future[object]) -> str:
    if not future.done():
        return SILENT
    error = future.exception()
    if error is None:
        return "ok"
    # The full text may name hosts and users: it goes to the log.
    log.warning("probe_failed", probe=name, error=f"{type(error).__name__}: {error}")
    return f"it does not work ({type(error).__name__}); the log says more"


class Metrics:
    """The numbers of one application, in a registry of their own."""

    def __init__(self, backlog: Callable[[], Mapping[str, int]], alarms: Callable[[], Mapping[str, int]]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "shelfguard_http_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "shelfguard_http_request_seconds", "Time to answer", ["method", "route"], registry=self.registry
        )
        self.registry.register(_Asked("shelfguard_backlog", "Rows waiting, by stage", "stage", backlog))
        self.registry.register(
            _Asked("shelfguard_policy_alarms", "Alarms about policies within a day, by kind", "kind", alarms)
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        self.requests.labels(method, route, str(status)).inc()
        self.seconds.labels(method, route).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)


class _Asked(Collector):
    """Numbers by one label, asked for at each scrape; left out while the database is away."""

    def __init__(self, name: str, doc: str, label: str, ask: Callable[[], Mapping[str, int]]) -> None:
        self._name, self._doc, self._label, self._ask = name, doc, label, ask

    def collect(self) -> Iterable[GaugeMetricFamily]:
        numbers = GaugeMetricFamily(self._name, self._doc, labels=[self._label])
        try:
            for name, count in self._ask().items():
                numbers.add_metric([name], count)
        except Unavailable as why:
            log.warning("metric_unknown", metric=self._name, why=str(why))
        yield numbers

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Without this, registering would already ask the database."""
        return []


@router.get("/healthz", response_model=dict[str, str])
def alive() -> JSONResponse:
    """The process is alive."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz", response_model=dict[str, Any], responses=documented(503))
def ready(request: Request) -> JSONResponse:
    """Database, broker and object store answer; 503 says which does not."""
    checks = request.app.state.readiness.check()
    wrong = [name for name, outcome in checks.items() if outcome != "ok"]
    if not wrong:
        return JSONResponse({"status": "ready", "checks": checks})
    return problem(503, "not_ready", f"Not ready: {', '.join(wrong)}.", headers={"retry-after": "5"}, checks=checks)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(request: Request) -> Response:
    """Prometheus text format."""
    return Response(request.app.state.metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})
