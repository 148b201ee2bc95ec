"""The guard that is always there: patterns with checksums, entropy, signs of injection, ways out. No dependency, linear time.

| kind | what | confidence |
|---|---|---|
| ``secret`` | private keys, keys of known providers, named or random-looking words | 0.4 to 1 |
| ``email``, ``phone``, ``iban``, ``payment-card``, ``national-id`` | personal data | 0.7 to 1 |
| ``orders`` | phrases of attacks, sentences like orders, also in comments and blobs | 0.86 to 0.95; 0.4 if mentioned |
| ``role`` | marks that set off who speaks in a prompt | 0.8 |
| ``tool-call`` | text in the form of a model's tool call | 0.7 |
| ``hidden`` | invisible characters, comments, text in base64 or hexadecimal | 0.2 to 0.9 |
| ``confusable`` | words of two alphabets | 0.6 |
| ``image``, ``html``, ``active``, ``link-data``, ``link``, ``disguised`` | ways out (``domain/leaks.py``) | 0.3 to 0.9 |

Declared patterns have their own names as kinds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from itertools import islice

from affidavit.domain.entropy import random_words
from affidavit.domain.folding import Folded
from affidavit.domain.guards import Finding
from affidavit.domain.hidden import Hidden, blobs, comments, invisible, mixed
from affidavit.domain.leaks import leaks
from affidavit.domain.orders import phrases, scored
from affidavit.domain.redact import BUILT_IN, Rule

NAME = "core"
PERSONAL = {"email": "0.9", "phone": "0.7", "iban": "1", "payment-card": "0.9", "national-id": "0.8"}
LEAKS = frozenset(("image", "html", "active", "link-data", "link", "disguised"))
INJECTION = frozenset(("orders", "role", "tool-call", "hidden", "confusable"))
KINDS = frozenset(PERSONAL) | LEAKS | INJECTION | {"secret"}
STREAMED = KINDS - INJECTION
"""Kinds that are decided by the text near them, so that they can be looked for in a text that grows."""

MOST = 1_000
"""Findings of one kind of search in one text; the last one then reaches to the end of the text, so that nothing slips by."""

_ORDERED = "0.80"
_SECRETS = ("private-key", "api-key")
_ROLES = re.compile(
    r"<\|(?:im_start|im_end|system|user|assistant|endoftext|start_header_id|end_header_id|eot_id)\|>|\[/?INST\]|<</?SYS>>"
    r"|<(?:start|end)_of_turn>|^\s{0,4}+#{2,4} ?(?:system|instruction|human|assistant)s?:\s"
    r"|^\s{0,4}+(?:human|assistant|system): |</?(?:system|assistant)>",
    re.IGNORECASE | re.MULTILINE,
)
_CALLS = re.compile(
    r"</?(?:tool_call|function_call|tool_use|tool_result|invoke)\b|<function=|<\|(?:tool_call|python_tag)\|?>|\[TOOL_CALLS\]|[\"']tool_calls[\"']\s{0,4}+:"
    r"|[\"'](?:name|function|tool|action)[\"']\s{0,4}+:\s{0,4}+[\"'][\w.-]{1,64}+[\"']\s{0,4}+,\s{0,4}+[\"'](?:arguments|parameters|action_input)[\"']\s{0,4}+:",
    re.IGNORECASE,
)


def find(
    text: str, kinds: Set[str], *, hosts: Collection[str] = (), patterns: Sequence[Rule] = ()
) -> list[Finding]:
    """What ``text`` holds of ``kinds``, and of declared ``patterns``, in text order."""
    found: list[Finding] = []
    cased = Folded(text, lower=False)
    if "secret" in kinds:
        found += _limited(_secrets(cased), len(text))
    for kind in PERSONAL.keys() & kinds:
        found += _limited(_rule(BUILT_IN[kind], cased, kind, "personal data", PERSONAL[kind]), len(text))
    for rule in patterns:
        found += _limited(_rule(rule, cased, rule.name, "a declared pattern", "1"), len(text))
    if kinds & LEAKS:
        made = (
            Finding(NAME, k, *cased.span(s, e), why, sure)
            for s, e, k, why, sure in leaks(cased.text, hosts)
            if k in kinds
        )
        found += _limited(made, len(text))
    if kinds & INJECTION:
        found += [f for f in _injection(text) if f.kind in kinds]
    return sorted(found, key=lambda f: (f.start, f.end, f.kind))


def _limited(findings: Iterator[Finding], size: int) -> list[Finding]:
    some = list(islice(findings, MOST))
    if len(some) == MOST:
        last = some[-1]
        some.append(Finding(last.guard, last.kind, last.start, size, "too many to tell one by one", "1"))
    return some


def _rule(rule: Rule, folded: Folded, kind: str, reason: str, confidence: str) -> Iterator[Finding]:
    for start, end in rule.find(folded.text):
        yield Finding(NAME, kind, *folded.span(start, end), reason, confidence)


def _secrets(folded: Folded) -> Iterator[Finding]:
    for name in _SECRETS:
        yield from _rule(BUILT_IN[name], folded, "secret", name, "1")
    for start, end, named in random_words(folded.text):
        reason, confidence = ("a random word with a name", "0.9") if named else ("a random word", "0.4")
        yield Finding(NAME, "secret", *folded.span(start, end), reason, confidence)


def _injection(text: str) -> Iterator[Finding]:
    folded = Folded(text)
    yield from order_findings(folded)
    searches: Mapping[str, tuple[re.Pattern[str], str, str]] = {
        "role": (_ROLES, "a mark of who speaks", "0.8"),
        "tool-call": (_CALLS, "in the form of a tool call", "0.7"),
    }
    for kind, (pattern, reason, confidence) in searches.items():
        for match in islice(pattern.finditer(folded.text), MOST):
            yield Finding(NAME, kind, *folded.span(*match.span()), reason, confidence)
    for search, confidence in ((invisible, "0.8"), (comments, "0.2"), (blobs, "0.3")):
        yield from islice(_said(search, text, confidence), MOST)
    for start, end, reason, _ in islice(mixed(text), MOST):
        yield Finding(NAME, "confusable", start, end, reason, "0.6")


def _said(search: Callable[[str], Iterator[Hidden]], text: str, confidence: str) -> Iterator[Finding]:
    """Hidden places; where what they say is an order, that as well."""
    for start, end, reason, said in search(text):
        yield Finding(NAME, "hidden", start, end, reason, confidence)
        if said and any(f.confidence >= _ORDERED for f in order_findings(Folded(said))):
            yield Finding(NAME, "orders", start, end, f"an order in {reason}", "0.95")


def order_findings(folded: Folded) -> Iterator[Finding]:
    """Orders by phrase and by the model."""
    for reason, orders in (("a phrase of attacks", phrases), ("reads like an order", scored)):
        for order in orders(folded.text):
            sure = f"{min(order.probability, 0.95):.2f}"
            yield Finding(NAME, "orders", *folded.span(order.start, order.end), reason, sure)
