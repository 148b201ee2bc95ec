"""What an embedding endpoint's answers cost, for the record."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from affidavit.domain.canonical import Json
from affidavit.ports.embedder import EmbedderInfo, Metered, Request

Tariff = Callable[[str, str, Request], Json]
"""(provider, model, request) → its charge as it goes on record."""


class MeteredEmbedder:
    """Implements ``ports.embedder.Embedder`` and ``Charging`` over an endpoint. Safe for threads: each sees its own charges."""

    def __init__(self, endpoint: Metered, provider: str, model: str, tariff: Tariff) -> None:
        self._endpoint = endpoint
        self._of = provider, model
        self._tariff = tariff
        self._mine = threading.local()

    @property
    def info(self) -> EmbedderInfo:
        info = self._endpoint.info
        self._count()
        return info

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        try:
            return self._endpoint.embed(texts)
        finally:
            self._count()  # also where a later request of the same texts failed

    def tokens(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        return self._endpoint.tokens(texts)

    def count(self, text: str) -> int:
        return self._endpoint.count(text)

    def charges(self) -> list[Json]:
        """See ``Charging``."""
        taken = [self._tariff(*self._of, request) for request in getattr(self._mine, "requests", ())]
        self._mine.requests = []
        return taken

    def close(self) -> None:
        self._endpoint.close()

    def _count(self) -> None:
        if not hasattr(self._mine, "requests"):
            self._mine.requests = []
        self._mine.requests += self._endpoint.requests()
