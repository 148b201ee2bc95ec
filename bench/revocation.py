"""Taking access to 10,000 chunks away: how long it takes to apply, and whether the very next question knows."""

from __future__ import annotations

from typing import Any

from affidavit.app.workspace import Workspace
from affidavit.domain.access import AccessRule
from affidavit.domain.canonical import Json
from affidavit.domain.events import Event, EventKind
from affidavit.domain.records import Governance
from affidavit.events.log import Transaction
from bench.corpus import Corpus, groups_of_rule, rules_of, spelled_text
from bench.measure import percentile, say, timed

_GROUP, _SHARE = "twentieth", 0.05
_TIMES = 5
_TENANT = "tenant01"


def revocation(ws: Workspace, corpus: Corpus) -> list[dict[str, Any]]:
    """Two ways: a person leaves the group, and the documents are shared anew without the group."""
    question = spelled_text(corpus.words[0])
    chunks = len(corpus.visible(next(s for s in corpus.scopes if s.principal == f"user:{_GROUP}")))
    say(f"revocation of {chunks:,} chunks")
    return [
        {"what": "the person leaves the group", "chunks": chunks, **_leaving(ws, question)},
        {
            "what": "the documents are shared anew without the group",
            "chunks": chunks,
            **_resharing(ws, corpus, question),
        },
    ]


def _seen(ws: Workspace, question: str, who: str) -> tuple[int, float]:
    """How many hits ``who`` gets, and milliseconds."""
    hits: list[int] = []
    ms = timed(lambda: hits.append(len(ws.search(question, who, tenant=_TENANT).hits)))
    return hits[0], ms


def _leaving(ws: Workspace, question: str) -> dict[str, Any]:
    tenant, who = ws.parts.tenant(_TENANT), "user:spare"
    applied, asked, before, after = [], [], [], []
    for _ in range(_TIMES):
        ws.people.join(tenant, who, _GROUP)
        before.append(_seen(ws, question, who)[0])
        applied.append(timed(lambda: ws.people.leave(tenant, who, _GROUP)))
        hits, ms = _seen(ws, question, who)
        after.append(hits)
        asked.append(ms)
    return _told(applied, asked, before, after)


def _resharing(ws: Workspace, corpus: Corpus, question: str) -> dict[str, Any]:
    with_group, without = _rows(ws, corpus, revoked=False), _rows(ws, corpus, revoked=True)
    applied, asked, before, after = [], [], [], []
    for _ in range(_TIMES):
        _share(ws, with_group)
        before.append(_seen(ws, question, f"user:{_GROUP}")[0])
        applied.append(timed(lambda: _share(ws, without)))
        hits, ms = _seen(ws, question, f"user:{_GROUP}")
        after.append(hits)
        asked.append(ms)
    _share(ws, with_group)
    return {"documents": len(without), **_told(applied, asked, before, after)}


def _told(applied: list[float], asked: list[float], before: list[int], after: list[int]) -> dict[str, Any]:
    return {
        "apply_p50_ms": percentile(applied, 50),
        "apply_worst_ms": percentile(applied, 100),
        "next_question_p50_ms": percentile(asked, 50),
        "hits_before": min(before),
        "hits_after": max(after),
        "n": len(applied),
    }


def _rows(ws: Workspace, corpus: Corpus, *, revoked: bool) -> list[tuple[int, Governance]]:
    """(document, governance) of every document that the group may read."""
    mine = (corpus.tenant == 1) & (corpus.rule < rules_of(_SHARE))
    out = []
    for document, rule in sorted(
        set(zip(corpus.document[mine].tolist(), corpus.rule[mine].tolist(), strict=True))
    ):
        groups = [g for g in groups_of_rule(rule) if not (revoked and g == f"group:{_GROUP}")]
        out.append((document + 1, Governance(AccessRule.of(groups))))
    return out


def _share(ws: Workspace, rows: list[tuple[int, Governance]]) -> None:
    """What a sync does when only access changed: one event, one row a document, one commit."""
    tenant, catalog = ws.parts.tenant(_TENANT).id, ws.parts.catalog

    def write(tx: Transaction) -> None:
        known: dict[str, int] = {}
        for _, governance in rows:
            rule = governance.access
            known.setdefault(rule.digest, 0) or known.update({rule.digest: catalog.intern(tenant, rule)})
        groups: dict[Governance, list[int]] = {}
        for document, governance in rows:
            groups.setdefault(governance, []).append(document)
        body: Json = [{"governance": g.as_json(), "documents": documents} for g, documents in groups.items()]
        facts: dict[str, int | str] = {"source": 1, "documents": len(rows)}
        position = tx.append(Event(EventKind.ACCESS_CHANGED, tenant, facts=facts, body=body))
        catalog.govern([(d, known[g.access.digest], g) for d, g in rows], position)

    ws.parts.log.write(write)
