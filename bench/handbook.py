"""The handbook: a company's documents under real access rules, with questions, judgements and access cases."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affidavit.app.config import EmbedderSpec, make_embedder
from affidavit.app.workspace import Workspace, init
from affidavit.domain.canonical import text_digest
from affidavit.domain.errors import UsageError
from affidavit.ports.embedder import Embedder, EmbedderInfo
from affidavit.text.analyze import terms
from bench.corpus import NOTHING, Corpus, Scope
from bench.measure import say
from bench.ours import serve

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "datasets" / "sghandbook_masked"
CACHE = ROOT / "bench" / ".cache"
TENANT = "main"


def present() -> bool:
    """Whether the data set is there; says so loudly if not."""
    if DATA.is_dir():
        return True
    say("SKIPPED: the handbook is not at ../shared/datasets/sghandbook_masked; nothing is measured on it")
    return False


def lines(name: str) -> list[dict[str, Any]]:
    """A JSON Lines file of the data set."""
    with (DATA / name).open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


class Remembering:
    """An embedder that keeps vectors of texts in a file between runs of the benchmarks. ``seconds``: spent embedding."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._file = CACHE / f"vectors-{embedder.info.fingerprint[:16]}.npz"
        self._known: dict[str, NDArray[np.float32]] = {}
        self.made, self.seconds = 0, 0.0
        if self._file.is_file():
            with np.load(self._file) as held:
                self._known = dict(zip(held["digests"].tolist(), held["vectors"], strict=True))

    @property
    def info(self) -> EmbedderInfo:
        return self._embedder.info

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        digests = [text_digest(t) for t in texts]
        new = [(d, t) for d, t in zip(digests, texts, strict=True) if d not in self._known]
        begin = time.perf_counter()
        if new:
            vectors = self._embedder.embed([t for _, t in new])
            self._known.update(zip((d for d, _ in new), vectors, strict=True))
        self.seconds += time.perf_counter() - begin
        self.made += len(new)
        return np.stack([self._known[d] for d in digests])

    def tokens(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        return self._embedder.tokens(texts)

    def count(self, text: str) -> int:
        return self._embedder.count(text)

    def save(self) -> None:
        """Write what is known, if anything is new."""
        if self.made:
            CACHE.mkdir(exist_ok=True)
            digests = np.array(list(self._known))
            np.savez(self._file, digests=digests, vectors=np.stack(list(self._known.values())))


def minilm() -> Embedder:
    """The model itself. Raises UsageError when its weights are not installed."""
    embedder = make_embedder(EmbedderSpec("minilm"))
    if embedder is None:
        raise UsageError("there is no embedder", "run `make setup`")
    return embedder


def workspace(folder: Path) -> Workspace:
    """A workspace with people and documents of the handbook, embedded by MiniLM (from memory where it can be)."""
    made = init(folder, EmbedderSpec("minilm"))
    remembering = Remembering(minilm())
    serve(made, remembering)
    made.import_people(DATA / "users.jsonl", TENANT)
    made.add_source("jsonl", DATA / "corpus.jsonl", "handbook", TENANT)
    (report,) = made.sync("handbook", TENANT)
    remembering.save()
    say(f"handbook: {report.counts()}, {remembering.made} embedded anew in {remembering.seconds:.0f} s")
    serve(made, minilm())  # questions pay for their embedding
    return made


def visible_documents(ws: Workspace, people: Iterable[str]) -> dict[str, frozenset[str]]:
    """Per person the names of the documents they may read now."""
    tenant, out = ws.parts.tenant(TENANT).id, {}
    with ws.parts.database.read():
        for who in people:
            rules = ws.parts.scopes.resolve(tenant, f"user:{who}").scope.now
            out[who] = frozenset(name for _, name in ws.parts.catalog.readable_names(tenant, rules))
    return out


def who_reads_most(seen: dict[str, frozenset[str]]) -> str:
    """The person with the most documents."""
    return max(seen, key=lambda who: (len(seen[who]), who))


def corpus(ws: Workspace, questions: int) -> tuple[Corpus, list[str], dict[int, int]]:
    """(chunks, words and vectors as the index has them; the questions; row by chunk id)."""
    asked = [q["text"] for q in lines("queries.jsonl")[:: 479 // questions]][:questions]
    numbers: dict[str, int] = {}

    def numbered(text: str) -> list[int]:
        return [numbers.setdefault(t, len(numbers)) for t in terms(text)]

    tenant = ws.parts.tenant(TENANT).id
    with ws.parts.database.read():
        feed, head = ws.parts.feed(), ws.parts.log.head()
        rules = {a.document: a.rule for a in feed.access(-1, head)}
        rows = list(feed.chunks(-1, head))
    vectors = [r.vector for r in rows if r.vector is not None]
    if len(vectors) != len(rows):
        raise UsageError("some chunks have no vector", "run the benchmark again")
    words = tuple(tuple(dict.fromkeys(numbered(text))) for text in asked)
    tokens = _padded([numbered(r.text) for r in rows])
    made = Corpus(
        "handbook",
        tokens,
        np.stack(vectors).astype(np.float32),
        np.array([r.document for r in rows], np.int32),
        np.array([r.tenant for r in rows], np.int32),
        np.array([rules[r.document] for r in rows], np.int32),
        _scopes(ws, tenant),
        minilm().embed(asked),
        words,
    )
    return made, asked, {r.chunk: n for n, r in enumerate(rows)}


def _padded(rows: list[list[int]]) -> NDArray[np.int32]:
    out = np.full((len(rows), max(map(len, rows))), NOTHING, np.int32)
    for n, row in enumerate(rows):
        out[n, : len(row)] = row
    return out


def _scopes(ws: Workspace, tenant: int) -> tuple[Scope, ...]:
    """The people with the most, the median and the fewest documents, and one in between."""
    seen = visible_documents(ws, [u["id"] for u in lines("users.jsonl")])
    order = sorted(seen, key=lambda who: (-len(seen[who]), who))
    out = []
    for who in (order[0], order[len(order) // 8], order[len(order) // 2], order[-1]):
        with ws.parts.database.read():
            rules = tuple(sorted(ws.parts.scopes.resolve(tenant, f"user:{who}").scope.now))
        out.append(Scope(f"{len(seen[who])} documents", f"user:{who}", tenant, rules))
    return tuple(out)
