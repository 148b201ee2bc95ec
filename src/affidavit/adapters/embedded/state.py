"""All an index knows at one position, immutable, and how it follows the catalog."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from affidavit.adapters.embedded.access import AccessBatch, AccessTable
from affidavit.adapters.embedded.arrays import I32, I64, Directory
from affidavit.adapters.embedded.build import Builder
from affidavit.adapters.embedded.files import Facts, Loaded
from affidavit.adapters.embedded.merge import MergePlan
from affidavit.adapters.embedded.segment import Part, Segment, concatenate_rows
from affidavit.adapters.embedded.view import View, ViewCache, look
from affidavit.domain.records import FOREVER, Scope
from affidavit.ports.index import ChunkRow, Feed

SMALL = 16_384
"""Rows; in-memory segments below this are merged as they accumulate."""

_SAMPLE = 64


@dataclass(frozen=True, eq=False)
class State:
    """A snapshot searches run on. ``position``: caught up to."""

    fingerprint: str
    position: int
    parts: tuple[Part, ...] = ()
    documents: Directory = field(default_factory=Directory.empty)
    rules: Directory = field(default_factory=Directory.empty)
    access: AccessTable = field(default_factory=AccessTable.empty)
    views: ViewCache = field(default_factory=ViewCache)

    @property
    def rows(self) -> int:
        return sum(p.segment.rows for p in self.parts)

    @property
    def dimensions(self) -> int:
        return max((p.segment.dimensions for p in self.parts), default=0)

    def view(self, scope: Scope) -> View:
        """What ``scope`` sees."""
        view = self.views.get(scope)
        if view is None:
            view = look(self.parts, self.access, self.rules, self.documents, scope)
            self.views.put(scope, view)
        return view

    def facts(self) -> Facts:
        """What a manifest needs beside the segments."""
        return Facts(self.access.columns(self.documents, self.rules), *concatenate_rows(self.parts))


def loaded_state(loaded: Loaded) -> State:
    """The state an opened folder holds."""
    facts = loaded.facts
    documents = Directory.empty().extend(
        np.concatenate([facts.access.document, *(s.document for s in loaded.segments)])
    )
    rules = Directory.empty().extend(facts.access.rule)
    names = [s.name for s in loaded.manifest.segments]
    parts = [
        part_of(segment, documents, facts.chunk, facts.until, name)
        for segment, name in zip(loaded.segments, names, strict=True)
    ]
    return State(
        loaded.manifest.fingerprint,
        loaded.manifest.position,
        tuple(parts),
        documents,
        rules,
        AccessTable.empty().apply(facts.access, documents, rules),
    )


def part_of(segment: Segment, documents: Directory, chunk: I64, until: I64, name: str = "") -> Part:
    """``segment`` with those of the ended ``chunk`` s that are its own."""
    nothing = np.empty(0, np.int64)
    part = Part(segment, documents.find(segment.document), nothing, nothing, name)
    return part.with_ended(chunk, until)


def advance(state: State, feed: Feed, head: int, pinned: frozenset[int]) -> State:
    """``state`` after all changes in ``feed`` up to ``head``. ``pinned``: ids of segments that must stay themselves."""
    after = state.position
    batch = AccessBatch.of(feed.access(after, head))
    documents, rules = state.documents.extend(batch.document), state.rules.extend(batch.rule)
    access = state.access.apply(batch, documents, rules)
    fold = _Fold(replace(state, documents=documents, rules=rules, access=access))
    for row in feed.chunks(after, head):
        fold.add(row)
    fold.flush()
    ended = list(feed.ended(after, head))
    parts = fold.parts
    if ended:
        chunk, until = np.array(ended, np.int64).reshape(-1, 2).T.copy()
        parts = [p.with_ended(chunk, until) for p in parts]
    documents = fold.documents
    access = access.apply(AccessBatch.of(()), documents, rules)
    return State(
        state.fingerprint,
        head,
        _compact(parts, access.current, documents, pinned),
        documents,
        rules,
        access,
    )


class _Fold:
    """Turns a stream of chunk rows into parts, a bounded number of rows at a time."""

    def __init__(self, state: State) -> None:
        self.parts = list(state.parts)
        self.documents = state.documents
        self._current = state.access.current
        self._dimensions = state.dimensions
        self._builder = Builder(self._dimensions)

    def add(self, row: ChunkRow) -> None:
        """Collect ``row``; a full builder becomes a part at once."""
        self._builder.add(row)
        if self._builder.full:
            self.flush()

    def flush(self) -> None:
        """Make a part of what was collected."""
        if not len(self._builder):
            return
        self.documents = self.documents.extend(self._builder.documents())
        segment, chunk, until = self._builder.finish(self._rule_of)
        over = until < FOREVER
        self.parts.append(part_of(segment, self.documents, chunk[over], until[over]))
        self._dimensions = self._dimensions or segment.dimensions
        self._builder = Builder(self._dimensions)

    def _rule_of(self, documents: I64) -> I32:
        ordinal = self.documents.find(documents)
        return np.append(self._current, np.int32(-1))[np.minimum(ordinal, len(self._current))]


def _compact(
    parts: Sequence[Part], current: I32, documents: Directory, pinned: frozenset[int]
) -> tuple[Part, ...]:
    """Merge the last small in-memory parts when there are several of like size."""
    fixed = [p for p in parts if p.name or p.segment.rows >= SMALL or id(p.segment) in pinned]
    small = [p for p in parts if not (p.name or p.segment.rows >= SMALL or id(p.segment) in pinned)]
    total, first = 0, len(small)
    for i in range(len(small) - 1, -1, -1):
        if small[i].segment.rows <= 4 * total:
            first = i
        total += small[i].segment.rows
    if first >= len(small):
        return (*fixed, *small)
    merged = MergePlan(small[first:], current).in_memory()
    return (*fixed, *small[:first], part_of(merged, documents, *concatenate_rows(small[first:])))


def continues(state: State, feed: Feed, position: int) -> bool:
    """Whether ``feed`` tells the same about ``position`` as ``state`` knows: the same catalog, perhaps at another time.

    Compares the changes at that one position (a sample where there are very many); since a chunk's ``tie`` is made from its
    content's name, another history does not pass.
    """
    before = position - 1
    for row in islice(feed.chunks(before, position), _SAMPLE):
        known = (row.chunk, row.document, row.tenant, row.tie, row.since, _as_of(row.until, position))
        if _known_chunk(state, row.chunk, position) != known:
            return False
    for chunk, until in islice(feed.ended(before, position), _SAMPLE):
        found = _known_chunk(state, chunk, position)
        if found is None or found[-1] != until:
            return False
    batch = AccessBatch.of(islice(feed.access(before, position), _SAMPLE))
    return _knows_access(state, batch, position) and _touched(state, position) <= _touched_by(feed, position)


def _as_of(until: int, position: int) -> int:
    return until if until <= position else FOREVER


def _known_chunk(state: State, chunk: int, position: int) -> tuple[int, ...] | None:
    for part in state.parts:
        s = part.segment
        rows, _ = s.find(np.array([chunk], np.int64))
        if not len(rows):
            continue
        row = int(rows[0])
        at = int(np.searchsorted(part.ended, row))
        over = at < len(part.ended) and part.ended[at] == row
        until = _as_of(int(part.until[at]), position) if over else FOREVER
        tenant = int(s.tenants[np.searchsorted(s.starts, row, side="right") - 1])
        return chunk, int(s.document[row]), tenant, int(s.tie[row]), int(s.since[row]), until
    return None


def _knows_access(state: State, batch: AccessBatch, position: int) -> bool:
    document, rule = state.documents.find(batch.document), state.rules.find(batch.rule)
    table = state.access
    mine = (table.since == position) | (table.until == position)
    have = set(
        _access_keys(table.document[mine], table.rule[mine], table.since[mine], table.until[mine], position)
    )
    return have.issuperset(_access_keys(document, rule, batch.since, batch.until, position))


def _access_keys(
    document: I32, rule: I32, since: I64, until: I64, position: int
) -> Iterable[tuple[int, int, int, int]]:
    shown = np.where(until <= position, until, FOREVER)
    return zip(document.tolist(), rule.tolist(), since.tolist(), shown.tolist(), strict=True)


def _touched(state: State, position: int) -> bool:
    """Whether anything known changed at ``position``."""
    access = state.access
    return bool(
        (access.since == position).any()
        or (access.until == position).any()
        or any((p.segment.since == position).any() or (p.until == position).any() for p in state.parts)
    )


def _touched_by(feed: Feed, position: int) -> bool:
    before = position - 1
    return any(
        next(iter(changes), None) is not None
        for changes in (
            feed.chunks(before, position),
            feed.ended(before, position),
            feed.access(before, position),
        )
    )


def changed_within(state: State, after: int, upto: int) -> bool:
    """Whether anything known changed in (after, upto]."""
    times = [state.access.since, state.access.until]
    times += [t for p in state.parts for t in (p.segment.since, p.until)]
    return any(((t > after) & (t <= upto)).any() for t in times)
