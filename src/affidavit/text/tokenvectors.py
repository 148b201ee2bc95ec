"""Token vectors as they are kept and compared: one bit a component, so that a chunk's take a few kilobytes.

A vector is turned by a fixed rotation, after which no component matters more than another, and the signs are kept: with a
question kept in more detail, Σ question·sign estimates the cosine (Charikar, STOC 2002; Gao & Long's RaBitQ, SIGMOD 2024, has the
asymmetric form). Measured, ranking by it loses nothing against float32; a fitted projection onto more bytes does on other texts.
Tokens of stop words and marks are left out. A question's components are small integers, so every sum is exact, and the same on
every machine.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import simsimd
from numpy.typing import NDArray

from affidavit.text.analyze import STOPWORDS

FORMAT = "signs/1"
STRETCH = 12
"""Kept tokens that are looked at together: about a sentence."""
_STEPS = 26
"""Of a question's components for one standard deviation; what is beyond 127 steps is cut off."""
_PLACE = np.dtype("<u4")
_WORD = re.compile(r"[^\W_]+")


def space(fingerprint: str) -> str:
    """Names the token vectors of the embedder ``fingerprint`` kept in this format."""
    return f"{fingerprint}/{FORMAT}"


Kept = NDArray[np.uint8]
"""The signs of a text's kept token vectors, in order, shape (tokens, bytes)."""


def pack(text: str, vectors: NDArray[np.float32], spans: Sequence[tuple[int, int]]) -> bytes:
    """The unit ``vectors`` of ``text``'s tokens, which stand at ``spans``, as they are kept."""
    packed: bytes = np.packbits(_turned(vectors[_telling(text, spans)]) > 0, axis=1).tobytes()
    return packed


def unpack(packed: bytes, dimensions: int) -> Kept:
    """What ``pack`` made of vectors of so many ``dimensions``."""
    return np.frombuffer(packed, np.uint8).reshape(-1, -(-dimensions // 8))


@dataclass(frozen=True, eq=False)
class Question:
    """A question's token vectors in more detail: where each token begins (characters), and int8 components, shape (tokens,
    dimensions)."""

    places: NDArray[np.uint32]
    steps: NDArray[np.int8]


def pack_question(text: str, vectors: NDArray[np.float32], spans: Sequence[tuple[int, int]]) -> bytes:
    """As ``pack``, in more detail. Of a question of stop words alone all tokens are kept."""
    telling = _telling(text, spans)
    if not len(telling):
        telling = np.arange(len(spans))
    places = np.array([spans[n][0] for n in telling], _PLACE)
    steps = np.rint(_turned(vectors[telling]) * (_STEPS * math.sqrt(vectors.shape[1])))
    packed: bytes = np.clip(steps, -127, 127).astype(np.int8).tobytes()
    return places.tobytes() + packed


def unpack_question(packed: bytes, dimensions: int) -> Question:
    """What ``pack_question`` made of vectors of so many ``dimensions``."""
    count = len(packed) // (_PLACE.itemsize + dimensions)
    places = np.frombuffer(packed, _PLACE, count)
    steps = np.frombuffer(packed, np.int8, offset=places.nbytes).reshape(count, dimensions)
    return Question(places, steps)


def _telling(text: str, spans: Sequence[tuple[int, int]]) -> NDArray[np.intp]:
    """The tokens that are neither stop words nor marks."""
    words = [text[start:end].casefold() for start, end in spans]
    found = [n for n, w in enumerate(words) if w not in STOPWORDS and any(map(str.isalnum, w))]
    return np.array(found, np.intp)


def words_at(text: str, places: Iterable[int]) -> list[str]:
    """The word of ``text`` that the token at each of ``places`` is a part of."""
    words = {n: m[0] for m in _WORD.finditer(text) for n in range(*m.span())}
    return [words.get(int(place), "") for place in places]


def best_stretches(question: Question, weights: Sequence[float], texts: Sequence[Kept]) -> list[float]:
    """Of each text how well its best stretch fits: the weighted mean over the question's tokens of the best cosine to one of
    ``STRETCH`` tokens in a row, estimated. 0 for a text without tokens."""
    sizes = [len(t) for t in texts]
    if not sum(sizes) or not len(question.steps):
        return [0.0] * len(texts)
    # between texts lie rows that fit nothing, so no stretch reaches from one into the next
    starts = np.cumsum([0, *(size + STRETCH for size in sizes)])[:-1]
    real = np.concatenate([np.arange(s, s + n) for s, n in zip(starts, sizes, strict=True)])
    products = np.full((int(real[-1]) + STRETCH, len(question.steps)), -np.inf, np.float32)
    products[real] = _products(question, np.concatenate(texts))
    counts, unit = _counts(question, weights)
    stretches = _widest(products, STRETCH)[real].astype(np.float64) @ counts
    ends = np.cumsum(sizes)
    best = [stretches[end - n : end].max() if n else 0.0 for n, end in zip(sizes, ends, strict=True)]
    return [float(value) * unit for value in best]


def _counts(question: Question, weights: Sequence[float]) -> tuple[NDArray[np.float64], float]:
    """``weights`` in whole thousandths of the largest, so that sums stay exact (below 2**53) in whatever order, and what a sum
    over them is to be multiplied by to be a cosine: a sign stands for √(2/π) of a deviation."""
    most = max(weights)
    counts = np.rint(1000 * (np.array(weights) / most)) if most > 0 else np.ones(len(weights))
    return counts, math.sqrt(math.pi / 2) / (_STEPS * question.steps.shape[1] * float(counts.sum()))


def _products(question: Question, signs: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Σ question·sign, shape (tokens, question's tokens). Of integers below 2**24, so exact in whatever order."""
    bits = np.unpackbits(signs, axis=1, count=question.steps.shape[1]).view(np.int8)
    # not numpy's product: its threads wait for each other by turning, which costs ten times as much where others are at work
    met = np.asarray(simsimd.cdist(bits, question.steps, "dot", out_dtype="float32"), np.float32)
    found: NDArray[np.float32] = 2 * met - question.steps.sum(axis=1, dtype=np.float32)
    return found


def _widest(values: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """In each row the largest of the ``width`` rows that begin there."""
    have, out = 1, values
    while have < width:
        step = min(have, width - have)
        out = np.maximum(out[: len(out) - step], out[step:])
        have += step
    return out


def _turned(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """``vectors`` under the rotation: fixed signs, then Hadamard's transform of blocks as large as fit."""
    signs, block = _rotation(vectors.shape[1])
    blocks = (vectors * signs).reshape(len(vectors), len(signs) // len(block), len(block))
    turned: NDArray[np.float32] = np.reshape(blocks @ block, vectors.shape)
    return turned


@lru_cache(4)
def _rotation(dimensions: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    raw = hashlib.shake_256(b"affidavit token vectors").digest(dimensions)
    signs = np.where(np.frombuffer(raw, np.uint8) & 1, 1.0, -1.0).astype(np.float32)
    block: NDArray[Any] = np.ones((1, 1))
    while dimensions % (2 * len(block)) == 0:
        block = np.kron([[1.0, 1.0], [1.0, -1.0]], block)
    return signs, (block / math.sqrt(len(block))).astype(np.float32)
