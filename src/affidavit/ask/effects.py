"""What a question needs from outside the workspace: numbers from the embedding model.

Each is one step of the run with the whole of what came back, so that a replay needs no model, and a counterfactual asks
one only about what is new.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affidavit.ask.caches import Memory
from affidavit.ask.lead import Parts, split
from affidavit.domain.canonical import Json, digest, text_digest
from affidavit.domain.errors import EmbedderError
from affidavit.domain.release import Retrieval
from affidavit.models.caller import CHARGED, EMBED
from affidavit.ports.embedder import Embedder, charges, reads
from affidavit.runs.recorder import Run
from affidavit.text import tokenvectors


@dataclass(frozen=True)
class Asked:
    """A question as the embedder ``fingerprint`` sees it: ``text`` without the opening ``where`` it says to look, if it has one.
    ``vector`` is a unit float32 vector, or None: then search is by keyword alone, and ``degraded`` says why unless that is how
    the workspace is set up. ``late``: whether the embedder gives token vectors too; ``tokens``: the question's, if the search
    is to rank by them. ``memory``: what the search may use again."""

    text: str
    fingerprint: str
    vector: NDArray[np.float32] | None
    degraded: str
    late: bool
    where: str = ""
    tokens: tokenvectors.Question | None = field(default=None, compare=False, repr=False)
    memory: Memory | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Scores:
    """Late interaction of a question with sentences, one number each: MaxSim, and cosine of the mean token vectors.
    ``alike``: pairs of sentences (smaller index first) that are about the same thing."""

    maxsim: tuple[float, ...]
    cosine: tuple[float, ...]
    alike: frozenset[tuple[int, int]]


def embed_question(
    run: Run,
    embedder: Embedder | None,
    fingerprint: str,
    question: str,
    memory: Memory | None = None,
    *,
    settings: Retrieval,
) -> Asked:
    """Step ``embed``, and after it ``model.embed`` with what that cost if an endpoint was asked. By the release's
    ``settings`` the opening of the question, if it says where to look, is kept apart from what is embedded, and token vectors
    come out of the same pass."""
    parts = split(question) if settings.lead > 0 else Parts(question)
    late = settings.late > 0
    text = parts.what
    owed: list[Json] = []

    def ask() -> dict[str, Json]:
        said = _vector(embedder, text, late=late)
        owed.extend(charges(embedder))
        return said

    def compute() -> Mapping[str, Json]:
        said = ask() if memory is None else memory.vector(fingerprint, text, ask, late=late)
        said = {**said, "charged": True} if owed else said
        return {**said, "what": text, "where": parts.where} if parts.where else said

    given: dict[str, Json] = {"text": text_digest(text), "embedder": fingerprint}
    if late:
        given["tokens"] = True  # what was recorded without them does not answer for this
    said = run.effect("embed", given, compute)
    if said.get("charged"):
        run.effect(f"{CHARGED}{EMBED}", {"text": text_digest(text)}, lambda: {"charges": owed})
    return replace(as_recorded(question, fingerprint, said), memory=memory)


def _vector(embedder: Embedder | None, text: str, *, late: bool) -> dict[str, Json]:
    if embedder is None:
        return {"vector": None, "degraded": "", "late": False}
    try:
        reader = reads(embedder) if late else None
        if reader is not None:
            (reading,) = reader.read([text])
            tokens = tokenvectors.pack_question(text, reading.tokens, reading.spans)
            return {
                "vector": _packed(reading.vector),
                "degraded": "",
                "late": True,
                "tokens": _encoded(tokens),
            }
        (vector,) = embedder.embed([text])
        return {"vector": _packed(vector), "degraded": "", "late": embedder.info.token_vectors}
    except EmbedderError as error:
        return {"vector": None, "degraded": error.message, "late": False}


def _packed(vector: NDArray[np.float32]) -> str:
    return _encoded(np.asarray(vector, "<f4").tobytes())


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def as_recorded(question: str, fingerprint: str, said: Mapping[str, Any]) -> Asked:
    """The question out of the output of its step ``embed``."""
    packed = said["vector"]
    vector = None if packed is None else np.frombuffer(base64.b64decode(packed), "<f4").astype(np.float32)
    text, where = said.get("what", question), said.get("where", "")
    tokens = None
    if vector is not None and "tokens" in said:
        tokens = tokenvectors.unpack_question(base64.b64decode(said["tokens"]), len(vector))
    return Asked(text, fingerprint, vector, said["degraded"], said["late"], where, tokens)


def score_sentences(
    run: Run, embedder: Embedder | None, asked: Asked, sentences: Sequence[str], same: float
) -> Scores | None:
    """Step ``score``; None where there are no token vectors, or they cannot be had: coverage then decides alone.

    ``same`` is the cosine from which two sentences are alike.
    """
    if asked.vector is None or not asked.late:
        return None

    def compute() -> dict[str, object]:
        if embedder is None:
            return {"unavailable": "there is no embedder"}
        texts = (asked.text, *sentences)
        different = list(dict.fromkeys(texts))  # what many documents say in the same words is embedded once
        try:
            made = dict(zip(different, embedder.tokens(different), strict=True))
        except EmbedderError as error:
            return {"unavailable": error.message}
        question, *answers = (made[text] for text in texts)
        mean = _unit_mean(question)
        means = [_unit_mean(a) for a in answers]
        return {
            "maxsim": [repr(_maxsim(question, a)) for a in answers],
            "cosine": [repr(float(m @ mean)) for m in means],
            "alike": _alike(means, same),
        }

    given: dict[str, Json] = {
        "text": text_digest(asked.text),
        "embedder": asked.fingerprint,
        "sentences": digest(list(sentences)),
        "same": repr(same),
    }
    memory = asked.memory
    known = compute if memory is None else lambda: memory.scores(given, compute)
    said = run.effect("score", given, known)  # type: ignore[arg-type]  # JSON, said in a wider type
    if "unavailable" in said:
        return None
    return Scores(
        tuple(map(float, said["maxsim"])),
        tuple(map(float, said["cosine"])),
        frozenset((a, b) for a, b in said["alike"]),
    )


def _unit_mean(tokens: NDArray[np.float32]) -> NDArray[np.float32]:
    if not len(tokens):
        return np.zeros(tokens.shape[1], np.float32)
    mean = tokens.mean(axis=0)
    unit: NDArray[np.float32] = (mean / max(float(np.linalg.norm(mean)), 1e-9)).astype(np.float32)
    return unit


def _maxsim(asked: NDArray[np.float32], answer: NDArray[np.float32]) -> float:
    if not len(asked) or not len(answer):
        return 0.0
    return float((asked @ answer.T).max(axis=1).mean())


def _alike(means: Sequence[NDArray[np.float32]], same: float) -> list[list[int]]:
    if not means:
        return []
    stacked = np.stack(means)
    first, second = np.nonzero(np.triu(stacked @ stacked.T >= same, 1))
    return [[int(a), int(b)] for a, b in zip(first, second, strict=True)]
