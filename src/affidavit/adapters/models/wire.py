"""The connection under every adapter: the SDKs write and read the vendor's format, this decides what goes over the network.

* The time limit is for the whole call, header by header and byte by byte, whatever the SDK thinks of timeouts.
* A cancelled call closes its socket within a twentieth of a second.
* The key is put into the request here and nowhere else. The SDKs are given a placeholder, so it cannot be in their errors.
* Only headers that the interface needs are sent: none that the environment adds, none that describe this machine.
* No proxy and no certificate is taken from the environment; redirects are not followed; an answer has a largest size.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from affidavit.adapters.models import faults
from affidavit.domain.errors import ModelError, UsageError
from affidavit.domain.version import VERSION
from affidavit.ports.model import Cancel

if TYPE_CHECKING:
    import ssl

    import httpcore2
    import httpx2

_TICK = 0.05
_CONNECTS_WITHIN = 10.0
_DRAINS_WITHIN = 0.1
_LARGEST_ANSWER = 32 * 2**20
_LARGEST_REFUSAL = 64 * 2**10
_WRITES = 2**16
_IDLE = 15.0
_KEPT = frozenset(
    ("accept", "content-type", "content-length", "transfer-encoding", "host", "anthropic-version")
)
PLACEHOLDER = "set-by-the-connection"


@dataclass(frozen=True)
class Endpoint:
    """Where a model is and how to be let in. ``key`` goes into the header ``header`` after ``prefix``; it is in no repr.
    ``ca_file`` holds the certificates to trust instead of the system's. ``signed``: the SDK signs its requests (AWS), so its own
    headers are sent."""

    base_url: str
    key: str = field(default="", repr=False)
    header: str = "Authorization"
    prefix: str = "Bearer "
    ca_file: str = ""
    signed: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError for what is no web address, carries credentials, or a key that no header can hold."""
        try:
            parts = urlsplit(self.base_url)
            fine = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            fine = False
        if not fine or not self.base_url.isprintable():
            raise UsageError("the model's address is not a web address", "write https://HOST/v1")
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise UsageError(
                "the model's address holds a user name, a query or a fragment",
                "write https://HOST/v1 and name the key's variable or file",
            )
        # a header with such a character is refused later with a message that shows the key
        if not self.key.isascii() or any(c.isspace() or not c.isprintable() for c in self.key):
            raise UsageError(
                "the model's key holds white space or a character that no key has", "copy it again"
            )

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).hostname or ""


class Call:
    """One call: its deadline, its cancellation, what came in, and the fault that ended it."""

    def __init__(self, timeout: float, cancel: Cancel | None) -> None:
        self._timeout = timeout
        self._until = time.monotonic() + timeout
        self._cancel = cancel
        self._size = 0
        self._body: Iterator[bytes] | None = None
        self._response: httpcore2.Response | None = None
        self.fault: ModelError | None = None

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Network traffic inside, in this thread, belongs to this call."""
        token = _CURRENT.set(self)
        try:
            self.left()
            yield
        finally:
            _CURRENT.reset(token)

    def left(self) -> float:
        """Seconds left. Raises ModelError (``timeout``, ``cancelled``) when there are none."""
        if self._cancel is not None and self._cancel.is_set:
            raise self.failed(ModelError("cancelled", "the call was cancelled"))
        left = self._until - time.monotonic()
        if left <= 0:
            raise self.failed(
                ModelError(
                    "timeout",
                    f"the provider's answer was not complete within {self._timeout:g} s",
                    "allow more time, ask for fewer tokens, or see whether the server is overloaded",
                )
            )
        return left

    def tick(self) -> float:
        """How long to wait for the network before looking at the clock and the cancellation again."""
        left = self.left()
        return min(left, _TICK) if self._cancel is not None else left

    def received(self, size: int) -> None:
        """Raises ModelError when the answer is too large."""
        self._size += size
        if self._size > _LARGEST_ANSWER:
            raise self.failed(
                ModelError("schema", "the provider's answer is too large", "ask for fewer tokens")
            )

    def failed(self, fault: ModelError) -> ModelError:
        """Remember the first fault: an SDK may wrap it, or say less."""
        self.fault = self.fault or fault
        return self.fault

    def holds(self, response: httpcore2.Response, body: Iterator[bytes]) -> None:
        """The response to let go of at the end of the call."""
        self._response, self._body = response, body

    def close(self, *, complete: bool) -> None:
        """End the call. After a complete answer what little is left is read, so that the connection can be used again;
        otherwise it is closed."""
        response, self._response = self._response, None
        if response is None:
            return
        if complete and self._body is not None:
            self._until = min(self._until, time.monotonic() + _DRAINS_WITHIN)
            with contextlib.suppress(ModelError), self.active():
                for _ in self._body:
                    pass
        response.close()


_CURRENT: ContextVar[Call] = ContextVar("affidavit_model_call")


class Connection:
    """The connections to one endpoint, for any number of threads. ``client`` is what an SDK takes as its HTTP client."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._lock = threading.Lock()
        self._made: httpx2.Client | None = None

    def __repr__(self) -> str:
        return f"Connection({self.endpoint.base_url!r})"

    @property
    def client(self) -> httpx2.Client:
        import httpx2  # noqa: PLC0415 - 0.1 s, and part of an extra

        with self._lock:
            if self._made is None:
                transport: Any = _Transport(self.endpoint)
                self._made = httpx2.Client(
                    transport=transport, timeout=None, follow_redirects=False, trust_env=False
                )
            return self._made

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        with self._lock:
            made, self._made = self._made, None
        if made is not None:
            made.close()


class _Transport:
    """``httpx2.BaseTransport`` by its methods; the SDK's request in, the provider's answer out."""

    def __init__(self, endpoint: Endpoint) -> None:
        import httpcore2  # noqa: PLC0415 - see Connection.client

        self._endpoint = endpoint
        backend: Any = _Backend()
        self._pool = httpcore2.ConnectionPool(
            ssl_context=_trust(endpoint.ca_file),
            max_connections=None,
            max_keepalive_connections=None,
            keepalive_expiry=_IDLE,
            network_backend=backend,
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        import httpcore2  # noqa: PLC0415 - see Connection.client
        import httpx2  # noqa: PLC0415 - see Connection.client

        call = _CURRENT.get()
        url = request.url
        try:
            response = self._pool.handle_request(
                httpcore2.Request(
                    request.method,
                    httpcore2.URL(
                        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                    ),
                    headers=self._headers(request.headers),
                    content=request.stream,
                )
            )
        except _network_faults() as error:
            raise call.failed(self._broken(error)) from error
        body = self._body(call, response)
        call.holds(response, body)
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
        }
        if response.status != 200:
            raise call.failed(self._refused(response.status, headers, body))
        if headers.get("content-encoding", "identity") != "identity":
            raise call.failed(faults.unreadable("is compressed, although that was not asked for"))
        # an SDK that has read enough closes the iterator it was given; a map cannot be closed, so the rest stays to be drained
        kept_open: Iterator[bytes] = map(bytes, body)
        return httpx2.Response(200, headers=response.headers, content=kept_open, request=request)

    def close(self) -> None:
        self._pool.close()

    def _headers(self, given: httpx2.Headers) -> list[tuple[bytes, bytes]]:
        """The headers to send; a signed request's own are covered by its signature."""
        if self._endpoint.signed:
            return list(given.raw)
        kept = [(name, value) for name, value in given.raw if name.decode("latin-1").lower() in _KEPT]
        kept.append((b"User-Agent", f"affidavit/{VERSION}".encode()))
        kept.append((b"Accept-Encoding", b"identity"))
        if self._endpoint.key:
            secret = f"{self._endpoint.prefix}{self._endpoint.key}"
            kept.append((self._endpoint.header.encode(), secret.encode()))
        return kept

    def _body(self, call: Call, response: httpcore2.Response) -> Iterator[bytes]:
        stream: Any = response.stream
        try:
            for piece in stream:
                call.received(len(piece))
                yield piece
        except _network_faults() as error:
            raise call.failed(faults.cut()) from error

    def _refused(self, status: int, headers: Mapping[str, str], body: Iterator[bytes]) -> ModelError:
        """The error for a status other than 200; a body that does not come to its end is not needed."""
        said = bytearray()
        with contextlib.suppress(ModelError):
            for piece in body:
                said += piece
                if len(said) > _LARGEST_REFUSAL:
                    break
        return faults.refusal(status, headers, bytes(said), self._endpoint.key)

    def _broken(self, error: Exception) -> ModelError:
        said = faults.redacted(str(error), self._endpoint.key)[:200]
        return ModelError(
            "connection",
            f"{self._endpoint.host} cannot be reached: {type(error).__name__}"
            + (f": {said}" if said else ""),
            "check that the server is up, its address, and its certificate",
        )


class _Backend:
    """``httpcore2.NetworkBackend`` by its methods: opens sockets whose every wait is the current call's."""

    def __init__(self) -> None:
        import httpcore2  # noqa: PLC0415 - see Connection.client

        self._inner = httpcore2.SyncBackend()
        self._failed = (httpcore2.ConnectError, httpcore2.ConnectTimeout)
        self._error = httpcore2.ConnectError

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> _Stream:
        call = _CURRENT.get()
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise self._error(f"the name {host} is not known: {error.strerror}") from error
        last: Exception | None = None
        for address in dict.fromkeys(str(entry[4][0]) for entry in found):
            try:
                within = min(call.left(), _CONNECTS_WITHIN)
                return _Stream(self._inner.connect_tcp(address, port, within, local_address, socket_options))
            except self._failed as error:
                last = error
        call.left()  # a deadline that passed is the truer reason
        raise self._error(f"nothing answers there: {last}") from last


class _Stream:
    """``httpcore2.NetworkStream`` by its methods: reads and writes within the current call's time."""

    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        import httpcore2  # noqa: PLC0415 - see Connection.client

        self._inner = inner
        self._slow = (httpcore2.ReadTimeout, httpcore2.WriteTimeout, httpcore2.ConnectTimeout)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        call = _CURRENT.get()
        while True:
            try:
                return self._inner.read(max_bytes, call.tick())
            except self._slow:
                call.left()

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        call = _CURRENT.get()
        for at in range(0, len(buffer), _WRITES):
            try:
                self._inner.write(buffer[at : at + _WRITES], call.left())
            except self._slow:
                call.left()
                raise

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> _Stream:
        call = _CURRENT.get()
        try:
            return _Stream(self._inner.start_tls(ssl_context, server_hostname, call.left()))
        except self._slow:
            call.left()
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

    def close(self) -> None:
        self._inner.close()


def _network_faults() -> tuple[type[Exception], ...]:
    import httpcore2  # noqa: PLC0415 - see Connection.client

    return (
        httpcore2.NetworkError,
        httpcore2.TimeoutException,
        httpcore2.ProtocolError,
        httpcore2.UnsupportedProtocol,
        httpcore2.ConnectionNotAvailable,
    )


def _trust(ca_file: str) -> ssl.SSLContext:
    """The certificates to trust. Raises UsageError for a file that holds none."""
    import httpx2  # noqa: PLC0415 - see Connection.client

    context = httpx2.create_ssl_context(trust_env=False)
    if not ca_file:
        return context
    try:
        import ssl  # noqa: PLC0415 - most commands never open a connection

        return ssl.create_default_context(cafile=str(Path(ca_file)))
    except OSError as error:
        raise UsageError(f"{ca_file} holds no certificates", "name a file in PEM form") from error
