"""Words of a text, as keyword search sees them.

Words are case-folded and stemmed (Snowball English, M. F. Porter). Identifiers (``ERR-4032``, ``foo_bar``,
``billing.invoice``, ``OPS-1182``) are kept whole *and* split, so either way of asking finds them.
"""

from __future__ import annotations

import re
import threading
import unicodedata

import Stemmer

# A run of word characters, possibly joined by single - _ . / : @ # + ' between word characters.
_RUN = re.compile(r"\w+(?:[-_.:/@#+'’]\w+)*", re.UNICODE)
_PART = re.compile(r"[^\W_]+", re.UNICODE)
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")
LONGEST_TERM = 64

STOPWORDS = frozenset(
    """a an and are as at be been but by can could did do does doing for from had has have having he her him his how i if
    in into is it its itself just many me much my no nor not of off on or our ours out over own she should so some such than that
    the their theirs them then there these they this those through to too up very was we were what when where which while
    who whom why will with would you your yours""".split()
)

_local = threading.local()


def _stem(words: list[str]) -> list[str]:
    stemmer = getattr(_local, "stemmer", None)
    if stemmer is None:  # a Stemmer is not safe to share between threads
        stemmer = _local.stemmer = Stemmer.Stemmer("english")
    stems: list[str] = stemmer.stemWords(words)
    return stems


def _pieces(run: str) -> list[str]:
    """The run itself if it is an identifier, then its parts."""
    parts = _PART.findall(run)
    out = []
    joined = len(parts) > 1
    possessive = joined and len(parts) == 2 and parts[1].lower() in ("s", "t", "re", "ve", "ll", "d", "m")
    if possessive and ("'" in run or "’" in run):
        return [parts[0]]
    if joined:
        out.append("=" + run.lower())
    for part in parts:
        out.append(part)
        if not part.islower() and not part.isupper() and not part.istitle() and not part.isdigit():
            camel = _CAMEL.findall(part)
            if len(camel) > 1:
                out.extend(camel)
    return out


def terms(text: str, *, stopwords: bool = False) -> list[str]:
    """The terms of ``text`` in order, repeats included; stop words only if ``stopwords``.

    Whole identifiers carry a leading ``=``. Han, kana and hangul, which have no spaces, become character bigrams.
    """
    folded = unicodedata.normalize("NFKC", text)
    words: list[str] = []
    for run in _RUN.findall(folded):
        if _CJK.search(run):
            words.extend(_bigrams(run))
        elif run.isalpha() and (run.islower() or run.istitle() or run.isupper()):
            words.append(run)
        else:
            words.extend(_pieces(run))
    lowered = [w.lower()[:LONGEST_TERM] for w in words]
    kept = lowered if stopwords else [w for w in lowered if w not in STOPWORDS]
    return _stem(kept)


def _bigrams(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(len(run) - 1)] or [run]
