"""How well a claim is carried by its quotes, by the token vectors of the workspace's own embedder.

A claim is as well carried as its worst token: the score is the least, over the claim's tokens, of the best cosine to a token of
its quotes. Means hide the one word that was exchanged (``python -m bench.support`` compares them). It is an effect of the
run, so a replay needs no embedder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affidavit.ask.effects import Asked
from affidavit.domain.canonical import digest
from affidavit.domain.errors import EmbedderError
from affidavit.domain.release import Writing
from affidavit.ports.embedder import Embedder
from affidavit.runs.recorder import Run

STEP = "support"
Supporting = Callable[[Sequence[tuple[str, str]]], Sequence[bool]]
"""(claim, what it cites) pairs to whether each is carried."""


def supporting(
    run: Run, embedder: Embedder | None, asked: Asked, writing: Writing | None
) -> Supporting | None:
    """Tells what is carried by the threshold of the release. None where the release wants no score, or there are no token
    vectors: then the rules of ``ask/agreement.py`` decide alone."""
    if writing is None or not writing.support or asked.vector is None or not asked.late:
        return None
    least = writing.support

    def carried(pairs: Sequence[tuple[str, str]]) -> Sequence[bool]:
        """A score that cannot be had carries nothing."""
        found = _scores(run, embedder, asked.fingerprint, pairs)
        return [False] * len(pairs) if found is None else [score >= least for score in found]

    return carried


def _scores(
    run: Run, embedder: Embedder | None, fingerprint: str, pairs: Sequence[tuple[str, str]]
) -> list[float] | None:
    """Step ``support``."""

    def compute() -> dict[str, Any]:
        if embedder is None:
            return {"unavailable": "there is no embedder"}
        try:
            return {"scores": [repr(score(embedder, claim, said)) for claim, said in pairs]}
        except EmbedderError as error:
            return {"unavailable": error.message}

    given = {"embedder": fingerprint, "pairs": digest([list(p) for p in pairs])}
    told = run.effect(STEP, given, compute)
    return None if "unavailable" in told else [float(s) for s in told["scores"]]


def score(embedder: Embedder, claim: str, said: str) -> float:
    """From -1 to 1; 0 where either has no token. Raises EmbedderError."""
    mine, its = vectors(embedder, claim), vectors(embedder, said)
    return float((mine @ its.T).max(axis=1).min()) if len(mine) and len(its) else 0.0


def vectors(embedder: Embedder, text: str) -> NDArray[np.float32]:
    """The token vectors of all of ``text``, piece by piece where it is longer than the embedder reads: what it would cut off
    must not go unlooked at."""
    return np.concatenate(embedder.tokens(list(_pieces(embedder, text))))


def _pieces(embedder: Embedder, text: str) -> Iterator[str]:
    middle = text.rfind(" ", 1, len(text) // 2 + 1)
    if embedder.count(text) < embedder.info.max_tokens - _SPECIALS or len(text) < 2:
        yield text
        return
    middle = middle if middle > 0 else len(text) // 2
    yield from _pieces(embedder, text[:middle])
    yield from _pieces(embedder, text[middle:])


_SPECIALS = 2
