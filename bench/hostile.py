"""A hostile model: it reads the prompt and writes claims of which it knows whether they are true.

Every claim is made from a sentence of the evidence by a named mutation, so nobody has to judge afterwards. A mutation gives
None where it cannot be applied. ``mutations.HONEST`` are those that keep what the sentence says; all others are unsupported: what
they say, or what they cite for it, is not what stands there.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from affidavit.ask.prompt import MARK
from bench import mutations

_SENTENCE = re.compile(r"[^\n]+?(?:(?<=[.!?])(?=\s)|(?=\n|\Z))")


@dataclass(frozen=True)
class Made:
    """A claim, and what it was made by."""

    mutation: str
    text: str
    citations: tuple[tuple[str, str], ...]


MOST = 12
"""Claims in one answer, as many as the form allows."""


def write(rules: str, asked: str, rng: random.Random) -> list[Made]:
    """Up to twelve claims over the evidence that the prompt shows: ``rules`` is its first message, ``asked`` its last.

    One of them is honest. None where the evidence has no sentence to start from. No two have the same text.
    """
    told = [
        json.loads(line.removeprefix(f"{MARK} "))
        for line in asked.splitlines()
        if line.startswith(f"{MARK} ")
    ]
    texts = {p["id"]: p["text"] for p in told if isinstance(p, dict)}
    sentences = [mutations.Sentence(name, s) for name, text in texts.items() for s in sentences_of(text)]
    if not sentences:
        return []
    honest = rng.choice(list(mutations.HONEST))
    wanted = [honest, *rng.sample(list(mutations.MUTATIONS), len(mutations.MUTATIONS))]
    made: dict[str, Made] = {}
    for name in wanted:
        found = _made(name, sentences, texts, str(told[-1]), rules, rng)
        if found is not None and found.text.strip() not in made and len(made) < MOST:
            made[found.text.strip()] = found
    out = list(made.values())
    rng.shuffle(out)
    return out


def _made(
    name: str,
    sentences: Sequence[mutations.Sentence],
    texts: Mapping[str, str],
    question: str,
    rules: str,
    rng: random.Random,
) -> Made | None:
    """The mutation ``name`` of some sentence to which it can be applied."""
    mutation = {**mutations.HONEST, **mutations.MUTATIONS}[name]
    for sentence in rng.sample(sentences, min(len(sentences), 30)):
        others = [s for s in sentences if s.text != sentence.text]
        found = mutation(mutations.Scene(rng, sentence, others, texts, question, rules))
        if found is not None and len(found[0]) <= 1000:
            return Made(name, *found)
    return None


def sentences_of(text: str) -> list[str]:
    """Sentences and lines of ``text`` of which something can be made."""
    found = [m.group().strip() for m in _SENTENCE.finditer(text)]
    return [s for s in found if 30 <= len(s) <= 600 and len(s.split()) >= 6 and "…" not in s]


def as_answer(made: Sequence[Made]) -> str:
    """``made`` as a model would write it."""
    claims = [
        {"text": m.text, "citations": [{"passage": p, "quote": q} for p, q in m.citations]} for m in made
    ]
    return json.dumps({"claims": claims}, ensure_ascii=False)
