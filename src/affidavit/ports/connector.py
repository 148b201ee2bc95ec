"""The connector port: a place documents come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from affidavit.domain.canonical import Json
from affidavit.domain.records import Governance


@dataclass(frozen=True)
class Item:
    """One source item as it stands now.

    ``name`` is stable within the source and is the document's public id. ``stamp`` is opaque and differs
    whenever the content may differ (a file's size and time, a feed's ETag): an item whose stamp is known is not
    fetched. ``location`` is where a person finds it. ``modified`` is the source's own time in
    microseconds since 1970 UTC, if it has one. ``metadata`` is what the user may filter on.
    """

    name: str
    stamp: str
    location: str
    governance: Governance
    modified: int | None = None
    title: str = ""
    metadata: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """One item (or one manifest) that could not be read. It never stops a sync.

    ``hides`` says that the item must not stay readable: what was indexed under ``name`` is taken out.
    """

    name: str
    code: str
    message: str
    hint: str = ""
    hides: bool = True


@dataclass(frozen=True)
class Page:
    """A batch of changes. ``cursor`` resumes after it; the last page is ``drained``.

    With ``Capabilities.listing`` the pages of one pass name every item there is, and what they do not name
    is gone; otherwise ``gone`` names the deleted ones.
    """

    items: tuple[Item, ...] = ()
    gone: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    cursor: str = ""
    drained: bool = False


@dataclass(frozen=True)
class Content:
    """An item's bytes and how to read them; ``media_type`` is what they are said to be: their content decides between
    formats, this between kinds of text.

    ``stamp`` and ``governance`` are as observed *around* the read: if either differs from the ``Item`` the content was
    fetched for, the item changed meanwhile.
    """

    data: bytes
    media_type: str
    stamp: str
    governance: Governance


@dataclass(frozen=True)
class ConnectorCapabilities:
    """What the connector promises, as data.

    ``listing``: every pass names every item. ``watch``: changes can be followed without polling.
    """

    kind: str
    listing: bool
    watch: bool = False


class Connector(Protocol):
    """A source of documents. Reads only, keeps no state of its own."""

    @property
    def capabilities(self) -> ConnectorCapabilities: ...

    def changes(self, cursor: str) -> Iterator[Page]:
        """Pages of changes after ``cursor`` ("" is the beginning). Raises SourceError if the source is out of reach
        as a whole; whatever concerns a single item is a ``Fault`` in a page."""
        ...

    def fetch(self, item: Item) -> Content:
        """The content of ``item``. Raises SourceError (gone, unreadable, too large)."""
        ...

    def watch(self) -> Iterator[None]:
        """Yields whenever something may have changed, until the caller stops. Only with ``capabilities.watch``."""
        ...
