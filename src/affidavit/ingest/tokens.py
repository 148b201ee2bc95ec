"""How many WordPiece tokens a text has at most, without a tokenizer, so that chunks do not depend on the embedder.

A word's cost depends on its length and look only, in hundredths of a token. The rates were fitted on the sums over
passages of 100 to 250 tokens: single words may cost more than estimated, passages practically never do.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from affidavit.text.analyze import STOPWORDS

# What BERT's pre-tokenizer cuts at: white space, and each punctuation mark alone ("_" is one). A mark that is glued to the
# front of a word stays with it here: words inside addresses and identifiers are rarer, so they cost more.
_TOKEN = re.compile(r"[-/@_.=&#:%+]?[^\W_]+|[^\w\s]|_")
_WORD = re.compile(r"[a-zA-Z]+")
# Decomposed by the tokenizer into up to three letters, a token each.
_HANGUL = re.compile(r"[\uac00-\ud7af]")

_SAMPLE = 20_000
_ENGLISH_SHARE = 0.15
_MOST_REMEMBERED = 50_000


class _Costs(dict[str, int]):
    """Costs of words by spelling, worked out once."""

    def __init__(self, *, english: bool) -> None:
        super().__init__()
        self._english = english

    def __missing__(self, token: str) -> int:
        if len(self) >= _MOST_REMEMBERED:
            self.clear()
        cost = self[token] = _cost(token, english=self._english)
        return cost

    def of(self, text: str) -> int:
        """Hundredths of a token. Additive over stretches that white space separates."""
        return sum(map(self.__getitem__, _TOKEN.findall(text)))


def _cost(token: str, *, english: bool) -> int:
    glued = len(token) > 1 and not token[0].isalnum()
    if glued:
        return 100 + _word_cost(token[1:], english=english, glued=True)
    return _word_cost(token, english=english, glued=False)


def _word_cost(word: str, *, english: bool, glued: bool) -> int:
    """Never more than 100 a character: no piece is shorter (Hangul apart)."""
    length = len(word)
    if not word.isascii():
        return 100 * length + 200 * len(_HANGUL.findall(word))
    if word.isdigit():
        fitted = (0, 100, 106, 195, 195)[length] if length < 5 else 85 * length
    elif not word.isalpha() or not (word.islower() or word.istitle() or word.isupper()):
        fitted = 135 + 63 * length  # camelCase, hashes, part numbers
    elif word.lower() in STOPWORDS:
        fitted = 100
    elif not english:
        fitted = 60 + 34 * length
    elif glued:
        fitted = 265 + 20 * max(length - 9, 0) + 40 * max(length - 12, 0)
    elif word.isupper() and length <= 5:
        fitted = 160 + 24 * length
    elif word.islower():
        fitted = 118 + 6 * max(length - 3, 0) + 4 * max(length - 8, 0) + 110 * max(length - 12, 0)
    else:
        fitted = 138 + 7 * max(length - 3, 0) + 20 * max(length - 8, 0) + 48 * max(length - 12, 0)
    return min(fitted, 100 * length)


_ENGLISH_COSTS = _Costs(english=True)
_OTHER_COSTS = _Costs(english=False)


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
