"""The records that travel between floors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from affidavit.domain.access import NOBODY, AccessRule
from affidavit.domain.canonical import Json, digest
from affidavit.domain.filter import Filter

FOREVER = 2**62
"""The ``until`` of a row that is still true."""

BEHIND = 1000
"""Added to the rank of what is deprecated, for whoever compares ranks: it comes after all that is not (ranks go to 1000)."""

CLASSIFICATIONS = ("public", "internal", "confidential", "restricted")


@dataclass(frozen=True)
class Governance:
    """What a governed source says about an item besides its text.

    ``rank``: canonical rank, 1 is the most authoritative; when two documents disagree the lower wins.
    ``fresh_days``: the item is stale when its source has not changed it for longer; 0 means no limit.
    ``deprecated``: it holds no more or is about to go; it is answered from last, and the answer says so.
    """

    access: AccessRule = NOBODY
    owner: str = ""
    classification: str = "internal"
    rank: int = 100
    fresh_days: int = 0
    deprecated: bool = False

    def as_json(self) -> dict[str, Json]:
        """As it stands in the log; the rule by its digest."""
        return {
            "rule": self.access.digest,
            "owner": self.owner,
            "classification": self.classification,
            "rank": self.rank,
            "fresh_days": self.fresh_days,
            "deprecated": self.deprecated,
        }


@dataclass(frozen=True)
class Block:
    """A stretch of a revision's text with one role.

    ``kind`` is one of ``heading``, ``paragraph``, ``list``, ``table``, ``code``, ``quote``, ``row``;
    ``start`` and ``end`` are character offsets into the revision's text; ``path`` holds the headings above. ``flag`` is ""
    for what a reader of the document sees, else one of ``FLAGS``: such a block is kept and never chunked.
    """

    kind: str
    start: int
    end: int
    path: tuple[str, ...] = ()
    flag: str = ""


FLAGS = ("comment", "note", "hidden", "deleted")
"""What stands apart from a document's own words: a reader's comment, a speaker's note, text or a sheet, slide, row that is not
shown, text whose deletion is tracked."""


@dataclass(frozen=True)
class Notice:
    """Something a person should know of a document that was read all the same: pages without text, parts not read."""

    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Parsed:
    """An item's content, understood: the revision's text and the blocks that point into it.

    Blocks are in reading order, do not overlap, and ``text[b.start:b.end]`` is never empty.
    """

    text: str
    title: str
    blocks: tuple[Block, ...]
    media_type: str
    metadata: Mapping[str, Json] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class Span:
    """A chunk before it is stored: offsets into the revision's text, its headings and kind.

    ``fields`` are (name, value) pairs that are searched with it: ``clause`` numbers, the terms it ``defines``, what it
    ``refers`` to, the ``columns`` of its table, its ``file``, ``symbol`` and ``signature``, its ``author``.
    """

    start: int
    end: int
    path: tuple[str, ...]
    kind: str
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Scope:
    """What may be read, and as of when. Required by every search; there is no scope that means everything.

    ``head`` is the log's position now, ``position`` the one asked about (equal unless as-of).
    A document is in scope when its rule *at* ``position`` is in ``then`` and its rule *at* ``head`` is in
    ``now``; a chunk must be valid at ``position``. Rules are catalog ids.
    ``instead`` is for counterfactuals: (document, whether it is in scope) for documents decided otherwise than by their rules.
    """

    tenant: int
    now: frozenset[int]
    then: frozenset[int]
    head: int
    position: int
    filter: Filter | None = None
    instead: tuple[tuple[int, bool], ...] = ()


class RunStatus(str, Enum):
    """How a run stands."""

    ANSWERED = "answered"
    REFUSED = "refused"
    WAITING = "waiting"
    FAILED = "failed"


def revision_name(source: str, document: str, title: str, text_digest: str, chunking: str) -> str:
    """A revision's public id: a function of what it is, never of what else the catalog holds. ``chunking`` is the digest of
    the settings by which it was cut, so that a chunk's id never means two stretches."""
    return "r" + digest([source, document, title, text_digest, chunking])[:20]


def chunk_name(revision: str, ordinal: int) -> str:
    """A chunk's public id within its revision."""
    return f"{revision}.{ordinal}"


def tie_break(chunk: str) -> int:
    """Orders equal scores: 63 bits out of the chunk's public id, so hidden rows cannot move it."""
    return int.from_bytes(hashlib.sha256(chunk.encode()).digest()[:8], "big") >> 1
