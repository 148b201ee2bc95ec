"""Numbers, amounts, dates and times of day in a text, by value and unit: what a claim may not change.

English words for numbers and units; digits of every script; currencies by sign, code and name. What is ambiguous (``1.000``)
equals only what is written the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

Value = Fraction | str | tuple[int, int, int]
"""A number; text of our own where it is none (``x2``, ``#3``, a version); or a date (year, month, day), 0 where it says
nothing."""


@dataclass(frozen=True)
class Quantity:
    """``unit`` is a word of ours, "" for a bare number. ``bound``: 1 at least, -1 at most, 0 neither. Offsets
    are into the text as ``plain`` gives it."""

    value: Value
    unit: str
    start: int
    end: int
    bound: int = 0


def plain(text: str) -> str:
    """``text`` with compatibility forms and the digits of all scripts made plain and what is invisible left out. Fractions,
    superscripts and numerals stay what they are: ``10²`` is not 102."""
    if text.isascii():
        return text
    return "".join(map(_plain, text))


def _plain(character: str) -> str:
    if character < "\x80":
        return character
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.digit(character))
    if category in ("Cf", "Cc"):
        return ""
    return character if category in ("No", "Nl") else unicodedata.normalize("NFKC", character)


def numerals(text: str) -> set[str]:
    """Characters that are numbers and no decimal digits: fractions, superscripts, Roman, circled, Han."""
    return {c for c in text if c > "\x7f" and not c.isdecimal() and unicodedata.numeric(c, None) is not None}


# -- units

_CURRENCIES = {
    "$": r"US\$|\$|USD|(?:US )?dollars?",
    "€": "€|EUR|euros?",
    "£": r"£|GBP|pounds? sterling|pounds?",
    "¥": "¥|JPY|yen",
    "cny": "CNY|RMB|yuan",
    "₹": "₹|INR|rupees?",
    "chf": "CHF|Swiss francs?|francs?",
    "sgd": r"S\$|SGD",
    "aud": r"A\$|AUD",
    "cad": r"C\$|CAD",
    "hkd": r"HK\$|HKD",
    "nzd": r"NZ\$|NZD",
    "sek": "SEK",
    "cent": "cents?|¢",
}
_UNITS = {
    "%": r"%|per ?cent|percent",
    "point": r"percentage points?|pp\b|basis points?|bps",
    "business day": r"(?:business|working|work|trading|banking)[ -]days?",
    "second": "seconds?|secs?",
    "minute": "minutes?|mins?",
    "hour": "hours?|hrs?|h",
    "day": r"(?:calendar[ -])?days?|nights?",
    "week": "weeks?|wks?",
    "month": "months?",
    "quarter": "quarters?",
    "year": r"years?|yrs?",
    "ms": "ms|milliseconds?",
    "km": r"km|kilomet(?:er|re)s?",
    "m": r"m|met(?:er|re)s?",
    "cm": "cm",
    "mm": "mm",
    "mile": "miles?",
    "foot": "feet|foot|ft",
    "inch": "inch(?:es)?",
    "kg": r"kg|kilograms?|kilos?",
    "g": r"g|grams?",
    "lb": r"lbs?",
    "t": r"tons?|tonnes?",
    "l": r"l|lit(?:er|re)s?",
    "kb": "kB|KB|kilobytes?",
    "mb": "MB|megabytes?",
    "gb": "GB|gigabytes?",
    "tb": "TB|terabytes?",
    "°c": "°C|celsius",
    "°f": "°F|fahrenheit",
}
_NAMED = {**_CURRENCIES, **_UNITS}
_ORDER = sorted(_NAMED, key=lambda u: -len(_NAMED[u]))
_BETWEEN = r"(?:full|paid|consecutive|whole|additional|more|further|extra|annual|vacation|leave|sick|separate|small|us)"


@cache
def _after() -> Mapping[str, re.Pattern[str]]:
    """Made when first used: seventy patterns take long to compile."""
    return {
        unit: re.compile(
            rf"(?:\s*\(\s*[\d.,]+\s*\)|\s*\))?[\s-]*(?:{_BETWEEN}[\s-]+){{0,2}}(?:{_NAMED[unit]})(?![\w$])",
            re.I,
        )
        for unit in ("point", "business day", *(u for u in _ORDER if u not in ("point", "business day")))
    }


_BEFORE = re.compile(
    r"(?<![\w$])(?:" + "|".join(f"(?P<c{n}>{p})" for n, p in enumerate(_CURRENCIES.values())) + r")\s?$", re.I
)


@cache
def _anywhere() -> Mapping[str, re.Pattern[str]]:
    return {
        unit: re.compile(rf"(?<![\w$])(?:{p})(?![\w$])" if p[0].isalpha() else rf"(?:{p})", re.I)
        for unit, p in _NAMED.items()
    }


_SHORT = frozenset(("m", "g", "l", "h", "t"))
"""Units of one letter count only right behind a number."""


def units_named(text: str) -> set[str]:
    """The units that ``text`` names, with a number or without."""
    return {unit for unit, pattern in _anywhere().items() if unit not in _SHORT and pattern.search(text)}


# -- numbers

_DIGITS = re.compile(r"\d+(?:[.,'\u2019\u00a0\u202f]\d+)*")
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_WORDS = {w: n for n, w in enumerate(_SMALL)} | {w: 10 * n for n, w in enumerate(_TENS, 2)} | {"dozen": 12}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_TIMES = {
    "once": "x1",
    "twice": "x2",
    "double": "x2",
    "doubled": "x2",
    "doubles": "x2",
    "thrice": "x3",
    "triple": "x3",
    "tripled": "x3",
    "half": "x1/2",
    "halved": "x1/2",
    "halves": "x1/2",
    "quadruple": "x4",
}
_ORDINALS = {
    w: f"#{n}"
    for n, w in enumerate(
        "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split(), 1
    )
}
_WORD = re.compile(r"[A-Za-z]+")
_NO_NUMBER = re.compile(
    r"\b(?:no|any|every|each|the|this|that|which)[ -]one\b|\bone(?='s)"
    r"|\bone (?:of|another|can(?:not)?|will|may|must|should|could|would|needs|has)\b",
    re.I,
)
_SCALED = re.compile(r"(?:[\s-]*(hundred|thousand|million|billion|trillion)|\s?(bn|mn|k))(?![\w])", re.I)
_LETTERS = {"bn": 10**9, "mn": 10**6, "k": 1000}
_ORDINAL = re.compile(r"(?:st|nd|rd|th)\b", re.I)
_RANGE = re.compile(r"\s*(?:-|–|—|to|and|or|through)\s*\Z", re.I)


def _by_digits(text: str) -> Iterator[Quantity]:
    for match in _DIGITS.finditer(text):
        start, end = match.span()
        value = _number(match.group())
        if ordinal := _ORDINAL.match(text, end):
            yield Quantity(f"#{value}", "", start, ordinal.end())
            continue
        scaled = _SCALED.match(text, end)
        if scaled and isinstance(value, Fraction):
            word, letter = scaled.groups()
            value *= _SCALES[word.lower()] if word else _LETTERS[letter.lower()]
            end = scaled.end()
        signed = start > 0 and text[start - 1] in "-\u2212\u2013" and (start < 2 or text[start - 2] in " (\n")
        if signed and isinstance(value, Fraction):
            value = -value
        yield Quantity(value, "", start - signed, end)


def _number(written: str) -> Value:
    """``1,000`` and ``1000`` are one number. ``1.000`` may be either, and ``1.2.3`` is none: they stay text."""
    groups = re.split(r"[.,'\u2019\u00a0\u202f]", written)
    marks = [c for c in written if not c.isdigit()]
    thousands = all(len(g) == _GROUP for g in groups[1:]) and len(groups[0]) <= _GROUP
    if not marks:
        return Fraction(int(written))
    if thousands and len(set(marks)) == 1 and (marks[0] != "." or len(marks) > 1):
        return Fraction(int("".join(groups)))
    if thousands and len(marks) == 1:
        return written
    if marks[-1] in ".," and marks[-1] not in marks[:-1] and all(len(g) == _GROUP for g in groups[1:-1]):
        return Fraction("".join(groups[:-1]) + "." + groups[-1])
    return written


_GROUP = 3


def _by_words(text: str) -> Iterator[Quantity]:
    """Runs of number words: twenty-five, two hundred and six, half, twice, third."""
    idle = [m.span() for m in _NO_NUMBER.finditer(text)]
    total, group, begin, end, last = 0, 0, -1, -1, ""
    for match in _WORD.finditer(text):
        word = match.group().lower()
        mute = word == "one" and any(a <= match.start() < b for a, b in idle)
        gap = text[end : match.start()] if begin >= 0 else ""
        if begin >= 0 and word == "and" and last in _SCALES and not gap.strip(" "):
            end = match.end()
            continue
        joins = begin >= 0 and not gap.strip(" -") and _may_follow(last, word)
        if begin >= 0 and not joins:
            yield Quantity(Fraction(total + group), "", begin, end)
            total, group, begin = 0, 0, -1
        if (word in _WORDS or (word in _SCALES and not _after_digits(text, match.start()))) and not mute:
            begin = match.start() if begin < 0 else begin
            if word in _WORDS:
                group = group * 12 if word == "dozen" and group else group + _WORDS[word]
            elif word == "hundred":
                group = max(group, 1) * 100
            else:
                total, group = total + max(group, 1) * _SCALES[word], 0
            end, last = match.end(), word
        elif word in _TIMES:
            yield Quantity(_TIMES[word], "", *match.span())
        elif word in _ORDINALS:
            yield Quantity(_ORDINALS[word], "", *match.span())
    if begin >= 0:
        yield Quantity(Fraction(total + group), "", begin, end)


def _after_digits(text: str, start: int) -> bool:
    """Then a scale was read with its digits."""
    before = text[:start].rstrip(" -\n\t")
    return bool(before) and before[-1].isdigit()


def _may_follow(last: str, word: str) -> bool:
    if word in _SCALES or (word == "dozen" and last != "dozen"):
        return True
    if last in _SCALES:
        return word in _WORDS
    return last in _TENS and word in _SMALL[1:10]


# -- dates and times of day

_MONTHS = "january february march april may june july august september october november december".split()
_MONTH = r"(?P<month>" + "|".join(f"{m[:3]}(?:{m[3:]})?" if m != "may" else m for m in _MONTHS) + r"|sept)\.?"
_DAY, _YEAR = r"(?P<day>[0-3]?\d)(?:st|nd|rd|th)?", r"(?P<year>(?:19|20)\d\d)"
_DATES = tuple(
    re.compile(p, re.I)
    for p in (
        rf"\b{_YEAR}-(?P<mon>[01]\d)-(?P<day>[0-3]\d)(?!\d)",
        rf"\b{_DAY}(?: of)?[ -]{_MONTH},?[ -]{_YEAR}\b",
        rf"\b{_MONTH} {_DAY},? {_YEAR}\b",
        r"\b(?P<one>[0-3]?\d)(?P<mark>[/.])(?P<two>[0-3]?\d)(?P=mark)(?P<year>(?:19|20)\d\d)\b",
        rf"\b{_MONTH},? {_YEAR}\b",
        rf"\b{_DAY}(?: of)? {_MONTH}(?!\w)",
        rf"\b{_MONTH} {_DAY}(?!\w)",
    )
)
_CLOCK = re.compile(
    r"\b(?P<h>[0-2]?\d):(?P<m>[0-5]\d)(?:\s*(?P<x>[ap])\.?m\b\.?)?|\b(?P<h2>1?\d)\s*(?P<x2>[ap])\.?m\b\.?",
    re.I,
)


def _date(match: re.Match[str]) -> Quantity:
    found = match.groupdict()
    year = int(found.get("year") or 0)
    if found.get(
        "one"
    ):  # day first or month first: nobody can tell, so only the same writing is the same date
        return Quantity(f"{int(found['one'])}/{int(found['two'])}/{year}", "date", *match.span())
    word = (found.get("month") or "").lower()[:3]
    month = (
        int(found["mon"]) if found.get("mon") else next(n for n, m in enumerate(_MONTHS, 1) if m[:3] == word)
    )
    day = int(found["day"]) or -1 if found.get("day") else 0  # a day 0 that is written is no day left out
    return Quantity((year, month, day), "date", *match.span())


def _clock(match: re.Match[str]) -> Quantity:
    hour, minute = int(match["h"] or match["h2"]), int(match["m"] or 0)
    half = (match["x"] or match["x2"] or "").lower()
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    return Quantity(Fraction(60 * hour + minute), "clock", *match.span())


def _masked(text: str, found: list[Quantity]) -> str:
    for q in found:
        text = text[: q.start] + "\x00" * (q.end - q.start) + text[q.end :]
    return text


# -- all of them

_UP = (
    r"at least|minimum(?: of)?|more than|over|above|exceed(?:s|ed|ing)?"
    r"|(?:greater|higher|longer|later) than|after|from|since|starting|beyond"
)
_DOWN = (
    r"at most|maximum(?: of)?|less than|fewer than|under|below|up to"
    r"|(?:lower|shorter|earlier) than|within|before|until|by|limited to|no later than"
)
_TAIL = r"\W+(?:[a-z]+\W+){0,1}\Z"
_UP_BEFORE, _DOWN_BEFORE = (
    re.compile(rf"\b(?:{_UP}){_TAIL}", re.I),
    re.compile(rf"\b(?:{_DOWN}){_TAIL}", re.I),
)
_UP_AFTER = re.compile(r"\W*(?:[a-z%]+\W+){0,2}or (?:more|above|longer|higher|greater|later)\b", re.I)
_DOWN_AFTER = re.compile(r"\W*(?:[a-z%]+\W+){0,2}or (?:less|fewer|below|earlier|shorter|under)\b", re.I)
_WINDOW = 40
_AT_MOST = re.compile(
    r"\b(?:no|not)[ -](?:more|greater|higher|later|longer|over) than\b"
    r"|\b(?:shall|may|must|can|does|do|will)?\s?not (?:to )?exceed(?:ing)?\b",
    re.I,
)
_AT_LEAST = re.compile(r"\b(?:no|not)[ -](?:less|fewer|lower|earlier|shorter) than\b", re.I)


def without_bounds(text: str) -> str:
    """``text`` with bounds that are put as negations said plainly: no more than → at most."""
    return _AT_LEAST.sub(" at least", _AT_MOST.sub(" at most", text))


def quantities(text: str) -> list[Quantity]:
    """All in ``text``, which is as ``plain`` and ``without_bounds`` leave it, in order."""
    dates: list[Quantity] = []
    for pattern in _DATES:
        dates += (
            found := [_date(m) for m in pattern.finditer(text)] if any(c.isdigit() for c in text) else []
        )
        text = _masked(text, found)
    clocks = [_clock(m) for m in _CLOCK.finditer(text)]
    text = _masked(text, clocks)
    counted = sorted((*_by_digits(text), *_by_words(text)), key=lambda q: q.start)
    counted = [_with_unit(text, q) for q in counted]
    for n in range(len(counted) - 2, -1, -1):  # 5 to 10 days: the first of a range has the unit of the last
        here, there = counted[n], counted[n + 1]
        if not here.unit and there.unit and _RANGE.match(text[here.end : there.start]):
            counted[n] = replace(here, unit=there.unit)
    everything = sorted((*dates, *clocks, *counted), key=lambda q: q.start)
    return [replace(q, bound=_bound(text, q)) for q in everything]


def _with_unit(text: str, quantity: Quantity) -> Quantity:
    before = _BEFORE.search(text[max(0, quantity.start - _WINDOW) : quantity.start])
    if before is not None and before.lastgroup is not None:
        return replace(quantity, unit=list(_CURRENCIES)[int(before.lastgroup[1:])])
    for unit, pattern in _after().items():
        if pattern.match(text, quantity.end):
            return replace(quantity, unit=unit)
    return quantity


def _bound(text: str, quantity: Quantity) -> int:
    before, after = (
        text[max(0, quantity.start - _WINDOW) : quantity.start],
        text[quantity.end : quantity.end + _WINDOW],
    )
    if _UP_AFTER.match(after) or _UP_BEFORE.search(before):
        return 1
    return -1 if _DOWN_AFTER.match(after) or _DOWN_BEFORE.search(before) else 0


def same_value(claimed: Quantity, quoted: Quantity) -> bool:
    """Whether they are one value. A claimed date may say less than the quoted one; a year alone may stand in a date."""
    mine, its = claimed.value, quoted.value
    if isinstance(mine, tuple) and isinstance(its, tuple):
        return all(a in (0, b) for a, b in zip(mine, its, strict=True))
    if isinstance(its, tuple) and not claimed.unit:
        return its[0] > 0 and mine == its[0]
    return mine == its and (claimed.unit in ("date", "clock")) == (quoted.unit in ("date", "clock"))
