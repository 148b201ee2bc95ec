"""Calibrate "is this enough to answer?" on data, and print the weights and threshold that the default release holds.

Positives: a question whose page the person may read. Negatives: the same question asked by somebody who may not read that
page, the same with the page filtered away, and questions about something else altogether. The logistic model is fitted on half
of the questions and judged on the other half.

The operating point is the one at which REFUSED of those are refused who may not read the page, on the half fitted on.

    python -m bench.calibrate            # needs ../shared/datasets and the MiniLM weights; about 20 minutes
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import affidavit
from affidavit.app.calibrating import weigh
from affidavit.domain.release import DEFAULT, FEATURES, load
from affidavit.evals.fitting import auroc, logistic
from bench.measure import share

DATA = Path(__file__).resolve().parents[2] / "shared" / "datasets"
CACHE = Path(__file__).resolve().parent / ".cache"
OTHERS, LONG = 200, 100
"""Questions about something else, and of each set that is asked whole and with its answers gone."""
REFUSED = 0.95
DENSE = (
    "passage_coverage",
    "keyword",
    "dense",
    "dense_gap",
    "maxsim",
    "cosine",
    "rare_term_missing",
    "lead",
    "opening",
)
KEYWORD_ONLY = (
    "sentence_coverage",
    "passage_coverage",
    "top_passage_coverage",
    "keyword",
    "rare_term_missing",
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


def features(
    ws: affidavit.Workspace,
    user: str,
    text: str,
    where: Any,
    *,
    dense: bool,
    without: Set[int] = frozenset(),
) -> dict[str, float]:
    """What ``ask`` would weigh for this question under the default release, with vectors or without."""
    retriever = ws.parts.retriever
    kept, retriever.embedder = retriever.embedder, retriever.embedder if dense else None
    try:
        return weigh(ws, ws.question(text, user, where=where), load(DEFAULT), without)
    finally:
        retriever.embedder = kept


def handbook(limit: int, *, dense: bool) -> list[Example]:
    """Allowed and denied readers of the masked handbook, and questions from other sets."""
    base = DATA / "sghandbook_masked"
    ws = workspace("calibrate-handbook", base / "corpus.jsonl", lines(base / "users.jsonl"))
    queries = {q["id"]: q["text"] for q in lines(base / "queries.jsonl")}
    cases = lines(base / "acl_cases.jsonl")[:limit]
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
    for n, text in enumerate(chooser.sample(others, min(limit, OTHERS))):
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
    """Questions about contracts that have the clause, about contracts that lack it, and about contracts that are not there."""
    base = DATA / "cuad60"
    reader = [{"id": "reader", "groups": ["all"]}]
    ws = workspace("calibrate-contracts", base / "corpus.jsonl", reader, "group:all")
    with ws.parts.database.read():
        ids = {name: id for id, _, name in ws.parts.catalog.documents(ws.parts.tenant("").id)}
    out = []
    for n, q in enumerate(lines(base / "queries.jsonl")[:limit]):
        # one contract's questions stay together, so that the half that judges has contracts of its own
        contract = q["id"].split("-")[0]
        told = "contracts with the clause" if q["answerable"] else "contracts without the clause"
        found = features(ws, "reader", q["text"], None, dense=dense)
        out.append(Example(contract, told, found, int(q["answerable"])))
        if n % 3 == 0:
            found = features(ws, "reader", q["text"], None, dense=dense, without={ids[contract]})
            out.append(Example(contract, "contracts removed", found, 0))
    ws.close()
    return out


JUDGED_ONLY = ("cranfield whole", "cranfield removed")
"""Abstracts of one narrow field, where other abstracts answer too: shown, because nothing here tells them apart; not fitted."""
AGAINST = {
    "denied": "allowed",
    "contracts without the clause": "contracts with the clause",
    "contracts removed": "contracts with the clause",
}


Weights = NDArray[np.float64]


def probability(x: Weights, w: Weights) -> Weights:
    """What the model with weights ``w``, the bias last, says of the rows of ``x``."""
    return np.asarray(1 / (1 + np.exp(-(x @ w[:-1] + w[-1]))))


def judge(examples: list[Example], names: tuple[str, ...]) -> dict[str, Any]:
    """Fit on half the questions and judge on the other half, both ways; the weights and threshold printed are fitted on all."""
    kinds = np.array([e.kind for e in examples])
    x = np.array([[e.features[n] for n in names] for e in examples])
    y = np.array([e.label for e in examples], dtype=np.float64)
    fitted_on = ~np.isin(kinds, JUDGED_ONLY)
    first = np.array([hash_half(e.query) for e in examples])
    scores, passed = np.zeros(len(y)), np.zeros(len(y), bool)
    for held in (first, ~first):
        known = fitted_on & ~held
        w = logistic(x[known], y[known])
        scores[held] = probability(x[held], w)
        passed[held] = scores[held] >= operating(probability(x[known], w), kinds[known])
    w = logistic(x[fitted_on], y[fitted_on])
    return {
        "auroc": auroc(scores[fitted_on], y[fitted_on]),
        "auroc_against": {
            no: auroc(scores[np.isin(kinds, (yes, no))], y[np.isin(kinds, (yes, no))])
            for no, yes in AGAINST.items()
        },
        "answered": {kind: interval(passed[kinds == kind]) for kind in sorted(set(kinds))},
        "threshold": f"{operating(probability(x[fitted_on], w), kinds[fitted_on]):.2f}",
        "bias": f"{w[-1]:.4f}",
        "weights": {n: f"{v:.4f}" for n, v in zip(names, w[:-1], strict=True)},
    }


def operating(scores: Weights, kinds: NDArray[np.str_]) -> float:
    """The threshold at which REFUSED of the denied are refused."""
    return float(np.quantile(scores[kinds == "denied"], REFUSED))


def interval(passed: NDArray[np.bool_]) -> list[float]:
    """The share with its 95 % interval (Wilson's)."""
    return [round(v, 3) for v in share(int(passed.sum()), len(passed))]


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
            examples += removed(name, min(limit, LONG), dense=mode)
        assert all(n in FEATURES for n in names)
        print(json.dumps({"dense" if mode else "keyword_only": judge(examples, names)}, indent=1), flush=True)


if __name__ == "__main__":
    main()
