"""Replay of a sync: every document it indexed is parsed and chunked once more from what was kept of its source."""

from __future__ import annotations

from typing import Any

from affidavit.app.recorded import RecordedRun
from affidavit.app.wiring import Parts
from affidavit.domain.canonical import text_digest
from affidavit.domain.errors import ParseError
from affidavit.domain.events import EventKind
from affidavit.domain.release import Chunking
from affidavit.events.read import ErasedBody, Recorded
from affidavit.ingest.chunk import chunk, chunk_input
from affidavit.ingest.parse.pool import shared
from affidavit.runs.replay import Divergence
from affidavit.store.shapes import chunk_details


def replay_sync(parts: Parts, recorded: RecordedRun) -> Divergence | None:
    """The first document whose text or chunks come out otherwise than recorded, None if there is none; without erased ones.

    What the source said (bytes, names, rules) is the record; the source itself is not read. Vectors are not made again.
    """
    chunking = parts.release_named(recorded.release).chunking
    with parts.database.read():
        for event in parts.events.of_run(recorded.id):
            if event.kind is EventKind.DOCUMENT_INDEXED:
                said = parts.events.body(event)
                divergence = None if isinstance(said, ErasedBody) else _document(parts, event, said, chunking)
                if divergence is not None:
                    return divergence
    return None


def _document(parts: Parts, event: Recorded, said: dict[str, Any], chunking: Chunking) -> Divergence | None:
    found = parts.catalog.revision_since(event.facts["subject"], event.position)
    name = said["name"]
    if found is None:
        return Divergence(0, f"document {name}", "has no such revision any more", said["revision"], None)
    _, title, media_type, source_body, text_body = found
    data = parts.bodies.get(text_body if source_body is None else source_body)
    try:
        parsed = shared().parse(data, media_type, name)
    except ParseError as error:
        return Divergence(0, f"document {name}", f"cannot be parsed: {error.message}", said["text"], None)
    text = text_digest(parsed.text)
    if text != said["text"]:
        return Divergence(0, f"document {name}", "gives another text", said["text"], text)
    spans = chunk(parsed, chunking, name)
    chunks = chunk_details((s, text_digest(chunk_input(title, s, parsed.text))) for s in spans)
    if chunks != said["chunks"]:
        return Divergence(0, f"document {name}", "gives other chunks", said["chunks"], chunks)
    return None
