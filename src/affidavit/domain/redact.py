"""Personal data and secrets in text: found by shape and, where there is one, by checksum.

Every search is linear in the text: repeats are possessive (they give nothing back) and bounded, and what has a checksum is
walked by hand. Built-in rules and declared patterns alike find spans; what is found is replaced by ``[redacted RULE]``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate

from affidavit.domain.errors import UsageError

Span = tuple[int, int]
Finder = Callable[[str], Iterator[Span]]


@dataclass(frozen=True)
class Rule:
    """A name of our own or the operator's, and what finds spans; they do not overlap."""

    name: str
    find: Finder


@dataclass
class Found:
    """Collects what was redacted: how often by rule, and the texts themselves (never stored)."""

    counts: dict[str, int] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)


def redact(text: str, rules: Sequence[Rule], found: Found) -> str:
    """``text`` with everything that ``rules`` find replaced."""
    for rule in rules:
        out, last = [], 0
        for start, end in rule.find(text):
            out += [text[last:start], f"[redacted {rule.name}]"]
            found.counts[rule.name] = found.counts.get(rule.name, 0) + 1
            found.texts.append(text[start:end])
            last = end
        if out:
            text = "".join(out) + text[last:]
    return text


def _matches(pattern: str) -> Finder:
    """Compiled at first use: most commands look at no text."""
    compiled = cache(lambda: re.compile(pattern))
    return lambda text: (m.span() for m in compiled().finditer(text))


def _checked(pattern: str, check: Callable[[str], bool]) -> Finder:
    """Matches whose letters and digits pass ``check``."""
    compiled = cache(lambda: re.compile(pattern))

    def find(text: str) -> Iterator[Span]:
        for match in compiled().finditer(text):
            if check(_plain(match.group())):
                yield match.span()

    return find


def _plain(text: str) -> str:
    return "".join(c for c in text if c.isalnum()).upper()


_SEPARATORS = " -\u00a0"
_NO_SEPARATORS = dict.fromkeys(map(ord, _SEPARATORS))
"""One may stand between two characters of a number."""


# -- bank accounts: ISO 13616, mod 97 = 1, length by country

_IBAN = {
    pair[:2]: int(pair[2:])
    for pair in (
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18 "
        "FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 "
        "MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 ST25 "
        "SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20"
    ).split()
}
_IBAN_START = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}")


_IBAN_DIGITS = str.maketrans(
    {**{chr(65 + n): str(10 + n) for n in range(26)}, **dict.fromkeys(_SEPARATORS, "")}
)


@cache
def _iban_rest(size: int) -> re.Pattern[str]:
    """So many more letters and digits."""
    return re.compile(rf"(?:[{_SEPARATORS.replace('-', chr(92) + '-')}]?+[A-Za-z0-9]){{{size}}}")


def _ibans(text: str) -> Iterator[Span]:
    last = 0
    for match in _IBAN_START.finditer(text):
        start, size = match.start(), _IBAN.get(match.group()[:2].upper(), 0)
        if start < last or not size:
            continue
        rest = _iban_rest(size - 4).match(text, match.end())
        if rest is None:
            continue
        digits = f"{rest.group()}{match.group()}".upper().translate(_IBAN_DIGITS)
        if int(digits) % 97 == 1:
            last = rest.end()
            yield start, last


# -- payment cards: ISO/IEC 7812, lengths by brand, Luhn

_DIGITS = re.compile(r"(?<![0-9])[0-9](?:[ \-\u00a0]?+[0-9]){12,}+")
"""Digits with at most one blank or dash between two, as many as a card has or more."""
_BRANDS = re.compile(r"(?=(4)|(5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720|35)|(3[47])|(3[0689])|(6[0245]))")
_LENGTHS = ((16, 19, 13), (16,), (15,), (14,), (16, 19))
"""How many digits the cards of each group of ``_BRANDS`` have, the likeliest first."""
_VALUES = bytes.maketrans(b"0123456789", bytes(range(10)))
_DOUBLED = bytes.maketrans(bytes(range(10)), bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))


class _Digits:
    """The digits of a run with the ``places`` where they stand. One as long as the text is searched in linear time: the Luhn sum
    of any part is one subtraction of sums kept from the beginning, once with the digits at even places doubled and once with
    those at odd ones."""

    def __init__(self, run: str) -> None:
        self.text = run.translate(_NO_SEPARATORS)
        self.places = [n for n, c in enumerate(run) if c not in _SEPARATORS]
        values = self.text.encode().translate(_VALUES)
        self._sums = []
        for first in (0, 1):
            weighed = bytearray(values)
            weighed[first::2] = weighed[first::2].translate(_DOUBLED)
            self._sums.append([0, *accumulate(weighed)])

    def ends(self, start: int, sizes: Sequence[int]) -> list[int]:
        """Where numbers of one of ``sizes`` from the digit ``start`` end with their check digit (ISO/IEC 7812-1)."""
        found, last = [], len(self.text)
        for size in sizes:
            stop = start + size
            sums = self._sums[stop % 2]
            if stop <= last and (sums[stop] - sums[start]) % 10 == 0:
                found.append(stop)
        return found


def luhn(digits: str) -> bool:
    """Whether ``digits`` end with their check digit."""
    return bool(_Digits(digits).ends(0, (len(digits),)))


def _cards(text: str) -> Iterator[Span]:
    for match in _DIGITS.finditer(text):
        begin, run, last = match.start(), _Digits(match.group()), 0
        before = text[begin - 1 : begin]
        places = [-1 if before.isascii() and before.isalpha() else -2, *run.places]
        for brand in _BRANDS.finditer(run.text):
            start = brand.start()
            if start < last or places[start + 1] - places[start] < 2:  # in the middle of something
                continue
            for stop in run.ends(start, _LENGTHS[(brand.lastindex or 1) - 1]):
                after = begin + places[stop] + 1
                if not text[after : after + 1].isalnum():
                    last = stop
                    yield begin + places[start + 1], after
                    break


# -- national numbers, those with a checksum or a narrow shape


def _german_tax(number: str) -> bool:
    """Steuer-Identifikationsnummer: ISO 7064 MOD 11,10, and one digit of the first ten stands two or three times."""
    most = max(number[:10].count(d) for d in set(number[:10]))
    product = 10
    for digit in number[:10]:
        total = (int(digit) + product) % 10 or 10
        product = 2 * total % 11
    return most in (2, 3) and (11 - product) % 10 == int(number[10])


def _spanish(number: str) -> bool:
    """DNI and NIE: the letter is the number mod 23."""
    digits = number[:-1].translate(str.maketrans("XYZ", "012"))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(digits) % 23] == number[-1]


def _french(number: str) -> bool:
    """NIR: the last two digits are 97 − the rest mod 97; Corsica's 2A and 2B count as 19 and 18."""
    body = number[:13].replace("2A", "19").replace("2B", "18")
    return body.isdigit() and 97 - int(body) % 97 == int(number[13:])


_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        map(
            int,
            "1 0 5 7 9 13 15 17 19 21 1 0 5 7 9 13 15 17 19 21 2 4 18 20 11 3 6 8 12 14 16 10 22 25 24 23".split(),
        ),
        strict=True,
    )
)


def _italian(number: str) -> bool:
    """Codice fiscale: D.M. 23 December 1976."""
    total = sum(
        _ODD[c] if n % 2 == 0 else (int(c) if c.isdigit() else ord(c) - 65) for n, c in enumerate(number[:15])
    )
    return chr(65 + total % 26) == number[15]


def _polish(number: str) -> bool:
    """PESEL: weighted sum, and a month and day that exist."""
    total = sum(int(d) * w for d, w in zip(number, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1), strict=True))
    return total % 10 == 0 and 1 <= int(number[2:4]) % 20 <= 12 and 1 <= int(number[4:6]) <= 31


_NATIONAL: tuple[Finder, ...] = (
    _matches(r"(?<![\w-])(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![\w-])"),  # US SSN
    _matches(
        r"(?<!\w)(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?: ?[0-9]{2}){3} ?[A-D](?!\w)"
    ),  # UK NINO
    _checked(r"(?<![\w-])[1-9][0-9](?: ?[0-9]{3}){3}(?![\w-])", _german_tax),
    _checked(r"(?<!\w)[0-9XYZ][0-9]{7}-?[A-Z](?!\w)", _spanish),
    _checked(
        r"(?<!\w)[12] ?[0-9]{2} ?[0-9]{2} ?(?:[0-9]{2}|2[AB]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}(?!\w)", _french
    ),
    _checked(r"(?<!\w)[A-Z]{6}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z](?!\w)", _italian),
    _checked(r"(?<!\w)[0-9]{11}(?!\w)", _polish),
)


def _national(text: str) -> Iterator[Span]:
    last = 0
    for start, end in sorted(span for find in _NATIONAL for span in find(text)):
        if start >= last:
            last = end
            yield start, end


# -- secrets

_KEY_BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_KEY_END = re.compile(r"-----END (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")


def _private_keys(text: str) -> Iterator[Span]:
    """To the end line, or to the end of the text where a key was cut off."""
    last = 0
    for match in _KEY_BEGIN.finditer(text):
        if match.start() >= last:
            end = _KEY_END.search(text, match.end())
            last = end.end() if end else len(text)
            yield match.start(), last


_KEY_SHAPES = (
    r"(?<![\w-])(?:"
    r"sk-[\w-]{20,250}+|gh[pousr]_[A-Za-z0-9]{30,250}+|github_pat_\w{22,250}+|glpat-[\w-]{20,250}+|xox[abeoprs]-[\w-]{10,250}+"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}+|AIza[\w-]{35}+|[sr]k_(?:live|test)_\w{16,250}+|npm_\w{30,250}+|pypi-[\w-]{50,250}+|hf_\w{30,250}+"
    r"|eyJ[\w-]{8,4000}+\.[\w-]{8,4000}+\.[\w-]{8,4000}+"
    r"|(?:dop|doo|dor)_v1_[a-f0-9]{64}+|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}+|SG\.[\w-]{16,40}+\.[\w-]{16,80}+|ya29\.[\w-]{20,250}+"
    r"|glsa_\w{32,60}+|sq0(?:atp|csp)-[\w-]{22,60}+|dapi[a-f0-9]{32}+|lin_api_\w{30,60}+|tskey-[\w-]{20,80}+|r8_\w{30,60}+"
    r"|hvs\.[\w-]{20,200}+|AGE-SECRET-KEY-1[0-9A-Z]{58}+|xapp-[\w-]{20,200}+|PMAK-[\w-]{30,80}+"
    r")"
)
"""Keys that their makers gave a shape of its own, so that they are found."""
_NAMED_KEYS = (
    r"(?<![\w-])(?i:password|passwd|secret|api[_-]?key|access[_-]?token)[\"']?+\s{0,3}+[:=]\s{0,3}+[\"']?+"
    r"[^\s\"',;]{6,250}+"
)
_API_KEYS = f"{_KEY_SHAPES}|{_NAMED_KEYS}"
_EMAIL = r"(?<![\w.%+-])[\w.%+'-]{1,64}+@(?:[^\W_](?:[\w-]{0,62}+)\.){1,8}[^\W\d_]{2,24}+(?![\w-])"
_PHONE = (
    r"(?<![\w+.-])(?:\+|00)[1-9](?:[ ./()-]{0,2}+[0-9]){7,14}(?![0-9])"
    r"|(?<![\w.-])\(?+0[1-9][0-9]{1,4}+\)?+[ /-]{1,2}+[0-9](?:[ -]?+[0-9]){4,9}(?![\w-])"
    r"|(?<![\w.-])(?:\([2-9][0-9]{2}\) ?+|[2-9][0-9]{2}[.-])[2-9][0-9]{2}[.-][0-9]{4}(?![\w-])"
)

BUILT_IN = {
    rule.name: rule
    for rule in (
        Rule("private-key", _private_keys),
        Rule("api-key", _matches(_API_KEYS)),
        Rule("iban", _ibans),
        Rule("payment-card", _cards),
        Rule("email", _matches(_EMAIL)),
        Rule("national-id", _national),
        Rule("phone", _matches(_PHONE)),
    )
}
"""In the order in which they are applied: the longest and surest first."""

TOKENS = (BUILT_IN["private-key"], Rule("key", _matches(_KEY_SHAPES)))
"""Secrets by shape alone: a sentence about a password is none."""

# -- declared patterns: a sequence of characters and classes, each repeated a bounded number of times

_ATOM = re.compile(
    r"(\\[dws]|\\[^\w\s]|\[\^?(?:[^\]\[\\]|\\[dws]|\\[^\w\s]){1,100}\]|[^\\\[\](){}.*+?^$|])(\{\d{1,2}(?:,\d{1,2})?\}|\?)?"
)
_LONGEST_MATCH, _SHORTEST_MATCH = 256, 3
_HOW = (
    "a pattern is a row of characters, \\d, \\w, \\s and [classes], each followed by {n}, {m,n} or ? if you like; "
    'no groups, | . * or +. For example "EMP-[0-9]{6}"'
)


def declared(name: str, pattern: str) -> Rule:
    """A rule from a declared pattern. Raises UsageError for one that is not of the small language.

    Repeats give nothing back and a match is at most 256 characters long, so no pattern can be slow on any text.
    """
    at, least, most, out = 0, 0, 0, []
    while at < len(pattern):
        match = _ATOM.match(pattern, at)
        if match is None:
            raise UsageError(f"pattern {name!r}: {pattern[at:]!r} cannot stand there", _HOW)
        atom, repeat = match.groups()
        low, high = _bounds(repeat)
        if low > high:
            raise UsageError(f"pattern {name!r}: {repeat} repeats backwards", _HOW)
        least, most, at = least + low, most + high, match.end()
        out.append(f"{atom}{repeat}+" if repeat else atom)
    if least < _SHORTEST_MATCH or most > _LONGEST_MATCH:
        raise UsageError(
            f"pattern {name!r} matches {least} to {most} characters, not {_SHORTEST_MATCH} to {_LONGEST_MATCH}",
            _HOW,
        )
    try:
        re.compile("".join(out))
        return Rule(name, _matches("".join(out)))
    except re.error as error:
        raise UsageError(f"pattern {name!r} is not understood: {error}", _HOW) from error


def _bounds(repeat: str | None) -> tuple[int, int]:
    if not repeat:
        return 1, 1
    if repeat == "?":
        return 0, 1
    low, comma, high = repeat[1:-1].partition(",")
    return int(low), int(high if comma else low)
