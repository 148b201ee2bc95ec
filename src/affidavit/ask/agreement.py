"""Whether a claim says what its quotes say, as far as rules can tell, with whoever wrote it as the adversary.

Each rule compares something that a single word changes: an amount and its unit, a date, a bound, a name, a negation, whether
something is a duty or a permission, an address. None of them understands the sentence.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Set

from affidavit.ask.quantities import (
    Quantity,
    numerals,
    plain,
    quantities,
    same_value,
    units_named,
    without_bounds,
)
from affidavit.text.analyze import STOPWORDS, terms

FAULTS = (
    "characters",
    "markup",
    "link",
    "number",
    "unit",
    "date",
    "bound",
    "attachment",
    "negation",
    "modality",
    "name",
    "words",
    "empty",
)


def fault(claim: str, said: str, about: str, coverage: float, strangers: Set[str] = frozenset()) -> str:
    """What is against ``claim`` in a word of ours, "" for nothing.

    ``said``: the quotes; ``about``: titles and headings of where they stand; ``coverage``: the least share of the claim's terms
    that must stand in these; ``strangers``: names, in lower case, that the evidence holds elsewhere.
    """
    if why := _foreign(claim, said):
        return why
    mine, its, context = (without_bounds(_unwrapped(plain(t))) for t in (claim, said, about))
    if why := _amounts(mine, its, context):
        return why
    if _negated(mine, its):
        return "negation"
    if _modal(mine, its):
        return "modality"
    context = f"{its} {_without_amounts(its)} {context}"
    if _unnamed(mine, context, strangers):
        return "name"
    own = set(terms(_without_amounts(mine)))
    if not own and not quantities(mine):
        return "empty"
    have = set(terms(context))
    return "" if not own or len(own & have) / len(own) >= coverage else "words"


_WRAPPED = re.compile(r"[^\S\n]*\n[^\S\n]*(?![-*|#\d\n])")


def _unwrapped(text: str) -> str:
    """``text`` with lines joined that do not begin an item or a row, and runs of blanks made one."""
    return re.sub(r"[^\S\n]+", " ", _WRAPPED.sub(" ", text))


# -- characters, markup, addresses

_MARKUP = frozenset("<>[]{}|`\\^~")
_ADDRESS = re.compile(
    r"\b[a-z][a-z0-9+.-]*:(?://|[^\s\d])\S*|\bwww\.\S+|\S+@\S+|\b[\w-]+(?:\.[\w-]+)*\.[a-z]{2,24}\b(?:[/?#]\S*)?|//\S+",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


def _foreign(claim: str, said: str) -> str:
    """Invisible characters, look-alikes of another script, markup and addresses that the quotes do not have."""
    for character in set(claim) - set(said):
        if character in _MARKUP:
            return "markup"
        if unicodedata.category(character) in ("Cf", "Cc", "Co", "Cn", "Cs") and character not in "\n\t":
            return "characters"
    scripts = {s for word in _WORD.findall(said) for s in _scripts(word)}
    words = set(_WORD.findall(said))
    for word in _WORD.findall(claim):
        if word.isascii() or word in words:
            continue
        used = _scripts(word)
        if used - scripts - {"LATIN"} or (len(used) > 1 and "LATIN" in used):
            return "characters"
    known = said.casefold()
    for match in _ADDRESS.finditer(claim):
        if match.group().rstrip(".,;:!?)\"'").casefold() not in known:
            return "link"
    return ""


def _scripts(word: str) -> set[str]:
    """The scripts of the letters of ``word``, by the first word of their names: LATIN, CYRILLIC, CJK."""
    return {"LATIN" if c.isascii() else unicodedata.name(c, "?").split()[0] for c in word if c.isalpha()}


# -- amounts

_CLAUSE = re.compile(r"[.;:,!?\n|]+\s|[;|\n]|\b(?:and|but|while|whereas|or)\b", re.IGNORECASE)


def _amounts(claim: str, said: str, about: str) -> str:
    if numerals(claim) - numerals(said):
        return "number"
    quoted = quantities(said)
    for amount in quantities(claim):
        alike = [q for q in quoted if same_value(amount, q)]
        if not alike:
            return "date" if amount.unit in ("date", "clock") else "number"
        fitting = [q for q in alike if _unit_fits(amount, q, claim, f"{said} {about}")]
        if not fitting:
            return "unit"
        if amount.bound and all(q.bound == -amount.bound for q in fitting):
            return "bound"
        if _misplaced(amount, fitting, quoted, claim, said):
            return "attachment"
    return ""


def _unit_fits(amount: Quantity, quoted: Quantity, claim: str, context: str) -> bool:
    if amount.unit in (quoted.unit, "date"):
        return True
    if not amount.unit:  # "leave in days: 20"; and a year out of a date
        return quoted.unit == "date" or quoted.unit in units_named(claim)
    return not quoted.unit and amount.unit in units_named(context)


def _misplaced(amount: Quantity, own: list[Quantity], quoted: list[Quantity], claim: str, said: str) -> bool:
    """Whether the words around ``amount`` are rather those around another amount of its kind: one thing's number on another."""
    rivals = [q for q in quoted if q.unit == amount.unit and not any(same_value(q, o) for o in own)]
    if not rivals:
        return False
    around = _around(claim, amount)
    mine = max(len(around & _around(said, q)) for q in own)
    return any(len(around & _around(said, q)) > mine for q in rivals)


def _around(text: str, amount: Quantity) -> set[str]:
    """The terms of the clause in which ``amount`` stands, without numbers."""
    start, end = 0, len(text)
    for cut in _CLAUSE.finditer(text):
        if cut.end() <= amount.start:
            start = cut.end()
        elif cut.start() >= amount.end:
            end = cut.start()
            break
    return {t for t in terms(text[start : amount.start] + " " + text[amount.end : end]) if not t[0].isdigit()}


def _without_amounts(text: str) -> str:
    """``text`` with blanks for amounts and dates: they are compared as such, and written out or as digits share no word."""
    for q in quantities(text):
        text = text[: q.start] + " " * (q.end - q.start) + text[q.end :]
    return text


# -- negation and duty

_NEGATION = re.compile(
    r"\b(?:no|not|never|none|nobody|nothing|nowhere|neither|nor|without|cannot|cant|wont|dont|doesnt|isnt|arent|wasnt|shouldnt|mustnt"
    r"|except\w*|unless|excluding|exclud\w+|hardly|scarcely"
    r"|rarely|seldom|barely|lack(?:s|ed|ing)?|absen(?:t|ce)|refus\w+|forb[ia]d\w*"
    r"|prohibit\w*|ban(?:s|ned)?|fail(?:s|ed|ure)?|den(?:y|ies|ied|ial)|reject\w*|declin\w+|prevent\w*|refrain\w*|avoid\w*|unable|void"
    r"|waive[sdr]?|revok\w+|cease[sd]?|exempt\w*|false|untrue|incorrect|wrong|myth|contrary|opposite"
    r"|instead of|rather than|other than"
    r"|anything but|far from|free from)\b|n['’]t\b",
    re.IGNORECASE,
)
_PREFIXES = ("non", "dis", "un", "in", "im", "ir", "il")
_LEAST_STEM = 4
_SCOPE, _HEAD = 4, 2
_PARTS = re.compile(r"[.;:!?]\s|\n")


def _negated(claim: str, said: str) -> bool:
    """Whether the claim negates what the quotes do not, or the other way round.

    Each negation of the claim needs one of the quotes about the same, and each of the quotes, of which the claim says what it is
    about, needs one of the claim.
    """
    told = set(terms(claim))
    relevant = [part for part in _PARTS.split(said) if told & set(terms(part))] or [said]
    negates = bool(_NEGATION.search(claim))
    if negates != any(_NEGATION.search(part) for part in ([said] if negates else relevant)):
        return True
    if _prefixed(claim, said):
        return True
    mine, its = _scopes(claim), _scopes(said)
    kept = [scope for scope in its if scope and set(scope[:_HEAD]) <= told]
    return not _matched(mine, its) or not _matched(kept, mine)


def _scopes(text: str) -> list[list[str]]:
    """Per negation the terms that it is probably about: the next few of its clause, or the last few before it."""
    found = []
    for match in _NEGATION.finditer(text):
        after = terms(_PARTS.split(text[match.end() :])[0])[:_SCOPE]
        before = terms(_PARTS.split(text[: match.start()])[-1])[-_SCOPE:]
        found.append(after or before)
    return found


def _matched(wanting: list[list[str]], having: list[list[str]]) -> bool:
    """Whether each of ``wanting`` can be given one of ``having`` with which it shares a term, no two the same."""
    taken: dict[int, int] = {}

    def place(n: int, tried: set[int]) -> bool:
        for m, other in enumerate(having):
            if m in tried or (wanting[n] != other and not set(wanting[n]) & set(other)):
                continue
            tried.add(m)
            if m not in taken or place(taken[m], tried):
                taken[m] = n
                return True
        return False

    return all(place(n, set()) for n in range(len(wanting)))


def _prefixed(claim: str, said: str) -> bool:
    """``refundable`` for ``non-refundable``, ``paid`` for ``unpaid``, and the other way round."""
    mine, its = _lower(claim), _lower(said)
    return any(rest in its and word not in its for word, rest in _bare(mine)) or any(
        rest in mine and word not in mine and rest not in its for word, rest in _bare(its)
    )


def _lower(text: str) -> set[str]:
    words = set(re.findall(r"[a-z]+(?:-[a-z]+)?", text.lower()))
    return words | {part for w in words if w.split("-")[0] not in _PREFIXES for part in w.split("-")}


def _bare(words: Set[str]) -> Iterator[tuple[str, str]]:
    """(word, what is left without a prefix that turns it round)."""
    for word in words:
        for prefix in _PREFIXES:
            rest = word.removeprefix(prefix).removeprefix("-")
            if word.startswith(prefix) and len(rest) >= _LEAST_STEM:
                yield word, rest


_DUTY = re.compile(
    r"\b(?:must|shall|required?|requires|mandatory|obliged|obligated|(?:has|have|had|need(?:s|ed)?) to)\b",
    re.I,
)
_LEAVE = re.compile(
    r"\b(?:may|might|can|could|optional(?:ly)?|allowed|permitted|voluntary|free to|should|recommended)\b",
    re.I,
)
_ABSOLUTE = re.compile(
    r"\b(?:always|only|solely|exclusively|guarantee[sd]?|unlimited|unconditional(?:ly)?|automatically|immediately)\b",
    re.I,
)


def _modal(claim: str, said: str) -> bool:
    """A duty made of a permission or the other way round, or an absolute word that the quotes do not have."""
    mine, its = _modes(claim), _modes(said)
    kinds, known = {kind for kind, _ in mine}, {kind for kind, _ in its}
    if known and kinds - known == kinds != set():
        return True
    if any((kind, verb) not in its and any(v == verb for _, v in its) for kind, verb in mine if verb):
        return True
    absolute = {w.lower() for w in _ABSOLUTE.findall(said)}
    return any(w.lower() not in absolute for w in _ABSOLUTE.findall(claim))


def _modes(text: str) -> set[tuple[str, str]]:
    """(duty or leave, the next term) for each word that makes something one."""
    text = _no_month(text)
    return {
        (kind, next(iter(terms(text[m.end() : m.end() + _AHEAD])), ""))
        for kind, pattern in (("duty", _DUTY), ("leave", _LEAVE))
        for m in pattern.finditer(text)
    }


_AHEAD = 40


def _no_month(text: str) -> str:
    return re.sub(r"\bMay\b(?=[ ,]+\d)|(?<=\d )May\b|(?<=in )May\b", "", text)


# -- names

_NAME = re.compile(r"(?<![\w'’-])[A-ZÀ-ÖØ-ÞΑ-ΩА-Я][\w'’-]*")
_OPENERS = STOPWORDS | frozenset(
    """about above according across after again all also although always among another any anyone anything around because
    before below between both during each either employees enterprise every everybody everyone everything except few
    first following generally given however instead last later like members more most must neither never next nobody
    none nothing now once one only other otherwise people per please several shall since someone something staff such
    team teams their therefore thus today together two under unless until upon use users usually via what whatever
    whenever where whether whichever while within without yes yet customers ask contact see may might anybody somebody
    there""".split()
)
_SENTENCE_END = re.compile(r"(?:^|[.!?:]\s+|[\"“(•*-]\s*|\n\s*)\Z")


def _unnamed(claim: str, context: str, strangers: Set[str]) -> bool:
    """Whether a name of the claim stands nowhere in what it cites. A capital at the beginning of a sentence counts too, unless
    the word is one with which sentences begin."""
    words, stems = _words(context), set(terms(context))
    for match in _NAME.finditer(_without_amounts(claim)):
        parts = _words(match.group())
        if parts <= words or parts <= {"i", "s"}:
            continue
        opens = _SENTENCE_END.search(claim[: match.start()]) is not None
        if opens and (parts <= _OPENERS or set(terms(match.group())) <= stems):
            continue
        return True
    return any(w in strangers and w not in words for w in _words(claim))


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", text.casefold()))


def names_in(text: str) -> set[str]:
    """Words, in lower case, that ``text`` writes with a capital within a sentence and never without."""
    found = {
        m.group().casefold() for m in _NAME.finditer(text) if not _SENTENCE_END.search(text[: m.start()])
    }
    return found - {w for w in _WORD.findall(text) if w[0].islower()} - _OPENERS
