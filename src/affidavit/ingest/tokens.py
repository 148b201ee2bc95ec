"""How many WordPiece tokens a text has at most, without a tokenizer, so that chunks do not depend on the embedder.

A word's cost depends on its length and look only, in hundredths of a token. The rates were fitted on the sums over
passages of 100 to 250 tokens: single words may cost more than estimated, passages practically never do.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from affidavit.text.analyze import STOPWORDS

# What BERT's pre-tokenizer cuts at: white space, and each punctuation mark alone ("_" is one).
_TOKEN = re.compile(r"[^\W_]+|[^\w\s]|_")
_WORD = re.compile(r"[a-zA-Z]+")
# Decomposed by the tokenizer into up to three letters, a token each.
_HANGUL = re.compile(r"[\uac00-\ud7af]")

_SAMPLE = 20_000
_ENGLISH_SHARE = 0.15
_MOST_REMEMBERED = 50_000

# Cost of an ordinary word (lower case, Capitalised, or long UPPER) by its length in an English text …
_ENGLISH = (0, 100, 105, 106, 114, 116, 128, 130, 134, 152, 170, 195, 200, 210, 240, 320, 340, 560, 600)
# … and in any other: names, other languages, tables of codes.
_OTHER = (0, 100, 110, 125, 150, 180, 210, 240, 280, 320, 360, 400, 440, 480, 520, 560, 600, 640, 680)
_DIGITS = (0, 100, 100, 145, 195, 285, 340)
_ACRONYM = (0, 100, 125, 195, 205, 210)


class _Costs(dict[str, int]):
    """Costs of words by spelling, worked out once."""

    def __init__(self, ordinary: tuple[int, ...]) -> None:
        super().__init__()
        self._ordinary = ordinary

    def __missing__(self, word: str) -> int:
        if len(self) >= _MOST_REMEMBERED:
            self.clear()
        cost = self[word] = _cost(word, self._ordinary)
        return cost

    def of(self, text: str) -> int:
        """Hundredths of a token. Additive over stretches that white space separates."""
        return sum(map(self.__getitem__, _TOKEN.findall(text)))


def _cost(word: str, ordinary: tuple[int, ...]) -> int:
    length = len(word)
    if length == 1 and not _HANGUL.match(word):
        return 100
    if not word.isascii():
        return 100 * length + 200 * len(_HANGUL.findall(word))
    if word.isdigit():
        return _DIGITS[length] if length < len(_DIGITS) else 62 * length
    if word.isalpha() and (word.islower() or word.istitle() or word.isupper()):
        if word.isupper() and length < len(_ACRONYM):
            return _ACRONYM[length]
        return ordinary[length] if length < len(ordinary) else 70 * length
    return 50 + 58 * length  # camelCase, hashes, part numbers


_ENGLISH_COSTS = _Costs(_ENGLISH)
_OTHER_COSTS = _Costs(_OTHER)


def costs_for(document: str) -> Callable[[str], int]:
    """The measure (hundredths of a token) for stretches of ``document``: one for English prose, a wider one for all else."""
    words = _WORD.findall(document, 0, _SAMPLE)
    known = sum(word.lower() in STOPWORDS for word in words)
    english = bool(words) and known >= _ENGLISH_SHARE * len(words)
    return _ENGLISH_COSTS.of if english else _OTHER_COSTS.of


def estimate_tokens(text: str, document: str | None = None) -> int:
    """About how many WordPiece tokens ``text`` has, rather too many than too few, without the special ones at both ends.

    ``document`` is what the text is a part of: it says whether this is English prose.
    """
    return -(-costs_for(text if document is None else document)(text) // 100)
