"""Step 2 and part of 9: rules for what comes in, and signals in what would go out.

The patterns are signals, not barriers: attacks that avoid these words exist. What holds is that the
answerer cannot be told anything; it only copies sentences that the reader may read.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from affidavit.domain.answer import Refusal
from affidavit.domain.release import Guarding

_ORDERS = re.compile(
    r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:previous|prior|above|earlier|all|your)\b.{0,30}"
    r"\b(?:instruction|prompt|rule|message|guideline)s?\b"
    r"|\byou are now\b|\bsystem prompt\b|\b(?:reveal|print|repeat|output)\b.{0,30}\b(?:prompt|instructions)\b"
    r"|<\|im_(?:start|end)\|>|\[/?INST\]",
    re.IGNORECASE | re.DOTALL,
)
_SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{20,}"
    r"|\bgh[pousr]_[A-Za-z0-9]{36}\b"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}"
)
# What a page fetches by itself when it is shown: the way by which a planted sentence would carry an answer out.
_IMAGES = re.compile(
    r"!\[[^\]]*\]\s*[(\[]|<\s*[a-z][^>]*[\s/](?:src|srcset|href|data|style|poster|action|formaction|on\w+)\s*=|\burl\s*\(",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Guarded:
    """What the input rules found: a refusal, or None; and signals for the record."""

    refusal: Refusal | None
    signals: tuple[str, ...]


def looks_like_orders(text: str) -> bool:
    """Whether ``text`` reads as orders to an assistant."""
    return _ORDERS.search(text) is not None


def guard_question(question: str, settings: Guarding) -> Guarded:
    """Check a question before anything is looked up."""
    if not question.strip() or not any(c.isalnum() for c in question):
        return Guarded(Refusal("empty_question", "The question has no words.", ("Ask in a sentence.",)), ())
    if len(question) > settings.longest:
        message = f"The question is longer than {settings.longest} characters."
        return Guarded(
            Refusal("question_too_long", message, ("Ask one thing at a time, in a sentence or two.",)), ()
        )
    if any(unicodedata.category(c) == "Cs" or c == "\0" for c in question):
        return Guarded(Refusal("bad_characters", "The question is not valid text.", ("Type it again.",)), ())
    signals = [
        name
        for name, found in (
            ("orders", looks_like_orders(question)),
            ("secret", bool(_SECRETS.search(question))),
        )
        if found
    ]
    return Guarded(None, tuple(signals))


def output_signals(text: str) -> tuple[str, ...]:
    """Signals in a sentence that would be quoted; one that has any is left out of the answer."""
    signals = (
        ("orders", looks_like_orders(text)),
        ("secret", _SECRETS.search(text)),
        ("image", _IMAGES.search(text)),
    )
    return tuple(name for name, found in signals if found)
