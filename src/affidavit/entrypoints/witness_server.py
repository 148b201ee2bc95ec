"""The witness over HTTP: two routes, bounded in every direction.

The standard library's threading server does: a log asks once in a while, each answer waits for a disk, and the second
person who runs a witness should have as little as possible to install and to keep patched. What it lacks is added here: a
limit on connections, on a request's size, and on the time a whole request may take, however slowly it drips.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from affidavit.app.witness import LARGEST_REQUEST, Reply, Witness

MOST_CONNECTIONS = 64
REQUEST_SECONDS = 15.0
"""For a whole request with its answer, and for how long a connection may be idle."""
_POLL_SECONDS = 0.25


class WitnessServer(ThreadingHTTPServer):
    """Serves ``witness`` at ``address``; ``tell`` is given one line for each request that was understood."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, address: tuple[str, int], witness: Witness, tell: Callable[[str], None]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self.witness = witness
        self.tell = tell
        self.request_seconds = REQUEST_SECONDS
        self._places = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._deadlines: dict[Any, float] = {}
        self._guard = threading.Lock()
        super().__init__(address, _Handler)

    def serve(self) -> None:
        """Answer until ``shutdown`` is called from another thread, or Ctrl-C."""
        self.serve_forever(poll_interval=_POLL_SECONDS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for the connection, or none when there are too many already: it is closed."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        self.allow_time(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._guard:
                self._deadlines.pop(request, None)
            self._places.release()

    def allow_time(self, request: Any) -> None:
        """A connection's next request has this long from now."""
        with self._guard:
            self._deadlines[request] = time.monotonic() + self.request_seconds

    def service_actions(self) -> None:
        """Cut off what takes too long. A timeout on each read alone would let a client drip for ever."""
        now = time.monotonic()
        with self._guard:
            late = [request for request, deadline in self._deadlines.items() if deadline < now]
        for request in late:
            try:
                request.shutdown(socket.SHUT_RDWR)
            except OSError:  # it went by itself
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is no news; anything else is told, and the server goes on."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError | ValueError):
            self.tell(f"a request failed: {error!r}")


class _Handler(BaseHTTPRequestHandler):
    server: WitnessServer
    protocol_version = "HTTP/1.1"
    server_version = "affidavit-witness"
    sys_version = ""
    timeout = REQUEST_SECONDS
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(message)s\n"

    def handle_one_request(self) -> None:
        self.server.allow_time(self.request)
        super().handle_one_request()

    def do_POST(self) -> None:
        if self.path != "/add-checkpoint":
            self._answer(Reply(404, "POST /add-checkpoint\n", "asked for something else"), close=True)
            return
        body = self._body()
        if body is None:
            return
        self._answer(self._safely(lambda: self.server.witness.add_checkpoint(body)))

    def do_GET(self) -> None:
        origin_hash, _, rest = self.path.removeprefix("/").partition("/")
        if rest != "checkpoint":
            reply = Reply(404, "GET /ORIGIN-HASH/checkpoint\n", "asked for something else")
        else:
            reply = self._safely(lambda: self.server.witness.checkpoint(origin_hash))
        # a body that came along is not read, so nothing after it could be understood
        self._answer(
            reply, close=bool(self.headers.get("Content-Length") or self.headers.get("Transfer-Encoding"))
        )

    def _body(self) -> bytes | None:
        """The request's body; None when that was refused already."""
        lengths = self.headers.get_all("Content-Length") or []
        if self.headers.get("Transfer-Encoding") or len(lengths) != 1 or not lengths[0].strip().isdecimal():
            self._answer(Reply(411, "give one Content-Length\n", "refused: no length"), close=True)
            return None
        if len(lengths[0]) > 9 or int(lengths[0]) > LARGEST_REQUEST:
            self._answer(Reply(413, "the request is too large\n", "refused: too large"), close=True)
            return None
        body = self.rfile.read(int(lengths[0]))
        if len(body) != int(lengths[0]):
            self.close_connection = True
            return None
        return body

    def _safely(self, work: Callable[[], Reply]) -> Reply:
        """What the disk refuses is an answer too; nothing was cosigned then."""
        try:
            return work()
        except OSError as error:
            return Reply(500, "the witness cannot keep its record\n", f"cannot keep its record: {error}")

    def _answer(self, reply: Reply, *, close: bool = False) -> None:
        body = reply.body.encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(body)))
        if close:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)
        self.server.tell(f"{self.client_address[0]} {reply.status} {reply.told}")

    def log_message(self, format: str, *args: object) -> None:
        """Told by ``_answer``, in words of our own."""
