"""Bytes to text: strict, with the place of the fault."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.domain.errors import ParseError
from affidavit.ingest.parse.decode import decode


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_round_trip(text: str) -> None:
    assert decode(b"\xef\xbb\xbf" + text.encode()) == text
    assert decode(text.encode()) == text.removeprefix("\ufeff")
    assert decode(text.encode("utf-16")) == text
    assert decode(b"\xfe\xff" + text.encode("utf-16-be")) == text


def test_line_ends_are_kept() -> None:
    assert decode(b"a\r\nb\rc\n") == "a\r\nb\rc\n"


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        (b"ab\xffc", 2),
        (b"\xef\xbb\xbfab\xff", 5),
        (b"\xff\xfea\x00\x00\xd8", 4),
        ("é".encode("latin-1") * 3, 0),
    ],
)
def test_the_first_bad_byte_is_named(data: bytes, offset: int) -> None:
    with pytest.raises(ParseError, match=f"byte {offset} ") as caught:
        decode(data)
    assert "UTF-8" in caught.value.hint


@pytest.mark.parametrize("data", [b"MZ\x00\x01", b"\xff\xfe\x00\x00a\x00\x00\x00"])
def test_nul_is_binary(data: bytes) -> None:
    with pytest.raises(ParseError, match="binary"):
        decode(data)
