"""OpenTelemetry spans over OTLP/HTTP (protobuf), straight from the log.

No span processor stands between: a queue that is full drops, and the log is not lost in one. ``identified``: after a kill
the last request may come again, each span under the trace id and span id it had, since both are digests of origin, run and
position.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from affidavit.adapters.otlp_spans import Span, Value, spans
from affidavit.adapters.post import Poster, address
from affidavit.domain.clock import MICROSECONDS
from affidavit.domain.errors import FollowerError
from affidavit.domain.version import VERSION
from affidavit.ports.follower import Batch, FollowerCapabilities, Ground, Handed

if TYPE_CHECKING:
    import httpx

UNFINISHED_AFTER = 60 * 60 * MICROSECONDS
_PATH = "/v1/traces"
_SPANS_A_REQUEST = 500
_BYTES_A_REQUEST = 2 * 2**20
"""About: collectors take 20 MiB at most by default, gateways before them often less."""
_MOST_OPEN = 10_000
_NANOSECONDS = 1_000
_INTERNAL = 1
_ERROR = 2


class OtlpFollower:
    """Sends to ``endpoint`` (``http://host:4318``; ``/v1/traces`` is added when there is no path).

    A run is told when it ends, or as unfinished once it has been open for ``unfinished_after`` microseconds.
    """

    def __init__(
        self,
        endpoint: str,
        headers: Mapping[str, str] | None = None,
        *,
        unfinished_after: int = UNFINISHED_AFTER,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        where = address(endpoint)
        if where.url.rstrip("/") == where.place:
            where = address(where.place + _PATH)
        self._poster = Poster(where, headers or {}, timeout, transport)
        self._unfinished_after = unfinished_after
        self._open: dict[str, list[int]] = {}
        self._told: dict[str, list[int]] = {}
        self._rejected = 0
        self._ready: list[Span] = []
        self._weight = 0
        try:
            from opentelemetry.proto.trace.v1 import trace_pb2  # noqa: F401, PLC0415  # an extra
        except ImportError as error:
            raise FollowerError(
                "opentelemetry-proto is not installed", "install the extra: pip install 'affidavit[otel]'"
            ) from error

    @property
    def capabilities(self) -> FollowerCapabilities:
        return FollowerCapabilities("otel", "identified", 500)

    def begin(self, state: str, ground: Ground) -> None:
        self._ground = ground
        value: dict[str, Any] = json.loads(state) if state else {}
        self._open = value.get("open", {})  # run → [position, at] of its start
        self._told = value.get(
            "told", {}
        )  # run told as unfinished → [position of its start, last position told]
        self._rejected = value.get("rejected", 0)

    def deliver(self, batch: Batch) -> str:
        before = json.dumps([self._open, self._told, self._rejected])
        try:
            for event in batch.events:
                self._add(self._take(event))
            self._add(self._overdue(batch))
            self._send()
        except FollowerError:
            self._open, self._told, self._rejected = json.loads(before)  # the same batch comes again
            self._ready, self._weight = [], 0
            raise
        return json.dumps({"open": self._open, "told": self._told, "rejected": self._rejected})

    def _take(self, event: Handed) -> list[Span]:
        if event.kind == "run.started":
            self._open[event.run] = [event.position, event.at]
        if event.kind != "run.finished":
            return []
        self._open.pop(event.run, None)
        root, last = self._told.pop(event.run, (None, -1))
        return spans(self._ground.origin, self._ground.story(event.run, last, event.position), root)

    def _overdue(self, batch: Batch) -> list[Span]:
        """Runs that were left: their process was killed, or they take very long."""
        out: list[Span] = []
        for run, (position, at) in list(self._open.items()):
            # they are in the order of their starts: the first that is young enough ends the search
            if batch.now - at < self._unfinished_after and len(self._open) <= _MOST_OPEN:
                break
            del self._open[run]
            story = self._ground.story(run, -1, batch.through)
            out += spans(self._ground.origin, story)
            self._told[run] = [position, max((e.position for e in story), default=position)]
        while len(self._told) > _MOST_OPEN:
            del self._told[next(iter(self._told))]
        return out

    def _add(self, more: Sequence[Span]) -> None:
        """Take spans for the next request, and send it when it is full."""
        for span in more:
            self._ready.append(span)
            self._weight += _weight(span)
            if len(self._ready) >= _SPANS_A_REQUEST or self._weight >= _BYTES_A_REQUEST:
                self._send()

    def _send(self) -> None:
        """Send what is ready."""
        if not self._ready:
            return
        from google.protobuf.message import DecodeError  # noqa: PLC0415  # an extra
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as wire  # noqa: PLC0415  # an extra

        body = encode(self._ground.origin, self._ready)
        answer = self._poster.post(body, {"Content-Type": "application/x-protobuf"})
        self._ready, self._weight = [], 0
        response = wire.ExportTraceServiceResponse()
        try:
            response.ParseFromString(answer)
        except DecodeError:
            return  # taken all the same: some receivers answer 200 with JSON or words
        # OTLP: what was rejected in part must not be sent again. It is counted, and `follow list` shows it.
        self._rejected += max(0, response.partial_success.rejected_spans)

    def close(self) -> None:
        self._poster.close()


def _weight(span: Span) -> int:
    """About how many bytes ``span`` takes on the wire."""
    texts = [span.attributes, *(note.attributes for note in span.notes)]
    return 200 + sum(len(key) + len(str(value)) + 8 for text in texts for key, value in text.items())


def encode(origin: str, ready: Sequence[Span]) -> bytes:
    """An ``ExportTraceServiceRequest``."""
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as wire  # noqa: PLC0415  # an extra

    request = wire.ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    _attributes(
        of_resource.resource.attributes,
        {"service.name": "affidavit", "service.version": VERSION, "service.instance.id": origin},
    )
    of_scope = of_resource.scope_spans.add()
    of_scope.scope.name, of_scope.scope.version = "affidavit", VERSION
    for span in ready:
        out = of_scope.spans.add()
        out.trace_id, out.span_id, out.parent_span_id = span.trace, span.id, span.parent
        out.name, out.kind = span.name, _INTERNAL
        out.start_time_unix_nano = span.start * _NANOSECONDS
        out.end_time_unix_nano = span.end * _NANOSECONDS
        _attributes(out.attributes, span.attributes)
        for note in span.notes:
            event = out.events.add()
            event.time_unix_nano, event.name = note.at * _NANOSECONDS, note.name
            _attributes(event.attributes, note.attributes)
        out.dropped_events_count = span.dropped_notes
        if span.status:
            out.status.code = _ERROR
    data: bytes = request.SerializeToString()
    return data


def _attributes(into: Any, values: Mapping[str, Value]) -> None:
    for key, value in values.items():
        entry = into.add()
        entry.key = key
        if isinstance(value, bool):
            entry.value.bool_value = value
        elif isinstance(value, int):
            entry.value.int_value = value
        else:
            entry.value.string_value = value
