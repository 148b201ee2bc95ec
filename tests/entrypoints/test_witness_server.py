"""The witness as a process of its own: kill -9, two at once, huge, slow and broken requests."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from affidavit.adapters.sinks.witness import WitnessSink
from affidavit.app.witness import Witness, create
from affidavit.domain.clock import SystemClock
from affidavit.domain.errors import SinkError
from affidavit.entrypoints.witness_server import MOST_CONNECTIONS, WitnessServer
from affidavit.events.cosign import read_note
from affidavit.testing.clock import SeededRandomness
from affidavit.testing.signed_log import ORIGIN, SignedLog

pytestmark = [pytest.mark.network, pytest.mark.enable_socket]
LOG = SignedLog()
FORK = SignedLog(history="fork")
HASH = hashlib.sha256(ORIGIN.encode()).hexdigest()
SECONDS = 1.0


class Running:
    """A server in a thread of this process."""

    def __init__(self, folder: Path) -> None:
        self.told: list[str] = []
        self.witness = Witness(folder, SystemClock())
        self.server = WitnessServer(("127.0.0.1", 0), self.witness, self.told.append)
        self.server.request_seconds = SECONDS
        self.address = ("127.0.0.1", int(self.server.server_address[1]))
        self.url = f"http://127.0.0.1:{self.address[1]}"
        self._thread = threading.Thread(target=self.server.serve)
        self._thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()

    def post(self, body: bytes, path: str = "/add-checkpoint") -> tuple[int, bytes]:
        with contextlib.closing(http.client.HTTPConnection(*self.address, timeout=100)) as connection:
            connection.request("POST", path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def raw(self, data: bytes) -> bytes:
        """What comes back on a connection that is sent ``data``, until the server closes it."""
        with socket.create_connection(self.address, timeout=100) as connection:
            connection.sendall(data)
            found = b""
            try:
                while piece := connection.recv(65_536):
                    found += piece
            except ConnectionError:
                pass
            return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create(tmp_path / "w", "witness.example/bob", SeededRandomness())
    Witness(tmp_path / "w", SystemClock()).add_log(LOG.vkey())
    return tmp_path / "w"


@pytest.fixture
def running(folder: Path) -> Iterator[Running]:
    made = Running(folder)
    yield made
    made.stop()


def test_the_two_routes_and_nothing_else(running: Running) -> None:
    assert running.post(LOG.request(0, 7))[0] == 200
    status, body = running.post(LOG.request(0, 8))
    assert (status, body) == (409, b"7\n")
    assert running.post(LOG.request(0, 8), "/elsewhere")[0] == 404
    connection = http.client.HTTPConnection(*running.address, timeout=100)
    for path, status in ((f"/{HASH}/checkpoint", 200), (f"/{'0' * 64}/checkpoint", 404), ("/", 404)):
        connection.request("GET", path)  # one connection for all: it is kept alive
        answer = connection.getresponse()
        assert (answer.status, bool(answer.read())) == (status, True)
    connection.request("DELETE", "/")
    assert connection.getresponse().status == 501
    connection.close()
    assert any("cosigned 7 events" in line for line in running.told)


def test_a_log_and_its_sink_go_through_everything(running: Running) -> None:
    sink = WitnessSink(running.url)
    lines = sink.send(LOG.delivery(7))
    assert running.witness.cosigner.opened(read_note(LOG.note(7) + lines)) is not None
    sink.send(LOG.delivery(60, before=0))  # has forgotten what it sent: the witness tells
    assert sink.held(ORIGIN)[0].startswith(LOG.note(60))
    for delivery, told in (
        (LOG.delivery(50, before=50), "has seen 60 events"),
        (FORK.delivery(60, before=60), "another history"),
        (FORK.delivery(90, before=10), "another history"),
        (SignedLog(key=b"o" * 32).delivery(90, before=60), "another key"),
        (SignedLog(origin="affidavit/other").delivery(90), "does not watch"),
    ):
        with pytest.raises(SinkError, match=told):
            sink.send(delivery)
    sink.send(LOG.delivery(90, before=60))


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\n\r\n", b"411"),
        (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", b"413"),
        (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", b"413"),
        (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"411"),
        (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", b"411"),
        (
            b"POST /add-checkpoint HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\nx",
            b"411",
        ),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"431"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"Bad request"),  # so old a protocol has no status
    ],
)
def test_broken_requests_are_answered_and_dropped(running: Running, head: bytes, status: bytes) -> None:
    assert status in running.raw(head).split(b"\r\n")[0]
    assert running.post(LOG.request(0, 7))[0] == 200


def test_a_slow_client_is_cut_off_however_it_drips(running: Running) -> None:
    length = 6000  # at this rate five minutes
    with socket.create_connection(running.address, timeout=100) as slow:
        slow.sendall(f"POST /add-checkpoint HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode())
        with pytest.raises(ConnectionError):
            for _ in range(length // 2):
                slow.sendall(b"x")
                time.sleep(0.05)
    assert running.post(LOG.request(0, 7))[0] == 200


def test_idle_connections_do_not_keep_others_out_for_long(running: Running) -> None:
    idle = [socket.create_connection(running.address, timeout=100) for _ in range(MOST_CONNECTIONS + 10)]
    deadline = time.monotonic() + 100
    while True:
        try:
            assert running.post(LOG.request(0, 7))[0] == 200
            break
        except (ConnectionError, http.client.HTTPException):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    for connection in idle:
        connection.close()


def test_a_disk_that_fails_is_an_answer_and_signs_nothing(running: Running, folder: Path) -> None:
    home = folder / "logs" / HASH
    (home / "checkpoint.part").mkdir()  # cannot be written
    assert running.post(LOG.request(0, 7))[0] == 500
    (home / "checkpoint.part").rmdir()
    assert running.post(LOG.request(0, 7))[0] == 200


def _start(folder: Path) -> tuple[subprocess.Popen[str], str]:
    server = subprocess.Popen(
        [sys.executable, "-m", "affidavit", "witness", "serve", str(folder), "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    line = server.stdout.readline()
    return server, "http://" + line.split()[-1]


def test_kill_9_forgets_nothing_that_was_answered(folder: Path) -> None:
    answered = 0
    for round in range(4):
        server, url = _start(folder)
        sink = WitnessSink(url)
        stop, before = threading.Timer(0.03 + 0.1 * round, server.kill), answered
        try:
            while answered < 100:
                sink.send(LOG.delivery(answered + 1, before=answered))
                answered += 1
                if answered == before + 2:
                    stop.start()
        except SinkError as error:
            assert "reached" in error.message or "seen" in error.message
        finally:
            stop.cancel()
            server.kill()
            server.communicate()
        seen = Witness(folder, SystemClock()).show()["logs"][0]["size"] or 0
        # what was answered is remembered; what was remembered may not have been answered any more
        assert answered <= seen <= answered + 1
        answered = seen
    assert answered > 3
    assert not list(folder.glob("logs/*/refused/*"))


def test_two_servers_on_one_directory_and_ctrl_c(folder: Path) -> None:
    (first, one), (second, two) = _start(folder), _start(folder)
    WitnessSink(one).send(LOG.delivery(7))
    with pytest.raises(SinkError, match="another history"):
        WitnessSink(two).send(FORK.delivery(9))
    WitnessSink(two).send(LOG.delivery(9, before=7))
    for server in (first, second):
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=100)
        assert server.returncode == 130
