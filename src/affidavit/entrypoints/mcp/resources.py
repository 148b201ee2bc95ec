"""Documents as MCP resources: `affidavit://document/SOURCE/DOCUMENT?revision=…`, listed and read as the caller may.

A document that somebody may not read is for them one that is not there: not in a page of the list, not among completions, and
reading it is refused with the same words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import mcp_types as types
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from affidavit.app.operations.documents import OneDocument
from affidavit.app.operations.operation import Caller, may, perform
from affidavit.app.operations.table import TABLE
from affidavit.app.workspace import Workspace
from affidavit.domain.errors import AccessDeniedError, AffidavitError, UsageError

BEGIN = "affidavit://document/"
TEMPLATE = BEGIN + "{source}/{+document}{?revision}"
PLAIN = "text/plain"
PAGE = 100
"""Documents of one page of the list: the protocol lets the server choose."""
LONGEST = 8_000
_SUGGESTED = 100
"""The most values that a completion may have."""
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e0fff]"
)
"""Characters that no reader sees, and a model does."""
_LIST, _GET = TABLE["documents.list"], TABLE["documents.get"]


def uri_of(source: str, document: str, revision: str = "") -> str:
    """The name of a document, or of one revision of it. Slashes stay as they are unless a client might take them for steps
    up or down."""
    steps = document.split("/")
    safe = "" if {"", ".", ".."} & set(steps) else "/"
    query = f"?revision={quote(revision, safe='')}" if revision else ""
    return f"{BEGIN}{quote(source, safe='')}/{quote(document, safe=safe)}{query}"


def named_by(uri: str) -> OneDocument | None:
    """Which document ``uri`` names; None for what names none."""
    if not uri.startswith(BEGIN) or len(uri) > LONGEST:
        return None
    try:
        parts = urlsplit(uri)
        source, _, document = parts.path.lstrip("/").partition("/")
        query = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True))
        if parts.fragment or set(query) - {"revision"} or not source or not document:
            return None
        return OneDocument(
            source=unquote(source, errors="strict"),
            document=unquote(document, errors="strict"),
            revision=query.get("revision", ""),
            as_of="",
        )
    except (ValueError, ValidationError):
        return None


def link(cited: Mapping[str, Any]) -> types.ResourceLink:
    """Where what ``cited`` names can be read in full: at the revision, so that the words are still the same."""
    return types.ResourceLink(
        uri=uri_of(cited["source"], cited["document"], cited["revision"]),
        name=seen(cited["document"])[:200],
        mime_type=PLAIN,
    )


def seen(text: str) -> str:
    """``text`` of the same length with a sign in place of each character that no reader sees."""
    return _UNSEEN.sub("\ufffd", text)


# -- what the protocol asks


def listed(ws: Workspace, caller: Caller, cursor: str) -> types.ListResourcesResult:
    """A page of the documents that ``caller`` may read; none for a key that is good for something else. Raises UsageError."""
    if not may(ws, caller, _LIST.action):
        return types.ListResourcesResult(resources=[])
    try:
        asked = _LIST.takes.model_validate({"limit": PAGE, "after": cursor})
    except ValidationError as error:
        raise UsageError("this is no cursor of ours", "begin without one") from error
    found = perform(ws, caller, _LIST, asked)
    return types.ListResourcesResult(
        resources=[_listed(line) for line in found["items"]], next_cursor=found["next"]
    )


def _listed(line: Mapping[str, Any]) -> types.Resource:
    return types.Resource(
        uri=uri_of(line["source"], line["document"]),
        name=seen(line["document"]),
        title=seen(line["title"]),
        mime_type=PLAIN,
        annotations=None if line["modified"] is None else types.Annotations(last_modified=line["modified"]),
        _meta={"affidavit/revision": line["revision"], "affidavit/source": line["source"]},
    )


def templates() -> types.ListResourceTemplatesResult:
    """How documents are named."""
    one = types.ResourceTemplate(
        uri_template=TEMPLATE,
        name="document",
        title="A document, or one revision of it",
        description="As whom you act for may read it, on record. What they may not read does not exist.",
        mime_type=PLAIN,
    )
    return types.ListResourceTemplatesResult(resource_templates=[one])


def read(ws: Workspace, caller: Caller, uri: str) -> types.ReadResourceResult:
    """The document's text, every character where the document has it: offsets of citations count in it.

    Raises MCPError for what names nothing, what is not there and what may not be read, alike.
    """
    asked = named_by(uri)
    if asked is None:
        raise absent(uri)
    try:
        found = perform(ws, caller, _GET, asked)
    except AccessDeniedError as error:
        raise absent(uri) from error
    about = {
        name: found[name]
        for name in ("run", "position", "source", "document", "revision", "latest", "permitted_by")
    }
    return types.ReadResourceResult(
        contents=[
            types.TextResourceContents(
                uri=uri,
                mime_type=PLAIN,
                text=seen(found["text"]),
                _meta={f"affidavit/{name}": value for name, value in about.items()},
            )
        ]
    )


def absent(uri: str) -> MCPError:
    """Not found, in the protocol's form."""
    return MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": uri[:LONGEST]})


# -- completions


def completed(
    ws: Workspace, caller: Caller, name: str, value: str, known: Mapping[str, str]
) -> tuple[list[str], bool]:
    """(values that begin with ``value`` for the part ``name`` of the template, whether there are more)."""
    if not may(ws, caller, _LIST.action):
        return [], False
    try:
        if name == "source":
            return _sources(ws, caller, value), False
        if name == "document":
            asked = {"source": known.get("source", ""), "prefix": value, "limit": _SUGGESTED}
            found = perform(ws, caller, _LIST, _LIST.takes.model_validate(asked))
            return [line["document"] for line in found["items"]], found["next"] is not None
    except (AffidavitError, ValidationError):
        return [], False  # a suggestion that cannot be made is none
    return [], False


def _sources(ws: Workspace, caller: Caller, value: str) -> list[str]:
    """Sources of which they may read something: one that is all hidden has no name for them."""
    with ws.parts.database.read():
        names = sorted(s.name for s in ws.parts.catalog.sources(caller.tenant.id))
    found = []
    for name in (n for n in names if n.startswith(value)):
        asked = _LIST.takes.model_validate({"source": name, "limit": 1})
        if perform(ws, caller, _LIST, asked)["items"]:
            found.append(name)
        if len(found) == _SUGGESTED:
            break
    return found
