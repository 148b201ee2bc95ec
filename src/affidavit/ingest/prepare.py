"""From an item's bytes to rows ready to be written: parse, chunk, digest. No database here."""

from __future__ import annotations

from dataclasses import dataclass

from affidavit.domain.canonical import canonical, text_digest
from affidavit.domain.errors import ParseError
from affidavit.domain.media import is_own_text
from affidavit.domain.records import Notice, Span, revision_name
from affidavit.domain.release import Chunking
from affidavit.ingest.chunk import chunk, chunk_input
from affidavit.ingest.parse import LONGEST_WORDS
from affidavit.ingest.parse.pool import shared
from affidavit.ports.connector import Content, Item


@dataclass(frozen=True)
class Prepared:
    """A document's new state, parsed and chunked. ``inputs`` is what is embedded, one text a chunk."""

    item: Item
    revision: str
    text: str
    digest: str
    title: str
    metadata: str
    media_type: str
    source: bytes | None
    """The source's bytes where the text is not simply their decoding."""
    spans: tuple[Span, ...]
    inputs: tuple[str, ...]
    digests: tuple[str, ...]
    notices: tuple[Notice, ...]


def prepare(source: str, item: Item, content: Content, chunking: Chunking) -> Prepared:
    """Parse and chunk ``content`` by the settings ``chunking``. Raises ParseError."""
    parsed = shared().parse(content.data, content.media_type, item.name)
    try:
        digest = text_digest(parsed.text)
        metadata = canonical(
            {**parsed.metadata, **item.metadata, "source": source, "media_type": parsed.media_type}
        )
    except (ValueError, TypeError) as error:
        raise ParseError(
            f"the text or metadata cannot be kept exactly: {error}", "remove broken Unicode"
        ) from error
    title = (item.title or parsed.title)[:LONGEST_WORDS]
    spans = tuple(chunk(parsed, chunking, item.name))
    inputs = tuple(chunk_input(title, span, parsed.text) for span in spans)
    return Prepared(
        item=item,
        revision=revision_name(source, item.name, title, digest, chunking.digest),
        text=parsed.text,
        digest=digest,
        title=title,
        metadata=metadata.decode(),
        media_type=parsed.media_type,
        source=None if is_own_text(parsed.media_type) else content.data,
        spans=spans,
        inputs=inputs,
        digests=tuple(text_digest(i) for i in inputs),
        notices=parsed.notices,
    )
