"""Prometheus metrics of the log, scraped over HTTP or written to a file for node_exporter's textfile collector.

``atomic``: the counts are saved in the transaction that saves the position, so a restart neither loses nor counts twice.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affidavit.adapters.tally import BUCKETS, Histogram, Tally
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import FollowerError, UsageError
from affidavit.ports.follower import Batch, FollowerCapabilities, Ground

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector, CollectorRegistry

_COUNTERS: dict[str, tuple[str, Sequence[str]]] = {
    "events": ("Events in the log by kind.", ("kind",)),
    "runs_started": ("Runs that began.", ("journey",)),
    "runs": ("Runs that ended.", ("journey", "status")),
    "refusals": ("Answers that were refused.", ("reason",)),
    "decisions": (
        "Decisions that were not a plain permit, such as denials at the recheck.",
        ("action", "effect"),
    ),
    "steps": ("Steps recorded.", ("name",)),
    "documents": ("Documents indexed, removed, or given another access rule.", ("change",)),
}
_MISSING = "install the extra: pip install 'affidavit[metrics]'"


class MetricsFollower:
    """Counts, and shows the counts at ``listen`` (host, port) or in ``textfile``, whichever is given."""

    def __init__(self, listen: tuple[str, int] | None = None, textfile: Path | None = None) -> None:
        if (listen is None) == (textfile is None):
            raise UsageError(
                "metrics are either listened for or written", "give --listen or --textfile, one of them"
            )
        try:
            from prometheus_client import CollectorRegistry  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise FollowerError("prometheus-client is not installed", _MISSING) from error
        self._listen = listen
        self._textfile = textfile
        self._tally = Tally()
        self._latest: Batch | None = None
        self._written = b""
        self._server: Any = None
        self.registry: CollectorRegistry = CollectorRegistry(auto_describe=False)
        self.registry.register(_collector(self))

    @property
    def capabilities(self) -> FollowerCapabilities:
        return FollowerCapabilities("metrics", "atomic", 1000)

    @property
    def port(self) -> int:
        """Where it listens, once it does."""
        return int(self._server[0].server_port)

    def begin(self, state: str, ground: Ground) -> None:
        self._tally = Tally.parse(state)
        if self._listen is not None:
            self._serve(*self._listen)

    def _serve(self, host: str, port: int) -> None:
        from prometheus_client import start_http_server  # noqa: PLC0415  # an extra

        try:
            self._server = start_http_server(port, host, self.registry)
        except (OSError, OverflowError) as error:
            raise FollowerError(
                f"{host}:{port} cannot be listened at: {error}", "choose another --listen HOST:PORT"
            ) from error

    def deliver(self, batch: Batch) -> str:
        if batch.events:
            counted = Tally.parse(
                self._tally.text()
            )  # a scrape in another thread sees all of a batch or nothing
            counted.add(batch.events)
            self._tally = counted
        self._latest = batch
        if self._textfile is not None:
            self._write(self._textfile)
        return self._tally.text()

    def _write(self, path: Path) -> None:
        """Replace the file in one step, so that nobody reads half of it."""
        from prometheus_client import generate_latest  # noqa: PLC0415  # an extra

        data = generate_latest(self.registry)
        if data == self._written:
            return
        try:
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    os.fchmod(file.fileno(), 0o644)
                Path(name).replace(path)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    Path(name).unlink()
                raise
        except OSError as error:
            raise FollowerError(
                f"{path} cannot be written: {error.strerror}", "check the path and its permissions"
            ) from error
        self._written = data

    def close(self) -> None:
        if self._server is not None:
            server, thread = self._server
            self._server = None
            server.shutdown()
            server.server_close()
            thread.join()

    # -- what is shown

    def collect(self) -> Iterable[Metric]:
        """Every metric as it stands."""
        from prometheus_client.core import (  # noqa: PLC0415  # an extra
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        tally, latest = self._tally, self._latest
        for metric, (help, labels) in _COUNTERS.items():
            family = CounterMetricFamily(f"affidavit_{metric}", help, labels=labels)
            for key, count in tally.counters.items():
                if key[0] == metric:
                    family.add_metric(key[1:], count)
            yield family
        for name, help, label, found in (
            (
                "affidavit_step_seconds",
                "Time of the steps of a run, as its record tells it.",
                "step",
                tally.steps,
            ),
            ("affidavit_run_seconds", "Time of a run's steps together.", "journey", tally.runs),
        ):
            histogram = HistogramMetricFamily(name, help, labels=(label,))
            for value, measured in found.items():
                histogram.add_metric((value,), _buckets(measured), measured.sum / MICROSECONDS)
            yield histogram
        if latest is None:
            return
        standing = latest.standing
        yield GaugeMetricFamily("affidavit_log_events", "Events in the log.", standing.size)
        yield GaugeMetricFamily(
            "affidavit_checkpoint_timestamp_seconds",
            "When the newest checkpoint was signed.",
            standing.checkpoint_at / MICROSECONDS,
        )
        age = max(0, latest.now - standing.checkpoint_at) / MICROSECONDS
        yield GaugeMetricFamily("affidavit_checkpoint_age_seconds", "Age of the newest checkpoint.", age)
        lag = GaugeMetricFamily(
            "affidavit_follower_lag_events", "Events that a follower is behind.", labels=("follower",)
        )
        for follower, behind in standing.lags.items():
            lag.add_metric((follower,), behind)
        yield lag


def _collector(follower: MetricsFollower) -> Collector:
    from prometheus_client.registry import Collector  # noqa: PLC0415  # an extra

    class FromLog(Collector):
        """Metrics made anew at each scrape."""

        def collect(self) -> Iterable[Metric]:
            return follower.collect()

    return FromLog()


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """(upper bound in seconds, how many up to it), the last one infinite."""
    total, out = 0, []
    bounds = [*(str(bound / MICROSECONDS) for bound in BUCKETS), "+Inf"]
    for bound, count in zip(bounds, histogram.counts, strict=True):
        total += count
        out.append((bound, float(total)))
    return out
