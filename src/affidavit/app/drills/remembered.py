"""The built-in embedder, asked once for each text however often a drill opens the workspace.

A drill asks the same few questions again and again, and working out the same numbers again and again proves nothing: with one
text at a time they are the same to the last bit. Only for the built-in model, and not where the embedder is what is broken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from affidavit.ports.embedder import Embedder, EmbedderInfo

if TYPE_CHECKING:
    from affidavit.app.workspace import Workspace

_TEXTS = 4_000
"""Texts whose numbers are kept: some hundred megabytes at most."""
_KIND = "minilm"


class Remembered:
    """Implements ``ports.embedder.Embedder`` over ``embedder``. Safe for threads, as that is."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._vector: Callable[[str], NDArray[np.float32]] = lru_cache(_TEXTS)(
            lambda text: embedder.embed([text])[0]
        )
        self._tokens: Callable[[str], NDArray[np.float32]] = lru_cache(_TEXTS)(
            lambda text: embedder.tokens([text])[0]
        )

    @property
    def info(self) -> EmbedderInfo:
        return self._embedder.info

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, one a text."""
        if not texts:
            return self._embedder.embed(texts)
        return np.stack([self._vector(text) for text in texts])

    def tokens(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """Token vectors of each text."""
        return [self._tokens(text) for text in texts]

    def count(self, text: str) -> int:
        return self._embedder.count(text)


class Memory:
    """One embedder for every workspace that is opened while it lasts."""

    def __init__(self) -> None:
        self._known: dict[str, Remembered] = {}

    def into(self, ws: Workspace) -> None:
        """From now on ``ws`` asks it, if its embedder is the built-in one."""
        parts = ws.parts
        if parts.serving.kind == _KIND and parts.embedder is not None:
            known = self._known.setdefault(parts.serving.precision, Remembered(parts.embedder))
            parts.embedder = parts.retriever.embedder = known
