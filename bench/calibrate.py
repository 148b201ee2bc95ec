"""Calibrate "is this enough to answer?" on data, and print the weights and threshold that the default release holds.

Positives: a question whose page the person may read. Negatives: the same question asked by somebody who may not read that
page, the same with the page filtered away, and questions about something else altogether. The logistic model is fitted on half
of the questions and judged on the other half.

    python -m bench.calibrate            # needs ../shared/datasets and the MiniLM weights
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import affidavit
from affidavit.ask.effects import Scores, embed_question, score_sentences
from affidavit.ask.evidence import gather
from affidavit.ask.retrieve import choose_passages
from affidavit.domain.release import DEFAULT, FEATURES, load
from affidavit.runs.recorder import Run

DATA = Path(__file__).resolve().parents[2] / "shared" / "datasets"
CACHE = Path(__file__).resolve().parent / ".cache"
DENSE = (
    "sentence_coverage",
    "passage_coverage",
    "keyword",
    "dense",
    "dense_gap",
    "maxsim",
    "cosine",
    "rare_term_missing",
    "lead",
    "elsewhere",
)
KEYWORD_ONLY = (
    "sentence_coverage",
    "passage_coverage",
    "top_passage_coverage",
    "keyword",
    "rare_term_missing",
    "lead",
)


@dataclass(frozen=True)
class Example:
    """One question by one person: the features it gave, and whether the answer was there to be read."""

    query: str
    kind: str
    features: dict[str, float]
    label: int


def lines(path: Path) -> list[dict[str, Any]]:
    """A JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def workspace(name: str, corpus: Path, people: list[dict[str, Any]], allow: str = "") -> affidavit.Workspace:
    """A synced workspace of one set, kept in the cache between runs."""
    folder = CACHE / name
    if (folder / "affidavit.db").is_file():
        return affidavit.open(folder)
    ws = affidavit.init(folder)
    users = CACHE / f"{name}-users.jsonl"
    users.write_text("".join(json.dumps(p) + "\n" for p in people), encoding="utf-8")
    ws.import_people(users)
    ws.add_source("jsonl", corpus, "set", allow=[allow] if allow else [])
    ws.sync(progress=lambda r: print(f"\r{name}: {r.seen}", end="", file=sys.stderr))
    return ws


def features(ws: affidavit.Workspace, user: str, text: str, where: Any, *, dense: bool) -> dict[str, float]:
    """What ``ask`` would weigh for this question, up to and without the verdict."""
    release, retriever = load(DEFAULT), ws.parts.retriever
    question = ws.question(text, user, where=where)
    kept, retriever.embedder = retriever.embedder, retriever.embedder if dense else None
    try:
        with ws.parts.database.read():
            reader = ws.parts.scopes.resolve(question.tenant, question.principal, None, question.filter)
            embedder, fingerprint = retriever.serving()
            run = Run("", 0, "ask", "")
            asked = embed_question(run, embedder, fingerprint, text, lead=release.retrieval.lead > 0)
            found = retriever.search(reader.scope, asked, release.retrieval)
        passages = retriever.recheck(reader, found.ranked[: 4 * release.retrieval.k]).passages
        kept_passages = choose_passages(found, passages, release.retrieval)

        def score(sentences: Sequence[str]) -> Scores | None:
            return score_sentences(run, embedder, asked, sentences, release.answering.same)

        return dict(gather(text, found, kept_passages, score, release).features)
    finally:
        retriever.embedder = kept


def handbook(limit: int, *, dense: bool) -> list[Example]:
    """Allowed and denied readers of the masked handbook, and questions from other sets."""
    base = DATA / "sghandbook_masked"
    ws = workspace("calibrate-handbook", base / "corpus.jsonl", lines(base / "users.jsonl"))
    queries = {q["id"]: q["text"] for q in lines(base / "queries.jsonl")}
    cases = random.Random(1).sample(lines(base / "acl_cases.jsonl"), limit)
    out = []
    for case in cases:
        text = queries[case["query_id"]]
        for kind, user, label in (("allowed", case["allowed_user"], 1), ("denied", case["denied_user"], 0)):
            out.append(Example(case["query_id"], kind, features(ws, user, text, None, dense=dense), label))
    others = [
        q["text"]
        for name in ("multihop", "cuad60", "chunkeval")
        for q in lines(DATA / name / "queries.jsonl")
    ]
    users = [u["id"] for u in lines(base / "users.jsonl")]
    chooser = random.Random(2)
    for n, text in enumerate(chooser.sample(others, limit // 2)):
        found = features(ws, chooser.choice(users), text, None, dense=dense)
        out.append(Example(f"off-{n}", "off topic", found, 0))
    ws.close()
    return out


def removed(name: str, limit: int, *, dense: bool) -> list[Example]:
    """A set asked whole, and asked with the documents that answer filtered away."""
    base = DATA / name
    corpus = CACHE / f"{name}.jsonl"
    CACHE.mkdir(exist_ok=True)
    with corpus.open("w", encoding="utf-8") as file:
        for doc in lines(base / "corpus.jsonl"):
            file.write(json.dumps({**doc, "metadata": {"key": doc["id"]}}) + "\n")
    ws = workspace(f"calibrate-{name}", corpus, [{"id": "reader", "groups": ["all"]}], "group:all")
    gold: dict[str, list[str]] = {}
    for line in (base / "qrels.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, key, score = line.split("\t")
        if int(score) > 0:
            gold.setdefault(query, []).append(key)
    queries = [q for q in lines(base / "queries.jsonl") if q["id"] in gold and q.get("answerable", True)]
    out = []
    for q in random.Random(3).sample(queries, min(limit, len(queries))):
        without = {"not": {"any_of": ["key", gold[q["id"]]]}}
        out.append(Example(q["id"], f"{name} whole", features(ws, "reader", q["text"], None, dense=dense), 1))
        out.append(
            Example(q["id"], f"{name} removed", features(ws, "reader", q["text"], without, dense=dense), 0)
        )
    ws.close()
    return out


def contracts(limit: int, *, dense: bool) -> list[Example]:
    """Questions about contracts that have the clause, and about contracts that lack it."""
    base = DATA / "cuad60"
    ws = workspace(
        "calibrate-contracts", base / "corpus.jsonl", [{"id": "reader", "groups": ["all"]}], "group:all"
    )
    queries = lines(base / "queries.jsonl")
    out = []
    for q in random.Random(4).sample(queries, min(limit, len(queries))):
        label = int(q["answerable"])
        kind = f"contracts {'with' if label else 'without'} the clause"
        # one contract's questions stay together, so that the half that judges has contracts of its own
        out.append(
            Example(q["id"].split("-")[0], kind, features(ws, "reader", q["text"], None, dense=dense), label)
        )
    ws.close()
    return out


def fit(x: NDArray[np.float64], y: NDArray[np.float64], ridge: float = 1.0) -> NDArray[np.float64]:
    """Logistic regression by Newton's method with an L2 penalty; the last weight is the bias, not penalised."""
    x = np.hstack([x, np.ones((len(x), 1))])
    w = np.zeros(x.shape[1])
    penalty = np.full(x.shape[1], ridge)
    penalty[-1] = 0
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ w))
        gradient = x.T @ (p - y) + penalty * w
        hessian = (x * (p * (1 - p))[:, None]).T @ x + np.diag(penalty + 1e-9)
        w = w - np.linalg.solve(hessian, gradient)
    return np.asarray(w)


def auroc(scores: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    """Area under the ROC curve: how often a positive outranks a negative."""
    order = np.argsort(np.argsort(scores, kind="stable"), kind="stable") + 1.0
    positives = labels.sum()
    return float(
        (order[labels == 1].sum() - positives * (positives + 1) / 2) / (positives * (len(labels) - positives))
    )


JUDGED_ONLY = ("cranfield whole", "cranfield removed")
"""Abstracts of one narrow field, where other abstracts answer too: shown, because nothing here tells them apart; not fitted."""


def judge(examples: list[Example], names: tuple[str, ...]) -> dict[str, Any]:
    """Fit on half the questions, judge on the other half; the weights printed are fitted on all."""
    apart = [e for e in examples if e.kind in JUDGED_ONLY]
    examples = [e for e in examples if e.kind not in JUDGED_ONLY]
    x = np.array([[e.features[n] for n in names] for e in examples])
    y = np.array([e.label for e in examples], dtype=np.float64)
    half = np.array([hash_half(e.query) for e in examples])
    probe = fit(x[~half], y[~half])
    held = 1 / (1 + np.exp(-(x[half] @ probe[:-1] + probe[-1])))
    kinds = [e.kind for e, h in zip(examples, half, strict=True) if h]
    # the threshold that best parts answers from refusals on the held-out half (Youden's J)
    cuts = np.unique(np.round(held, 2))
    best = max(cuts, key=lambda c: float((held[y[half] == 1] >= c).mean() - (held[y[half] == 0] >= c).mean()))
    table = {
        k: float(np.mean([s >= best for s, kk in zip(held, kinds, strict=True) if kk == k]))
        for k in sorted(set(kinds))
    }
    for kind in sorted({e.kind for e in apart}):
        rows = np.array([[e.features[n] for n in names] for e in apart if e.kind == kind])
        table[kind] = float((1 / (1 + np.exp(-(rows @ probe[:-1] + probe[-1]))) >= best).mean())
    full = fit(x, y)
    return {
        "auroc": auroc(held, y[half]),
        "auroc_by_kind": {
            k: auroc(
                np.array([s for s, kk, lab in zip(held, kinds, y[half], strict=True) if kk == k or lab == 1]),
                np.array([lab for kk, lab in zip(kinds, y[half], strict=True) if kk == k or lab == 1]),
            )
            for k in sorted(set(kinds))
            if all(lab == 0 for kk, lab in zip(kinds, y[half], strict=True) if kk == k)
        },
        "threshold": float(best),
        "answered_by_kind": table,
        "bias": f"{full[-1]:.4f}",
        "weights": {n: f"{w:.4f}" for n, w in zip(names, full[:-1], strict=True)},
    }


def hash_half(query: str) -> bool:
    """The same half every time."""
    return sum(query.encode()) % 2 == 0


def main() -> None:
    """Print both calibrations as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=422, help="questions a set")
    limit = parser.parse_args().limit
    if not DATA.is_dir():
        sys.exit("SKIPPED: ../shared/datasets is absent")
    for mode, names in ((True, DENSE), (False, KEYWORD_ONLY)):
        examples = handbook(limit, dense=mode)
        examples += contracts(limit, dense=mode)
        for name in ("chunkeval", "cranfield"):
            examples += removed(name, limit // 2, dense=mode)
        assert all(n in FEATURES for n in names)
        print(json.dumps({"dense" if mode else "keyword_only": judge(examples, names)}, indent=1), flush=True)


if __name__ == "__main__":
    main()
