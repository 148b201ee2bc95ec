"""What the server says of its work: a line for each request, and counts for Prometheus. Routes, statuses, durations and
numbers of ours; never a body, a query, a path as it was sent, or a name."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

from affidavit.app.config import MULTIPROCESS, environment
from affidavit.app.settings import LogSettings

CONTENT_TYPE = CONTENT_TYPE_LATEST
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_LABELS = ("method", "route", "tenant")


@dataclass(frozen=True)
class Served:
    """One request: ``route`` is the template of its path, ``run`` the request's id, ``tenant`` its number, 0 for nobody's;
    ``fault`` what went wrong inside, without its words; ``address``: where it came from."""

    method: str
    route: str
    status: int
    seconds: float
    run: str
    tenant: int
    fault: str = ""
    address: str = ""


class RequestLog:
    """Writes lines to ``stream``."""

    def __init__(self, settings: LogSettings, stream: TextIO | None = None) -> None:
        self._settings = settings
        self._stream = stream

    def served(self, said: Served) -> None:
        """A line for one request."""
        if not (self._settings.requests or said.fault):
            return
        fields: dict[str, object] = {
            "method": _method(said.method),
            "route": said.route,
            "status": said.status,
            "ms": round(said.seconds * 1000, 1),
            "run": said.run,
            "tenant": said.tenant,
        }
        if self._settings.addresses:
            fields["address"] = said.address
        if said.fault:
            fields["fault"] = said.fault
        self.line("request", **fields)

    def line(self, what: str, **fields: object) -> None:
        """A line of our own words."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        if self._settings.format == "json":
            text = json.dumps({"at": at, "event": what, **fields}, ensure_ascii=True)
        else:
            text = " ".join([at, what, *(f"{name}={value}" for name, value in fields.items())])
        stream = self._stream or sys.stderr
        stream.write(text + "\n")
        stream.flush()


class WebServerLog(logging.Handler):
    """What the web server itself has to say, in the same form: its words, and of a fault only where it was."""

    def __init__(self, log: RequestLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        fields = {} if error is None else {"fault": fault(error)}
        self._log.line("server", level=record.levelname.lower(), message=record.getMessage(), **fields)


def fault(error: BaseException) -> str:
    """The kind of ``error`` and where it was raised. Its words may hold what somebody asked, and stay out."""
    return f"{type(error).__name__} at {' < '.join(_places(error.__traceback__)) or 'nowhere'}"


def _places(trace: TracebackType | None) -> Iterator[str]:
    for frame in reversed(traceback.extract_tb(trace)[-4:]):
        _, _, name = frame.filename.rpartition("affidavit/")
        yield f"{name.rpartition('site-packages/')[2]}:{frame.lineno}"


def _method(method: str) -> str:
    return method if method in _METHODS else "OTHER"


class Metrics:
    """Counts. Each series names its tenant by number, so that a tenant can be shown its own and nobody else's."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._gauges: list[tuple[Gauge, Callable[[], float]]] = []
        self._requests = Counter(
            "affidavit_http_requests", "Requests answered.", (*_LABELS, "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "affidavit_http_request_seconds",
            "How long answers took, from the first byte to the last.",
            _LABELS,
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._faults = Counter(
            "affidavit_http_faults",
            "Requests that ended in a fault of ours.",
            ("tenant",),
            registry=self.registry,
        )

    def gauge(self, name: str, said: str, now: Callable[[], float]) -> None:
        """A figure that is looked up after each request; it belongs to no tenant, and to all processes together."""
        gauge = Gauge(name, said, registry=self.registry, multiprocess_mode="livesum")
        self._gauges.append((gauge, now))

    def served(self, said: Served) -> None:
        """Count one request."""
        labels = (_method(said.method), said.route, str(said.tenant))
        self._requests.labels(*labels, str(said.status)).inc()
        self._seconds.labels(*labels).observe(said.seconds)
        if said.fault:
            self._faults.labels(str(said.tenant)).inc()
        for gauge, now in self._gauges:
            gauge.set(now())

    def text(self, tenant: int | None = None) -> bytes:
        """All of it as Prometheus reads it, or what is about ``tenant``."""
        registry = together() if environment(MULTIPROCESS) else self.registry
        return generate_latest(registry if tenant is None else _Only(registry, str(tenant)))


def together() -> CollectorRegistry:
    """What all processes counted."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


class _Only(CollectorRegistry):
    """The samples of one tenant."""

    def __init__(self, registry: CollectorRegistry, tenant: str) -> None:
        super().__init__()
        self._registry = registry
        self._tenant = tenant

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            shown = Metric(metric.name, metric.documentation, metric.type)
            shown.samples = [s for s in metric.samples if s.labels.get("tenant") == self._tenant]
            if shown.samples:
                yield shown
