"""What may be connected to, and that it is what was looked at that is connected to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from affidavit.adapters.guarded import (
    LARGEST,
    ForbiddenAddressError,
    addresses,
    allowed,
    checked_url,
    client,
    look_up,
)
from affidavit.adapters.post import Poster, address
from affidavit.adapters.sinks.http import request
from affidavit.domain.errors import FollowerError, SinkError, UsageError

NEVER = (
    "169.254.169.254",
    "fe80::1",
    "fe80::1%eth0",
    "224.0.0.1",
    "0.0.0.0",
    "::",
    "::ffff:169.254.169.254",
    "fd00:ec2::254",
)
PRIVATE = (
    "127.0.0.1",
    "127.9.9.9",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "::1",
    "fc00::1",
    "::ffff:10.0.0.1",
)
HIDDEN = ("64:ff9b::a00:1", "2002:7f00:1::", "::ffff:127.0.0.1")
PUBLIC = ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "64:ff9b::5db8:d822")


def test_only_public_addresses_unless_the_operator_says_so() -> None:
    assert not any(allowed(a, private) for a in NEVER for private in (True, False))
    assert not any(allowed(a, False) for a in (*PRIVATE, *HIDDEN, "100.64.0.1"))
    assert all(allowed(a, True) for a in (*PRIVATE, *HIDDEN))
    assert all(allowed(a, private) for a in PUBLIC for private in (True, False))


def test_the_networks_that_the_settings_name_and_no_others() -> None:
    here = ("127.0.0.0/8", "::1/128", "100.64.0.0/10", "169.254.0.0/16", "::/0")
    assert not any(allowed(a, networks) for a in NEVER for networks in ((), here))
    assert not any(allowed(a, ()) for a in (*PRIVATE, *HIDDEN, "100.64.0.1", "::7f00:1", "64:ff9b:1::7f00:1"))
    assert all(
        allowed(a, here) for a in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "100.64.0.1", "2002:7f00:1::")
    )
    assert not any(allowed(a, here) for a in ("10.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "::7f00:1"))
    assert not any(allowed(a, here) for a in ("64:ff9b:1::7f00:1", "240.0.0.1", "192.168.0.1"))
    assert all(allowed(a, networks) for a in PUBLIC for networks in ((), here))


def test_one_bad_address_among_good_ones_is_enough() -> None:
    assert addresses("a.example", 443, False, lambda host, port: PUBLIC) == list(PUBLIC)
    for found in ([], [*PUBLIC, "10.0.0.1"], ["10.0.0.1"]):
        with pytest.raises(ForbiddenAddressError):
            addresses("a.example", 443, False, lambda host, port, found=found: found)  # type: ignore[misc]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example",
        "file:///etc/passwd",
        "https://",
        "https://user:pw@a.example",
        "https://a.example/?k=1",
        "https://a.example/#x",
        "a.example",
        "https://a.example:99999",
        "https://[::1",
        "https://a.exa\nmple",
        "",
    ],
)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        checked_url(url)
    assert checked_url("https://a.example:8443/v1/") == "https://a.example:8443/v1"


@pytest.mark.network
@pytest.mark.enable_socket
def test_a_name_that_is_none_is_not_found() -> None:
    with pytest.raises(OSError):
        look_up("a" * 70 + ".example", 80)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/large":
            self._send(b"x" * (LARGEST + 1))
        elif self.path == "/packed":
            self._send(b"\x1f\x8b", ("Content-Encoding", "gzip"))
        elif self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/")
            self.end_headers()
        else:
            self._send(f"{self.headers['Host']} {self.headers['Accept-Encoding']}".encode())

    def _send(self, data: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(200)
        for header in (*headers, ("Content-Length", str(len(data)))):
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.network
@pytest.mark.enable_socket
def test_a_request_goes_to_the_address_that_was_looked_at(port: int) -> None:
    asked: list[str] = []

    def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["::1", "127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]  # rebound the second time

    with client(True, 30, lookup) as http:
        answer = http.get(f"http://shop.example:{port}/")
        assert answer.text == f"shop.example:{port} identity"
        with pytest.raises(httpx.ConnectError, match="not public"):
            http.get(f"http://shop.example:{port}/")
    assert asked == ["shop.example"] * 2
    with client(False, 30) as http, pytest.raises(httpx.ConnectError, match="--allow-private"):
        http.get(f"http://127.0.0.1:{port}/")


@pytest.mark.network
@pytest.mark.enable_socket
def test_answers_are_bounded_and_redirects_are_not_followed(port: int) -> None:
    with client(True, 30) as http:
        assert http.get(f"http://127.0.0.1:{port}/away").status_code == 302
        for path in ("large", "packed"):
            with pytest.raises(httpx.ReadError):
                http.get(f"http://127.0.0.1:{port}/{path}")


@pytest.mark.network
@pytest.mark.enable_socket
def test_sinks_and_followers_reach_this_network_and_never_where_clouds_keep_credentials() -> None:
    for url in ("http://169.254.169.254/latest", "http://[fe80::1]/", "http://[fd00:ec2::254]/"):
        with pytest.raises(SinkError, match="not public"):
            request("POST", url)
        with pytest.raises(FollowerError, match="cannot be reached"):
            Poster(address(url), {}).post(b"", {})
