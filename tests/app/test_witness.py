"""The witness: what it signs, what it refuses and with which answer, and what it remembers."""

from __future__ import annotations

import base64
import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affidavit.app.witness import LARGEST_REQUEST, Witness, create
from affidavit.domain.errors import UsageError, WorkspaceError
from affidavit.events.cosign import read_note
from affidavit.events.merkle import EMPTY_ROOT
from affidavit.events.note import Checkpoint, open_note
from affidavit.testing.clock import START, FixedClock, SeededRandomness
from affidavit.testing.signed_log import ORIGIN, SignedLog

LOG = SignedLog()
FORK = SignedLog(history="fork")
HASH = hashlib.sha256(ORIGIN.encode()).hexdigest()


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    """A witness that watches the log."""
    create(tmp_path / "w", "witness.example/bob", SeededRandomness())
    made = Witness(tmp_path / "w", FixedClock())
    made.add_log(LOG.vkey())
    return made


def body(old: int, note: str, proof: list[bytes] = []) -> bytes:  # noqa: B006
    lines = "".join(base64.b64encode(node).decode() + "\n" for node in proof)
    return f"old {old}\n{lines}\n{note}".encode()


def size_of(witness: Witness) -> int | None:
    found: int | None = witness.show()["logs"][0]["size"]
    return found


def test_a_log_that_grows_is_cosigned(witness: Witness) -> None:
    for old, new in ((0, 1), (1, 2), (2, 7), (7, 64), (64, 65), (65, 100)):
        reply = witness.add_checkpoint(LOG.request(old, new))
        assert reply.status == 200
        note = read_note(LOG.note(new) + reply.body)
        assert witness.cosigner.opened(note) == START // 1_000_000
        assert size_of(witness) == new
    assert witness.checkpoint(HASH).body == LOG.note(100) + reply.body
    assert open_note(witness.checkpoint(HASH).body, LOG.vkey()).size == 100


def test_the_same_again_is_cosigned_again(witness: Witness) -> None:
    witness.add_checkpoint(LOG.request(0, 7))
    assert witness.add_checkpoint(LOG.request(7, 7)).status == 200
    assert size_of(witness) == 7


def test_a_log_may_begin_empty(witness: Witness) -> None:
    assert witness.add_checkpoint(body(0, LOG.signed(Checkpoint(ORIGIN, 0, b"r" * 32)))).status == 422
    assert witness.add_checkpoint(body(0, LOG.signed(Checkpoint(ORIGIN, 0, EMPTY_ROOT)))).status == 200
    assert witness.add_checkpoint(LOG.request(0, 7)).status == 200


@pytest.mark.parametrize(
    ("request_body", "status"),
    [
        (FORK.request(50, 50), 422),  # a fork at the same size, signed with the real key
        (FORK.request(50, 60), 422),  # a fork that has gone on
        (body(50, LOG.note(60)), 422),  # no proof
        (body(50, LOG.note(60), LOG.prove(49, 60)), 422),
        (body(50, LOG.note(50), [b"x" * 32]), 422),
        (LOG.request(0, 60), 409),  # has not heard of what was seen
        (LOG.request(0, 50), 409),
        (LOG.request(20, 30), 409),  # a rollback
        (body(60, LOG.note(70), LOG.prove(60, 70)), 409),
        (body(51, LOG.note(50)), 400),  # the old size is larger
        (SignedLog(key=b"o" * 32).request(50, 60), 403),  # another key
        (LOG.request(50, 60).replace(b"\n60\n", b"\n61\n"), 403),
        (SignedLog(origin="affidavit/other").request(50, 60), 404),
        (b"", 400),
        (b"old 50\n", 400),
        (b"old 50\n\n", 400),
        (b"old 050\n\n" + LOG.note(60).encode(), 400),
        (b"old -1\n\n" + LOG.note(60).encode(), 400),
        (b"new 50\n\n" + LOG.note(60).encode(), 400),
        (b"old 50\r\n\r\n" + LOG.note(60).encode(), 400),
        (b"old 50\nnot base64\n\n" + LOG.note(60).encode(), 400),
        (b"old 50\nAAAA\n\n" + LOG.note(60).encode(), 400),
        (body(50, LOG.note(60), [b"x" * 32] * 64), 400),
        (b"\xff\xfe" + LOG.request(50, 60), 400),
        (LOG.request(50, 60).rstrip(b"\n"), 400),
        (b"x" * (LARGEST_REQUEST + 1), 400),
        (body(50, LOG.signed(Checkpoint(ORIGIN, 60, b"short"))), 400),
        (body(50, LOG.signed_text(f"{ORIGIN}\n60\n")), 400),
        (body(50, LOG.signed_text("nothing of a checkpoint\n")), 400),
    ],
)
def test_everything_else_is_refused_and_changes_nothing(
    witness: Witness, request_body: bytes, status: int
) -> None:
    assert witness.add_checkpoint(LOG.request(0, 50)).status == 200
    before = witness.checkpoint(HASH).body
    reply = witness.add_checkpoint(request_body)
    assert reply.status == status
    if status == 409:
        assert (reply.body, reply.content_type) == ("50\n", "text/x.tlog.size")
    assert "—" not in reply.body
    assert witness.checkpoint(HASH).body == before
    assert witness.add_checkpoint(LOG.request(50, 60)).status == 200


def test_extension_lines_are_cosigned_with_the_rest(witness: Witness) -> None:
    text = LOG.note(7).split("\n\n")[0] + "\nan extension\n"
    reply = witness.add_checkpoint(body(0, LOG.signed_text(text)))
    assert reply.status == 200
    kept = read_note(witness.checkpoint(HASH).body)
    assert kept.text == text
    assert witness.cosigner.opened(kept) is not None


def test_foreign_signature_lines_are_neither_needed_nor_kept(witness: Witness) -> None:
    foreign = "— eve.example AAAAAAAAAAAA\n"
    head, below = LOG.note(7).split("\n\n")
    for note in (LOG.note(7) + foreign, f"{head}\n\n{foreign}{below}"):
        assert witness.add_checkpoint(body(size_of(witness) or 0, note)).status == 200
        assert "eve" not in witness.checkpoint(HASH).body


def test_where_the_text_ends_is_never_in_doubt(witness: Witness) -> None:
    """Two empty lines: one reader would take the first for the end of what is signed, another the last."""
    note = LOG.note(7) + "\n— x AAAAAAAAAAAA\n"
    assert witness.add_checkpoint(body(0, note)).status == 400


def test_a_refused_fork_is_kept_as_evidence_once(witness: Witness) -> None:
    witness.add_checkpoint(LOG.request(0, 50))
    for _ in range(3):
        witness.add_checkpoint(FORK.request(50, 50))
    witness.add_checkpoint(FORK.request(50, 60))
    assert witness.show()["logs"][0]["refused"] == ["0001-fork", "0002-no-proof"]
    kept = (witness.folder / "logs" / HASH / "refused" / "0001-fork").read_text()
    assert open_note(kept, LOG.vkey()).root == FORK.root(
        0, 50
    )  # signed with the real key: it cannot be denied


def test_evidence_cannot_fill_the_disk(witness: Witness) -> None:
    witness.add_checkpoint(LOG.request(0, 2))
    for n in range(130):
        witness.add_checkpoint(body(2, LOG.signed(Checkpoint(ORIGIN, 2, bytes([n]) * 32))))
    assert len(witness.show()["logs"][0]["refused"]) == 100


def test_many_at_once_never_roll_back(tmp_path: Path, witness: Witness) -> None:
    """Also over two witnesses on one directory, as over two processes: the lock is on a file."""
    parties = [witness, Witness(tmp_path / "w", FixedClock())]
    requests = [(n % 2, LOG.request(old, new)) for n in range(3) for old in range(8) for new in range(old, 9)]
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda r: parties[r[0]].add_checkpoint(r[1]), requests))
    assert {reply.status for reply in done} <= {200, 409}
    sizes = [read_note(LOG.note(n) + reply.body) for n in range(9) for reply in done if reply.status == 200]
    largest = max(n.checkpoint().size for n in sizes if witness.cosigner.opened(n) is not None)
    assert size_of(witness) == largest


def test_only_one_of_two_forks_is_ever_cosigned(witness: Witness) -> None:
    requests = [LOG.request(0, 9), FORK.request(0, 9)] * 8
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(witness.add_checkpoint, requests))
    assert [reply.status for reply in done].count(200) == 1


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_damaged_request_is_cosigned_for_anything_else(witness: Witness, data: st.DataObject) -> None:
    whole = LOG.request(0, 50)
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + data.draw(st.binary(max_size=3)) + whole[at + data.draw(st.integers(0, 3)) :]
    reply = witness.add_checkpoint(damaged)
    if reply.status == 200:
        assert read_note(witness.checkpoint(HASH).body).checkpoint().root == LOG.root(0, 50)
    else:
        assert reply.status in (400, 403, 404, 409, 422)


def test_unknown_logs_are_not_shown(witness: Witness) -> None:
    for name in (HASH, "0" * 64, "../../witness.key", "", "x"):
        assert witness.checkpoint(name).status == 404


def test_a_log_keeps_its_key(witness: Witness) -> None:
    assert witness.add_log(LOG.vkey()) == ORIGIN
    with pytest.raises(UsageError, match="under another key"):
        witness.add_log(SignedLog(key=b"o" * 32).vkey())
    for wrong in ("", "a+b+c", witness.cosigner.vkey()):
        with pytest.raises(UsageError):
            witness.add_log(wrong)


def test_the_key_is_private_and_kept(tmp_path: Path) -> None:
    made = create(tmp_path / "w", "witness.example/bob", SeededRandomness())
    assert stat.S_IMODE((tmp_path / "w" / "witness.key").stat().st_mode) == 0o600
    assert Witness(tmp_path / "w", FixedClock()).cosigner == made
    with pytest.raises(UsageError, match="already"):
        create(tmp_path / "w", "witness.example/bob", SeededRandomness())
    (tmp_path / "w" / "witness.key").write_bytes(b"o" * 32)
    with pytest.raises(WorkspaceError, match="do not belong together"):
        Witness(tmp_path / "w", FixedClock())
    (tmp_path / "w" / "witness.key").write_bytes(b"")
    with pytest.raises(WorkspaceError, match="damaged"):
        Witness(tmp_path / "w", FixedClock())
    with pytest.raises(WorkspaceError, match="not a witness"):
        Witness(tmp_path, FixedClock())
