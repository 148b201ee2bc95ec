"""A real model that knows the answers to a few questions: its weights are worked out from them in well under a second.

    with TinyServer(folder, write_fitted_model(folder / "fitted.gguf", {"How many days?": '{"claims": …}'})) as server:
        ...  # llama.cpp's own server; asked one of the questions, wherever it stands in the prompt, it writes its answer

It is a llama of one layer, run like any other: tokenizer, attention over the whole prompt, sampling under a grammar. Each
question, as it stands in a prompt (a string of JSON), is one token. All positions attend to all before them alike, and of what
they see only questions are carried on: so the last token of the prompt knows which was asked, and that leads to the first
piece of its answer. Pieces are tokens that occur in one answer only, once, and each leads to the next. Asked anything else it
knows nothing, and writes what the grammar allows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from affidavit.testing.tiny_model import CONTEXT, END, Shape, vocabulary, write_model

_PIECE = 10
"""Characters of a piece of an answer, more where they would not be its own."""
_OUTSIDE, _PIECE_STRENGTH, _ASKED_STRENGTH = 0.1, 1_000.0, 4.0 * CONTEXT
"""How strong a token is that means nothing, one of an answer, and a question before the attention divides it by the number of
tokens: the question outweighs what means nothing, and where an answer has begun, that outweighs the question."""


def write_fitted_model(path: Path, answers: Mapping[str, str]) -> Path:
    """A model that answers each question (the key) with its answer (ASCII), as a GGUF file at ``path``.

    Raises ValueError if the answers cannot be told apart.
    """
    known, kinds = vocabulary()
    pieces = dict(zip(answers, _pieces(list(answers.values())), strict=True))
    asked = {json.dumps(question, ensure_ascii=False): question for question in answers}
    tokens = {
        **known,
        **dict.fromkeys(asked, kinds.USER_DEFINED),
        **dict.fromkeys((_spelled(p) for row in pieces.values() for p in row), kinds.NORMAL),
    }
    numbers = {token: number for number, token in enumerate(tokens)}
    rows = [[numbers[_spelled(p)] for p in pieces[question]] for question in asked.values()]
    first = {numbers[token]: row[0] for token, row in zip(asked, rows, strict=True)}
    following = {a: b for row in rows for a, b in zip(row, [*row[1:], numbers[END]], strict=True)}
    shape = _shape(1 + len(first) + len(following))
    return write_model(path, shape, tokens, _weights(shape, len(tokens), first, following))


def _pieces(answers: Sequence[str]) -> Iterator[list[str]]:
    """Each answer cut into pieces that stand nowhere else in what is cut."""
    taken: set[str] = set()
    for answer in answers:
        row, at = [], 0
        while at < len(answer):
            end = min(at + _PIECE, len(answer))
            while answer[at:end] in taken and end < len(answer):
                end += 1
            if answer[at:end] in taken and row:  # the rest is no news: it belongs to the piece before
                row[-1] += answer[at:end]
            else:
                row.append(answer[at:end])
            taken.add(row[-1])
            at = end
        yield row
    if len(set(answers)) < len(answers) or "" in answers:
        raise ValueError("two questions have one answer, or one has none")


def _spelled(text: str) -> str:
    """``text`` in GPT-2's spelling."""
    return text.replace(" ", "Ġ").replace("\n", "Ċ")


def _shape(directions: int) -> Shape:
    """A model in which so many things each have a direction of their own."""
    width = -(-directions // 32) * 32
    return Shape(layers=1, width=width, heads=1, key_heads=1, inner=32)


def _weights(shape: Shape, size: int, first: Mapping[int, int], following: Mapping[int, int]) -> dict[str, Any]:
    """``first``: question to the first piece of its answer; ``following``: piece to what follows it."""
    width = shape.width

    def zeros(*sizes: int) -> Any:
        return np.zeros(sizes, np.float32)

    direction = {token: n for n, token in enumerate((*first, *following), 1)}
    said, carried, heard = zeros(size, width), zeros(width, width), zeros(size, width)
    said[:, 0] = _OUTSIDE
    for token, n in direction.items():
        said[token, 0], said[token, n] = 0, _PIECE_STRENGTH
    for token, piece in first.items():
        n = direction[token]
        carried[n, n] = _ASKED_STRENGTH / np.sqrt(width)  # the norm makes sqrt(width) of any token of one direction
        heard[piece, n] = 1
    for token, after in following.items():
        heard[after, direction[token]] = 1
    ones = np.ones(width, np.float32)
    block = "blk.0."
    return {
        "token_embd.weight": said,
        "output_norm.weight": ones,
        "output.weight": heard,
        block + "attn_norm.weight": ones,
        block + "ffn_norm.weight": ones,
        block + "attn_q.weight": zeros(width, width),
        block + "attn_k.weight": zeros(width, width),
        block + "attn_v.weight": carried,
        block + "attn_output.weight": np.eye(width, dtype=np.float32),
        block + "ffn_gate.weight": zeros(shape.inner, width),
        block + "ffn_up.weight": zeros(shape.inner, width),
        block + "ffn_down.weight": zeros(width, shape.inner),
    }
