"""Cosignatures: a second party's dated signature under a checkpoint (C2SP ``tlog-cosignature``, ``cosignature/v1``).

https://c2sp.org/tlog-cosignature and https://c2sp.org/signed-note. Ed25519 rather than the ML-DSA-44 that the text now
prefers for new deployments: logs here are signed with Ed25519 too, and one kind of key is enough to keep safe.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from affidavit.domain.errors import UsageError
from affidavit.events.merkle import HASH_BYTES
from affidavit.events.note import Checkpoint

COSIGNATURE = b"\x04"
"""The signature type of a timestamped Ed25519 cosignature."""
LARGEST_SIZE = 2**62
"""More events than any log can have: positions stay below it everywhere."""
_LONGEST_NOTE = 64_000
_ID_BYTES, _TIME_BYTES, _SIGNATURE_BYTES = 4, 8, 64
_NAME = re.compile(r"[^\s+\x00-\x20\x7f]{1,200}")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")
_SIGNATURE = re.compile(r"— (?P<name>[^\s+]+) (?P<packed>[A-Za-z0-9+/]+={0,2})")


class NoteError(ValueError):
    """A text is not a signed note, or not a checkpoint, of the form the specification gives."""


@dataclass(frozen=True)
class Note:
    """A signed note taken apart: its text with the last newline, and (name, key id, signature) of each line below."""

    text: str
    signatures: tuple[tuple[str, bytes, bytes], ...]

    @property
    def origin(self) -> str:
        """The first line: which log this is of."""
        return self.text.split("\n", 1)[0]

    def checkpoint(self) -> Checkpoint:
        """The tree head that the text states, extension lines ignored. Raises NoteError."""
        lines = self.text.split("\n")
        if len(lines) < 4 or not lines[0] or not _DECIMAL.fullmatch(lines[1]):
            raise NoteError("it does not state an origin, a size and a root")
        size, root = int(lines[1]), _unpacked(lines[2])
        if size >= LARGEST_SIZE or len(root) != HASH_BYTES:
            raise NoteError("its size or root is beyond what a log can have")
        return Checkpoint(lines[0], size, root)


def read_note(note: str) -> Note:
    """Take a signed note apart; no signature is checked. Raises NoteError."""
    if len(note) > _LONGEST_NOTE or any(ord(c) < 0x20 and c != "\n" for c in note):
        raise NoteError("it is too long or holds control characters")
    text, blank, below = note.rpartition("\n\n")
    if not blank or not text or not below.endswith("\n"):
        raise NoteError("it has no text, empty line and signatures")
    if "\n\n" in text:  # a checkpoint has no empty lines, and where its text ends must never be in doubt
        raise NoteError("it has more than one empty line")
    signatures = []
    for line in below[:-1].split("\n"):
        match = _SIGNATURE.fullmatch(line)
        if match is None:
            raise NoteError("it has a signature line of another form")
        raw = _unpacked(match["packed"])
        if len(raw) <= _ID_BYTES:
            raise NoteError("it has a signature that is too short")
        signatures.append((match["name"], raw[:_ID_BYTES], raw[_ID_BYTES:]))
    return Note(text + "\n", tuple(signatures))


def _unpacked(text: str) -> bytes:
    """Base64 in its one canonical form. Raises NoteError."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise NoteError("it holds something that is not base64") from error
    if base64.b64encode(raw).decode() != text:
        raise NoteError("it holds base64 that is not canonical")
    return raw


@dataclass(frozen=True)
class Cosigner:
    """Who cosigns: a name and an Ed25519 public key."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The first four bytes of SHA-256(name ‖ LF ‖ 0x04 ‖ key)."""
        return hashlib.sha256(self.name.encode() + b"\n" + COSIGNATURE + self.public).digest()[:_ID_BYTES]

    def vkey(self) -> str:
        """``NAME+HEXID+BASE64(0x04 ‖ key)``."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(COSIGNATURE + self.public).decode()}"

    def opened(self, note: Note) -> int | None:
        """When this party cosigned ``note``, in seconds since 1970 UTC; None if it did not, or the signature is false.

        Of several the newest counts.
        """
        times = [self._time(note.text, raw) for name, id, raw in note.signatures if self._made(name, id)]
        return max((t for t in times if t is not None), default=None)

    def _made(self, name: str, key_id: bytes) -> bool:
        return name == self.name and key_id == self.key_id

    def _time(self, text: str, raw: bytes) -> int | None:
        if len(raw) != _TIME_BYTES + _SIGNATURE_BYTES:
            return None
        at = int.from_bytes(raw[:_TIME_BYTES], "big")
        if not 0 < at < 2**63:
            return None
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(raw[_TIME_BYTES:], _message(text, at))
        except InvalidSignature:
            return None
        return at


def check_cosigner_name(name: str) -> str:
    """``name`` if a key may be called that: no white space, no plus sign. Raises UsageError."""
    if not _NAME.fullmatch(name) or not name.isprintable():
        raise UsageError(
            f"{name!r} cannot be a witness's name",
            "choose a name without spaces and plus signs, for example witness.example/bob",
        )
    return name


def parse_cosigner(text: str) -> Cosigner:
    """The inverse of ``Cosigner.vkey``. Raises UsageError."""
    try:
        name, key_id, packed = text.strip().split("+", 2)
        raw = _unpacked(packed)
        cosigner = Cosigner(check_cosigner_name(name), raw[1:])
        sound = raw[:1] == COSIGNATURE and len(raw) == 33 and cosigner.key_id.hex() == key_id
    except (ValueError, NoteError):
        sound = False
    if not sound:
        raise UsageError(
            "this is not a witness's public key",
            "paste the line NAME+ID+KEY that `affidavit witness init` and `witness show` print",
        )
    return cosigner


def _message(text: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def cosign(text: str, cosigner: Cosigner, key: Ed25519PrivateKey, at: int) -> str:
    """The signature line, with its newline, that ``cosigner`` puts under a checkpoint's ``text`` at ``at`` (seconds)."""
    raw = cosigner.key_id + at.to_bytes(_TIME_BYTES, "big") + key.sign(_message(text, at))
    return f"— {cosigner.name} {base64.b64encode(raw).decode()}\n"
