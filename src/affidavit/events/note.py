"""Signed checkpoints: the C2SP ``tlog-checkpoint`` text inside a C2SP ``signed-note`` with Ed25519.

https://c2sp.org/tlog-checkpoint and https://c2sp.org/signed-note
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from affidavit.domain.errors import LogDamagedError

_ALGORITHM = b"\x01"  # Ed25519


@dataclass(frozen=True)
class Checkpoint:
    """A tree head: which log, how many leaves, which root."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The note's text, ending in a newline."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def _damaged(what: str) -> LogDamagedError:
    return LogDamagedError(
        what, "the log's checkpoints or key were changed; restore the workspace from a backup"
    )


def key_id(name: str, public: bytes) -> bytes:
    """The first four bytes of SHA-256(name ‖ LF ‖ 0x01 ‖ key)."""
    return hashlib.sha256(name.encode() + b"\n" + _ALGORITHM + public).digest()[:4]


def verifier_key(name: str, public: bytes) -> str:
    """``NAME+HEXID+BASE64(0x01 ‖ key)``, the signed-note form of a public key."""
    return f"{name}+{key_id(name, public).hex()}+{base64.b64encode(_ALGORITHM + public).decode()}"


def parse_verifier_key(text: str) -> tuple[str, bytes]:
    """(name, public key). Raises LogDamagedError."""
    try:
        name, id_hex, packed = text.split("+", 2)
        raw = base64.b64decode(packed, validate=True)
    except (ValueError, binascii.Error) as error:
        raise _damaged("the log's public key is malformed") from error
    if raw[:1] != _ALGORITHM or len(raw) != 33 or key_id(name, raw[1:]).hex() != id_hex:
        raise _damaged("the log's public key is malformed")
    return name, raw[1:]


def sign(checkpoint: Checkpoint, name: str, key: Ed25519PrivateKey, public: bytes) -> str:
    """The signed note."""
    return sign_text(checkpoint.text(), name, key, public)


def sign_text(text: str, name: str, key: Ed25519PrivateKey, public: bytes) -> str:
    """``text`` (lines, each ending in a newline) as a note signed by ``key``."""
    signature = key_id(name, public) + key.sign(text.encode())
    return f"{text}\n— {name} {base64.b64encode(signature).decode()}\n"


def open_note(note: str, verifier: str) -> Checkpoint:
    """The checkpoint in ``note`` if the key ``verifier`` signed it. Raises LogDamagedError otherwise."""
    name, public = parse_verifier_key(verifier)
    text, blank, signatures = note.partition("\n\n")
    if not blank:
        raise _damaged("a checkpoint is malformed: it has no signature part")
    text += "\n"
    for line in signatures.splitlines():
        dash, _, rest = line.partition(" ")
        signer, _, packed = rest.partition(" ")
        if dash == "—" and signer == name:
            raw = _decode(packed)
            if raw[:4] == key_id(name, public):
                _check(public, raw[4:], text)
                return _parse(text)
    raise _damaged("a checkpoint is not signed by the log's key")


def _decode(packed: str) -> bytes:
    try:
        return base64.b64decode(packed, validate=True)
    except (ValueError, binascii.Error) as error:
        raise _damaged("a checkpoint's signature is malformed") from error


def _check(public: bytes, signature: bytes, text: str) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, text.encode())
    except InvalidSignature as error:
        raise _damaged("a checkpoint's signature does not verify") from error


def _parse(text: str) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) < 4 or not lines[1].isdecimal() or lines[1] != str(int(lines[1])):
        raise _damaged("a checkpoint is malformed")
    return Checkpoint(lines[0], int(lines[1]), _decode(lines[2]))
