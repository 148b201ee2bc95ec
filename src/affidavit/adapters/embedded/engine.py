"""The embedded index: follows the catalog, searches immutable snapshots, keeps itself in plain files."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from affidavit.adapters.embedded import files
from affidavit.adapters.embedded.files import Manifest, SegmentFiles
from affidavit.adapters.embedded.merge import MergePlan, choose
from affidavit.adapters.embedded.search import search_view
from affidavit.adapters.embedded.segment import Part, concatenate_rows
from affidavit.adapters.embedded.state import (
    State,
    advance,
    changed_within,
    continues,
    loaded_state,
    part_of,
)
from affidavit.adapters.embedded.view import ViewCache
from affidavit.domain.errors import IndexDamagedError
from affidavit.domain.records import Scope
from affidavit.ports.index import Feed, IndexCapabilities, IndexStatus, Query, SearchResult

MOST_SEGMENTS = 8


class EmbeddedIndex:
    """An exact index in ``folder``, or in memory only if that is None. Implements ``ports.index.Index``.

    Safe for threads: a search runs on one immutable state; at most one thread at a time catches up. Several processes may use one
    folder: each follows the catalog by itself, and whoever persists does so under the folder's lock.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._state: State | None = None
        self._manifest: Manifest | None = None
        self._refused: Manifest | None = None
        self._opened = self._verified = False
        self._rebuilt = ""
        self._pinned: frozenset[int] = frozenset()
        self._lock = threading.Lock()
        self._persisting = threading.Lock()

    @property
    def capabilities(self) -> IndexCapabilities:
        """What this engine promises."""
        return IndexCapabilities("embedded", "exact", True)

    def search(self, feed: Feed, scope: Scope, query: Query, k: int) -> SearchResult:
        """See ``ports.index.Index``. Raises UsageError for a query vector that does not fit or ``k`` < 1."""
        state = self._caught_up(feed, scope)
        try:
            return search_view(state.view(scope), query, k)
        except IndexDamagedError as wrong:
            state = self._start_again(feed, state, wrong.message)
        except IndexError as wrong:  # a file whose numbers point outside its own arrays
            state = self._start_again(feed, state, f"a segment is inconsistent: {wrong}")
        return search_view(state.view(scope), query, k)

    def persist(self, feed: Feed) -> None:
        """See ``ports.index.Index``. Does nothing while another process persists. Raises DiskFullError, WorkspaceError."""
        with self._persisting:
            self._caught_up(feed, None)
            if self._folder is None:
                return
            with files.writing(self._folder) as held:
                if held:
                    self._write(self._folder, feed)

    def status(self) -> IndexStatus:
        """See ``ports.index.Index``."""
        with self._lock:
            state = self._open()
            manifest = self._manifest
            return IndexStatus(
                rows=state.rows if state else 0,
                position=state.position if state else -1,
                segments=len(manifest.segments) if manifest else 0,
                bytes=manifest.bytes if manifest else 0,
                rebuilt=self._rebuilt,
            )

    # -- following the catalog

    def _caught_up(self, feed: Feed, scope: Scope | None) -> State:
        """A state that holds all that ``feed`` does; it may know of later changes, which older scopes do not see."""
        head, state = feed.head(), self._state
        if (
            self._verified
            and state is not None
            and state.position == head
            and state.fingerprint == feed.fingerprint
        ):
            return state
        with self._lock:
            state = self._open() or State(feed.fingerprint, -1)
            reason = self._reason_to_drop(state, feed, head, scope)
            if reason:
                state = self._dropped(feed, reason)
            if head > state.position:
                state = self._adopted(state, feed, head)
            if head > state.position:
                state = advance(state, feed, head, self._pinned)
            self._state, self._verified = state, True
            return state

    def _reason_to_drop(self, state: State, feed: Feed, head: int, scope: Scope | None) -> str:
        """Why ``state`` is not of the catalog behind ``feed``, or ""."""
        if state.position < 0:
            return "" if state.fingerprint == feed.fingerprint else "the embedder changed"
        if state.fingerprint != feed.fingerprint:
            return "the embedder changed"
        if self._verified and head == state.position:
            return ""
        if not continues(state, feed, min(head, state.position)):
            return "the catalog has another history"
        # An older snapshot of the same catalog is served as it is; but a log that went on past our changes without them is
        # another log.
        if scope is not None and head < state.position and changed_within(state, head, scope.head):
            return "the catalog has another history"
        return ""

    def _dropped(self, feed: Feed, reason: str) -> State:
        self._rebuilt = reason
        return State(feed.fingerprint, -1)

    def _start_again(self, feed: Feed, damaged: State, reason: str) -> State:
        """Everything anew from ``feed``, unless another thread has done so already."""
        with self._lock:
            state = self._state
            if state is None or state is damaged or _share_parts(state, damaged):
                state = advance(self._dropped(feed, reason), feed, feed.head(), frozenset())
                self._state = state
        return state

    def _open(self) -> State | None:
        """The present state, opened from the folder at first use."""
        if self._opened or self._folder is None:
            return self._state
        self._opened = True
        try:
            loaded = files.load(self._folder, {})
        except IndexDamagedError as wrong:
            self._rebuilt = wrong.message
            return None
        if loaded is not None:
            self._manifest, self._state = loaded.manifest, loaded_state(loaded)
        return self._state

    def _adopted(self, state: State, feed: Feed, head: int) -> State:
        """What another process has persisted since, if that saves work; files already open are not read again."""
        if self._folder is None:
            return state
        manifest = None
        try:
            manifest = files.read_manifest(self._folder)
            if manifest is None or manifest in (self._manifest, self._refused):
                return state
            if manifest.fingerprint != state.fingerprint:
                return state
            if not state.position <= manifest.position <= head:
                return state
            known = {p.name: p.segment for p in state.parts if p.name}
            loaded = files.load(self._folder, known)
        except IndexDamagedError:
            self._refused = manifest
            return state  # ours is sound; the next persist replaces theirs
        if loaded is None or loaded.manifest.position > head:
            return state
        theirs = loaded_state(loaded)
        if theirs.fingerprint != state.fingerprint or not continues(theirs, feed, theirs.position):
            return state
        self._manifest = loaded.manifest
        return theirs

    # -- files

    def _write(self, folder: Path, feed: Feed) -> None:
        """Write what is not on disk and commit. The folder's lock is held."""
        on_disk = self._on_disk(folder, feed)
        with self._lock:
            state = self._state
            if state is None or self._is_ahead(on_disk, state):
                return
            reusable = _whole_segments(folder, on_disk)
            merging = _to_merge(state.parts, reusable)
            kept = [
                reusable[p.name] for p in state.parts if id(p.segment) not in {id(m.segment) for m in merging}
            ]
            if not merging and on_disk is not None and _says(on_disk, state, kept):
                return
            self._pinned = frozenset(id(p.segment) for p in merging)
        try:
            written = (
                files.write_segment(folder, MergePlan(merging, state.access.current)) if merging else None
            )
            manifest = Manifest(
                state.position,
                state.fingerprint,
                (*kept, written) if written else tuple(kept),
                files.write_facts(folder, state.facts()),
            )
            files.commit(folder, manifest)
            with self._lock:
                self._manifest = manifest
                if written:
                    self._replace(folder, merging, written)
        finally:
            self._pinned = frozenset()

    def _on_disk(self, folder: Path, feed: Feed) -> Manifest | None:
        """The folder's manifest, taken over if another process wrote it; None if there is none that can be used."""
        with self._lock:
            if self._state is not None:
                adopted = self._adopted(self._state, feed, self._state.position)
                self._state = adopted
        try:
            return files.read_manifest(folder)
        except IndexDamagedError:
            return None

    def _is_ahead(self, on_disk: Manifest | None, state: State) -> bool:
        """Whether another process has persisted more than we know."""
        return (
            on_disk is not None
            and on_disk != self._manifest
            and on_disk.fingerprint == state.fingerprint
            and on_disk.position > state.position
        )

    def _replace(self, folder: Path, merged: list[Part], written: SegmentFiles) -> None:
        """Put the mapped segment in the place of those it was made of, unless they are gone by now."""
        state = self._state
        ids = {id(p.segment) for p in merged}
        old = [p for p in state.parts if id(p.segment) in ids] if state else []
        if state is None or len(old) != len(merged):
            return
        segment = files.open_written(folder, written)
        part = part_of(segment, state.documents, *concatenate_rows(old), written.name)
        others = [p for p in state.parts if id(p.segment) not in ids]
        self._state = replace(state, parts=(*others, part), views=ViewCache())


def _share_parts(a: State, b: State) -> bool:
    """Whether a mapped segment of one is also in the other."""
    return not {id(p.segment) for p in a.parts if p.name}.isdisjoint(id(p.segment) for p in b.parts)


def _whole_segments(folder: Path, manifest: Manifest | None) -> dict[str, SegmentFiles]:
    """The manifest's segments whose files are there in full length, by name."""
    if manifest is None:
        return {}
    return {
        s.name: s
        for s in manifest.segments
        if all(_size(folder / f.name) == f.size for f in (s.rows, s.vectors))
    }


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _to_merge(parts: tuple[Part, ...], reusable: Mapping[str, SegmentFiles]) -> list[Part]:
    """What must be written, with the files not worth keeping apart from it."""
    on_disk = [p for p in parts if p.name in reusable]
    new = [p for p in parts if p.name not in reusable]
    chosen = choose([p.segment.rows for p in on_disk], sum(p.segment.rows for p in new), MOST_SEGMENTS)
    return new + [on_disk[i] for i in chosen]


def _says(manifest: Manifest, state: State, kept: list[SegmentFiles]) -> bool:
    """Whether ``manifest`` already tells all of ``state``."""
    same = manifest.position == state.position and manifest.fingerprint == state.fingerprint
    return same and {s.name for s in manifest.segments} == {s.name for s in kept}
