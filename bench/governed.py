"""What governance costs: a whole question, recorded durably, beside retrieval alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from affidavit.app.workspace import Workspace
from affidavit.ask.effects import embed_question
from affidavit.runs.recorder import Run
from bench.corpus import Scope
from bench.measure import fsync_once, percentile, say, spread, timed, timed_result

ANSWERING = ("suffice", "generate_verify")
_WARM_UPS = 3


def governed(
    name: str, ws: Workspace, tenant: str, scopes: Sequence[Scope], questions: Sequence[str]
) -> list[dict[str, Any]]:
    """One line a person: whole questions, and how they divide into retrieval, answering, governance and fsync."""
    out = []
    for scope in scopes:
        say(f"governed questions on {name}, {scope.name}")
        out.append({"corpus": name, "scope": scope.name, **_one(ws, tenant, scope, questions)})
    return out


def _one(ws: Workspace, tenant: str, scope: Scope, questions: Sequence[str]) -> dict[str, Any]:
    plain: list[float] = []
    whole: list[float] = []
    governance: list[float] = []
    searched: list[float] = []
    steps: dict[str, list[float]] = {}
    for question in (*questions[:_WARM_UPS], *questions):
        plain.append(_plain(ws, tenant, scope.principal, question))
        searched.append(timed(partial(ws.search, question, scope.principal, tenant=tenant)))
        ms, answer = timed_result(partial(ws.ask, question, scope.principal, tenant))
        whole.append(ms)
        answering = sum(answer.timings.get(step, 0) for step in ANSWERING) / 1e3
        governance.append(ms - answering - plain[-1])
        for step, microseconds in answer.timings.items():
            steps.setdefault(step, []).append(microseconds / 1e3)
    unsynced = _record_unsynced(ws, tenant, scope.principal, questions)
    record = percentile(steps["record"][_WARM_UPS:], 50)
    return {
        **spread(whole[_WARM_UPS:]),
        "plain_retrieval_p50_ms": percentile(plain[_WARM_UPS:], 50),
        "governance_p50_ms": percentile(governance[_WARM_UPS:], 50),
        "search_governance_p50_ms": percentile(
            [s - p for s, p in zip(searched, plain, strict=True)][_WARM_UPS:], 50
        ),
        "fsync_p50_ms": round(max(0.0, record - unsynced), 3),
        "disk_fsync_ms": fsync_once(ws.parts.folder),
        "steps_p50_ms": {step: percentile(ms[-len(questions) :], 50) for step, ms in steps.items()},
    }


def _plain(ws: Workspace, tenant: str, principal: str, question: str) -> float:
    """Retrieval alone, milliseconds: embed, search and fuse, for a scope that is known already."""
    parts, settings = ws.parts, ws.parts.release().retrieval
    with parts.database.read():
        reader = parts.scopes.resolve(parts.tenant(tenant).id, principal)
        embedder, fingerprint = parts.retriever.serving()

        def search() -> None:
            asked = embed_question(Run("", 0, "ask", ""), embedder, fingerprint, question, settings=settings)
            parts.retriever.search(reader.scope, asked, settings)

        return timed(search)


def _record_unsynced(ws: Workspace, tenant: str, principal: str, questions: Sequence[str]) -> float:
    """p50 of the record step without waiting for the disk."""
    ws.parts.database.run("PRAGMA synchronous=OFF")
    try:
        ms = [ws.ask(q, principal, tenant).timings["record"] / 1e3 for q in questions[:30]]
    finally:
        ws.parts.database.run("PRAGMA synchronous=FULL")
    return percentile(ms, 50)
