"""An embedder without weights: a text's vector is the sum of pseudo-random vectors of its words."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from affidavit.domain.errors import EmbedderError
from affidavit.ports.embedder import EmbedderInfo, Reading

_WORD = re.compile(r"\w+")
_NO_WORDS = "\0"


class HashEmbedder:
    """Implements ``ports.embedder.Embedder``. The same word always has the same unit vector of ``dimensions`` components, taken
    from its SHAKE-256, so texts that share words are alike and nothing is loaded. Deterministic: a text's bytes depend on
    the text alone. Safe for threads.

    ``embedded`` counts the texts given to ``embed``. A text that holds ``refuses`` raises EmbedderError, as an endpoint
    does that rejects one; "" refuses nothing.
    """

    def __init__(self, dimensions: int = 24, *, refuses: str = "") -> None:
        self._dimensions = dimensions
        self._refuses = refuses
        self._words: dict[str, NDArray[np.float32]] = {}
        self.embedded = 0

    @property
    def info(self) -> EmbedderInfo:
        return EmbedderInfo(
            name="hash of words",
            fingerprint=f"hash-of-words/1/{self._dimensions}",
            dimensions=self._dimensions,
            max_tokens=100_000,
            deterministic=True,
            token_vectors=True,
        )

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        for text in texts:
            if self._refuses and self._refuses in text:
                raise EmbedderError("the embedder refuses this text", "it was told to")
        self.embedded += len(texts)
        rows = [_unit(self._vectors(text).sum(axis=0, dtype=np.float64)) for text in texts]
        return np.array(rows, np.float32).reshape(len(texts), self._dimensions)

    def tokens(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        return [self._vectors(text) for text in texts]

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """As the port has it: the vectors come from ``embed``, with all that it counts and refuses."""
        vectors, tokens = self.embed(texts), self.tokens(texts)
        return [
            Reading(vector, rows, tuple(m.span() for m in _WORD.finditer(text)) or ((0, 0),))
            for text, vector, rows in zip(texts, vectors, tokens, strict=True)
        ]

    def count(self, text: str) -> int:
        return len(_WORD.findall(text))

    def _vectors(self, text: str) -> NDArray[np.float32]:
        """One row a word; a text without words has one row that no word has."""
        return np.stack([self._vector(w) for w in [w.lower() for w in _WORD.findall(text)] or [_NO_WORDS]])

    def _vector(self, word: str) -> NDArray[np.float32]:
        known = self._words.get(word)
        if known is None:
            raw = hashlib.shake_256(word.encode("utf-8", "surrogatepass")).digest(self._dimensions)
            centred = np.frombuffer(raw, np.uint8).astype(np.float64) - 127.5
            known = self._words[word] = _unit(centred)
        return known


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float32]:
    norm = float(np.sqrt(np.square(vector).sum()))
    if norm < 1e-9:  # words that cancel out exactly
        vector, norm = np.ones_like(vector), float(np.sqrt(len(vector)))
    unit: NDArray[np.float32] = (vector / norm).astype(np.float32)
    return unit
