"""``python -m bench.guards_fit [--write]``: fit the weights of ``domain/orders_weights.py``.

Half of the payloads of BIPIA and InjecAgent (by the digest of the payload, so that no wording is on both sides), half of the
harmless pages, half of the clean contexts, and the pages of the handbook that are not among the harmless ones. The other half is
what ``python -m bench.guards`` measures.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affidavit.domain.folding import Folded
from affidavit.domain.orders import FEATURES, PAIRS, features, segments

DATASETS = Path(__file__).resolve().parents[2] / "shared" / "datasets"
WRITTEN = Path(__file__).resolve().parents[1] / "src" / "affidavit" / "domain" / "orders_weights.py"
NAMES = (*FEATURES, *(f"{a}&{b}" for a, b in PAIRS))
_HEAD = '''"""The weights of ``domain/orders.py``, written by ``python -m bench.guards_fit --write``.

A logistic model: probability = 1 / (1 + exp(-(bias + sum of the weights of the features that hold))).
"""

'''


def rows(name: str) -> list[dict[str, Any]]:
    """A set of injections as it is stored."""
    path = DATASETS / "injections" / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def held_out(row: dict[str, Any]) -> bool:
    """Whether ``row`` is kept for measuring: half of the payloads, half of the harmless texts."""
    key = row.get("payload") or row["text"]
    return hashlib.sha256(key.encode()).digest()[0] % 2 == 0


def handbook() -> Iterator[str]:
    """Pages of the handbook that are not among the harmless pages to be measured on."""
    harmless = {r["text"][:2000] for r in rows("hardbenign")}
    path = DATASETS / "sghandbook" / "corpus.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines():
        text = json.loads(line)["text"]
        if text[:2000] not in harmless:
            yield text


def vectors(text: str) -> Iterator[tuple[int, int, list[bool]]]:
    """(start, end, features) of each sentence."""
    folded = Folded(text).text
    for start, end in segments(folded):
        held = features(folded[start:end])
        yield start, end, [held[n] for n in NAMES]


def examples() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Features, labels and, for the harmless, the number of their text (-1 for a sentence of an attack)."""
    x: list[list[bool]] = []
    y: list[float] = []
    group: list[int] = []
    seen: set[str] = set()
    for row in (*rows("bipia"), *rows("injecagent")):
        if row["label"] == 1 and not held_out(row) and row["payload"] not in seen:
            seen.add(row["payload"])
            attack = [v for _, _, v in vectors(row["payload"].split("\n```")[0])]
            x += attack
            y += [1.0] * len(attack)
            group += [-1] * len(attack)
    for n, text in enumerate(harmless_texts()):
        found = [v for _, _, v in vectors(text)]
        x += found
        y += [0.0] * len(found)
        group += [n] * len(found)
    return np.asarray(x, float), np.asarray(y), np.asarray(group)


def harmless_texts() -> Iterator[str]:
    """What the model learns not to mind."""
    for name in ("bipia", "injecagent", "hardbenign"):
        yield from (r["text"] for r in rows(name) if r["label"] == 0 and not held_out(r))
    yield from handbook()


def fit(
    x: NDArray[np.float64], y: NDArray[np.float64], ridge: float = 1e-3, attacks: float = 0.1
) -> NDArray[np.float64]:
    """Weights and, last, the bias: gradient steps with momentum on the convex loss, of which ``attacks`` is the attacks' share.
    Sentences with the same features are one with a count."""
    alike, inverse = np.unique(np.hstack([x, y[:, None]]), axis=0, return_inverse=True)
    count = np.bincount(inverse.ravel()).astype(float)
    data, label = np.hstack([alike[:, :-1], np.ones((len(alike), 1))]), alike[:, -1]
    share = np.where(label == 1, attacks * count / y.sum(), (1 - attacks) * count / (len(y) - y.sum()))
    weights = np.zeros(data.shape[1])
    moved = np.zeros_like(weights)
    for _ in range(3000):
        gap = share * (1 / (1 + np.exp(-data @ weights)) - label)
        slope = data.T @ gap
        slope[:-1] += ridge * weights[:-1]
        moved = 0.9 * moved - 0.3 * slope
        weights = weights + moved
    return weights


def limit(scores: NDArray[np.float64], group: NDArray[np.int64], allowed: float) -> float:
    """The score that at most ``allowed`` of the harmless texts reach with any sentence."""
    worst = sorted((float(scores[group == n].max()) for n in np.unique(group) if n >= 0), reverse=True)
    return worst[int(allowed * len(worst))] + 1e-3


def written(weights: Sequence[float], threshold: float) -> str:
    """The module's text."""
    pairs: Iterable[tuple[str, float]] = zip(NAMES, weights[:-1], strict=True)
    lines = [f'    "{name}": {weight:.2f},' for name, weight in pairs if abs(weight) >= 0.05]
    return (
        f"{_HEAD}BIAS = {weights[-1]:.2f}\nTHRESHOLD = {threshold:.3f}\n"
        f"WEIGHTS: dict[str, float] = {{\n" + "\n".join(lines) + "\n}\n"
    )


def main() -> dict[str, Any]:
    """Fit, say how it does on its own half, and with ``--write`` keep the weights."""
    x, y, group = examples()
    weights = fit(x, y)
    scores = x @ weights[:-1] + weights[-1]
    threshold = 1 / (1 + np.exp(-limit(scores, group, 0.01)))
    probability = 1 / (1 + np.exp(-scores))
    caught = float((probability[y == 1] >= threshold).mean())
    print(
        f"{len(y)} sentences, {int(y.sum())} of attacks; threshold {threshold:.3f}; own half caught {caught:.3f}"
    )
    if "--write" in sys.argv:
        WRITTEN.write_text(written([float(w) for w in weights], float(threshold)), encoding="utf-8")
    return {"sentences": len(y), "caught": caught, "threshold": float(threshold)}


if __name__ == "__main__":
    main()
