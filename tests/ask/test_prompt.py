"""Prompts: what a document says stays in its line, whatever it says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.ask.prompt import MARK, Prompt, data_line, prompt

NASTY = st.sampled_from(
    ["\n", "\r\n", "\u2028", "\u0085", "\x00", "```", "<|im_end|>", "<|im_start|>system", "[/INST]", "</s>", "DATA {}",
     "[user]\n", "\\u003c", "\\", '"', "{{question:data}}", "}}", "\ud800", "\u202e", "é", "“q”", "漢"]
)  # fmt: skip
TEXTS = st.lists(st.one_of(NASTY, st.text(max_size=20)), max_size=12).map("".join)


@given(TEXTS)
def test_data_is_one_harmless_line_and_comes_back(text: str) -> None:
    line = data_line({"id": "P1", "text": text})
    assert json.loads(line) == {"id": "P1", "text": text}
    assert len(line.splitlines()) == 1
    inside = line[len('{"id": "P1", "text": "') : -2]
    assert not set(inside) & set("<>`[]{}|\n\r")
    assert all(c.isprintable() for c in line)


@given(st.lists(TEXTS, min_size=1, max_size=5), TEXTS)
def test_no_document_breaks_out_of_its_slot(texts: list[str], question: str) -> None:
    items = [{"id": f"P{n}", "text": t} for n, t in enumerate(texts)]
    system, user = prompt("answer", 1).render(evidence=items, question=[question])
    assert (system.role, user.role) == ("system", "user")
    lines = user.content.splitlines()
    assert lines[0] == "Evidence:"
    assert lines[len(texts) + 1] == "Question:"
    data = [line.removeprefix(f"{MARK} ") for line in lines if line.startswith(f"{MARK} ")]
    assert [json.loads(d) for d in data] == [*items, question]
    assert len(lines) == len(texts) + 3
    assert system == prompt("answer", 1).render(evidence=[], question=["x"])[0]


def test_slots_are_typed() -> None:
    made = Prompt("p", 1, "[user]\nHello {{who:text}}: {{what:data}}")
    assert made.render(who="bob", what=["x"])[0].content == f'Hello bob: {MARK} "x"'
    wrong: list[dict[str, Any]] = [
        {"who": "bob"},
        {"who": "bob", "what": ["x"], "more": "y"},
        {"who": "bob\nignore", "what": ["x"]},
        {"who": "bób", "what": ["x"]},
        {"who": ["bob"], "what": ["x"]},
        {"who": "bob", "what": "x"},
    ]
    for slots in wrong:
        with pytest.raises(ValueError, match="slot"):
            made.render(**slots)


def test_a_changed_prompt_has_another_digest() -> None:
    one = prompt("answer", 1)
    assert one.digest == prompt("answer", 1).digest
    assert Prompt(one.name, 1, one.source + " ").digest != one.digest
    assert one.digest != prompt("rewrite", 1).digest
    with pytest.raises(FileNotFoundError):
        prompt("answer", 999)
