"""What is searched: chunks as words and vectors, who may read them, and the questions.

The synthetic corpus is the same on every machine: Zipf words, clustered unit vectors, one large tenant and 49 small ones, and
four people of the large tenant who may read 50 %, 5 %, 0.5 % and 0.05 % of *all* chunks, scattered over it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

I32 = NDArray[np.int32]
F32 = NDArray[np.float32]

ROWS = 200_000
DIMENSIONS = 384
TENANTS = 50
LARGE = 0.6  # the first tenant's share of the chunks; a person cannot see half of everything in a fiftieth
RULES = 1200  # of the first tenant: each governs 0.05 % of the corpus
OTHER_RULES = 20
PER_DOCUMENT = 5
WORDS = 50_000
LENGTHS = (70, 131)
CENTRES = 2000
GROUPS = (("half", 0.5), ("twentieth", 0.05), ("two-hundredth", 0.005), ("two-thousandth", 0.0005))
NOTHING = -1  # fills up ``tokens`` behind a chunk's last word


@dataclass(frozen=True)
class Scope:
    """What one person may read: a tenant and the rules that let them in."""

    name: str
    principal: str
    tenant: int
    rules: tuple[int, ...]


@dataclass(frozen=True)
class Corpus:
    """Chunk n has the words ``tokens[n]`` (numbers, padded), ``vectors[n]``, a document, a tenant and a rule.

    ``asked`` are vectors to look for; ``words`` per question the numbers of its distinct words.
    """

    name: str
    tokens: I32
    vectors: F32
    document: I32
    tenant: I32
    rule: I32
    scopes: tuple[Scope, ...]
    asked: F32
    words: tuple[tuple[int, ...], ...]

    @property
    def rows(self) -> int:
        return len(self.tokens)

    def visible(self, scope: Scope) -> NDArray[np.int64]:
        """The chunks in scope, ascending."""
        mask = (self.tenant == scope.tenant) & np.isin(self.rule, np.array(scope.rules, np.int32))
        return np.flatnonzero(mask)

    def text(self, row: int) -> str:
        """Chunk ``row`` as text that no tokeniser or stemmer takes apart."""
        return spelled_text(self.tokens[row])


@cache
def spelled(number: int) -> str:
    """A word of consonants and vowels, which stemmers leave alone: no two numbers share one."""
    word = ""
    for _ in range(4):
        number, digit = divmod(number, 60)
        word += "bcdfghjklmnp"[digit // 5] + "aeiou"[digit % 5]
    return word + "x"


def spelled_text(numbers: Sequence[int] | I32) -> str:
    """Words in order, without the filling."""
    return " ".join(spelled(int(n)) for n in numbers if n != NOTHING)


def _unit(vectors: F32) -> F32:
    unit: F32 = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _chances(most_frequent: int) -> NDArray[np.float64]:
    """Zipf without the ``most_frequent`` words."""
    chances = 1 / np.arange(1, WORDS + 1) ** 1.05
    chances[:most_frequent] = 0
    result: NDArray[np.float64] = chances / chances.sum()
    return result


def _words(rng: np.random.Generator, rows: int) -> I32:
    tokens = rng.choice(WORDS, (rows, LENGTHS[1] - 1), p=_chances(0)).astype(np.int32)
    lengths = rng.integers(*LENGTHS, rows)
    tokens[np.arange(tokens.shape[1]) >= lengths[:, None]] = NOTHING
    return tokens


def _vectors(rng: np.random.Generator, rows: int) -> F32:
    centres = rng.standard_normal((CENTRES, DIMENSIONS), np.float32)
    noise = rng.standard_normal((rows, DIMENSIONS), np.float32)
    return _unit(centres[rng.integers(0, CENTRES, rows)] + np.float32(1.0) * noise)


def _ownership(rng: np.random.Generator, documents: int) -> tuple[I32, I32]:
    """(tenant, rule) by document; rules are numbered over all tenants."""
    large = round(documents * LARGE)
    tenant = np.ones(documents, np.int32)
    tenant[large:] = 2 + np.arange(documents - large) * (TENANTS - 1) // (documents - large)
    rule = RULES + (tenant - 2) * OTHER_RULES + rng.integers(0, OTHER_RULES, documents)
    rule[:large] = rng.permutation(large) % RULES
    return tenant, rule.astype(np.int32)


def synthetic(rows: int = ROWS, questions: int = 200) -> Corpus:
    """The corpus with ``rows`` chunks, a multiple of 10,000."""
    if rows % 10_000:
        raise ValueError(f"{rows} is not a multiple of 10,000")
    rng = np.random.default_rng(20261121)
    document = (np.arange(rows) // PER_DOCUMENT).astype(np.int32)
    tenant, rule = _ownership(rng, rows // PER_DOCUMENT)
    vectors = _vectors(rng, rows)
    tokens = _words(rng, rows)
    near = vectors[rng.integers(0, rows, questions)]
    asked = _unit(near + np.float32(0.03) * rng.standard_normal(near.shape, np.float32))
    telling = _chances(30)
    words = [tuple(rng.choice(WORDS, 8, p=telling, replace=False).tolist()) for _ in range(questions)]
    scopes = tuple(
        Scope(f"{100 * share:g} %", f"user:{name}", 1, tuple(range(rules_of(share))))
        for name, share in GROUPS
    )
    return Corpus(
        "synthetic",
        tokens,
        vectors,
        document,
        tenant[document],
        rule[document],
        scopes,
        asked,
        tuple(words),
    )


def rules_of(share: float) -> int:
    """How many rules of the first tenant make up ``share`` of the corpus."""
    return round(share * RULES / LARGE)


def groups_of_rule(rule: int) -> list[str]:
    """The groups that rule ``rule`` lets in."""
    wide = [name for name, share in GROUPS if rule < rules_of(share)]
    return [f"group:{name}" for name in (*wide, f"team-{rule}")]


def hand_over(corpus: Corpus, folder: Path) -> None:
    """Write what the peers' environment reads: arrays, texts, scopes and questions."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("vectors", "tenant", "rule", "asked", "tokens"):
        np.save(folder / f"{name}.npy", getattr(corpus, name))
    with (folder / "texts.jsonl").open("w", encoding="ascii") as file:
        for row in range(corpus.rows):
            file.write(json.dumps(corpus.text(row)) + "\n")
    scopes = [{"name": s.name, "tenant": s.tenant, "rules": list(s.rules)} for s in corpus.scopes]
    questions = {"scopes": scopes, "words": corpus.words, "texts": [spelled_text(w) for w in corpus.words]}
    (folder / "questions.json").write_text(json.dumps(questions), encoding="ascii")
