"""Operations: documents as their readers may have them, and why."""

from __future__ import annotations

from itertools import islice
from typing import Any

from pydantic import Field, JsonValue

from affidavit.app.documents import Found, Wish
from affidavit.app.operations import listing
from affidavit.app.operations.listing import Search
from affidavit.app.operations.operation import Asked, Caller, Given, Method, Operation, check, may
from affidavit.app.workspace import Workspace
from affidavit.ask.asker import instant
from affidavit.domain.access import named

SourceName = Field(max_length=256, description="The source's name.")
DocumentName = Field(max_length=4096, description="The document's name within its source.")


class OneDocument(Asked):
    source: str = SourceName
    document: str = DocumentName
    revision: str = Field("", max_length=64, description="An older revision of it, as a citation names it.")
    as_of: str = Field("", max_length=40, description="As it stood at a log position or an ISO 8601 time.")


class Documents(Search):
    source: str = Field("", max_length=256, description="Of this source alone.")


class Line(Given):
    source: str
    document: str
    revision: str
    title: str
    media_type: str
    modified: str | None = Field(description="When its source says that it was changed last.")
    indexed_at: str
    owner: str
    classification: str
    rank: int = Field(description="1 is the most authoritative.")


class DocumentList(Given):
    items: list[Line]
    next: str | None


class Block(Given):
    chunk: str = Field(description="The passage's id, as citations name it.")
    kind: str
    start: int = Field(description="Offset into the text, in characters.")
    end: int
    path: list[str] = Field(description="The headings above it.")


class Document(Line):
    run: str = Field(description="The record of this read.")
    position: int
    latest: bool = Field(description="Whether it is how the document stands now.")
    location: str
    digest: str
    fresh_days: int
    permitted_by: str = Field(description="The entries of the access rule that let you read it.")
    text: str
    blocks: list[Block]


class Passage(Block):
    text: str
    searched: str = Field(description="What search reads of it: with title and headings.")


class Passages(Given):
    run: str
    source: str
    document: str
    revision: str
    items: list[Passage]


class WhyInput(Asked):
    source: str = SourceName
    document: str = DocumentName
    person: str = Field(
        "", max_length=300, description="A person or service; empty is you. Another needs people:read."
    )


class Why(Given):
    source: str
    document: str
    person: str
    permit: bool
    reason: str
    known: bool
    rule: dict[str, JsonValue] | None = Field(
        description="`allow`: one of each list must be met. `deny`: none of these."
    )
    through: list[list[str]] = Field(description="How the person comes to be what the rule names.")
    owner: str
    classification: str


def documents(ws: Workspace, caller: Caller, asked: Documents) -> dict[str, Any]:
    last = listing.read(asked.after, list)
    after = (str(last[0]), str(last[1])) if last and len(last) == 2 else None
    with ws.parts.database.read():
        rows = ws.documents.readable(caller.tenant, caller.principal, asked.source, asked.prefix, after)
        found = list(islice(rows, asked.limit + 1))
    items = [
        {
            **vars(row),
            "modified": None if row.modified is None else instant(row.modified),
            "indexed_at": instant(row.indexed_at),
        }
        for row in found[: asked.limit]
    ]
    end = found[asked.limit - 1] if len(found) > asked.limit else None
    return {"items": items, "next": None if end is None else listing.told([end.source, end.document])}


def _read(ws: Workspace, caller: Caller, asked: OneDocument) -> Found:
    as_of = ws.position(asked.as_of) if asked.as_of else None
    wish = Wish(asked.source, asked.document, asked.revision, as_of)
    return ws.documents.read(caller.tenant, caller.principal, wish, caller.by, caller.run)


def document(ws: Workspace, caller: Caller, asked: OneDocument) -> dict[str, Any]:
    found = _read(ws, caller, asked)
    return {**found.as_json(), "blocks": ws.documents.blocks(found)}


def chunks(ws: Workspace, caller: Caller, asked: OneDocument) -> dict[str, Any]:
    found = _read(ws, caller, asked)
    return {
        "run": found.run,
        "source": found.source,
        "document": found.row.document_name,
        "revision": found.row.revision,
        "items": ws.documents.chunks(found),
    }


def why(ws: Workspace, caller: Caller, asked: WhyInput) -> dict[str, Any]:
    person = named(asked.person) if asked.person else caller.principal
    if person != caller.principal:
        check(ws, caller, "people:read")
    return ws.documents.why(
        caller.tenant,
        person,
        asked.source,
        asked.document,
        looker=caller.principal,
        auditor=may(ws, caller, "audit:read"),
    )


_EXAMPLE = {"source": "handbook", "document": "people/leave.md"}
DOCUMENTS = (
    Operation(
        "documents.list",
        "document:read",
        Method.READ,
        "/documents",
        "The documents that you may read, by source and name.",
        Documents,
        DocumentList,
        documents,
        {"source": "handbook", "limit": 50},
        command="document list",
    ),
    Operation(
        "documents.get",
        "document:read",
        Method.READ,
        "/document",
        "One document with its text, as you may read it. What you may not read does not exist. On the record before it is given.",
        OneDocument,
        Document,
        document,
        _EXAMPLE,
        mcp=True,
        makes_run=True,
        command="document show",
        passing=frozenset({"run", "position"}),
    ),
    Operation(
        "documents.chunks",
        "source:read",
        Method.READ,
        "/document/chunks",
        "The passages that a document was cut into and what search reads of each; you must be able to read it yourself.",
        OneDocument,
        Passages,
        chunks,
        _EXAMPLE,
        makes_run=True,
        passing=frozenset({"run"}),
    ),
    Operation(
        "access.why",
        "document:read",
        Method.READ,
        "/document/access",
        "Whether somebody may read a document, by which entries of its rule and through which groups.",
        WhyInput,
        Why,
        why,
        {**_EXAMPLE, "person": "user:bob"},
        command="document why",
    ),
)
