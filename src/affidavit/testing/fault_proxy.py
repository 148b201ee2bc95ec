"""A proxy on loopback, in front of any OpenAI-compatible server, that fails on command, request by request.

    with FaultProxy(server.url) as proxy:         # clients use proxy.url
        proxy.script("429", "hang", "pass")       # the next three requests; afterwards proxy.otherwise
        ...
        proxy.counts["429"]                       # how often each really happened

The faults: ``pass``, ``slow`` (``delay`` seconds before the answer), ``drip`` (a byte at a time), ``cut`` (the connection
is closed without an answer), ``429`` (``Retry-After: 1``), ``429-bare`` (without), ``500``, ``503``, ``half`` (half the answer,
then closed), ``schema`` (well-formed, but not the form that was asked for), ``usage`` (token counts that are lies), ``echo`` (the
prompt comes back as the answer), ``hang`` (nothing comes), ``garbage`` (bytes that are not JSON).
"""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from affidavit.testing.loopback import Answer, Asked, Loopback
from affidavit.testing.scripted_model import Reply
from affidavit.testing.wire_openai import OpenAIWire

PASS = "pass"  # noqa: S105 - a word, no password
FAULTS = (
    *("slow", "drip", "cut", "429", "429-bare", "500", "503"),
    *("half", "schema", "usage", "echo", "hang", "garbage"),
)
LIE = 999_999_999
WRONG = '{"unexpected": [1, 2, {"deep": null}]}'
_FOREVER = 60.0
_JSON = {"Content-Type": "application/json"}


class FaultProxy(Loopback):
    """Listens while it is entered. ``otherwise`` is the fault of requests beyond the script; ``choose`` may decide instead, by
    the request's number (from 0). ``delay`` and ``drop`` are the seconds of ``slow`` and between two bytes of ``drip``."""

    def __init__(self, upstream: str, otherwise: str = PASS, delay: float = 0.5, drop: float = 0.02) -> None:
        super().__init__()
        self._upstream = urlsplit(upstream)
        self.otherwise = otherwise
        self.delay = delay
        self.drop = drop
        self.counts: Counter[str] = Counter()
        self.choose: Callable[[int], str] | None = None
        self._script: deque[str] = deque()
        self._order = threading.Lock()
        self._wire = OpenAIWire()

    def __enter__(self) -> FaultProxy:
        super().__enter__()
        return self

    @property
    def url(self) -> str:
        """What a client takes as its base URL."""
        return self.base + self._upstream.path

    def script(self, *faults: str) -> None:
        """Do these to the next requests, in order. Raises ValueError for a fault that there is not."""
        for fault in faults:
            if fault != PASS and fault not in FAULTS:
                raise ValueError(f"there is no fault {fault!r}; one of: {', '.join((PASS, *FAULTS))}")
        with self._order:
            self._script.extend(faults)

    def answer(self, asked: Asked) -> Answer:
        with self._order:
            number = sum(self.counts.values())
            fault = self._script.popleft() if self._script else self.otherwise
            if self.choose is not None:
                fault = self.choose(number)
            self.counts[fault] += 1
        return self._do(fault, asked)

    def _do(self, fault: str, asked: Asked) -> Answer:
        match fault:
            case "cut":
                return Answer(silent=True)
            case "hang":
                return Answer(before=_FOREVER, silent=True)
            case "429":
                return self._status(429, {"Retry-After": "1"})
            case "429-bare" | "500" | "503":
                return self._status(int(fault[:3]), {})
            case "garbage":
                return Answer(200, _JSON, (b"\x00\xff<<not json>>{" * 20,))
            case "schema":
                return self._instead(asked, lambda _: Reply(WRONG))
            case "echo":
                return self._instead(asked, Reply)
        return self._fetched(fault, asked)

    def _fetched(self, fault: str, asked: Asked) -> Answer:
        """What the server answers, spoilt as ``fault`` says."""
        if fault in (PASS, "slow"):
            status, headers, pieces = self._forward(asked)
            before = self.delay if fault == "slow" else 0.0
            return Answer(status, headers, pieces, whole=False, before=before)
        status, headers, pieces = self._forward(asked)
        body = b"".join(pieces)
        match fault:
            case "drip":
                return Answer(status, headers, (body,), whole=False, pause=self.drop)
            case "half":
                return Answer(status, headers, (body,), whole=False, cut=len(body) // 2)
            case "usage":
                return Answer(status, headers, (_lied(body),))
        raise ValueError(f"there is no fault {fault!r}")

    def _forward(self, asked: Asked) -> tuple[int, dict[str, str], Iterator[bytes]]:
        """Status, content type and body of the server's answer, piece by piece as it comes."""
        kind = http.client.HTTPSConnection if self._upstream.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._upstream.hostname or "", self._upstream.port, timeout=_FOREVER)
        headers = {
            name: value
            for name, value in asked.headers.items()
            if name.lower() not in ("host", "content-length", "transfer-encoding", "connection")
        }
        connection.request(asked.method, asked.path, asked.body, headers)
        response = connection.getresponse()
        typed = {"Content-Type": response.headers.get("Content-Type", "application/json")}

        def pieces() -> Iterator[bytes]:
            try:
                while piece := response.read1(65536):
                    yield piece
            finally:
                connection.close()

        return response.status, typed, pieces()

    def _status(self, status: int, headers: dict[str, str]) -> Answer:
        return Answer(status, _JSON | headers, (self._wire.error(status, "told to fail"),))

    def _instead(self, asked: Asked, make: Callable[[str], Reply]) -> Answer:
        """An answer of our own in the server's place, made from the prompt's text."""
        prompt = self._wire.read(asked)
        reply = make("\n".join(text for _, text in prompt.messages))
        if prompt.stream:
            typed = {"Content-Type": self._wire.stream_type()}
            return Answer(200, typed, self._wire.pieces(prompt, reply), whole=False)
        return Answer(200, _JSON, (self._wire.whole(prompt, reply),))


def _lied(body: bytes) -> bytes:
    """``body``, JSON or a stream of it, with every count of tokens replaced."""
    if body.lstrip().startswith(b"{"):
        return json.dumps(_lie(json.loads(body))).encode()
    lines = body.split(b"\n")
    prefix = b"data: "
    for at, line in enumerate(lines):
        if line.startswith(prefix + b"{"):
            lines[at] = prefix + json.dumps(_lie(json.loads(line[len(prefix) :]))).encode()
    return b"\n".join(lines)


def _lie(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: LIE if name.endswith("_tokens") and isinstance(each, int) else _lie(each)
            for name, each in value.items()
        }
    return [_lie(each) for each in value] if isinstance(value, list) else value
