"""Token vectors as they are kept: near to what they were made of, found again by place, and exact to add up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from affidavit.text.tokenvectors import (
    STRETCH,
    Kept,
    Question,
    best_stretches,
    pack,
    pack_question,
    space,
    unpack,
    unpack_question,
    words_at,
)

DIMENSIONS = 384


def units(count: int, seed: int = 0, dimensions: int = DIMENSIONS) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(count, dimensions))
    unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def spans(text: str) -> list[tuple[int, int]]:
    out, end = [], 0
    for word in text.split():
        start = text.index(word, end)
        end = start + len(word)
        out.append((start, end))
    return out


def kept(text: str, vectors: NDArray[np.float32]) -> Kept:
    return unpack(pack(text, vectors, spans(text)), vectors.shape[1])


def asked(text: str, vectors: NDArray[np.float32]) -> Question:
    return unpack_question(pack_question(text, vectors, spans(text)), vectors.shape[1])


def test_stop_words_and_marks_are_left_out() -> None:
    text, vectors = "The walrus — of Oslo", units(5)
    found = kept(text, vectors)
    assert found.shape == (2, DIMENSIONS // 8)
    assert found.tolist() == kept("walrus Oslo", vectors[[1, 4]]).tolist()
    assert len(pack(text, vectors, spans(text))) == 2 * DIMENSIONS // 8


def test_a_question_of_stop_words_alone_keeps_them() -> None:
    assert len(asked("who is who", units(3)).steps) == 3
    assert len(asked("who is Ada", units(3)).steps) == 1


@pytest.mark.parametrize("dimensions", [384, 24, 7, 1536])
def test_the_estimate_is_near_the_cosine(dimensions: int) -> None:
    question, text = units(1, 1, dimensions), units(400, 2, dimensions)
    text += np.linspace(-1, 1, 400, dtype=np.float32)[:, None] * 2 * question
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    cosines = (text @ question.T)[:, 0]
    texts = [kept("w", row[None]) for row in text]
    found = np.array(best_stretches(asked("w", question), [1.0], texts))
    assert np.corrcoef(found, cosines)[0, 1] > (0.8 if dimensions < 10 else 0.9)
    if dimensions > 300:
        assert np.abs(found - cosines).max() < 0.25


def test_the_best_stretch_is_that_of_a_text_alone_and_no_longer() -> None:
    question = units(2)
    other = units(3 * STRETCH, 5)
    apart = other.copy()
    apart[0], apart[-1] = question  # too far from each other to be one stretch
    together = other.copy()
    together[4], together[9] = question
    words = " ".join(f"w{n}" for n in range(3 * STRETCH))
    some = [kept(words, rows) for rows in (apart, together, other)]
    q = asked("one two", question)
    scores = best_stretches(q, [1.0, 1.0], some)
    assert scores[1] > scores[0] > scores[2]
    assert scores == [best_stretches(q, [1.0, 1.0], [each])[0] for each in some]
    # half of the question at the end of one text and half at the beginning of the next are no stretch
    ends = [kept("a1", question[:1]), kept("b1", question[1:])]
    assert max(best_stretches(q, [1.0, 1.0], ends)) < 0.75
    assert best_stretches(q, [0.0, 1.0], ends)[1] > best_stretches(q, [1.0, 0.0], ends)[1]


def test_what_has_no_tokens_fits_nothing() -> None:
    empty, q = kept("of the", units(2)), asked("walrus", units(1))
    assert best_stretches(q, [1.0], [empty]) == [0.0]
    assert best_stretches(q, [1.0], []) == []
    assert best_stretches(q, [1.0], [empty, kept("walrus", units(1))])[0] == 0.0
    assert best_stretches(asked("", units(0)), [], [kept("walrus", units(1))]) == [0.0]


@given(st.permutations(range(STRETCH)), st.lists(st.floats(0, 9), min_size=4, max_size=4))
def test_sums_are_exact_in_whatever_order(order: list[int], weights: list[float]) -> None:
    vectors, words = units(STRETCH, 3), " ".join(f"w{n}" for n in range(STRETCH))
    q = asked("a1 b1 c1 d1", units(4, 4))
    whole = best_stretches(q, weights, [kept(words, vectors)])
    turned = kept(words, vectors[order])
    assert best_stretches(q, weights, [turned]) == whole
    assert best_stretches(Question(q.places[::-1], q.steps[::-1]), weights[::-1], [turned]) == whole


def test_a_token_counts_by_the_word_it_is_part_of() -> None:
    text = "Is ERR-4032 fatal?"
    assert words_at(text, (0, 3, 7, 9, 12, 17)) == [
        "Is",
        "ERR",
        "4032",
        "4032",
        "fatal",
        "",
    ]


def test_another_embedder_or_format_is_another_space() -> None:
    assert space("a") != space("b") and space("a").startswith("a")
