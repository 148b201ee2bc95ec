"""A witness: a second person's machine that signs, with a key of its own, that a log has only ever grown.

The answering half of C2SP ``tlog-witness`` (https://c2sp.org/tlog-witness): what may be signed, and what is remembered.
How requests arrive is the business of ``entrypoints.witness_server``. Everything is in one directory::

    witness.key  witness.vkey          the private key (mode 0600) and NAME+ID+KEY to hand out
    logs/HASH/vkey                     a log that is watched; HASH is SHA-256 of its origin
    logs/HASH/checkpoint               the newest checkpoint that was cosigned, with both signatures
    logs/HASH/refused/0001-fork …      what the log's own key signed and was refused: evidence against it
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from affidavit.app.times import iso
from affidavit.domain.clock import MICROSECONDS, Clock, Randomness
from affidavit.domain.errors import LogDamagedError, UsageError, WorkspaceError
from affidavit.events.consistency import LONGEST_PROOF, verify_consistency
from affidavit.events.cosign import (
    Cosigner,
    Note,
    NoteError,
    check_cosigner_name,
    cosign,
    parse_cosigner,
    read_note,
)
from affidavit.events.log import KEY_BYTES
from affidavit.events.merkle import EMPTY_ROOT, HASH_BYTES
from affidavit.events.note import Checkpoint, key_id, open_note, parse_verifier_key

LARGEST_REQUEST = 64_000
"""Bytes: 63 hashes and a checkpoint with many signatures are a sixth of that."""
SIZE_TYPE = "text/x.tlog.size"
TEXT_TYPE = "text/plain; charset=utf-8"
_MOST_EVIDENCE = 100
_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True)
class Reply:
    """An HTTP answer: status, body, content type, and one line for whoever runs the witness."""

    status: int
    body: str
    told: str
    content_type: str = TEXT_TYPE


class _RefusalError(Exception):
    """The request is answered with something other than 200."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.reply = Reply(status, why + "\n", why)


@dataclass(frozen=True)
class Submission:
    """What ``add-checkpoint`` is sent."""

    old: int
    proof: tuple[bytes, ...]
    note: Note
    raw: str
    checkpoint: Checkpoint


class Witness:
    """The witness in ``folder``. Safe to share between threads, and between processes: each log has a lock file."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder = folder
        self._clock = clock
        try:
            raw = (folder / "witness.key").read_bytes()
            self.cosigner = parse_cosigner((folder / "witness.vkey").read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise WorkspaceError(
                f"{folder} is not a witness: its key cannot be read",
                f"make one with: affidavit witness init {folder} --name NAME; or restore its witness.key and witness.vkey",
            ) from error
        if len(raw) != KEY_BYTES:
            raise WorkspaceError(f"the witness's key in {folder} is damaged", "restore it from a backup")
        self._key = Ed25519PrivateKey.from_private_bytes(raw)
        if self._key.public_key().public_bytes_raw() != self.cosigner.public:
            raise WorkspaceError(
                f"witness.key and witness.vkey in {folder} do not belong together",
                "restore both from a backup",
            )

    # -- the protocol

    def add_checkpoint(self, body: bytes) -> Reply:
        """Answer one ``add-checkpoint`` request. What was cosigned is on disk before this returns."""
        try:
            return self._add(body)
        except _RefusalError as refusal:
            return refusal.reply

    def checkpoint(self, origin_hash: str) -> Reply:
        """Answer ``GET /HASH/checkpoint``: the newest checkpoint cosigned for the log whose origin has that SHA-256."""
        found = None
        if re.fullmatch(r"[0-9a-f]{64}", origin_hash):
            found = _read(self.folder / "logs" / origin_hash / "checkpoint")
        if found is None:
            return Reply(404, "no checkpoint of that log was cosigned\n", "asked for a log that is not known")
        return Reply(200, found, "gave the newest checkpoint")

    def _add(self, body: bytes) -> Reply:
        given = _submission(body)
        home = self.folder / "logs" / _origin_hash(given.checkpoint.origin)
        vkey = _read(home / "vkey")
        if vkey is None:
            raise _RefusalError(404, "this witness does not watch a log of that origin")
        try:
            open_note(given.raw, vkey.strip())
        except LogDamagedError as error:
            raise _RefusalError(403, "the checkpoint is not signed by the key this witness trusts") from error
        if given.old > given.checkpoint.size:
            raise _RefusalError(400, "the old size is larger than the checkpoint")
        with _locked(home):
            return self._grow(home, given, _own_line(given.note, vkey.strip()))

    def _grow(self, home: Path, given: Submission, own: str) -> Reply:
        """Compare with what was cosigned last, and remember the new one; the caller holds the log's lock."""
        size, root = _head(home)
        new = given.checkpoint
        if given.old != size:
            told = f"{new.origin}: offered {new.size} events from {given.old}; {size} were seen"
            return Reply(409, f"{size}\n", told, SIZE_TYPE)
        if not new.size and new.root != EMPTY_ROOT:
            raise _RefusalError(422, "a log without events has another root")
        if not verify_consistency(size, root, new.size, new.root, given.proof):
            kind = "fork" if new.size == size and new.root != root else "no-proof"
            _keep_evidence(home, kind, given.raw)
            raise _RefusalError(
                422, f"{new.origin}: {new.size} events are not a continuation of the {size} that were seen"
            )
        line = cosign(given.note.text, self.cosigner, self._key, max(1, self._clock.now() // MICROSECONDS))
        _write(home / "checkpoint", given.note.text + "\n" + own + line)
        return Reply(200, line, f"{new.origin}: cosigned {new.size} events, {size} before")

    # -- looking after it

    def add_log(self, vkey: str) -> str:
        """Watch the log that ``vkey`` belongs to; its origin. Raises UsageError if it is known under another key."""
        try:
            name, _ = parse_verifier_key(vkey.strip())
        except LogDamagedError as error:
            raise UsageError(
                "this is not a log's public key",
                "paste the line NAME+ID+KEY that `affidavit audit verify` prints as the key",
            ) from error
        if not name or any(c.isspace() for c in name) or not name.isprintable():
            raise UsageError("the log's name holds spaces or control characters", "give a proper key")
        home = self.folder / "logs" / _origin_hash(name)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(home):
            known = _read(home / "vkey")
            if known is not None and known.strip() != vkey.strip():
                raise UsageError(
                    f"{name} is watched already, under another key",
                    "a log never changes its key: ask its owner what happened before you trust either",
                )
            if known is None:
                _write(home / "vkey", vkey.strip() + "\n")
                _make_durable(home.parent)
        return name

    def show(self) -> dict[str, Any]:
        """Who this witness is, and what it has seen of each log."""
        homes = sorted(p.parent for p in self.folder.glob("logs/*/vkey"))
        return {
            "name": self.cosigner.name,
            "vkey": self.cosigner.vkey(),
            "logs": [self._seen(home) for home in homes],
        }

    def _seen(self, home: Path) -> dict[str, Any]:
        vkey = (_read(home / "vkey") or "").strip()
        text = _read(home / "checkpoint")
        note = None if text is None else read_note(text)
        at = None if note is None else self.cosigner.opened(note)
        return {
            "origin": parse_verifier_key(vkey)[0],
            "vkey": vkey,
            "size": None if note is None else note.checkpoint().size,
            "root": None if note is None else note.checkpoint().root.hex(),
            "cosigned_at": None if at is None else iso(at * MICROSECONDS),
            "refused": sorted(p.name for p in home.glob("refused/*")),
        }


def create(folder: Path, name: str, randomness: Randomness) -> Cosigner:
    """Make a witness called ``name`` in ``folder``: its key and an empty list of logs. Raises UsageError, WorkspaceError."""
    check_cosigner_name(name)
    if (folder / "witness.vkey").exists():
        raise UsageError(f"{folder} is a witness already", f"see it with: affidavit witness show {folder}")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "logs").mkdir(mode=0o700, exist_ok=True)
        secret = randomness.token(KEY_BYTES)
        public = Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
        cosigner = Cosigner(name, public)
        _write(folder / "witness.key", secret)  # first: a witness is finished once its vkey is there
        _write(folder / "witness.vkey", cosigner.vkey() + "\n")
    except OSError as error:
        raise WorkspaceError(
            f"{folder} cannot be made: {error.strerror}", "check the path and its permissions"
        ) from error
    return cosigner


def _submission(body: bytes) -> Submission:
    """Parse a request. Raises _RefusalError(400)."""
    if len(body) > LARGEST_REQUEST:
        raise _RefusalError(400, "the request is too large")
    try:
        head, blank, raw = body.decode("utf-8").partition("\n\n")
        lines = head.split("\n")
        old, proof = _old_size(lines[0]), tuple(_hash(line) for line in lines[1 : LONGEST_PROOF + 1])
        note = read_note(raw)
        checkpoint = note.checkpoint()
    except UnicodeDecodeError as error:
        raise _RefusalError(400, "the request is malformed: it is not UTF-8") from error
    except (NoteError, binascii.Error) as error:
        raise _RefusalError(400, f"the request is malformed: {error}") from error
    if not blank or len(lines) - 1 > LONGEST_PROOF:
        raise _RefusalError(
            400, f"the request is malformed: at most {LONGEST_PROOF} hashes and an empty line"
        )
    return Submission(old, proof, note, raw, checkpoint)


def _old_size(line: str) -> int:
    match = _OLD.fullmatch(line)
    if match is None:
        raise NoteError("it does not begin with an old size")
    return int(match[1])


def _hash(line: str) -> bytes:
    raw = base64.b64decode(line, validate=True)
    if len(raw) != HASH_BYTES:
        raise NoteError("the proof holds something that is not a hash")
    return raw


def _own_line(note: Note, vkey: str) -> str:
    """The log's own signature line, without whatever other lines came along; the caller has checked that there is one."""
    name, public = parse_verifier_key(vkey)
    own = next(s for s in note.signatures if s[:2] == (name, key_id(name, public)))
    return f"— {name} {base64.b64encode(own[1] + own[2]).decode()}\n"


def _head(home: Path) -> tuple[int, bytes]:
    """The size and root that were cosigned last; those of the empty log before that."""
    text = _read(home / "checkpoint")
    if text is None:
        return 0, EMPTY_ROOT
    checkpoint = read_note(text).checkpoint()
    return checkpoint.size, checkpoint.root


def _keep_evidence(home: Path, kind: str, note: str) -> None:
    """Keep a checkpoint that the log's key signed and that was refused: each once, and at most so many."""
    folder = home / "refused"
    folder.mkdir(mode=0o700, exist_ok=True)
    there = sorted(folder.iterdir())
    if len(there) < _MOST_EVIDENCE and all(_read(path) != note for path in there):
        _write(folder / f"{len(there) + 1:04d}-{kind}", note)


def _origin_hash(origin: str) -> str:
    return hashlib.sha256(origin.encode()).hexdigest()


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """One writer a log, over threads and processes; the lock goes with the process that held it."""
    with (home / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _write(path: Path, content: str | bytes) -> None:
    """Replace ``path``, durably and whole: after a crash it holds the old content or the new one."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    _make_durable(path.parent)


def _make_durable(path: Path) -> None:
    """That names made in the folder ``path`` survive a crash."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
