"""Every sink against the contract, each with the real thing at the other end."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from tests.ports import free_port, refusing

from affidavit.adapters.sinks import http as sink_http
from affidavit.adapters.sinks.file import FileSink, read_notes
from affidavit.adapters.sinks.git import GitSink, file_name
from affidavit.adapters.sinks.http import check_url
from affidavit.adapters.sinks.mail import PLAIN, STARTTLS, MailSink
from affidavit.adapters.sinks.notes import notes_in
from affidavit.adapters.sinks.webhook import WebhookSink, _key, signature
from affidavit.adapters.sinks.witness import WitnessSink
from affidavit.app.config import git_environment
from affidavit.app.witness import Witness, create
from affidavit.domain.clock import SystemClock
from affidavit.domain.errors import SinkError, UsageError
from affidavit.entrypoints.witness_server import WitnessServer
from affidavit.ports.sink import Sink
from affidavit.testing.clock import SeededRandomness
from affidavit.testing.signed_log import ORIGIN, SignedLog
from affidavit.testing.sink_conformance import SinkConformance

LOG = SignedLog()


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on which nobody listens."""
    with refusing() as port:
        yield port


# -- a file


class TestFile(SinkConformance):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        (tmp_path / "there").touch()
        self.path = tmp_path / "there"

    def make(self) -> Sink:
        return FileSink(self.path)

    def arrived(self) -> list[str]:
        return read_notes(self.path)

    def broken(self) -> Sink:
        return FileSink(self.path / "below" / "a file")

    def test_a_piece_that_a_crash_left_spoils_nothing(self) -> None:
        self.make().send(LOG.delivery(7))
        whole = self.path.read_bytes()
        for cut in range(len(whole)):
            self.path.write_bytes(whole + LOG.note(8).encode()[:cut])
            self.make().send(LOG.delivery(9))
            assert self.arrived()[0] == LOG.note(7)
            assert self.arrived()[-1] == LOG.note(9)

    def test_many_processes_may_append_at_once(self) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: self.make().send(LOG.delivery(n)), range(1, 40)))
        assert sorted(self.arrived()) == sorted(LOG.note(n) for n in range(1, 40))

    def test_what_is_no_file_is_refused(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        for name in ("fifo", "."):
            with pytest.raises(SinkError):
                FileSink(tmp_path / name).send(LOG.delivery(7))
            with pytest.raises(SinkError, match="not a file"):
                FileSink(tmp_path / name).held(ORIGIN)
        with pytest.raises(SinkError, match="not a file"):
            read_notes(tmp_path / "none")


def test_notes_are_found_in_whatever_people_keep(tmp_path: Path) -> None:
    first, second = LOG.note(7), LOG.note(8)
    kept = {
        "plain": f"{first}\n{second}",
        "windows": f"{first}\n{second}".replace("\n", "\r\n"),
        "report": f"As of Monday:\n\n{first}\n\nand as of Tuesday\n\n{second}",
        "json": json.dumps({"a": [{"checkpoint": first}], "b": {"c": second, "d": "— no"}}),
    }
    for name, text in kept.items():
        (tmp_path / name).write_bytes(text.encode())
        assert read_notes(tmp_path / name) == [first, second], name
    for junk in (b"", b"\xff" * 99, b"{", b"[" * 9000, b"\n\n\n", "— x y\n\n— x y\n".encode()):
        (tmp_path / "junk").write_bytes(junk)
        assert read_notes(tmp_path / "junk") == []


# -- git


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@localhost", *arguments],
        check=True,
        capture_output=True,
        text=True,
        env=git_environment(),
    )
    return done.stdout


class TestGit(SinkConformance):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "repo"
        self.folder.mkdir()
        git(self.folder, "init", "--quiet")
        (self.folder / "mine").write_text("staged, and nobody else's business")
        git(self.folder, "add", "mine")

    def make(self) -> Sink:
        return GitSink(self.folder, git_environment())

    def arrived(self) -> list[str]:
        return self.make().held(ORIGIN)

    def broken(self) -> Sink:
        return GitSink(self.folder.parent / "none", git_environment())

    def test_only_the_checkpoint_is_committed_and_once(self) -> None:
        for _ in range(3):
            self.make().send(LOG.delivery(7))
        assert git(self.folder, "ls-tree", "--name-only", "HEAD").split() == [file_name(ORIGIN)]
        assert git(self.folder, "rev-list", "--count", "HEAD").strip() == "1"
        assert git(self.folder, "log", "--format=%an <%ae> %s").strip() == (
            f"affidavit <affidavit@localhost> {ORIGIN}: 7 events"
        )
        assert git(self.folder, "status", "--porcelain").strip() == "A  mine"

    def test_nothing_in_the_repository_is_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        ran = tmp_path / "ran"
        for hook in ("pre-commit", "commit-msg", "post-commit", "reference-transaction", "post-index-change"):
            path = self.folder / ".git" / "hooks" / hook
            path.write_text(f"#!/bin/sh\ntouch {ran}\n")
            path.chmod(0o755)
        git(self.folder, "config", "core.fsmonitor", f"touch {ran}")
        git(self.folder, "config", "commit.gpgSign", "true")
        git(self.folder, "config", "gpg.program", f"touch {ran}")
        monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
        monkeypatch.setenv("GIT_EXTERNAL_DIFF", f"touch {ran}")
        ran.unlink(missing_ok=True)
        self.make().send(LOG.delivery(7))
        assert self.arrived() == [LOG.note(7)]
        assert not ran.exists()

    def test_a_link_of_that_name_is_replaced_not_followed(self, tmp_path: Path) -> None:
        precious = tmp_path / "precious"
        precious.write_text("precious")
        for name in (file_name(ORIGIN), f".{file_name(ORIGIN)}.part"):
            (self.folder / name).symlink_to(precious)
        self.make().send(LOG.delivery(7))
        assert precious.read_text() == "precious"
        assert self.arrived() == [LOG.note(7)]

    def test_history_that_a_branch_still_reaches_is_held(self) -> None:
        self.make().send(LOG.delivery(7))
        git(self.folder, "branch", "kept")
        git(self.folder, "commit", "--quiet", "--amend", "--allow-empty", "-m", "another history")
        git(self.folder, "rm", "--quiet", "--cached", file_name(ORIGIN))
        git(self.folder, "commit", "--quiet", "-m", "gone")
        assert LOG.note(7) in self.arrived()

    def test_the_repository_s_settings_hide_no_history(self) -> None:
        self.make().send(LOG.delivery(7))
        root = git(self.folder, "rev-parse", "HEAD").strip()
        self.make().send(LOG.delivery(8))
        git(self.folder, "config", "log.showRoot", "false")
        git(self.folder, "replace", git(self.folder, "rev-parse", "HEAD").strip(), root)
        assert self.arrived() == [LOG.note(7), LOG.note(8)]

    def test_a_push_arrives_and_is_tried_again(self, tmp_path: Path) -> None:
        far = tmp_path / "far.git"
        git(tmp_path, "init", "--quiet", "--bare", str(far))
        branch = git(self.folder, "symbolic-ref", "--short", "HEAD").strip()
        git(self.folder, "config", "remote.origin.url", str(tmp_path / "not yet"))
        git(self.folder, "config", f"branch.{branch}.remote", "origin")
        git(self.folder, "config", f"branch.{branch}.merge", f"refs/heads/{branch}")
        git(self.folder, "config", "push.default", "upstream")
        pushing = GitSink(self.folder, git_environment(), push=True)
        with pytest.raises(SinkError, match="push"):
            pushing.send(LOG.delivery(7))
        git(self.folder, "config", "remote.origin.url", str(far))
        pushing.send(LOG.delivery(7))
        assert GitSink(far, git_environment()).held(ORIGIN) == [LOG.note(7)]
        with pytest.raises(SinkError, match="bare"):
            GitSink(far, git_environment()).send(LOG.delivery(8))

    def test_without_the_program_it_says_so(self) -> None:
        with pytest.raises(SinkError, match="no git program"):
            GitSink(self.folder, {"PATH": "/nowhere"}).send(LOG.delivery(7))


# -- a webhook


class _Receiver(BaseHTTPRequestHandler):
    """Keeps what it is posted; its server says with which status to answer."""

    def do_POST(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.got.append((dict(self.headers), body))
        self.send_response(server.status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(server.answer)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def receiver() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    server.got, server.status, server.answer = [], 204, b""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.network
@pytest.mark.enable_socket
class TestWebhook(SinkConformance):
    once = False

    @pytest.fixture(autouse=True)
    def _place(self, receiver: Any, closed_port: int) -> None:
        self.server, self.closed_port = receiver, closed_port

    def make(self) -> Sink:
        return WebhookSink(f"http://127.0.0.1:{self.server.server_address[1]}/hook", "s3cret")

    def arrived(self) -> list[str]:
        return [json.loads(body)["checkpoint"] for _, body in self.server.got]

    def broken(self) -> Sink:
        return WebhookSink(f"http://127.0.0.1:{self.closed_port}/", "s3cret")

    def test_the_message_is_signed_and_a_repetition_recognised(self) -> None:
        for _ in range(2):
            self.make().send(LOG.delivery(7))
        (headers, body), (again, _) = self.server.got
        assert headers["webhook-signature"] == signature(
            b"s3cret", headers["webhook-id"], int(headers["webhook-timestamp"]), body
        )
        assert headers["webhook-id"] == again["webhook-id"]
        assert "s3cret" not in str(headers) + body.decode()

    @pytest.mark.parametrize(("status", "retryable"), [(500, True), (429, True), (404, False), (302, False)])
    def test_other_answers_are_failures(self, status: int, retryable: bool) -> None:
        self.server.status, self.server.answer = status, b"\x1b[31mno"
        with pytest.raises(SinkError) as caught:
            self.make().send(LOG.delivery(7))
        assert caught.value.retryable is retryable
        assert "\x1b" not in caught.value.message
        assert len(self.server.got) == 1  # a redirect is not followed

    def test_a_huge_answer_is_dropped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sink_http, "LARGEST_ANSWER", 1000)
        self.server.status, self.server.answer = 200, b"x" * 100_000
        with pytest.raises(SinkError, match="too long"):
            self.make().send(LOG.delivery(7))


def test_the_published_example_of_standard_webhooks() -> None:
    """From the test data of the reference libraries (github.com/standard-webhooks/standard-webhooks)."""
    made = signature(
        _key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    with pytest.raises(SinkError, match="base64"):
        _key("whsec_%")
    with pytest.raises(SinkError, match="no secret"):
        WebhookSink("http://host/", "")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "ftp://host/",
        "file:///etc/passwd",
        "http://",
        "http://user:pw@host/",
        "http://host/?token=1",
        "http://host/#x",
        "http://ho st/",
        "http://host:99999/",
        "http://host/\n",
        "http://[::1",
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(UsageError):
        check_url(url)


# -- mail


class _Mailbox:
    """What an SMTP server was given."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.got.append(envelope.original_content)
        return "250 kept"


@pytest.fixture
def mailbox() -> Iterator[tuple[_Mailbox, int]]:
    box, port = _Mailbox(), free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box, port
    controller.stop()


@pytest.mark.network
@pytest.mark.enable_socket
class TestMail(SinkConformance):
    once = False

    @pytest.fixture(autouse=True)
    def _place(self, mailbox: tuple[_Mailbox, int], closed_port: int) -> None:
        self.box, self.port = mailbox
        self.closed_port = closed_port

    def make(self) -> Sink:
        return MailSink("auditor@example.org", "127.0.0.1", self.port, PLAIN)

    def _messages(self) -> list[Any]:
        return [message_from_bytes(raw, policy=policy.default) for raw in self.box.got]

    def arrived(self) -> list[str]:
        return [next(m.iter_attachments()).get_content() for m in self._messages()]

    def broken(self) -> Sink:
        return MailSink("auditor@example.org", "127.0.0.1", self.closed_port, PLAIN)

    def test_a_repetition_can_be_recognised_and_a_saved_message_be_compared(self, tmp_path: Path) -> None:
        for _ in range(2):
            self.make().send(LOG.delivery(7))
        first, second = self._messages()
        assert first["Message-ID"] == second["Message-ID"]
        assert first["To"] == "auditor@example.org"
        (tmp_path / "saved.eml").write_bytes(self.box.got[0])
        assert read_notes(tmp_path / "saved.eml") == [LOG.note(7)]

    def test_encryption_is_not_given_up_silently(self) -> None:
        with pytest.raises(SinkError, match="STARTTLS"):
            MailSink("auditor@example.org", "127.0.0.1", self.port, STARTTLS).send(LOG.delivery(7))
        assert self.box.got == []


# -- a witness


@pytest.mark.network
@pytest.mark.enable_socket
class TestWitness(SinkConformance):
    keeps_all = False

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path, closed_port: int) -> Iterator[None]:
        self.closed_port = closed_port
        create(tmp_path / "w", "witness.example/bob", SeededRandomness())
        self.witness = Witness(tmp_path / "w", SystemClock())
        self.witness.add_log(LOG.vkey())
        self.server = WitnessServer(("127.0.0.1", 0), self.witness, lambda line: None)
        thread = threading.Thread(target=self.server.serve)
        thread.start()
        yield
        self.server.shutdown()
        thread.join()
        self.server.server_close()

    def make(self) -> Sink:
        return WitnessSink(f"http://127.0.0.1:{self.server.server_address[1]}/")

    def arrived(self) -> list[str]:
        held = self.make().held(ORIGIN)
        return ["".join(note.splitlines(keepends=True)[:-1]) for note in held]

    def broken(self) -> Sink:
        return WitnessSink(f"http://127.0.0.1:{self.closed_port}")


@pytest.mark.network
@pytest.mark.enable_socket
@pytest.mark.parametrize("answer", [b"", b"x\n", b"-1\n", "٣\n".encode(), b"7", b"9" * 400 + b"\n"])
def test_a_witness_that_answers_nonsense_is_an_error(receiver: Any, answer: bytes) -> None:
    receiver.status, receiver.answer = 409, answer
    with pytest.raises(SinkError, match="409"):
        WitnessSink(f"http://127.0.0.1:{receiver.server_address[1]}").send(LOG.delivery(7))


def test_notes_with_nothing_below_are_none() -> None:
    assert notes_in("a\n\nb\n\n") == []
