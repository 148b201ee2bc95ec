"""An OpenAI-compatible embeddings endpoint on loopback that can be told to fail: for drills and tests.

While it works a text's vector is a digest of the text, so that nothing is loaded and nothing leaves the machine.
"""

from __future__ import annotations

import hashlib
import json
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

WORKS, FAULT, DROPS, HANGS, RUBBISH, INFINITE, SHORT = (
    "works",
    "fault",
    "drops",
    "hangs",
    "rubbish",
    "infinite",
    "short",
)
WIDTH = 32


class FaultyEndpoint:
    """Listens while it is entered. ``mode`` says how it answers; it may be set at any time."""

    def __init__(self) -> None:
        self.mode = WORKS
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self._let_go = threading.Event()

    @property
    def url(self) -> str:
        """What a workspace calls ``base_url``. Valid while it listens and, as an address where nobody answers, afterwards."""
        return self._url

    def __enter__(self) -> FaultyEndpoint:
        self._server = _server(self)
        self._url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening."""
        self._let_go.set()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None

    def answer(self, texts: list[str]) -> tuple[int, bytes] | None:
        """Status and body for a request, or None to close the connection without a word."""
        mode = self.mode
        if mode == HANGS:
            self._let_go.wait(60)
        if mode in (HANGS, DROPS):
            return None
        if mode == FAULT:
            return 500, b'{"error": {"message": "told to fail"}}'
        if mode == RUBBISH:
            return 200, b"<html>not what was asked for</html>"
        vectors = [_vector(text) for text in texts]
        if mode == SHORT:
            vectors = [v[: WIDTH // 2] for v in vectors]
        if mode == INFINITE:
            vectors = [[1e999] * WIDTH for _ in texts]
        return 200, json.dumps(
            {
                "data": [{"index": n, "embedding": v} for n, v in enumerate(vectors)],
                "usage": {"prompt_tokens": sum(map(tokens, texts))},
            }
        ).encode()


def tokens(text: str) -> int:
    """What it says that a text has."""
    return len(text.split()) + 2


def _vector(text: str) -> list[float]:
    return [byte - 127.5 for byte in hashlib.sha256(text.encode("utf-8", "replace")).digest()]


def _server(endpoint: FaultyEndpoint) -> ThreadingHTTPServer:
    # only a drill needs a server, and the command line must start quickly
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer  # noqa: PLC0415

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that http.server calls
            asked: Any = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = endpoint.answer(asked["input"])
            if answer is None:
                self.close_connection = True
                return
            status, body = answer
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that went away is no news."""

    return Server(("127.0.0.1", 0), Handler)
