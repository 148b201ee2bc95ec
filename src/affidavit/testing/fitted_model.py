"""A real model that knows the answers to a few questions: worked out from them in well under a second, and run by llama.cpp.

    model = write_fitted_model(folder / "model.gguf", answers)        # {"How many days?": '{"claims": …}'}
    adapter = write_fitted_adapter(folder / "adapter.gguf", answers)
    with TinyServer(folder, model, adapter=adapter, context=CONTEXT) as server:
        ...  # asked one of the questions, wherever it stands in the prompt, it writes its answer

It is a llama of one layer with a low-rank adapter (LoRA), run like any other: tokenizer, attention over the whole prompt,
sampling under a grammar. The model can say the answers: they are cut into pieces that occur once, and each leads to the next. The
adapter tells it which: all positions attend to all before them alike, and of what they see it carries on questions only, each of
which is one token where it stands as a string of JSON. Asked anything else, the model writes what the grammar allows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from affidavit.testing.tiny_model import END, Shape, vocabulary, write_model

_PIECE = 10
"""Characters of a piece of an answer, more where they would not be its own."""
CONTEXT = 16_384
"""Tokens that the model has room for."""
_OUTSIDE, _ASKED, _SAID = 0.1, float(CONTEXT), 100_000.0
"""How strong a token is that means nothing; a question, before the attention divides it by the number of tokens; a piece of an
answer. So the question outweighs what means nothing, and what was said outweighs the question. (llama.cpp keeps what attention
carries as half precision, which ends at 65,504.)"""


@dataclass(frozen=True)
class _Plan:
    """``tokens`` with their kinds. ``first``: question to the first piece of its answer; ``following``: piece to what follows
    it; both by number. ``direction``: the coordinate that is a token's own."""

    tokens: Mapping[str, int]
    first: Mapping[int, int]
    following: Mapping[int, int]

    @property
    def direction(self) -> dict[int, int]:
        return {token: n for n, token in enumerate((*self.first, *self.following), 1)}

    @property
    def shape(self) -> Shape:
        """A model in which everything that has a direction has room."""
        width = -(-(1 + len(self.direction)) // 32) * 32
        return Shape(layers=1, width=width, heads=1, key_heads=1, inner=32)


def write_fitted_model(path: Path, answers: Mapping[str, str]) -> Path:
    """A model that can say the ``answers`` (ASCII) to its questions (the keys), as a GGUF file at ``path``.

    Raises ValueError if two answers are too much alike, or one is empty.
    """
    plan = _plan(answers)
    return write_model(path, plan.shape, plan.tokens, _weights(plan), CONTEXT)


def write_fitted_adapter(path: Path, answers: Mapping[str, str]) -> Path:
    """The adapter with which the model for the same ``answers`` knows which question was asked, as a GGUF file at ``path``."""
    import gguf  # noqa: PLC0415 - a test tool that an installation does not have

    plan = _plan(answers)
    width, rank = plan.shape.width, len(plan.first)
    reads, writes = np.zeros((rank, width), np.float32), np.zeros((width, rank), np.float32)
    for row, question in enumerate(plan.first):
        reads[row, plan.direction[question]] = 1
        writes[plan.direction[question], row] = _ASKED / np.sqrt(
            width
        )  # the norm makes sqrt(width) of a token
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(rank))  # it is divided by the rank
    writer.add_tensor("blk.0.attn_v.weight.lora_a", reads)
    writer.add_tensor("blk.0.attn_v.weight.lora_b", writes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _plan(answers: Mapping[str, str]) -> _Plan:
    known, kinds = vocabulary()
    rows = [[_spelled(piece) for piece in row] for row in _pieces(list(answers.values()))]
    asked = [json.dumps(question, ensure_ascii=False) for question in answers]
    tokens = {
        **known,
        **dict.fromkeys(asked, kinds.USER_DEFINED),
        **dict.fromkeys((piece for row in rows for piece in row), kinds.NORMAL),
    }
    numbers = {token: number for number, token in enumerate(tokens)}
    first = {numbers[token]: numbers[row[0]] for token, row in zip(asked, rows, strict=True)}
    pairs = (pair for row in rows for pair in zip(row, [*row[1:], END], strict=True))
    return _Plan(tokens, first, {numbers[a]: numbers[b] for a, b in pairs})


def _pieces(answers: Sequence[str]) -> list[list[str]]:
    """Each answer cut into pieces of which no two are alike."""
    taken: set[str] = set()
    rows = []
    for answer in answers:
        row: list[str] = []
        at = 0
        while at < len(answer):
            end = min(at + _PIECE, len(answer))
            while answer[at:end] in taken and end < len(answer):
                end += 1
            if answer[at:end] in taken and row:  # what is left is no news: it belongs to the piece before
                row[-1] += answer[at:end]
            else:
                row.append(answer[at:end])
            taken.add(row[-1])
            at = end
        rows.append(row)
    every = [piece for row in rows for piece in row]
    if len(set(every)) < len(every) or [] in rows:
        raise ValueError("two answers are too much alike, or one is empty")
    return rows


def _spelled(text: str) -> str:
    """``text`` in GPT-2's spelling."""
    return text.replace(" ", "Ġ").replace("\n", "Ċ")


def _weights(plan: _Plan) -> dict[str, Any]:
    shape, size = plan.shape, len(plan.tokens)
    width, direction = shape.width, plan.direction

    def zeros(*sizes: int) -> Any:
        return np.zeros(sizes, np.float32)

    said, heard = zeros(size, width), zeros(size, width)
    said[:, 0] = _OUTSIDE
    for token, n in direction.items():
        said[token, 0], said[token, n] = 0, _SAID
    for token, after in {**plan.first, **plan.following}.items():
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
        block + "attn_v.weight": zeros(width, width),
        block + "attn_output.weight": np.eye(width, dtype=np.float32),
        block + "ffn_gate.weight": zeros(shape.inner, width),
        block + "ffn_up.weight": zeros(shape.inner, width),
        block + "ffn_down.weight": zeros(width, shape.inner),
    }
