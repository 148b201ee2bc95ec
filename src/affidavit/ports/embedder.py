"""The embedder port: text in, unit vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from affidavit.domain.canonical import Json


@dataclass(frozen=True)
class EmbedderInfo:
    """Who made a vector. Vectors of different fingerprints are never compared.

    ``fingerprint`` changes whenever the same text could get a different vector (weights, tokenizer, precision, revision,
    endpoint model). ``deterministic``: the same text always gets the same bytes, whatever else is embedded beside it.
    ``token_vectors``: ``tokens`` is offered.
    """

    name: str
    fingerprint: str
    dimensions: int
    max_tokens: int
    deterministic: bool
    token_vectors: bool = False


class Embedder(Protocol):
    """Makes vectors. Safe to call from several threads."""

    @property
    def info(self) -> EmbedderInfo: ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, shape (len(texts), dimensions), in order. Raises EmbedderError."""
        ...

    def tokens(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """Per text its unit token vectors, shape (tokens, dimensions). Only with ``info.token_vectors``."""
        ...

    def count(self, text: str) -> int:
        """How many of its tokens ``text`` has; chunks are kept under ``max_tokens`` by this measure."""
        ...


@dataclass(frozen=True, eq=False)
class Reading:
    """All that a model makes of a text: ``vector``, the same bytes as ``embed`` gives; ``tokens``, a unit vector for each token
    of the *whole* text, shape (tokens, dimensions); and ``spans``, where each stands in the text (start, end)."""

    vector: NDArray[np.float32]
    tokens: NDArray[np.float32]
    spans: tuple[tuple[int, int], ...]


@runtime_checkable
class Reads(Protocol):
    """An embedder that gives a text's vector and its token vectors at once. ``info.token_vectors`` says whether it can now."""

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """A reading of each text, in order. Raises EmbedderError."""
        ...


def reads(embedder: Embedder | None) -> Reads | None:
    """``embedder`` if it gives token vectors beside its vectors. Raises EmbedderError if it cannot be asked."""
    if embedder is None or not embedder.info.token_vectors:
        return None
    return embedder if isinstance(embedder, Reads) else None


@dataclass(frozen=True)
class Request:
    """One request that an endpoint answered: ``tokens`` as it says, -1 if it does not, and our own ``estimate``."""

    tokens: int
    estimate: int


class Metered(Embedder, Protocol):
    """An endpoint that remembers what its answers used."""

    def requests(self) -> list[Request]:
        """The requests made by this thread since it last asked."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


@runtime_checkable
class Charging(Protocol):
    """An embedder that has a price."""

    def charges(self) -> list[Json]:
        """The charges of this thread's requests since it last asked, as they go on record."""
        ...


def charges(embedder: Embedder | None) -> list[Json]:
    """What this thread owes ``embedder``; nothing where it costs nothing."""
    return embedder.charges() if isinstance(embedder, Charging) else []
