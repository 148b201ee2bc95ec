"""Step 2 and part of 9: rules for what comes in, and signals in what would go out.

The patterns are signals, not barriers: attacks that avoid these words exist. What holds is that the
answerer cannot be told anything; it only copies sentences that the reader may read. These rules always hold; what a
release adds is in ``models/guards.py``. Finding is the business of ``domain/guard_core.py`` and what it is made of.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from affidavit.domain.answer import Refusal
from affidavit.domain.folding import Folded
from affidavit.domain.leaks import leaks
from affidavit.domain.orders import phrases
from affidavit.domain.redact import TOKENS
from affidavit.domain.release import Guarding

MASK = "\ufdd0"
"""Stands, letter for letter, for what a guard took out of a passage: no character of any text (Unicode, noncharacters)."""
_REFERENCE = re.compile(r"!\[[^\[\]]{0,1000}\]\s{0,8}[(\[]")
_CSS = re.compile(r"\burl\s{0,8}\(", re.IGNORECASE)


@dataclass(frozen=True)
class Guarded:
    """What the input rules found: a refusal, or None; and signals for the record."""

    refusal: Refusal | None
    signals: tuple[str, ...]


def looks_like_orders(text: str) -> bool:
    """Whether ``text`` reads as orders to an assistant."""
    return next(phrases(Folded(text).text), None) is not None


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
            ("secret", _holds_secret(question)),
        )
        if found
    ]
    return Guarded(None, tuple(signals))


def output_signals(text: str) -> tuple[str, ...]:
    """Signals in a sentence that would be quoted; one that has any is left out of the answer."""
    signals = (
        ("orders", looks_like_orders(text)),
        ("secret", _holds_secret(text)),
        ("image", _loads(text)),
        ("guarded", MASK in text),
    )
    return tuple(name for name, found in signals if found)


def _holds_secret(text: str) -> bool:
    """Keys of a shape that nothing else has."""
    return any(True for rule in TOKENS for _ in rule.find(text))


def _loads(text: str) -> bool:
    """What a page fetches by itself when it is shown: the way by which a planted sentence would carry an answer out."""
    if "![" in text and _REFERENCE.search(text):
        return True
    if "(" in text and _CSS.search(text):
        return True
    return "<" in text and any(kind == "html" for _, _, kind, _, _ in leaks(text))
