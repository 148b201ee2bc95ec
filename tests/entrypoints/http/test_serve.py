"""`affidavit serve` as a process of its own, on loopback: several processes, a slow sender, the end."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.patience import LONG, soon
from tests.server_world import FILES, QUESTION, World, people

import affidavit
from affidavit.app.config import EmbedderSpec
from affidavit.runs.recorder import Run

pytestmark = [pytest.mark.network, pytest.mark.enable_socket]
Write = Callable[[dict[str, str | bytes]], Path]


@pytest.fixture
def world(tmp_path: Path, write_folder: Write) -> Iterator[World]:
    with affidavit.init(tmp_path / "ws", EmbedderSpec("none")) as ws:
        world = people(ws)
        ws.add_source("folder", write_folder(FILES), "docs", "acme")
        ws.sync("", "acme")
        world.key("alice")
        yield world


@dataclass
class Serving:
    """A running server."""

    process: subprocess.Popen[str]
    port: int
    said: list[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, trust_env=False, timeout=LONG)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LONG)


@contextmanager
def serving(world: World, *options: str) -> Iterator[Serving]:
    command = [sys.executable, "-m", "affidavit", "serve", "-w", str(world.ws.parts.folder), "--port", "0"]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert process.stdout and process.stderr
    said: list[str] = []
    errors = process.stderr
    # read all along, so that the server never waits for its own words to be taken
    reading = threading.Thread(target=lambda: said.extend(errors))
    reading.start()
    first = process.stdout.readline()
    found = Serving(process, int(first.rpartition(":")[2] or 0), said)
    try:
        yield found
    finally:
        process.kill()
        process.wait(LONG)
        reading.join()
        process.stdout.close()
        process.stderr.close()


def test_several_processes_answer_and_end_well(world: World) -> None:
    (world.ws.parts.folder / "server.toml").write_text('[server]\nmetrics = "127.0.0.1:0"\n')
    with serving(world, "--workers", "2") as server:
        runs = set()
        for _ in range(4):
            with server.client() as client:
                answer = client.post("/v1/ask", headers=world.key("alice"), json={"question": QUESTION})
            assert answer.status_code == 200
            runs.add(answer.json()["run"])
        assert len(runs) == 4
        assert server.process.stdout
        shown = server.process.stdout.readline().removeprefix("metrics at ").strip()
        counted = httpx.get(shown, trust_env=False, timeout=LONG).text
        assert 'route="/v1/ask",status="200",tenant="1"} 4.0' in counted
        for worker in workers(server.process.pid):
            os.kill(worker, signal.SIGKILL)
        soon(lambda: answers(server))
        with server.client() as client:
            again = client.post("/v1/ask", headers=world.key("alice"), json={"question": QUESTION})
        assert again.status_code == 200
        assert server.stop() == 0
    world.ws.verify()


def test_limits_hold_for_all_processes_together(world: World) -> None:
    (world.ws.parts.folder / "server.toml").write_text(
        "[limits]\nperson_per_minute = 2\n[quotas]\nperson_questions = 2\n"
    )
    began = time.monotonic()
    with serving(world) as one, serving(world) as other, one.client() as first, other.client() as second:
        alice, answers = world.key("alice"), []
        for _ in range(6):
            answers += [client.get("/v1/me", headers=alice).status_code for client in (first, second)]
        # one flows back each half minute
        assert 2 <= answers.count(200) <= 2 + (time.monotonic() - began) // 30 + 1
        assert answers.count(200) + answers.count(429) == 12
        assert one.stop() == other.stop() == 0


def test_nobody_is_left_when_the_first_process_is_killed(world: World) -> None:
    with serving(world, "--workers", "2") as server:
        soon(lambda: answers(server))
        left = workers(server.process.pid)
        server.process.kill()
        server.process.wait(LONG)
        soon(lambda: not any(Path(f"/proc/{worker}").exists() for worker in left))


def workers(parent: int) -> list[int]:
    """The processes that answer for ``parent``."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]


def answers(server: Serving) -> bool:
    try:
        with server.client() as client:
            return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False  # the connection that a killed process had


def test_told_to_stop_it_finishes_ends_its_streams_and_takes_nothing_new(world: World) -> None:
    run = Run(
        "run-bbbbbbbbbbbbbbbb", world.ws.parts.tenant("acme").id, "ask", world.ws.parts.release().digest
    )
    run.start({"principal": "user:alice", "question": "?", "position": 0})
    run.release_claim({"text": "One.", "citations": [], "overrules": []})
    world.ws.parts.log.write(run.flush_begun)
    with serving(world) as server:
        headers = {**world.key("alice"), "Accept": "text/event-stream"}
        path = f"/v1/runs/{run.id}/events"
        with server.client() as client, client.stream("GET", path, headers=headers) as stream:
            lines = stream.iter_lines()
            assert "event: claim.released" in itertools.islice(lines, 5)
            assert server.stop() == 0
            for _ in lines:
                pass  # ended by the server, not cut off
        with server.client() as client, pytest.raises(httpx.ConnectError):
            client.get("/healthz")
    events = [json.loads(line) for line in server.said]
    assert [(e["route"], e["status"]) for e in events] == [("/v1/runs/{run}/events", 200)]


def test_a_request_that_comes_byte_by_byte_is_not_waited_for(world: World) -> None:
    (world.ws.parts.folder / "server.toml").write_text("[limits]\nreceive_seconds = 1\n")
    with serving(world) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=LONG) as head:
            head.sendall(b"GET /healthz HTTP/1.1\r\nHost: local")
            assert head.recv(100) == b""
        with socket.create_connection(("127.0.0.1", server.port), timeout=LONG) as body:
            key = world.key("alice")["Authorization"]
            body.sendall(
                f"POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nAuthorization: {key}\r\n"
                "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode()
            )
            assert body.recv(1000).startswith(b"HTTP/1.1 408 ")
        with socket.create_connection(("127.0.0.1", server.port), timeout=LONG) as large:
            large.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 40_000)
            assert large.recv(1000).startswith(b"HTTP/1.1 4")
        with server.client() as client:
            assert client.get("/healthz").status_code == 200


def certificate(folder: Path) -> None:
    """A certificate for localhost that nobody signed, and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "chain.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").touch(mode=0o600)
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def test_it_speaks_tls_and_no_old_one(world: World) -> None:
    folder = world.ws.parts.folder
    certificate(folder)
    (folder / "server.toml").write_text(
        '[server]\ntls_certificate = "chain.pem"\ntls_key_file = "key.pem"\n[logs]\naddresses = true\n'
    )
    with serving(world) as server:
        trust = ssl.create_default_context(cafile=str(folder / "chain.pem"))
        with httpx.Client(verify=trust, trust_env=False, timeout=LONG) as client:
            forged = {"X-Forwarded-For": "198.51.100.1", "X-Forwarded-Proto": "http"}
            answer = client.get(
                f"https://localhost:{server.port}/v1/me", headers={**world.key("alice"), **forged}
            )
        assert answer.status_code == 200
        assert "includeSubDomains" in answer.headers["Strict-Transport-Security"]
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        plain = socket.create_connection(("127.0.0.1", server.port), timeout=LONG)
        with plain, pytest.raises((ssl.SSLError, ConnectionError)):
            old.wrap_socket(plain)
        assert server.stop() == 0
    (entry,) = [json.loads(line) for line in server.said if '"request"' in line]
    assert entry["address"] == "127.0.0.1"


def test_what_cannot_be_set_up_is_said_before_anything_listens(world: World) -> None:
    (world.ws.parts.folder / "server.toml").write_text("[server]\nprot = 1\n")
    with serving(world) as server:
        assert server.process.wait(LONG) == 2
    assert "did you mean server.port?" in "".join(server.said)
