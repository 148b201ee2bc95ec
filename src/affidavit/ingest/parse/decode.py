"""Bytes to text, strictly: a file that is not what it says is an error, never a guess."""

from __future__ import annotations

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE

from affidavit.domain.errors import ParseError

_SAVE_AS = "Save the file as UTF-8 and sync again."


def decode(data: bytes) -> str:
    """The text of a file: UTF-8 (a byte order mark is removed), or UTF-16 if it begins with its mark.

    Line ends are kept as they are, since offsets point into the real text. Raises ParseError for bytes that are not
    in that encoding (naming the offset of the first bad byte in the file) and for NUL characters.
    """
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        text = _strict(data, "utf-16", 0)
    elif data.startswith(BOM_UTF8):
        text = _strict(data[len(BOM_UTF8) :], "utf-8", len(BOM_UTF8))
    else:
        text = _strict(data, "utf-8", 0)
    if "\0" in text:
        raise ParseError(
            f"binary: there is a NUL character at character {text.index(chr(0))}.",
            "This is not a text file. If it is one, " + _SAVE_AS[0].lower() + _SAVE_AS[1:],
        )
    return text


def _strict(data: bytes, encoding: str, skipped: int) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as fault:
        # The utf-16 codec counts from after the mark it consumed; the utf-8 one from the bytes it was given.
        at = fault.start + skipped
        raise ParseError(f"not valid {encoding.upper()}: byte {at} cannot be decoded.", _SAVE_AS) from fault
