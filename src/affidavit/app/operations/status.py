"""Operations: how things stand."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from affidavit.app.operations.operation import Caller, Given, Method, Nothing, Operation
from affidavit.app.workspace import Workspace
from affidavit.domain.version import VERSION


class Status(Given):
    version: str
    tenant: str
    position: int
    release: str
    search: str = Field(description="By keyword only, or by meaning too.")
    embedder: str | None
    mode: str
    stopped: list[str]
    sources: int
    documents: int
    chunks: int
    people: int
    readable: int = Field(description="Documents that you may read.")
    waiting: int = Field(description="Calls that wait for somebody's yes.")


def status(ws: Workspace, caller: Caller, asked: Nothing) -> dict[str, Any]:
    parts, tenant = ws.parts, caller.tenant
    with parts.database.read():
        head = parts.log.head()
        counts = parts.catalog.counts(tenant.id)
        sources = len(parts.catalog.sources(tenant.id))
        people = len(parts.people.principals(tenant.id, head))
        readable = ws.documents.count_readable(tenant, caller.principal)
    embedder = parts.embedder
    return {
        "version": VERSION,
        "tenant": tenant.name,
        "position": head,
        "release": parts.release().digest,
        "search": "keyword only" if embedder is None else "keyword and dense",
        "embedder": None if embedder is None else embedder.info.name,
        "mode": ws.controls.mode(tenant),
        "stopped": [kill.why() for kill in ws.controls.kills(tenant)],
        "sources": sources,
        "documents": counts["documents"],
        "chunks": counts["chunks"],
        "people": people,
        "readable": readable,
        "waiting": ws.tools.calls.counts(tenant.id).get("waiting", 0),
    }


STATUS = (
    Operation(
        "status.show",
        "status:read",
        Method.READ,
        "/status",
        "How your organisation's part of the workspace stands.",
        Nothing,
        Status,
        status,
        {},
        command="status",
    ),
)
