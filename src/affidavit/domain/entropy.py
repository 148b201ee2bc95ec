"""Generic secrets: words that look random, by Shannon entropy and by what stands before them.

A word counts if it mixes upper case, lower case and digits, is at least 20 characters long and has at least 3.6 bits per
character, and something like ``token=`` stands shortly before it; without that, from 32 characters and 4.4 bits on, less surely.
Digests in hexadecimal, UUIDs, paths and words inside addresses do not count by themselves.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from math import log2

_WORD = re.compile(r"(?<![A-Za-z0-9+/_=.-])[A-Za-z0-9+/_-]{20,512}+={0,2}(?![A-Za-z0-9+/_=-])")
_NAMED = re.compile(
    r"(?:key|token|secret|passw(?:or)?d|passphrase|pwd|credentials?|auth|bearer|signature|salt)\b[\"']?\s{0,3}(?:is|[:=]|=>)?\s{0,3}[\"'`]?\Z",
    re.I,
)
_BEFORE = 40
_MIXED = tuple(re.compile(p) for p in ("[a-z]", "[A-Z]", "[0-9]"))
_NAMED_BITS, _BARE_BITS, _BARE_LENGTH = 3.6, 4.4, 32


def bits(word: str) -> float:
    """Shannon entropy in bits per character."""
    size = len(word)
    return -sum(n / size * log2(n / size) for n in Counter(word).values())


def random_words(text: str) -> Iterator[tuple[int, int, bool]]:
    """(start, end, whether its name stands before it) of words that look like secrets."""
    for match in _WORD.finditer(text):
        start, end = match.span()
        word = match.group()[:128]
        if len(set(word)) < 10 or not all(p.search(word) for p in _MIXED) or word.count("/") > 2:
            continue
        if text[max(0, start - 1) : start] in ("/", "?", "&", "#", "@"):
            continue
        named = _NAMED.search(text[max(0, start - _BEFORE) : start]) is not None
        if bits(word) >= _NAMED_BITS if named else len(word) >= _BARE_LENGTH and bits(word) >= _BARE_BITS:
            yield start, end, named
