"""A small HTTP/1.1 server on loopback, a thread for each connection: what the model servers of the tests are made of."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

_LONGEST = 120.0


@dataclass(frozen=True)
class Asked:
    """One HTTP request as it came in."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What to send. ``pieces`` go out one by one in chunked encoding unless ``whole``; ``pause`` is the seconds before each byte
    of the body (a drip) when it is not 0, ``before`` the seconds before the headers, ``cut`` closes the connection after that
    many bytes of the body instead of ending it, ``silent`` closes it without a word."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: Iterator[bytes] | tuple[bytes, ...] = ()
    whole: bool = True
    before: float = 0.0
    pause: float = 0.0
    cut: int | None = None
    silent: bool = False


class HungUpError(Exception):
    """The client closed the connection before the answer was over."""


class Loopback:
    """Listens while it is entered. Subclasses say how to answer; ``hung_up`` counts the clients that left early."""

    def __init__(self) -> None:
        self.hung_up = 0
        self.base = ""
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def answer(self, asked: Asked) -> Answer:
        """Called in the connection's own thread."""
        raise NotImplementedError

    def __enter__(self) -> Loopback:
        self._server = _server(self)
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None

    def note_hang_up(self) -> None:
        with self._lock:
            self.hung_up += 1

    def wait(self, connection: socket.socket, seconds: float) -> None:
        """Sleep, unless the client leaves (HungUpError) or the server is closed."""
        until = time.monotonic() + min(seconds, _LONGEST)
        while (left := until - time.monotonic()) > 0 and not self._closing.is_set():
            ready, _, _ = select.select([connection], [], [], min(left, 0.02))
            if ready and not connection.recv(1, socket.MSG_PEEK):
                raise HungUpError


def _server(owner: Loopback) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            asked = Asked(self.command, self.path, dict(self.headers.items()), self._read())
            answer = owner.answer(asked)
            try:
                self._send(answer)
            except (HungUpError, ConnectionError):
                owner.note_hang_up()
                self.close_connection = True
            finally:
                if isinstance(answer.pieces, Iterator) and hasattr(answer.pieces, "close"):
                    answer.pieces.close()

        do_GET = do_POST  # noqa: N815 - the name that http.server calls

        def _read(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def _send(self, answer: Answer) -> None:
            if answer.before:
                owner.wait(self.connection, answer.before)
            if answer.silent:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.whole:
                self._whole(answer, b"".join(answer.pieces))
            else:
                self._chunked(answer)

        def _whole(self, answer: Answer, body: bytes) -> None:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            sent = body if answer.cut is None else body[: answer.cut]
            for piece in _single(sent) if answer.pause else (sent,):
                if answer.pause:
                    owner.wait(self.connection, answer.pause)
                self.wfile.write(piece)
            self.close_connection = len(sent) < len(body)

        def _chunked(self, answer: Answer) -> None:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            left = answer.cut
            for whole in answer.pieces:
                piece = whole if left is None else whole[:left]
                for part in _single(piece) if answer.pause else (piece,):
                    if answer.pause:
                        owner.wait(self.connection, answer.pause)
                    if part:
                        self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
                if left is not None:
                    left -= len(piece)
                    if left <= 0:
                        self.close_connection = True
                        return
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that went away is no news."""

        def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
            with contextlib.suppress(OSError):
                super().shutdown_request(request)

    return Server(("127.0.0.1", 0), Handler)


def _single(data: bytes) -> Iterator[bytes]:
    return (data[i : i + 1] for i in range(len(data)))
