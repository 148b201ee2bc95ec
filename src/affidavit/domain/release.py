"""A release: everything that decides how a question is answered, as one content-addressed value.

Numbers are decimal text, because a release is digested and digests have no floats. ``DEFAULT`` was measured; the
commands and figures are in ``docs/explanation/measurements.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from affidavit.domain.acting import Acting, parse_acting
from affidavit.domain.canonical import Json, digest
from affidavit.domain.errors import UsageError
from affidavit.domain.guard_policy import GuardPolicy, parse
from affidavit.domain.routes import Routes
from affidavit.domain.routes import load as load_routes

_MOST = 1_000_000
"""Of passages, sentences or letters: far more than any question needs, and still no danger to memory."""
_LEAST_LIMIT, _MOST_LIMIT = 20, 4_000
"""Tokens of a chunk: fewer make no sense, and no embedder reads more."""
FEATURES = (
    "sentence_coverage",
    "best_coverage",
    "passage_coverage",
    "top_passage_coverage",
    "keyword",
    "dense",
    "dense_top3",
    "dense_gap",
    "maxsim",
    "best_maxsim",
    "cosine",
    "fused_gap",
    "rare_term_missing",
    "lead",
    "opening",
)
"""What a calibration may weigh; ``ask/evidence.py`` computes them."""


@dataclass(frozen=True)
class Retrieval:
    """``pool``: candidates of each kind of score; ``keyword`` and ``dense``: weights of their z-scores; ``support``: what a
    document's next best passage counts, as a share of the one before; ``k``: passages handed to the answerer;
    ``per_document``: at most so many of them from one document; ``k1`` and ``b``: BM25's. ``lead``: what it adds to a passage
    that its document is the one which the opening of the question names, 0 to read no opening (``ask/lead.py``). ``onward``: how
    many of the first passages are followed in a second retrieval, and ``onward_weight`` what that counts (``ask/onward.py``).
    ``late``: weight of the z-score of late interaction among the ``late_pool`` best (``text/tokenvectors.py``), 0 for none.
    The defaults are what releases meant that say nothing of these."""

    pool: int
    keyword: float
    dense: float
    support: float
    k: int
    per_document: int
    k1: float = 1.2
    b: float = 0.75
    lead: float = 0.0
    onward: int = 0
    onward_weight: float = 0.0
    late: float = 0.0
    late_pool: int = 0


@dataclass(frozen=True)
class Calibration:
    """A logistic model: probability = 1 / (1 + exp(-(bias + Σ weight·feature))); sufficient from ``threshold`` on."""

    bias: float
    weights: Mapping[str, float]
    threshold: float


@dataclass(frozen=True)
class Answering:
    """``sentences``: at most so many; ``margin``: how far below the best sentence's score another may lie; ``same``: cosine
    from which two sentences of different documents are about the same thing."""

    sentences: int
    margin: float
    same: float


STRATEGIES = ("clause", "code", "table", "thread")
"""The ways of cutting a text besides by its sections."""
CHUNKER = "structure/1"


@dataclass(frozen=True)
class Chunking:
    """``limit``: tokens of a chunk's slice at most; ``tiny``: below so many it joins a neighbour, whatever heading lies
    between; ``small``: below so many within a section of level 2; ``own``: a clause or symbol below so many shares a chunk
    with its neighbour; ``strategies``: those in use."""

    limit: int = 400
    tiny: int = 80
    small: int = 200
    own: int = 200
    strategies: tuple[str, ...] = STRATEGIES

    def content(self) -> dict[str, Json]:
        """As it stands in a release."""
        return {
            "name": CHUNKER,
            "limit": self.limit,
            "tiny": self.tiny,
            "small": self.small,
            "own": self.own,
            "strategies": list(self.strategies),
        }

    @property
    def digest(self) -> str:
        """Names the settings: what was cut by others is cut anew at the next sync."""
        return digest(self.content())


CHUNKING = Chunking()

VERBATIM, REPHRASED = "verbatim", "rephrased"


@dataclass(frozen=True)
class Writing:
    """How a model writes answers: the ``prompt`` by name, ``version`` and ``digest``; ``tokens``: at most so many in it;
    ``coverage``: the least share of a claim's own terms that must stand in what it cites; ``whole``: one claim that does not
    hold discards the answer, else only itself; ``milliseconds``: for all of it; ``fallback``: ``extractive`` or ``refuse``;
    ``support``: the least score by which a claim's quotes must carry it (``ask/support.py``), 0 for no such demand;
    ``partial``: whether a target that may not see some passage is shown the others; ``wording``: ``verbatim`` where a claim must
    be whole sentences of what it cites, ``rephrased`` where it may be in the model's words as far as rules can check them."""

    prompt: str
    version: int
    digest: str
    tokens: int
    coverage: float
    whole: bool
    milliseconds: int
    fallback: str
    support: float = 0.0
    partial: bool = True
    wording: str = VERBATIM


@dataclass(frozen=True)
class Guarding:
    """``longest``: characters a question may have; ``policy``: the guards of each stage (``docs/explanation/guards.md``)."""

    longest: int
    policy: GuardPolicy = field(default_factory=GuardPolicy)


@dataclass(frozen=True)
class Release:
    """The settings by value, and the content they came from with its digest. ``models`` is None where no model is asked.
    ``policy``: the rules for tools, file by file; None where the rules that affidavit comes with hold. ``acting``: None where no
    model may act."""

    content: Mapping[str, Json]
    retrieval: Retrieval
    dense: Calibration
    keyword_only: Calibration
    answering: Answering
    guarding: Guarding
    models: Routes | None = None
    writing: Writing | None = None
    policy: Mapping[str, str] | None = None
    acting: Acting | None = None
    chunking: Chunking = CHUNKING

    @property
    def digest(self) -> str:
        """The release's name."""
        return digest(self.content)


def load(content: Mapping[str, Any]) -> Release:
    """A release from its content. Raises UsageError if anything is missing, unknown or not a number."""
    try:
        digest(content)  # floats and what else has no exact form
        retrieve, suffice, answer, guard = (content[k] for k in ("retrieve", "suffice", "answer", "guard"))
        return Release(
            content,
            _retrieval(retrieve),
            _calibration(suffice["dense"]),
            _calibration(suffice["keyword_only"]),
            Answering(_count(answer["sentences"]), _number(answer["margin"]), _number(answer["same"])),
            Guarding(_count(guard["longest"]), parse(guard)),
            load_routes(content["models"]) if "models" in content else None,
            _writing(content["write"]) if "write" in content else None,
            _policy(content["policy"]) if "policy" in content else None,
            parse_acting(content["act"]) if "act" in content else None,
            _chunking(content["chunker"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UsageError(f"the release is malformed: {error!r}", "see docs/reference/release.md") from error


_MOST_FOLLOWED = 8
_MOST_LATE = 200


def _retrieval(content: Mapping[str, Any]) -> Retrieval:
    found = Retrieval(
        _count(content["pool"]),
        _number(content["keyword"]),
        _number(content["dense"]),
        _number(content["support"]),
        _count(content["k"]),
        _count(content["per_document"]),
        _number(content.get("k1", "1.2")),
        _number(content.get("b", "0.75")),
        _number(content.get("lead", "0")),
        int(content.get("onward", 0)),
        _number(content.get("onward_weight", "0")),
        _number(content.get("late", "0")),
        int(content.get("late_pool", 0)),
    )
    if min(found.k1, found.lead, found.onward_weight, found.late) < 0 or not 0 <= found.b <= 1:
        raise ValueError("retrieve: k1, lead, onward_weight and late are not below 0, b is from 0 to 1")
    if not 0 <= found.late_pool <= _MOST_LATE:
        raise ValueError(f"retrieve: late_pool is between 0 and {_MOST_LATE}")
    if not 0 <= found.onward <= _MOST_FOLLOWED:
        raise ValueError(f"retrieve: onward is between 0 and {_MOST_FOLLOWED}")
    return found


def _writing(content: Mapping[str, Any]) -> Writing:
    wanted = {"prompt", "version", "digest", "tokens", "coverage", "whole", "milliseconds", "fallback"}
    if not wanted <= set(content) <= wanted | {"support", "partial", "wording"}:
        raise ValueError(f"write has {sorted(wanted)}, and perhaps support, partial and wording")
    wording = content.get("wording", VERBATIM)
    if wording not in (VERBATIM, REPHRASED):
        raise ValueError(f"write: wording is {VERBATIM} or {REPHRASED}")
    support, partial = _number(content.get("support", "0")), content.get("partial", True)
    if not 0 <= support <= 1 or not isinstance(partial, bool):
        raise ValueError("write: support is from 0 to 1, partial is true or false")
    if content["fallback"] not in ("extractive", "refuse") or not isinstance(content["whole"], bool):
        raise ValueError("write: fallback is extractive or refuse, whole is true or false")
    return Writing(
        str(content["prompt"]),
        _count(content["version"]),
        str(content["digest"]),
        _count(content["tokens"]),
        _number(content["coverage"]),
        content["whole"],
        _count(content["milliseconds"]),
        content["fallback"],
        support,
        partial,
        wording,
    )


def _chunking(content: Mapping[str, Any]) -> Chunking:
    if content["name"] != CHUNKER:
        raise ValueError(f"no such chunker: {content['name']}; the one there is: {CHUNKER}")
    strategies = tuple(content["strategies"])
    if set(content) != set(CHUNKING.content()) or not set(strategies) <= set(STRATEGIES):
        raise ValueError(
            f"a chunker has {', '.join(CHUNKING.content())}; strategies: {', '.join(STRATEGIES)}"
        )
    limit, tiny, small, own = (int(content[key]) for key in ("limit", "tiny", "small", "own"))
    if (
        not _LEAST_LIMIT <= limit <= _MOST_LIMIT
        or not 0 <= min(tiny, small, own) <= max(tiny, small, own) <= _MOST_LIMIT
    ):
        raise ValueError(f"a chunk has {_LEAST_LIMIT} to {_MOST_LIMIT} tokens")
    return Chunking(limit, tiny, small, own, strategies)


def _policy(content: Mapping[str, Any]) -> Mapping[str, str]:
    files = content["files"]
    if set(content) != {"files"} or not all(isinstance(text, str) for text in files.values()):
        raise ValueError("policy has files, each with its text")
    return dict(files)


def _count(value: Any) -> int:
    """A count that a question can be answered with."""
    count = int(value)
    if not 1 <= count <= _MOST:
        raise ValueError(f"{count} is not between 1 and {_MOST}")
    return count


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value} is no number to compute with")
    return number


def _calibration(content: Mapping[str, Any]) -> Calibration:
    weights = {str(name): _number(weight) for name, weight in content["weights"].items()}
    unknown = set(weights) - set(FEATURES)
    if unknown:
        raise ValueError(f"no such features: {sorted(unknown)}")
    return Calibration(_number(content["bias"]), weights, _number(content["threshold"]))


DEFAULT: Mapping[str, Any] = {
    "version": 1,
    "analyzer": "snowball-english/1",
    "chunker": CHUNKING.content(),
    "retrieve": {
        "pool": 100,
        "keyword": "1",
        "dense": "1",
        "support": "0.3",
        "k": 8,
        "per_document": 3,
        "k1": "0.9",
        "b": "0.4",
        "lead": "16",
        "onward": 3,
        "onward_weight": "1.5",
        "late": "0.75",
        "late_pool": 30,
    },
    "suffice": {
        "dense": {
            "bias": "-14.3234",
            "weights": {
                "passage_coverage": "1.0309",
                "keyword": "1.7714",
                "dense": "3.1619",
                "dense_gap": "2.5213",
                "maxsim": "2.2001",
                "cosine": "3.0652",
                "rare_term_missing": "-0.4680",
                "lead": "7.7516",
                "opening": "2.3687",
            },
            "threshold": "0.81",
        },
        "keyword_only": {
            "bias": "-3.5365",
            "weights": {
                "sentence_coverage": "0.1425",
                "passage_coverage": "1.4095",
                "top_passage_coverage": "2.8302",
                "keyword": "2.0886",
                "rare_term_missing": "-0.6685",
            },
            "threshold": "0.41",
        },
    },
    "answer": {"answerer": "extractive/1", "sentences": 3, "margin": "1.0", "same": "0.8"},
    "guard": {"longest": 2000},
}
