"""Text that a person does not see or read as it is: invisible characters, letters of another alphabet, encoded blobs,
comments."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

Hidden = tuple[int, int, str, str]
"""(start, end, reason, what the place says when it is read, "" if it says nothing)."""

_TAGS = re.compile("[\U000e0000-\U000e007f]{4,}+")
_FLAG = "\U0001f3f4"
"""A waving black flag with a few tag characters behind it is the flag of a region (UTS #51)."""
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
_SPLIT = re.compile("(?<=[A-Za-z])[\u200b-\u200d\u2060-\u2064\ufeff\u00ad]{1,64}+(?=[A-Za-z])")
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}+")
_FOREIGN = re.compile("[а-яѐ-џѕіјһӏԁԛԝα-ωΑ-ΩА-ЯϲЅІЈ]")
_WORD = re.compile("[A-Za-zа-яѐ-џѕіјһӏԁԛԝα-ωΑ-ΩА-ЯϲЅІЈ]{4,64}+")
_LATIN = re.compile("[A-Za-z]")
_MOST_SPLITS = 3
_BLOB = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{24,8192}+={0,2}")
_HEX = re.compile(r"\A(?:[0-9a-fA-F]{2}){12,}\Z")
_MOST_BLOBS = 200
_READABLE = 0.9


def invisible(text: str) -> Iterator[Hidden]:
    """Characters without a shape that carry or hide something: tags, overrides of direction, splits inside words, runs
    of selectors."""
    if text.isascii():
        return
    for match in _TAGS.finditer(text):
        if text[match.start() - 1 : match.start()] != _FLAG:
            said = "".join(chr(ord(c) - 0xE0000) for c in match.group() if 0xE0020 <= ord(c) < 0xE007F)
            yield *match.span(), "invisible tag characters", said
    for match in _SELECTORS.finditer(text):
        yield *match.span(), "a run of variation selectors", ""
    turned = _BIDI.search(text)
    if turned is not None:
        yield *turned.span(), "the direction of the text is overridden", ""
    splits = list(_some(_SPLIT.finditer(text), _MOST_SPLITS))
    if len(splits) == _MOST_SPLITS:
        yield splits[0].start(), splits[-1].end(), "invisible characters inside words", ""


def mixed(text: str) -> Iterator[Hidden]:
    """Words of Latin letters with Cyrillic or Greek ones among them."""
    if text.isascii() or _FOREIGN.search(text) is None:
        return
    for match in _WORD.finditer(text):
        word = match.group()
        if not word.isascii() and len(_LATIN.findall(word)) >= 2 and _FOREIGN.search(word):
            yield *match.span(), "letters of two alphabets in one word", ""


def comments(text: str) -> Iterator[Hidden]:
    """HTML comments, also one that is not closed, with what they say."""
    at = text.find("<!--")
    while at >= 0:
        end = text.find("-->", at + 4)
        stop = len(text) if end < 0 else end + 3
        yield at, stop, "an HTML comment", text[at + 4 : stop if end < 0 else end]
        at = text.find("<!--", stop)


def blobs(text: str) -> Iterator[Hidden]:
    """Words in base64 or hexadecimal that decode to readable text, with that text."""
    for match in _some(_BLOB.finditer(text), _MOST_BLOBS):
        said = _decoded(match.group())
        if said:
            yield *match.span(), "text in base64 or hexadecimal", said


def _decoded(word: str) -> str:
    try:
        raw = bytes.fromhex(word) if _HEX.match(word) else _base64(word)
    except (ValueError, binascii.Error):
        return ""
    readable = sum(32 <= b < 127 or b in (9, 10, 13) for b in raw)
    return raw.decode("ascii", "replace") if raw and readable / len(raw) >= _READABLE else ""


def _base64(word: str) -> bytes:
    plain = word.rstrip("=").replace("-", "+").replace("_", "/")
    plain = plain[: len(plain) // 4 * 4]
    return base64.b64decode(plain, validate=True)


def _some(matches: Iterator[re.Match[str]], most: int) -> Iterator[re.Match[str]]:
    for _, match in zip(range(most), matches, strict=False):
        yield match
