"""Step 7 when it ends in a refusal: what the evidence lacks, and whom to ask.

Both are worked out from the question and the passages that the person may read, and from nothing else: a word that stands
only in hidden documents is missing all the same, and the owner of a hidden one is never named.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import replace

from affidavit.ask.guard import output_signals
from affidavit.ask.retrieve import Passage
from affidavit.domain.answer import NOT_ENOUGH, Refusal, Responsible
from affidavit.text.analyze import terms

_MOST_WORDS = 5
_LONGEST_OWNER = 100
_WORD = re.compile(r"[^\s\"“”„«»()\[\]{}<>?!;,]{1,60}")


def not_enough(question: str, passages: Sequence[Passage]) -> Refusal:
    """The refusal of ``question`` when ``passages``, best first, do not answer it."""
    missing, responsible = _missing(question, passages), _responsible(passages)
    message = NOT_ENOUGH.message
    steps = [NOT_ENOUGH.next_steps[0]]
    if passages and missing:
        listed = ", ".join(map(quoted, missing))
        message = f"{message} What comes closest says nothing of {listed}."
    if responsible is None:
        steps.append(NOT_ENOUGH.next_steps[1])
    else:
        where = f"{responsible.source}/{responsible.document}"
        steps.append(f"Ask {responsible.owner}, who answers for the closest document you may read: {where}.")
    return replace(
        NOT_ENOUGH, message=message, next_steps=tuple(steps), missing=tuple(missing), ask=responsible
    )


def words(text: str) -> list[str]:
    """The words of ``text``, as a refusal may name them: each once, in its order."""
    return list(dict.fromkeys(word.rstrip(".:'’") for word in _WORD.findall(text)))


def quoted(word: str) -> str:
    """``word`` as it stands in the message of a refusal."""
    return f"“{word}”"


def _missing(question: str, passages: Sequence[Passage]) -> list[str]:
    """Words of the question, as written and in its order, none of whose terms stands in any passage or above it."""
    have: set[str] = set()
    for passage in passages:
        have.update(terms(" ".join((passage.view.title, *passage.view.path, passage.text))))
    return [word for word in words(question) if _lacks(have, terms(word))][:_MOST_WORDS]


def _lacks(have: Set[str], word: Sequence[str]) -> bool:
    """Whether none of a word's terms is there; of an identifier such as ``ERR-4032``, whether the whole of it is not."""
    whole = {t for t in word if t.startswith("=") and any(map(str.isdigit, t)) and any(map(str.isalpha, t))}
    return bool(word) and (not whole <= have if whole else have.isdisjoint(word))


def _responsible(passages: Sequence[Passage]) -> Responsible | None:
    """The owner of the first passage's document that has one; an owner or name that reads as more than a name is passed over."""
    for passage in passages:
        view = passage.view
        if _is_name(view.owner) and not output_signals(view.name):
            return Responsible(view.owner, view.source, view.name)
    return None


def _is_name(owner: str) -> bool:
    """Whether ``owner`` may be shown as somebody's name: feeds put free text there, and so may whoever owns a document."""
    if not owner or len(owner) > _LONGEST_OWNER or not owner.isprintable():
        return False
    return "/" not in owner and not output_signals(owner)
