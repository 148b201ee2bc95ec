"""``python -m bench.support``: how well a claim's support is told from its quotes, by rules and by token vectors.

True claims are gold passages said otherwise by rules (shortened, reordered, plainer words); false ones are the same claims with
another number, name, unit, negation or subject, or with the quote of another sentence of the page or of another document. No
model wrote any of them, so the figures are of the check and not of a model. The measure is chosen, and its threshold fitted, on
one half of the documents; what is printed is of the other half.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affidavit.app.config import default_embedder, make_embedder
from affidavit.ask.agreement import fault
from affidavit.ask.support import vectors
from affidavit.text.sentences import sentences
from bench.measure import say

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "datasets"
SETS = ("sghandbook", "cuad60")
COVERAGE = 0.6
ALLOWED = 0.02
"""The share of true claims that a threshold may refuse."""
_FEWEST, _MOST = 6, 60
Rng = random.Random
F32 = NDArray[np.float32]
Measure = Callable[[F32, F32], float]


@dataclass(frozen=True)
class Pair:
    """A claim and what it cites. ``kind`` says how it was made; ``half`` is 0 to fit on and 1 to measure on."""

    claim: str
    said: str
    about: str
    kind: str
    true: bool
    half: int


# -- true claims

_PLAINER = {
    "shall": "must",
    "must": "has to",
    "prior to": "before",
    "in order to": "to",
    "utilize": "use",
    "such": "these",
    "commence": "begin",
    "terminate": "end",
    "in the event that": "if",
    "provided that": "if",
    "obtain": "get",
    "receive": "get",
    "assist": "help",
    "we are": "the company is",
    "you can": "one can",
    "you will": "one will",
    "additionally": "also",
    "approximately": "about",
    "purchase": "buy",
    "however": "but",
    "request": "ask for",
    "individuals": "people",
    "teammates": "employees",
    "ensure": "make sure",
    "1 year": "one year",
    "30 days": "thirty days",
    "percent": "%",
}


def _unmarked(text: str) -> str:
    """Without Markdown: a model that says a sentence in its own words leaves that out."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    plain: str = re.sub(r"[*_`#]+|^\s*(?:[-+]|\d+\.)\s+", "", text, flags=re.M)
    return " ".join(plain.split())


def _shortened(text: str) -> str:
    """Without parentheses and what comes after the last comma, if enough is left."""
    text = re.sub(r"\s*\([^)]*\)", "", text)
    head = re.split(r"[;:]\s|, (?:and|but|which|including|provided)\b", text)[0]
    return head if len(head.split()) >= _FEWEST else text


def _reordered(text: str) -> str:
    """If A, B → B if A."""
    match = re.match(r"(If|When|Upon|During|After|Before) ([^,]{10,}), (.{20,}?)\.?$", text)
    if match is None:
        return text
    return f"{match[3][0].upper()}{match[3][1:]} {match[1].lower()} {match[2]}."


def _said_plainer(text: str) -> str:
    for word, other in _PLAINER.items():
        text = re.sub(rf"\b{re.escape(word)}\b", other, text, count=1, flags=re.IGNORECASE)
    return text


REPHRASED: Mapping[str, Callable[[str], str]] = {
    "verbatim": lambda t: t,
    "unmarked": _unmarked,
    "shortened": lambda t: _shortened(_unmarked(t)),
    "reordered": lambda t: _reordered(_unmarked(t)),
    "plainer": lambda t: _said_plainer(_shortened(_unmarked(t))),
}

# -- false claims


def _number(text: str, page: str, rng: Rng) -> str:
    found = list(re.finditer(r"(?<![\w.,])\d{1,3}(?![\w]|[.,]\d)", text))
    if not found:
        return text
    at = rng.choice(found)
    other: list[str] = [n for n in re.findall(r"\b\d{1,3}\b", page) if n != at.group()] or [
        str(int(at.group()) + 1)
    ]
    return text[: at.start()] + rng.choice(other) + text[at.end() :]


def _unit(text: str, page: str, rng: Rng) -> str:
    turned = {
        "days": "weeks",
        "day": "week",
        "weeks": "months",
        "months": "days",
        "month": "year",
        "years": "months",
        "year": "month",
        "%": " dollars",
        "hours": "days",
        "$": "€",
        "minutes": "hours",
    }
    for match in re.finditer(r"(?<=\d\s)[a-z]+|(?<=\d)%|\$(?=\d)|(?<=\) )days|(?<=\) )months", text):
        if match.group() in turned:
            return text[: match.start()] + turned[match.group()] + text[match.end() :]
    return text


def _name(text: str, page: str, rng: Rng) -> str:
    pattern = r"(?<=[a-z,] )[A-Z][a-z]{3,}\b"
    here, there = re.findall(pattern, text), sorted(set(re.findall(pattern, page)) - set(text.split()))
    return text.replace(rng.choice(here), rng.choice(there), 1) if here and there else text


def _negated(text: str, page: str, rng: Rng) -> str:
    if re.search(r"\bnot\b", text):
        return re.sub(r"\s*\bnot\b", "", text, count=1)
    return re.sub(r"\b(shall|will|can|may|must|is|are|does)\b", r"\1 not", text, count=1)


def _subject(text: str, page: str, rng: Rng) -> str:
    """Another word of the page in the place of a longer word of the claim."""
    words = re.findall(r"\b[a-z]{6,}\b", text)
    others = sorted(set(re.findall(r"\b[a-z]{6,}\b", page)) - set(words))
    return text.replace(rng.choice(words), rng.choice(others), 1) if words and others else text


def _modal(text: str, page: str, rng: Rng) -> str:
    turned = {"shall": "may", "must": "may", "may": "must", "should": "must", "can": "must"}
    return re.sub(r"\b(shall|must|may|should|can)\b", lambda m: turned[m[1]], text, count=1)


FALSIFIED: Mapping[str, Callable[[str, str, Rng], str]] = {
    "number": _number,
    "unit": _unit,
    "name": _name,
    "negation": _negated,
    "modality": _modal,
    "subject": _subject,
}

# -- pairs


def _lines(name: str, file: str) -> list[dict[str, Any]]:
    with (DATA / name / file).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _cut(text: str) -> list[str]:
    found = (text[a:b].strip() for a, b in sentences(text))
    return [s for s in found if _FEWEST <= len(s.split()) <= _MOST]


def pairs(name: str, most: int, seed: int = 4) -> Iterator[Pair]:
    """Up to ``most`` gold sentences of a data set, each as true and false claims."""
    rng = Rng(seed)
    pages = {d["id"]: d for d in _lines(name, "corpus.jsonl")}
    golds = sorted({(s["doc_id"], q) for s in _lines(name, "spans.jsonl") for q in _cut(s["text"])})
    rng.shuffle(golds)
    halves = {d: n % 2 for n, d in enumerate(sorted(pages))}
    for page, gold in golds[:most]:
        whole, title, half = pages[page]["text"], pages[page]["title"], halves[page]
        truths = {kind: said(gold) for kind, said in REPHRASED.items()}
        said = {
            t: k for k, t in reversed(truths.items()) if t.split()
        }  # each text once, under the plainest name
        yield from (Pair(t, gold, title, k, True, half) for t, k in said.items())
        base = truths[rng.choice(["unmarked", "shortened", "plainer"])]
        for kind, turn in FALSIFIED.items():
            wrong = turn(base, whole, rng)
            if wrong != base:
                yield Pair(wrong, gold, title, kind, False, half)
        near = [s for s in _cut(whole) if s != gold and gold not in s and s not in gold]
        if near:
            yield Pair(base, rng.choice(near), title, "other sentence", False, half)
        other, quote = rng.choice(golds)
        if other != page:
            yield Pair(base, quote, pages[other]["title"], "other document", False, half)


# -- measures


def _cosine(claim: F32, said: F32) -> float:
    mine, its = claim.mean(axis=0), said.mean(axis=0)
    return float(mine @ its / (np.linalg.norm(mine) * np.linalg.norm(its)))


def _lowest(share: float, fewest: int) -> Measure:
    def lowest(claim: F32, said: F32) -> float:
        best = np.sort((claim @ said.T).max(axis=1))
        return float(best[: max(fewest, int(share * len(best)))].mean())

    return lowest


MEASURES: Mapping[str, Measure] = {
    "cosine of means": _cosine,
    "maxsim": _lowest(1, 1),
    "maxsim + cosine": lambda c, s: _lowest(1, 1)(c, s) + _cosine(c, s),
    "worst quarter": _lowest(0.25, 1),
    "worst tenth": _lowest(0.1, 1),
    "worst three": _lowest(0, 3),
    "worst token": _lowest(0, 1),
}


def auroc(true: Sequence[float], false: Sequence[float]) -> float:
    """The chance that a true claim has the higher score."""
    if not true or not false:
        return float("nan")
    ranks = np.concatenate([np.asarray(true), np.asarray(false)]).argsort(kind="stable").argsort() + 1
    ups = float(ranks[: len(true)].sum()) - len(true) * (len(true) + 1) / 2
    return ups / (len(true) * len(false))


def _said_otherwise(pair: Pair) -> bool:
    return pair.true and pair.kind != "verbatim"


def _threshold(true: Sequence[float]) -> float:
    return float(np.quantile(np.asarray(true), ALLOWED))


def main(most: int = 400) -> dict[str, Any]:
    """Measure, print, and return the figures."""
    embedder = make_embedder(default_embedder())
    if embedder is None or not all((DATA / n).is_dir() for n in SETS):
        say("SKIPPED: needs the MiniLM weights and ../shared/datasets/sghandbook and cuad60")
        return {}
    every = [p for name in SETS for p in pairs(name, most)]
    say(f"{len(every)} pairs, {sum(p.true for p in every)} of them true")
    made = {t: vectors(embedder, t) for t in dict.fromkeys(t for p in every for t in (p.claim, p.said))}
    every = [p for p in every if len(made[p.claim]) and len(made[p.said])]
    ruled = [fault(p.claim, p.said, p.about, COVERAGE) for p in every]
    results: dict[str, Any] = {"pairs": len(every), "refused": _refused(every, ruled)}
    for name, of in MEASURES.items():
        scores = [of(made[p.claim], made[p.said]) for p in every]
        fitted = [s for p, s in zip(every, scores, strict=True) if p.half == 0 and _said_otherwise(p)]
        results[name] = _judged(every, ruled, scores, _threshold(fitted))
    _print(results)
    return results


def _refused(every: Sequence[Pair], ruled: Sequence[str]) -> dict[str, Any]:
    """Per kind how many claims the rules refuse: of the true ones too many, of the false ones too few."""
    found: dict[str, Any] = {}
    for kind in dict.fromkeys(p.kind for p in every):
        mine = [r for p, r in zip(every, ruled, strict=True) if p.kind == kind]
        found[kind] = {"claims": len(mine), "refused": round(sum(map(bool, mine)) / len(mine), 3)}
    return found


def _judged(
    every: Sequence[Pair], ruled: Sequence[str], scores: Sequence[float], threshold: float
) -> dict[str, Any]:
    rows = [(p, bool(r), s) for p, r, s in zip(every, ruled, scores, strict=True) if p.half == 1]
    true = [s for p, _, s in rows if _said_otherwise(p)]
    passed = [(p, s) for p, refused, s in rows if not refused]
    left = [s for p, s in passed if not p.true]
    kinds = {
        k: [s for p, _, s in rows if p.kind == k]
        for k in dict.fromkeys(p.kind for p, _, _ in rows if not p.true)
    }
    return {
        "threshold": round(threshold, 4),
        "auroc": {k: round(auroc(true, v), 3) for k, v in kinds.items()},
        "auroc after rules": round(auroc([s for p, s in passed if _said_otherwise(p)], left), 3),
        "true refused": round(sum(s < threshold for s in true) / len(true), 3),
        "false caught that rules let pass": f"{sum(s < threshold for s in left)} of {len(left)}",
    }


def _print(results: Mapping[str, Any]) -> None:
    for kind, row in results["refused"].items():
        say(f"rules refuse {row['refused']:6.1%} of {row['claims']:4d}  {kind}")
    for name in MEASURES:
        say(f"{name}: {json.dumps(results[name])}")


if __name__ == "__main__":
    main()
