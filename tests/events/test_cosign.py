"""Cosignatures: exactly what the specification signs, and nothing else passes."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from affidavit.domain.errors import UsageError
from affidavit.events.cosign import (
    Cosigner,
    NoteError,
    check_cosigner_name,
    cosign,
    parse_cosigner,
    read_note,
)
from affidavit.events.note import Checkpoint
from affidavit.testing.signed_log import SignedLog

KEY = Ed25519PrivateKey.from_private_bytes(b"w" * 32)
COSIGNER = Cosigner("witness.example/bob", KEY.public_key().public_bytes_raw())
LOG = SignedLog()
NOTE = LOG.note(7)
AT = 1_679_315_147
LINE = cosign(read_note(NOTE).text, COSIGNER, KEY, AT)

# The example of c2sp.org/tlog-cosignature; its keys are not published, its form is.
EXAMPLE = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
"""


def test_it_is_what_the_specification_says_byte_for_byte() -> None:
    raw = base64.b64decode(LINE.split(" ")[2])
    key_id = hashlib.sha256(b"witness.example/bob\n\x04" + COSIGNER.public).digest()[:4]
    assert raw[:4] == key_id
    assert raw[4:12] == AT.to_bytes(8, "big")
    signed = f"cosignature/v1\ntime {AT}\n" + NOTE.split("\n\n")[0] + "\n"
    KEY.public_key().verify(raw[12:], signed.encode())
    assert LINE.startswith("— witness.example/bob ")
    assert LINE.endswith("\n")


def test_it_opens_and_vouches_for_nothing_else() -> None:
    assert COSIGNER.opened(read_note(NOTE + LINE)) == AT
    assert COSIGNER.opened(read_note(NOTE)) is None
    assert COSIGNER.opened(read_note(LOG.note(8) + LINE)) is None
    other = Cosigner("witness.example/eve", COSIGNER.public)
    assert other.opened(read_note(NOTE + LINE)) is None
    newer = cosign(read_note(NOTE).text, COSIGNER, KEY, AT + 60)
    assert COSIGNER.opened(read_note(NOTE + newer + LINE)) == AT + 60


@given(st.integers(0, 75), st.integers(1, 255))
def test_no_changed_cosignature_passes(at: int, change: int) -> None:
    raw = bytearray(base64.b64decode(LINE.split(" ")[2]))
    raw[at] ^= change
    line = f"— {COSIGNER.name} {base64.b64encode(bytes(raw)).decode()}\n"
    assert COSIGNER.opened(read_note(NOTE + line)) is None


def test_the_published_example_is_of_our_form() -> None:
    note = read_note(EXAMPLE)
    assert note.checkpoint().size == 20852163
    assert [name for name, _, _ in note.signatures] == [
        "example.com/behind-the-sofa",
        "witness.example.com/w1",
    ]
    raw = note.signatures[1][2]
    assert int.from_bytes(raw[:8], "big") == 1_679_315_147
    assert len(raw) == 72


def test_keys_go_round() -> None:
    assert parse_cosigner(COSIGNER.vkey() + "\n") == COSIGNER


@pytest.mark.parametrize(
    "text", ["", "a+b", COSIGNER.vkey()[:-4], LOG.vkey(), COSIGNER.vkey().replace("bob", "eve"), "a+b+é"]
)
def test_what_is_no_key_of_a_witness(text: str) -> None:
    with pytest.raises(UsageError):
        parse_cosigner(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u2028b", "x" * 201, "a\u202eb"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        check_cosigner_name(name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        NOTE[:-1],
        NOTE.replace("\n\n", "\n"),
        NOTE.replace("\n7\n", "\n07\n"),
        NOTE.replace("\n7\n", "\n-7\n"),
        NOTE.replace("\n7\n", "\n٧\n"),
        NOTE.replace("\n7\n", "\n99999999999999999999\n"),
        NOTE.replace("\n7\n", "\n9223372036854775807\n"),
        NOTE.replace("\n7\n", "\n\n7\n"),
        NOTE.replace("\n", "\r\n"),
        NOTE + "garbage\n",
        NOTE + "— no signature\n",
        NOTE + "— x AAAA\n",
        NOTE + "\n",
        NOTE.replace("= ", " ").replace("=\n\n", "\n\n"),
        LOG.signed(Checkpoint("", 7, b"r" * 32)),
        LOG.signed(Checkpoint("affidavit/test", 7, b"r" * 31)),
        NOTE + "x" * 70_000,
    ],
)
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(NoteError):
        read_note(text).checkpoint()
