"""Headers are closed and typed, and no fact of theirs can hold personal data as people write it."""

from __future__ import annotations

import json

import pytest

from affidavit.domain.events import FACTS, Event, EventKind, header_bytes

PERSONAL = [
    "Alice",
    "alice@example.org",
    "alice smith",
    "müller",
    "user:Alice",
    "+49 30 1234567",
    "4111111111111111",
    "DE89370400440532013000",
    "127.0.0.1",
    "/home/alice/cv.pdf",
    "a" * 33,
    "",
    "word\n",
]
SPOKEN = [(kind, name) for kind, facts in FACTS.items() for name, type_ in facts.items() if type_ is str]


def facts(kind: EventKind) -> dict[str, int | str]:
    return {name: 1 if type_ is int else "word" for name, type_ in FACTS[kind].items()}


@pytest.mark.parametrize("kind", EventKind)
def test_facts_are_closed_and_typed(kind: EventKind) -> None:
    good = facts(kind)
    header = json.loads(header_bytes(Event(kind, 1, "run-x", good), 5, "c"))
    assert set(header) == {"v", "kind", "at", "tenant", "facts", "run", "body"}
    assert header["facts"] == good
    with pytest.raises(ValueError, match="needs the facts"):
        Event(kind, facts={**good, "note": "word"})
    for name, value in good.items():
        with pytest.raises(ValueError, match="needs the facts"):
            Event(kind, facts={n: v for n, v in good.items() if n != name})
        with pytest.raises(TypeError):
            Event(kind, facts={**good, name: 1 if isinstance(value, str) else "word"})
        with pytest.raises(TypeError):
            Event(kind, facts={**good, name: True})


@pytest.mark.parametrize(("kind", "name"), SPOKEN)
@pytest.mark.parametrize("text", PERSONAL)
def test_no_fact_holds_personal_data(kind: EventKind, name: str, text: str) -> None:
    with pytest.raises(ValueError, match="vocabulary"):
        Event(kind, facts={**facts(kind), name: text})


@pytest.mark.parametrize("text", ["answered", "audit:erase", "retrieve", "document:read", "0" * 64])
def test_our_own_words_and_digests_do(text: str) -> None:
    Event(EventKind.ANSWER_RELEASED, facts={"status": text})
