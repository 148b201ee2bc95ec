"""Filtered search: ours and the peers', over the same chunks and vectors, judged by the exact filtered answer."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from affidavit.app.workspace import Workspace
from affidavit.ports.index import Candidate, Query, SearchResult
from bench.corpus import Corpus, Scope, hand_over
from bench.exact import K, Postings, Truth, dense_truths, forbidden
from bench.measure import read_once, say, spread, timed_result

ROOT = Path(__file__).resolve().parent.parent
PEERS = ("fts5", "bm25s", "lancedb", "langchain-core", "llama-index-core", "haystack-ai")
PEERS_PYTHON = ROOT / "bench" / ".venv" / "bin" / "python"
OURS = "affidavit"
_WARM_UPS = 2
_QUIET = {"HAYSTACK_TELEMETRY_ENABLED": "False", "ANONYMIZED_TELEMETRY": "False", "RUST_LOG": "error"}


@dataclass(frozen=True)
class Asked:
    """How our index is asked: the questions' texts, and the ids that its chunks have in the corpus."""

    texts: Sequence[str]
    row_of: Callable[[int], int]


def ours(workspace: Workspace, corpus: Corpus, asked: Asked) -> list[dict[str, Any]]:
    """Our index over the catalog of a real workspace, through the scopes of real people."""
    out = []
    tenants = {n: t.id for n, t in enumerate(workspace.parts.people.tenants(), 1)}
    for at, scope in enumerate(corpus.scopes):
        for kind in ("dense", "keyword"):
            queries = [
                Query("", vector) if kind == "dense" else Query(text)
                for vector, text in zip(corpus.asked, asked.texts, strict=True)
            ]
            found = _ask_all(workspace, tenants[scope.tenant], scope.principal, queries)
            hits = [
                [asked.row_of(c.chunk) for c in _best(r.candidates, dense=kind == "dense")] for _, r in found
            ]
            out.append(
                {"engine": OURS, "kind": kind, "scope": at, "ms": [ms for ms, _ in found], "hits": hits}
            )
    return out


def _ask_all(
    workspace: Workspace, tenant: int, principal: str, queries: Sequence[Query]
) -> list[tuple[float, SearchResult]]:
    """(milliseconds, result) of each query, after a few to warm up."""
    parts = workspace.parts
    with parts.database.read():
        feed, scope = parts.feed(), parts.scopes.resolve(tenant, principal).scope
        for query in queries[:_WARM_UPS]:
            parts.index.search(feed, scope, query, K)
        return [timed_result(partial(parts.index.search, feed, scope, query, K)) for query in queries]


def _best(candidates: Sequence[Candidate], *, dense: bool) -> list[Candidate]:
    def score(c: Candidate) -> float:
        return (c.dense if c.dense is not None else -2.0) if dense else c.keyword

    return sorted((c for c in candidates if dense or c.keyword > 0), key=lambda c: (-score(c), c.tie))[:K]


def peers(corpus: Corpus, folder: Path, questions: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(measurements, what each peer took), from processes of the peers' own environment; none without it."""
    if not PEERS_PYTHON.exists():
        say("NO PEERS: bench/.venv is missing; `make bench` makes it")
        return [], []
    hand_over(corpus, folder)
    results, about = [], []
    for peer in PEERS:
        say(f"{corpus.name}: {peer}")
        command = [str(PEERS_PYTHON), "-m", "bench.peers.run", peer, str(folder), str(questions)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False, env=os.environ | _QUIET)
        if done.returncode:
            say(f"{peer} FAILED with {done.returncode}; it is missing from the table")
            about.append({"peer": peer, "failed": done.returncode})
            continue
        found = json.loads(done.stdout)
        results += found.pop("results")
        about.append(found)
    return results, about


def judge(corpus: Corpus, measured: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line per engine, kind and scope: speed, recall, forbidden hits, and how much slower than ours."""
    lines: list[dict[str, Any]] = []
    postings = Postings(corpus)
    for at, scope in enumerate(corpus.scopes):
        for kind, truths in _truths(corpus, scope, postings).items():
            mine = [m for m in measured if m["scope"] == at and m["kind"] == kind]
            base = next((float(np.median(m["ms"])) for m in mine if m["engine"] == OURS), None)
            lines += [_line(corpus, scope, m, truths, base) for m in mine]
    return lines


def _truths(corpus: Corpus, scope: Scope, postings: Postings) -> dict[str, list[list[Truth]]]:
    """Per kind the truths by question: for keywords also with everybody's statistics, which is what peers compute."""
    return {
        "dense": [list(dense_truths(corpus, scope))],
        "keyword": [list(postings.truths(scope, everybody=e)) for e in (False, True)],
    }


def _line(
    corpus: Corpus, scope: Scope, found: dict[str, Any], truths: list[list[Truth]], base: float | None
) -> dict[str, Any]:
    hits = found["hits"]
    recalls = [np.mean([t.recall(h) for t, h in zip(ts, hits, strict=False)]) for ts in truths]
    line: dict[str, Any] = {
        "corpus": corpus.name,
        "scope": scope.name,
        "kind": found["kind"],
        "engine": found["engine"],
        "visible": len(corpus.visible(scope)),
        "recall": round(float(recalls[0]), 4),
        "forbidden": forbidden(corpus, scope, hits),
        **spread(found["ms"]),
    }
    if len(recalls) > 1:
        line["recall_everybodys_statistics"] = round(float(recalls[1]), 4)
    if base:
        line["times_ours"] = round(line["p50_ms"] / base, 1)
    if found["engine"] == OURS and found["kind"] == "dense":
        line["read_once_ms"] = read_once(line["visible"], corpus.vectors.shape[1])
        line["target_ms"] = round(1 + 2.5 * line["read_once_ms"], 3)
    return line
