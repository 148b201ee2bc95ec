"""Ranking quality on the handbook, and whether anything leaks to those who may not read the right page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import ir_measures
from ir_measures import RR, R, nDCG

from affidavit.app.workspace import Workspace
from affidavit.ask.falling_short import words
from affidavit.domain.answer import NOT_ENOUGH, Answer, Claim
from bench.handbook import DATA, TENANT, lines, visible_documents, who_reads_most
from bench.measure import say, share

SLICE = 40
_DEPTH = 100


def ranking(ws: Workspace) -> dict[str, Any]:
    """Document-level measures over all questions, as the person who may read most."""
    queries = lines("queries.jsonl")
    seen = visible_documents(ws, [u["id"] for u in lines("users.jsonl")])
    who = who_reads_most(seen)
    say(f"ranking {len(queries)} questions over {len(seen[who])} documents")
    questions = [ws.question(q["text"], who, TENANT) for q in queries]
    found = ws.search_batch(questions, _DEPTH, chunks=False)
    run = [
        ir_measures.ScoredDoc(query["id"], hit.view.name, -rank)
        for query, hits in zip(queries, found, strict=True)
        for rank, hit in enumerate(hits.hits)
    ]
    rows = (line.split("\t") for line in (DATA / "qrels.tsv").read_text(encoding="utf-8").splitlines()[1:])
    qrels = [ir_measures.Qrel(query, document, int(grade)) for query, document, grade in rows]
    measures = [nDCG @ 10, RR @ 10, R @ 5, R @ 10, R @ 100]
    told = ir_measures.calc_aggregate(measures, qrels, run)
    reference = json.loads((DATA / "bm25.json").read_text())["doc"]
    return {
        "questions": len(queries),
        "documents": len(seen[who]),
        "affidavit": {str(m): round(float(told[m]), 4) for m in measures},
        "bm25": reference,
    }


class Readable:
    """What a person may read, as text to compare an answer with."""

    def __init__(self, documents: dict[str, dict[str, Any]], names: frozenset[str]) -> None:
        self.names = names
        self.titles = {documents[n]["title"] for n in names}
        self._texts = [documents[n]["text"] for n in names]

    def holds(self, piece: str) -> bool:
        """Whether a readable page says so, or is called so: a hidden page may link to it by that name."""
        return any(piece in text for text in self._texts) or any(piece in name for name in self.names)


def leaks(given: dict[str, Any], gold: dict[str, Any], readable: Readable, question: str) -> list[str]:
    """What in a denied person's answer comes from the page they may not read. A refusal may hold words of ``question``, and a
    document that they may read, and no other."""
    found = []
    cited = [c for claim in given["claims"] for c in (*claim["citations"], *claim["overrules"])]
    if any(c["document"] not in readable.names for c in cited):
        found.append("citation")
    told = list(_strings(given))
    if any(not readable.holds(piece) for text in told for piece in _slices(text, gold["text"])):
        found.append("text")
    if gold["title"] not in readable.titles and _tells_title(gold["title"], cited, told, readable):
        found.append("title")
    if given["status"] == "refused" and not _as_if_absent(given["refusal"], question, readable):
        found.append("refusal")
    return found


def _as_if_absent(refusal: dict[str, Any], question: str, readable: Readable) -> bool:
    whom = refusal["ask"]
    known = set(words(question))
    return (
        refusal["reason"] == NOT_ENOUGH.reason
        and known.issuperset(refusal["missing"])
        and known.issuperset(re.findall("“(.*?)”", refusal["message"]))
        and (whom is None or whom["document"] in readable.names)
    )


def _tells_title(title: str, cited: list[Any], told: list[str], readable: Readable) -> bool:
    """A title of one word is also a word: it counts only where a title stands."""
    if any(c["title"] == title for c in cited):
        return True
    return " " in title and any(title in text for text in told) and not readable.holds(title)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _slices(told: str, page: str) -> Iterator[str]:
    """Pieces of ``SLICE`` characters that ``told`` has in common with ``page``."""
    for start in range(max(0, len(told) - SLICE + 1)):
        piece = told[start : start + SLICE]
        if piece in page:
            yield piece


def access_cases(ws: Workspace, most: int) -> dict[str, Any]:
    """Every access case asked twice: by who may not read the right page, and by who may."""
    cases = lines("acl_cases.jsonl")[:most]
    texts = {q["id"]: q["text"] for q in lines("queries.jsonl")}
    documents = {d["id"]: d for d in lines("corpus.jsonl")}
    people = {c[k] for c in cases for k in ("allowed_user", "denied_user")}
    readable = {w: Readable(documents, names) for w, names in visible_documents(ws, people).items()}
    out: dict[str, Any] = {"cases": len(cases), "denied": _tally(), "allowed": _tally()}
    out |= {"leaks": 0, "leaking": {}, "misassigned": 0, "allowed_cite_the_page": 0, "judged": 0}
    out |= {"first_sentence_overlaps": 0, "some_sentence_overlaps": 0}
    spans = gold_spans()
    for n, case in enumerate(cases):
        if n % 50 == 0:
            say(f"access case {n} of {len(cases)}")
        gold, question = case["doc_id"], texts[case["query_id"]]
        out["misassigned"] += gold in readable[case["denied_user"]].names
        out["misassigned"] += gold not in readable[case["allowed_user"]].names
        denied = _ask(ws, question, case["denied_user"], out["denied"])
        kinds = leaks(denied.given(), documents[gold], readable[case["denied_user"]], question)
        out["leaks"] += bool(kinds)
        for kind in kinds:
            out["leaking"].setdefault(kind, []).append(case["query_id"])
        allowed = _ask(ws, question, case["allowed_user"], out["allowed"])
        out["allowed_cite_the_page"] += gold in _cited(allowed)
        if allowed.claims and case["query_id"] in spans:
            hits = [_overlaps(claim, spans[case["query_id"]]) for claim in allowed.claims]
            out["judged"] += 1
            out["first_sentence_overlaps"] += hits[0]
            out["some_sentence_overlaps"] += any(hits)
    out["allowed_cite_the_page_share"] = round(out["allowed_cite_the_page"] / max(1, len(cases)), 4)
    return out | {"shares": _shares(out)}


def _shares(out: dict[str, Any]) -> dict[str, list[float]]:
    """What counts as a share of what, with 95 % intervals."""
    cases, judged = out["cases"], out["judged"]
    return {
        "denied_refused": _rounded(share(out["denied"]["refused"], cases)),
        "allowed_answered": _rounded(share(out["allowed"]["answered"], cases)),
        "answers_whose_first_sentence_overlaps": _rounded(share(out["first_sentence_overlaps"], judged)),
        "answers_of_which_some_sentence_overlaps": _rounded(share(out["some_sentence_overlaps"], judged)),
    }


def _rounded(numbers: Sequence[float]) -> list[float]:
    return [round(n, 4) for n in numbers]


Span = tuple[str, int, int]
"""A document and the characters from which to which."""


def gold_spans() -> dict[str, list[Span]]:
    """By question the stretches that answer it."""
    spans: dict[str, list[Span]] = {}
    for line in lines("spans.jsonl"):
        spans.setdefault(line["query_id"], []).append((line["doc_id"], line["start"], line["end"]))
    return spans


def _overlaps(claim: Claim, spans: list[Span]) -> bool:
    """Whether the claim's own citation lies, in part at least, in a stretch that answers."""
    cited = claim.citations[0]
    return any(cited.document == d and cited.start < end and start < cited.end for d, start, end in spans)


def _tally() -> dict[str, int]:
    return {"answered": 0, "refused": 0}


def _ask(ws: Workspace, question: str, who: str, tally: dict[str, int]) -> Answer:
    answer = ws.ask(question, who, TENANT)
    tally[answer.status.value] = tally.get(answer.status.value, 0) + 1
    return answer


def _cited(answer: Answer) -> set[str]:
    return {c.document for claim in answer.claims for c in claim.citations}


def quality(ws: Workspace, most: int) -> dict[str, Any]:
    """Ranking and access cases."""
    return {"ranking": ranking(ws), "access": access_cases(ws, most)}
