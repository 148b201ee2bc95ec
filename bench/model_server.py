"""An OpenAI-compatible chat endpoint on loopback, for ``bench.models``: ``python -m bench.model_server`` prints its port.

It answers at once; the model's name says how it fails: ``500``, ``429``, ``garbage``, ``drop``, ``half``, ``hang`` or ``drip``.
"""

from __future__ import annotations

import json
import socket
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PIECES = 20
PAUSE = 0.05
HANGS = 3.0
ANSWER = "A walrus is a large seal with tusks. " * 3


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_POST(self) -> None:  # the name that http.server calls
        asked: Any = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        mode = asked["model"].rsplit("/", 1)[-1]
        if asked.get("stream"):
            self._stream()
        elif mode in ("drop", "hang"):
            time.sleep(HANGS if mode == "hang" else 0)
            self.close_connection = True
        elif mode in ("500", "429"):
            self._send(int(mode), b'{"error": {"message": "told to"}}')
        elif mode == "garbage":
            self._send(200, b"<html>")
        elif mode == "half":
            self._send(200, json.dumps(whole(mode)).encode()[:40], missing=100)
        elif mode == "drip":
            self._drip(json.dumps(whole(mode)).encode())
        else:
            self._send(200, json.dumps(whole(mode)).encode())

    def _head(self, status: int, length: int | None) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json" if length is not None else "text/event-stream")
        if length is None:
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(length))

    def _send(self, status: int, body: bytes, missing: int = 0) -> None:
        self._head(status, len(body) + missing)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = self.close_connection or missing > 0

    def _drip(self, body: bytes) -> None:
        self._head(200, len(body))
        self.end_headers()
        for n in range(len(body)):
            self.wfile.write(body[n : n + 1])
            time.sleep(PAUSE)

    def _stream(self) -> None:
        self._head(200, None)
        self.end_headers()
        for n in range(PIECES):
            piece = {"choices": [{"index": 0, "delta": {"content": f"word{n} "}}]}
            self.wfile.write(f"data: {json.dumps(piece)}\n\n".encode())
            time.sleep(PAUSE)
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def whole(model: str) -> dict[str, Any]:
    """An answer."""
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": ANSWER}}
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30},
    }


class Server(ThreadingHTTPServer):
    """Room for hundreds at once."""

    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


def main() -> None:
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
