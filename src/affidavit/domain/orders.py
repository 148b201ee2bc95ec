"""Whether text gives orders to an assistant: known phrases, and a small model over cheap features of each sentence.

The phrases are those of attacks that name what they do (``ignore previous instructions``, role markers). The model scores
sentences by how they address the reader and what they ask for; its weights were fitted by ``python -m bench.guards_fit`` on one
part of the attacks of BIPIA and InjecAgent, of pages about security and of a company's handbook, and are measured on the other.
Both are signals: an order that reads like any other sentence is not seen.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from math import exp

from affidavit.domain.orders_weights import BIAS, THRESHOLD, WEIGHTS

SCORED = 4_000
"""At most so many sentences of one text are scored; a text that has more which look like orders is itself a finding."""
_SCORED_CHARACTERS = 100 * SCORED
"""The same for characters: a long sentence takes its time."""
_LONGEST, _SHORTEST = 600, 12

_VERBS = (
    "access|add|adopt|alter|analyze|analyse|answer|append|apply|augment|blend|buy|cancel|change|check|classify|compose|convert|copy|create|"
    "delete|deposit|describe|determine|develop|disable|dispatch|display|download|elevate|email|embed|employ|encode|encrypt|enable|enhance|"
    "ensure|execute|explain|export|express|fetch|fill|find|forget|forward|generate|get|give|grant|guide|help|hint|ignore|implement|"
    "include|incorporate|increase|initiate|insert|install|integrate|introduce|invite|invert|leave|leverage|list|make|mention|merge|modify|move|"
    "open|order|output|override|pay|place|post|print|promote|provide|publish|purchase|read|recommend|redirect|register|remove|render|"
    "replace|reply|respond|retrieve|retrive|return|reveal|reverse|rewrite|run|save|say|schedule|search|sell|send|set|share|shift|show|state|submit|"
    "substitute|suggest|summarize|supplement|switch|tell|transfer|translate|turn|unlock|update|upgrade|upload|use|utilize|withdraw|write"
)
_OUTPUT = r"(?:response|reply|replies|answer|output|message|elucidation|explanation)"
_WORK = (
    r"(?:solution|codebase|code\s+(?:base|foundation|implementation|functionality)|algorithm|implementation|elucidation"
    r"|response|explanation)"
)


def _pattern(text: str) -> Callable[[str], bool]:
    """Compiled at first use: most commands look at no text."""
    compiled = cache(lambda: re.compile(text))
    return lambda sentence: compiled().search(sentence) is not None


FEATURES: dict[str, Callable[[str], bool]] = {
    "imperative": _pattern(
        r"^\W{0,8}+(?:(?:please|kindly|now|first|then|also|next|instead|finally|and|can you|could you"
        r"|would you|will you|i need you to|"
        r"you must|you should|don't (?:forget|hesitate) to|do not (?:forget|hesitate) to|make sure (?:you|to)"
        r"|be sure to|remember to|"
        r"keep in mind to|in (?:your|the) (?:response|reply|answer),?|consider|take a moment to"
        r"|to [a-z ]{1,40}+,)[\s,:]{1,3}+){0,3}"
        rf"(?:{_VERBS})\b"
    ),
    "gerund": _pattern(
        r"^\W{0,8}+(?:including|integrating|supplementing|adding|incorporating|embedding|appending|inserting)\b"
    ),
    "please": _pattern(r"\bplease\b|\bkindly\b"),
    "polite_question": _pattern(r"^\W{0,8}+(?:can|could|would|will) you\b"),
    "your_output": _pattern(rf"\byour\s+(?:\w{{1,16}}+\s+)?{_OUTPUT}\b"),
    "in_your_output": _pattern(rf"\b(?:in|to|into|within|for|of)\s+your\s+(?:\w{{1,16}}+\s+)?{_OUTPUT}\b"),
    "your_work": _pattern(rf"\byour\s+(?:\w{{1,16}}+\s+)?{_WORK}\b"),
    "transform": _pattern(
        r"\bbase\s?-?\d\d\b|\bemojis?\b|\bcipher\b|\bin reverse\b|\bbackwards?\b|\bsubstitution\b|\brot-?13\b"
        r"|\bmorse\b|\bleetspeak\b"
    ),
    "language": _pattern(
        r"\b(?:in|into|to)\s+(?:french|german|spanish|italian|portuguese|chinese|japanese|korean|russian|arabic|hindi|dutch|latin|klingon)\b"
    ),
    "code_block": _pattern(
        r"\b(?:following|below|subsequent|next|this|attached)\s+(?:(?:python|shell|bash|sql|javascript)\s+)?"
        r"(?:code|script|command|snippet)(?:\s+(?:snippet|block|excerpt|section|segment|fragment))?\b"
    ),
    "send_to": _pattern(r"\b(?:send|email|e-mail|forward|share|mail|post|upload|transmit)\b"),
    "address": _pattern(r"[\w.%+-]{1,64}+@[\w-]{1,64}+\."),
    "my": _pattern(r"\bmy\b"),
    "my_thing": _pattern(
        r"\bmy\s+(?:\w{1,16}+\s+){0,3}(?:account|password|passwords|records?|data|files?|folder|history|address(?:es)?|email|card|profile|"
        r"methods?|holdings|bank|calendar|contacts|messages|system|documents?|image|details|information|payments?|door|home|policy|repository)\b"
    ),
    "me": _pattern(r"\b(?:help|show|tell|give|for|to|send) me\b"),
    "account": _pattern(
        r"\b(?:account|payee|payment|transfer|bitcoin|binance|venmo|wire|deposit|withdraw|usd)\b|\$\s?\d"
    ),
    "tool": _pattern(
        r"\b(?:using|use|call|invoke|via|through|with)\s+(?:the\s+)?['\"]?\w{2,40}+['\"]?\s+(?:tool|function|api|plugin)\b"
    ),
    "identifier": _pattern(r"\bid\b[^.]{0,20}+\d|\(id\b|_id\b|\bwith (?:the )?id\b"),
    "false": _pattern(
        r"\b(?:false|fake|misleading|baseless|fabricated?|rumou?rs?|non-existent|too-good-to-be-true|lottery|prince|scam|unproven)\b"
    ),
    "promote": _pattern(
        r"\b(?:promot\w{1,5}+|subscribe|discount|special offers?|exclusive|free shipping|click (?:here|this)"
        r"|visit www|suggest\w{0,3}+ (?:that )?users|"
        r"brand [a-z]\b|newsletter|teaser|announcement)\b"
    ),
    "add_to": _pattern(
        r"\b(?:add|include|including|insert|integrate|incorporate|append|modify|enhance|augment|supplement(?:ing)?|embed(?:ding)?|adjust|upgrade)\b"
        r"[^.]{0,80}\b(?:response|reply|answer|message|code|implementation|solution|algorithm|codebase|elucidation)\b"
    ),
    "sentence_in": _pattern(
        r"\b(?:sentence|line|statement|claim|fact|statistic|teaser|link)\b[^.]{0,60}\b(?:response|reply|answer)\b"
    ),
    "sentiment": _pattern(r"\b(?:sentiment|mood|positive or negative)\b"),
    "instructions": _pattern(
        r"\b(?:ignore|disregard|forget|override|bypass)\b[^.]{0,60}\b(?:instructions?|prompts?|rules?|guidelines?|context|above|commands?)\b"
    ),
    "shouting": _pattern(r"!{2,}|\bimportant\b\W{0,3}!"),
    "you": _pattern(r"\byou\b"),
    "your": _pattern(r"\byour\b"),
    "we": _pattern(r"\b(?:we|our|us|team|teammates?|employees?|customers?|company)\b"),
    "should": _pattern(r"\b(?:should|must|may|shall|will be|are required|is required)\b"),
    "question": _pattern(r"\?\W{0,4}+$"),
    "asks": _pattern(r"^\W{0,8}+(?:what|how|which|who|when|where|why|is|are|do|does)\b"),
    "quoted": _pattern(r"'[^']{6,200}+'|\"[^\"]{6,200}+\""),
    "link": _pattern(r"https?:|\]\(|www\."),
    "item": _pattern(r"^\s{0,8}+(?:[-*+#|>]|\d{1,3}[.)])"),
    "opens": _pattern(r"^\W{0,4}+(?:if|when|once|after|before|for|to|in|on|as|this|the|a|an|it)\b"),
    "short": lambda sentence: len(sentence) < 45,
    "long": lambda sentence: len(sentence) > 160,
}
"""Yes-or-no questions about one folded sentence. Every pattern is linear in the sentence, which has at most 600 characters."""

PAIRS = (
    ("imperative", "your_output"),
    ("imperative", "in_your_output"),
    ("imperative", "your_work"),
    ("imperative", "code_block"),
    ("imperative", "my"),
    ("imperative", "my_thing"),
    ("imperative", "address"),
    ("imperative", "me"),
    ("imperative", "transform"),
    ("imperative", "account"),
    ("imperative", "identifier"),
    ("imperative", "we"),
    ("imperative", "item"),
    ("imperative", "sentiment"),
    ("please", "my"),
    ("please", "identifier"),
    ("please", "we"),
    ("send_to", "address"),
    ("send_to", "my"),
    ("add_to", "code_block"),
    ("your_work", "code_block"),
    ("polite_question", "your_output"),
    ("transform", "your_output"),
    ("imperative", "add_to"),
    ("imperative", "send_to"),
    ("imperative", "you"),
    ("imperative", "your"),
    ("asks", "my"),
    ("asks", "question"),
    ("please", "imperative"),
    ("please", "you"),
    ("please", "account"),
    ("please", "address"),
    ("please", "link"),
    ("your_output", "you"),
    ("language", "your_output"),
)


@dataclass(frozen=True)
class Order:
    """A place that reads like an order, and how sure that is."""

    start: int
    end: int
    probability: float


_BREAK = re.compile(
    r"(?:\r?\n){1,4}+|(?<=[.!?])[\"')\]]{0,3}+\s{1,8}+|\|"
    r"|(?<=[\w.!?)\"'])[\"']\s{0,4}+[,}\]:]\s{0,4}+[\"'\[{]{0,3}+|[\[{,:]\s{0,4}+[\"'](?=\w)"
)


def segments(text: str) -> Iterator[tuple[int, int]]:
    """Sentences, lines, cells, and the values of what looks like JSON: (start, end), at most 600 characters each."""
    last = 0
    for match in _BREAK.finditer(text):
        yield from _pieces(last, match.start())
        last = match.end()
    yield from _pieces(last, len(text))


def _pieces(start: int, end: int) -> Iterator[tuple[int, int]]:
    for begin in range(start, end, _LONGEST):
        stop = min(end, begin + _LONGEST)
        if stop - begin >= _SHORTEST:
            yield begin, stop


def features(sentence: str) -> dict[str, bool]:
    """The features of one folded sentence, pairs among them as ``a&b``."""
    single = {name: ask(sentence) for name, ask in FEATURES.items()}
    return single | {f"{a}&{b}": single[a] and single[b] for a, b in PAIRS}


def score(sentence: str) -> float:
    """The model's probability that one folded sentence is an order to an assistant."""
    single = {name for name, ask in FEATURES.items() if ask(sentence)}
    held = BIAS + sum(WEIGHTS.get(name, 0.0) for name in single)
    held += sum(weight for a, b, weight in _PAIR_WEIGHTS if a in single and b in single)
    return 1 / (1 + exp(-max(-50.0, min(50.0, held))))


_PAIR_WEIGHTS = tuple((a, b, WEIGHTS[f"{a}&{b}"]) for a, b in PAIRS if f"{a}&{b}" in WEIGHTS)
_WORTH = re.compile(
    r"\b(?:your?|my|please|kindly|me|code|sentiment|base\d\d|emojis?|cipher|reverse|instructions?|e?mail|send)\b|\bid\b"
)
"""A sentence without any of these words cannot reach the threshold; it is not scored (``tests/domain/test_orders.py``)."""


def scored(text: str) -> Iterator[Order]:
    """The sentences of folded ``text`` that the model takes for orders. Beyond what can be scored, what is left
    of the text is one finding: nobody writes so many sentences of that kind, and an answer is waited for."""
    tried = characters = 0
    for start, end in segments(text):
        sentence = text[start:end]
        if _WORTH.search(sentence) is None:
            continue
        tried, characters = tried + 1, characters + end - start
        if tried > SCORED or characters > _SCORED_CHARACTERS:
            yield Order(start, len(text), 1.0)
            return
        probability = score(sentence)
        if probability >= THRESHOLD:
            yield Order(start, end, probability)


# -- phrases

_CANDIDATES = 2_000
"""At most so many beginnings of a phrase are followed up in one text; more of them are an order by themselves."""
_SURE, _MENTIONED = 0.95, 0.4
"""Of an order, and of words that texts about assistants have as well, such as a phrase in quotation marks or in a block of
code."""
_PHRASES = (
    (
        ("ignor", "disregard", "forget", "override", "vergiss", "oublie"),
        re.compile(
            r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:previous|prior|above|earlier|all|your)\b.{0,30}"
            r"\b(?:instruction|prompt|rule|message|guideline)s?\b"
            r"|\b(?:ignor(?:a|e|ez|iere|ieren)|vergiss|oublie[zr]?)\b.{0,40}"
            r"\b(?:instruc(?:tions?|ciones|cion|oes)|anweisungen|istruzioni|consignes)\b",
            re.DOTALL,
        ),
        _SURE,
    ),
    (("you are now",), re.compile(r"\byou are now\b"), _MENTIONED),
    (("system prompt",), re.compile(r"\bsystem prompt\b"), _MENTIONED),
    (
        ("reveal", "print", "repeat", "output"),
        re.compile(r"\b(?:reveal|print|repeat|output)\b.{0,30}\b(?:prompt|instructions)\b", re.DOTALL),
        _MENTIONED,
    ),
    (("<|im_", "[inst]", "[/inst]"), re.compile(r"<\|im_(?:start|end)\|>|\[/?inst\]"), _SURE),
)
_REACH = 120
"""Characters from its beginning that a phrase can have."""
_QUOTED = re.compile(r"(?<![\"']: )(?<![\"']:)[\"'`]{1,3}\Z")
"""Before a phrase that somebody quotes; not where a value begins in JSON, which is where a tool's result brings an attack."""
_FENCE = re.compile(r"^ {0,3}+(?:```|~~~)", re.MULTILINE)
"""What opens or closes a block of code in Markdown (CommonMark 0.31, 4.5): what stands between two is shown, not said."""
_BLANKS = {ord(c): " " for c in "\t\n\r\x0b\x0c\u00a0\u2028\u2029\u3000"}


def phrases(text: str) -> Iterator[Order]:
    """Places in folded ``text`` with a phrase that attacks use and others hardly."""
    flat, fences = text.translate(_BLANKS), _Fences(text)
    for beginnings, pattern, sure in _PHRASES:
        yield from _followed(flat, beginnings, pattern, sure, fences)


class _Fences:
    """Which places of a text stand in a block of code that is closed. Looked for once, and only where there is a phrase."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._places: list[int] | None = None

    def around(self, at: int) -> bool:
        if self._places is None:
            self._places = [m.start() for m in _FENCE.finditer(self._text)]
        before = bisect_left(self._places, at)
        return before % 2 == 1 and before < len(self._places)


def _followed(
    text: str, beginnings: tuple[str, ...], pattern: re.Pattern[str], sure: float, fences: _Fences
) -> Iterator[Order]:
    tried = 0
    for beginning in beginnings:
        at = text.find(beginning)
        while at >= 0:
            tried += 1
            if tried > _CANDIDATES:
                yield Order(at, len(text), _SURE)
                return
            match = pattern.match(text, at, at + _REACH)
            after = at + 1
            if match is not None:
                shown = _QUOTED.search(text[max(0, at - 8) : at]) is not None or fences.around(at)
                yield Order(at, match.end(), min(sure, _MENTIONED) if shown else sure)
                after = (
                    after if shown else match.end()
                )  # a phrase that is shown hides none that begins within it
            at = text.find(beginning, after)
