"""Text as an English pattern should see it: look-alike letters made plain, invisible characters gone, lower case if asked.

What is found in folded text is told as offsets into the text as it was given. The look-alikes are the letters of UTS #39
(confusables) that people do swap in: Cyrillic, Greek, full width, mathematical, small capitals; and accents are dropped.
"""

from __future__ import annotations

import unicodedata
from array import array
from collections.abc import Mapping
from itertools import compress, count

_LOOKS = {
    character: plain.upper() if character.isupper() else plain
    for plain, characters in {
        "a": "аαɑᴀАΑ", "b": "ЬьβʙВΒ", "c": "сϲᴄСϹ", "d": "ԁᴅԀ", "e": "еёεᴇЕΕЁ", "f": "ꜰϝ", "g": "ɡɢԌ", "h": "һʜНΗҺ", "i":
        "іıιɪІΙӏ",
        "j": "јϳᴊЈ", "k": "кκᴋКΚ", "l": "ꞌʟⅼℓӀ", "m": "мᴍМΜ", "n": "пηɴΝ", "o": "оοσᴏОΟ", "p": "рρᴘРΡ", "q": "ԛԚ", "r": "гʀ",
        "s": "ѕꜱЅ", "t": "тτᴛТΤ", "u": "υᴜ", "v": "νᴠѵ", "w": "ԝωᴡԜ", "x": "хχХΧ", "y": "уγʏУΥҮү", "z": "ζᴢΖ",
        "'": "’‘ʼ", '"': "“”„", "-": "‐‑‒–—−",
    }.items()
    for character in characters
}  # fmt: skip
_SCRIPTS = ((0x2E80, 0xFDFF), (0x1B000, 0x1CFFF), (0x20000, 0xDFFFF))
"""Chinese, Japanese, Korean and their like: nothing there is taken for a Latin letter."""
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0")
"""Letters that are blank."""
_INVISIBLE = frozenset(("Cf", "Mn", "Me"))


def _plain(character: str) -> str | None:
    """What ``character`` is folded to; None deletes it."""
    if character in _LOOKS:
        return _LOOKS[character]
    if unicodedata.category(character) in _INVISIBLE or character in _FILLERS:
        return None
    if any(low <= ord(character) <= high for low, high in _SCRIPTS):
        return character
    decomposed = unicodedata.normalize("NFKD", character)
    base = decomposed[0]
    if base in _LOOKS:
        return _LOOKS[base]
    return base if base.isascii() and (base.isalnum() or len(decomposed) == 1) else character


class Folded:
    """``text`` is the folded form; ``span`` leads back to the text it was made of."""

    def __init__(self, source: str, *, lower: bool = True) -> None:
        self._source = source
        self._table: Mapping[int, str | None] = {}
        self._offsets: array[int] | None = None
        plain = source
        if not source.isascii():
            self._table = {ord(c): _plain(c) for c in set(source) if c >= "\x80"}
            plain = source.translate(self._table)
        small = plain.lower() if lower else plain
        self.text = small if len(small) == len(plain) else plain

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where ``text[start:end]`` stands in the source."""
        if len(self.text) == len(self._source):
            return start, end
        if self._offsets is None:
            kept = (self._table.get(ord(c), "") is not None for c in self._source)
            self._offsets = array("L", compress(count(), kept))
        last = self._offsets[end - 1] + 1 if end > start else self._offsets[start]
        return self._offsets[start], last
