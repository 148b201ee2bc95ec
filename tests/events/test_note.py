"""Signed notes: the C2SP example, and that nothing else passes."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from affidavit.domain.errors import LogDamagedError
from affidavit.events.note import Checkpoint, open_note, parse_verifier_key, sign, verifier_key

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()
NAME = "affidavit/test"
NOTE = sign(Checkpoint(NAME, 7, b"r" * 32), NAME, KEY, PUBLIC)
VERIFIER = verifier_key(NAME, PUBLIC)

# The example of golang.org/x/mod/sumdb/note, which the C2SP signed-note specification describes.
GO_VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
)
GO_SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="


def test_round_trip() -> None:
    assert open_note(NOTE, VERIFIER) == Checkpoint(NAME, 7, b"r" * 32)
    assert NOTE.startswith(f"{NAME}\n7\n{base64.b64encode(b'r' * 32).decode()}\n\n— {NAME} ")


def test_the_published_example_has_our_key_id_and_verifies() -> None:
    name, public = parse_verifier_key(GO_VERIFIER)
    assert verifier_key(name, public) == GO_VERIFIER
    # the text is not a checkpoint, so it verifies and is then refused for its form
    with pytest.raises(LogDamagedError, match="a checkpoint is malformed"):
        open_note(f"{GO_TEXT}\n— {name} {GO_SIGNATURE}\n", GO_VERIFIER)
    with pytest.raises(LogDamagedError, match="does not verify"):
        open_note(f"{GO_TEXT.replace('think', 'thank')}\n— {name} {GO_SIGNATURE}\n", GO_VERIFIER)


@given(st.integers(0, len(NOTE) - 1), st.characters())
def test_no_changed_note_passes_as_another_checkpoint(at: int, character: str) -> None:
    changed = NOTE[:at] + character + NOTE[at + 1 :]
    try:
        opened = open_note(changed, VERIFIER)
    except (LogDamagedError, UnicodeEncodeError):
        return
    assert opened == open_note(NOTE, VERIFIER)  # an unsigned part: nothing that was signed changed


def test_another_key_is_refused() -> None:
    other = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
    forged = sign(Checkpoint(NAME, 7, b"r" * 32), NAME, other, other.public_key().public_bytes_raw())
    with pytest.raises(LogDamagedError, match="not signed by"):
        open_note(forged, VERIFIER)


@pytest.mark.parametrize(
    "text", ["", "a+b", "a+00000000+AAAA", VERIFIER[:-2], VERIFIER.replace("+", "+0", 1)]
)
def test_malformed_keys(text: str) -> None:
    with pytest.raises(LogDamagedError):
        parse_verifier_key(text)
