"""Sinks as settings on the log, sending to all of them, what `status` tells, and witnesses whose word is checked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.events.test_log import EVENT

import affidavit
from affidavit.adapters.sinks.file import read_notes
from affidavit.app.sinks import KINDS, Settings, describe, make_sink, settings_of
from affidavit.app.witness import Witness, create
from affidavit.domain.errors import BusyError, LogDamagedError, SinkError, UnknownNameError, UsageError
from affidavit.entrypoints.witness_server import WitnessServer
from affidavit.testing.clock import FixedClock, SeededRandomness


@pytest.fixture
def serve(tmp_path: Path, clock: FixedClock) -> Iterator[Callable[[str], tuple[Witness, str]]]:
    """Makes a witness by name and serves it; gives it and its address."""
    running: list[tuple[WitnessServer, threading.Thread]] = []

    def start(name: str) -> tuple[Witness, str]:
        create(tmp_path / name, f"witness.example/{name}", SeededRandomness(len(running) + 7))
        witness = Witness(tmp_path / name, clock)
        server = WitnessServer(("127.0.0.1", 0), witness, lambda line: None)
        thread = threading.Thread(target=server.serve)
        thread.start()
        running.append((server, thread))
        return witness, f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


def write(workspace: affidavit.Workspace, count: int = 1) -> None:
    workspace.parts.log.write(lambda tx: [tx.append(EVENT) for _ in range(count)])


def outcomes(workspace: affidavit.Workspace) -> dict[str, str]:
    return {sent.name: sent.outcome for sent in workspace.outside.send()}


def test_each_gets_what_it_has_not_got(workspace: affidavit.Workspace, tmp_path: Path) -> None:
    desk = workspace.outside
    for name in ("a", "b"):
        desk.add(name, "file", settings_of("file", str(tmp_path / name)))
    assert outcomes(workspace) == {"a": "sent", "b": "sent"}
    assert outcomes(workspace) == {"a": "current", "b": "current"}
    write(workspace, 300)
    assert [e["behind"] for e in desk.status()] == [300, 300]
    assert outcomes(workspace) == {"a": "sent", "b": "sent"}
    assert len(read_notes(tmp_path / "a")) == 2
    assert [e["behind"] for e in desk.status()] == [0, 0]
    workspace.verify()


def test_one_that_fails_stops_no_other_is_told_and_is_tried_again(
    workspace: affidavit.Workspace, tmp_path: Path
) -> None:
    desk = workspace.outside
    desk.add("bad", "file", settings_of("file", str(tmp_path / "missing" / "x")))
    desk.add("good", "file", settings_of("file", str(tmp_path / "good")))
    assert outcomes(workspace) == {"bad": "failed", "good": "sent"}
    bad = next(e for e in workspace.status()["sinks"] if e["name"] == "bad")
    assert "No such file" in bad["error"]
    assert (bad["size"], bad["sent_at"]) == (0, None)
    (tmp_path / "missing").mkdir()
    assert outcomes(workspace) == {"bad": "sent", "good": "current"}
    assert all(e["error"] is None for e in workspace.status()["sinks"])


def test_settings_are_on_the_log_and_changing_them_by_hand_is_found(
    workspace: affidavit.Workspace, tmp_path: Path
) -> None:
    desk, database = workspace.outside, workspace.parts.database
    desk.add("a", "file", settings_of("file", str(tmp_path / "a")))
    with pytest.raises(UsageError, match="already"):
        desk.add("a", "file", settings_of("file", str(tmp_path / "b")))
    desk.remove("a")
    desk.add("a", "file", settings_of("file", str(tmp_path / "b")))
    assert [sink.settings["path"] for sink in desk.sinks()] == [str(tmp_path / "b")]
    workspace.verify()
    with pytest.raises(UnknownNameError):
        desk.remove("b")
    for change in (
        "UPDATE sinks SET settings = replace(settings, '/b', '/c')",
        "UPDATE sinks SET until = 3 WHERE until > 9",
        "UPDATE sinks SET name = 'other'",
        "DELETE FROM sinks",
        "INSERT INTO sinks VALUES (9, 'x', 'file', '{}', 0, 1)",
    ):
        with pytest.raises(LogDamagedError, match="sinks"), database.write():
            assert database.changed(change) > 0
            workspace.verify()  # in the transaction that is rolled back
    workspace.verify()


def test_two_do_not_send_at_once(workspace: affidavit.Workspace, tmp_path: Path) -> None:
    workspace.outside.add("a", "file", settings_of("file", str(tmp_path / "a")))
    with workspace.outside._locked(), pytest.raises(BusyError):
        workspace.outside.send()


@pytest.mark.network
@pytest.mark.enable_socket
def test_no_secret_is_kept(
    workspace: affidavit.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_SECRET", "tops3cret")
    (tmp_path / "file").write_text("tops3cret\n")
    desk = workspace.outside
    desk.add("env", "webhook", settings_of("webhook", "http://localhost:1/", secret_env="HOOK_SECRET"))
    desk.add("file", "webhook", settings_of("webhook", "http://localhost:1/", secret_file=tmp_path / "file"))
    mail = settings_of("email", "a@example.org", smtp="localhost:25", user="u", secret_env="HOOK_SECRET")
    desk.add("mail", "email", mail)
    for sink in desk.sinks():
        assert "tops3cret" not in repr(make_sink(sink.kind, sink.settings))
    desk.send()
    workspace.parts.database.value("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"tops3cret" not in (tmp_path / "ws" / "affidavit.db").read_bytes()
    monkeypatch.delenv("HOOK_SECRET")
    (tmp_path / "file").unlink()
    for sent in desk.send():
        assert sent.error is not None
        assert "secret" in sent.error.message


@pytest.mark.parametrize(
    ("kind", "place", "options", "told"),
    [
        ("pigeon", "x", {}, "no sink of kind"),
        ("git", "/nowhere", {}, "git init"),
        ("webhook", "http://host/", {}, "needs a secret"),
        ("webhook", "http://u:p@host/", {"secret_env": "X"}, "user name"),
        ("webhook", "http://host/", {"secret_env": "my secret word"}, "the name of an environment variable"),
        ("webhook", "http://host/", {"secret_env": "X", "secret_file": Path("x")}, "not in both"),
        ("email", "a@b", {}, "needs a server"),
        ("email", "a@b", {"smtp": "host:port"}, "needs a server"),
        ("email", "a@b", {"smtp": "host:99999"}, "needs a server"),
        ("email", "a@b\nBcc: c@d", {"smtp": "host:25"}, "not a mail address"),
        ("email", "a@b", {"smtp": "host:25", "sender": "x"}, "not a mail address"),
        ("email", "a@b", {"smtp": "host:25", "security": "maybe"}, "no --tls"),
        ("email", "a@b", {"smtp": "host:25", "user": "u"}, "go together"),
        ("email", "a@b", {"smtp": "host:25", "secret_env": "X"}, "go together"),
        (
            "email",
            "a@b",
            {"smtp": "host:25", "user": "u", "secret_env": "X", "security": "none"},
            "without encryption",
        ),
        ("witness", "http://host/", {}, "public key"),
        ("witness", "host", {"key": "x"}, "web address"),
    ],
)
def test_settings_that_are_refused(kind: str, place: str, options: Settings, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings_of(kind, place, **options)  # type: ignore[arg-type]  # the cases are data
    assert told in caught.value.message + caught.value.hint


def test_every_kind_can_be_described(tmp_path: Path) -> None:
    create(tmp_path / "w", "w", SeededRandomness())
    (tmp_path / ".git").mkdir()
    settings = {
        "file": settings_of("file", "x"),
        "git": settings_of("git", str(tmp_path)),
        "webhook": settings_of("webhook", "http://h/", secret_env="X"),
        "email": settings_of("email", "a@b", smtp="[::1]:25"),
        "witness": settings_of("witness", "http://h/", key=(tmp_path / "w" / "witness.vkey").read_text()),
    }
    assert set(settings) == set(KINDS)
    assert all(describe(kind, value) for kind, value in settings.items())


@pytest.mark.network
@pytest.mark.enable_socket
def test_witnesses_cosign_and_their_word_is_checked(
    workspace: affidavit.Workspace, serve: Callable[[str], tuple[Witness, str]], clock: FixedClock
) -> None:
    (bob, bobs), (carol, carols) = serve("bob"), serve("carol")
    desk = workspace.outside
    desk.add("bob", "witness", settings_of("witness", bobs, key=bob.cosigner.vkey()))
    desk.add("carol", "witness", settings_of("witness", carols, key=bob.cosigner.vkey()))  # not her key
    (sent, false) = desk.send()
    assert sent.error is not None
    assert "does not watch" in sent.error.message
    for witness in (bob, carol):
        witness.add_log(workspace.parts.signer.verifier())
    (sent, false) = desk.send()
    assert sent.outcome == "sent"
    assert isinstance(false.error, SinkError)
    assert "did not cosign with the key" in false.error.message
    seen = {entry["name"]: entry for entry in desk.witnesses()}
    assert seen["bob"]["size"] == sent.size
    assert seen["bob"]["behind"] == 0
    clock.advance(86_400_000_000)
    write(workspace, 5)
    desk.send()
    kept = [a.size for a in desk.attestations()]
    assert kept == [sent.size, sent.size + 5]
    write(workspace)
    desk.send()  # the same day: the last stays
    assert [a.size for a in desk.attestations()] == [sent.size, sent.size + 6]


@pytest.mark.network
@pytest.mark.enable_socket
def test_a_cosignature_written_by_hand_is_not_shown(
    workspace: affidavit.Workspace, serve: Callable[[str], tuple[Witness, str]]
) -> None:
    bob, url = serve("bob")
    bob.add_log(workspace.parts.signer.verifier())
    workspace.outside.add("bob", "witness", settings_of("witness", url, key=bob.cosigner.vkey()))
    workspace.outside.send()
    workspace.parts.database.run("UPDATE attestations SET size = 99")
    assert workspace.outside.witnesses()[0]["size"] is None
    workspace.parts.database.run("UPDATE attestations SET note = 'x'")
    assert workspace.outside.witnesses()[0]["size"] is None


@pytest.mark.network
@pytest.mark.enable_socket
def test_a_witness_from_the_far_future_is_refused(
    workspace: affidavit.Workspace, serve: Callable[[str], tuple[Witness, str]], clock: FixedClock
) -> None:
    bob, url = serve("bob")
    bob.add_log(workspace.parts.signer.verifier())
    workspace.outside.add("bob", "witness", settings_of("witness", url, key=bob.cosigner.vkey()))
    now, clock.at = clock.at, 2**62 * 1_000_000
    workspace.parts.clock = FixedClock(now)
    (sent,) = workspace.outside.send()
    assert sent.outcome == "failed"
    assert clock.at > now
