"""Taking documents in: what all but embedding costs, a sync that finds nothing changed, and a rename."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affidavit.app.config import EmbedderSpec
from affidavit.app.workspace import Workspace, init
from affidavit.ports.embedder import Embedder, EmbedderInfo, Reading
from bench.handbook import DATA, lines, minilm
from bench.measure import percentile, say, timed
from bench.ours import Given, serve

FILES = 10_000
DOCUMENTS = 150  # of the handbook, spread over it: some 1,500 chunks
_WORDS = "the quarterly plan says that invoices over the limit need a second approval before payment in region".split()


class _Timed:
    """An embedder with a watch."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.seconds = 0.0

    @property
    def info(self) -> EmbedderInfo:
        return self._embedder.info

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        begin = time.perf_counter()
        try:
            return self._embedder.embed(texts)
        finally:
            self.seconds += time.perf_counter() - begin

    def tokens(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        return self._embedder.tokens(texts)

    def read(self, texts: Sequence[str]) -> list[Reading]:
        begin = time.perf_counter()
        try:
            return self._embedder.read(texts)  # type: ignore[attr-defined, no-any-return]  # MiniLM
        finally:
            self.seconds += time.perf_counter() - begin

    def count(self, text: str) -> int:
        return self._embedder.count(text)


def overhead(folder: Path, documents: int = DOCUMENTS) -> dict[str, Any]:
    """The first sync of a part of the handbook, with the real model: embedding, and everything else."""
    say(f"first sync of {documents} handbook documents")
    every = lines("corpus.jsonl")
    part = folder / "part.jsonl"
    part.write_text(
        "".join(json.dumps(d) + "\n" for d in every[:: max(1, len(every) // documents)][:documents])
    )
    embedder = _Timed(minilm())
    embedder.embed(["loads the model"])
    embedder.seconds = 0.0
    with init(folder / "workspace", EmbedderSpec("none")) as ws:
        serve(ws, embedder)
        ws.import_people(DATA / "users.jsonl", "main")
        ws.add_source("jsonl", part, "part", "main")
        begin = time.perf_counter()
        (report,) = ws.sync("part", "main")
        total = time.perf_counter() - begin
    other = total - embedder.seconds
    return {
        "documents": report.added,
        "chunks": report.chunks,
        "total_s": round(total, 2),
        "embedding_s": round(embedder.seconds, 2),
        "other_s": round(other, 2),
        "other_to_embedding": round(other / embedder.seconds, 4),
    }


def unchanged(folder: Path, files: int = FILES) -> dict[str, Any]:
    """A folder of ``files`` small files, synced, synced again unchanged, and with one renamed."""
    say(f"a folder of {files:,} files")
    docs = folder / "docs"
    docs.mkdir(parents=True)
    (docs / "access.toml").write_text('allow = ["anyone"]\n')
    rng = np.random.default_rng(5)
    for n in range(files):
        place = docs / f"team{n % 100:02}"
        place.mkdir(exist_ok=True)
        words = " ".join(rng.choice(_WORDS, 60).tolist())
        (place / f"note-{n:05}.md").write_text(f"# Note {n}\n\n{words}.\n")
    embedder = Given({})
    with init(folder / "workspace", EmbedderSpec("none")) as ws:
        serve(ws, embedder)
        ws.ensure_tenant("main")
        ws.add_source("folder", docs, "docs", "main")
        first = timed(lambda: ws.sync("docs", "main"))
        again = [timed(lambda: _sync_unchanged(ws, files)) for _ in range(3)]
        embedded = embedder.embedded
        (docs / "team00" / "note-00000.md").rename(docs / "team00" / "renamed.md")
        (report,) = ws.sync("docs", "main")
    return {
        "files": files,
        "first_sync_s": round(first / 1e3, 2),
        "no_change_sync_s": round(percentile(again, 50) / 1e3, 3),
        "renamed": {"added": report.added, "removed": report.removed},
        "embedded_by_rename": embedder.embedded - embedded,
    }


def _sync_unchanged(ws: Workspace, files: int) -> None:
    (report,) = ws.sync("docs", "main")
    if report.unchanged != files or report.embedded:
        raise RuntimeError(f"not a sync without changes: {report.counts()}")


def ingest(handbook: bool) -> dict[str, Any]:
    """Both, each in a folder of its own."""
    out: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        out["unchanged"] = unchanged(Path(folder))
    if handbook:
        with tempfile.TemporaryDirectory() as folder:
            out["overhead"] = overhead(Path(folder))
    return out
