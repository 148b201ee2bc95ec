"""What was worked out for a person before and may be used again, because everything it depends on is part of its key.

There is no invalidation that could be forgotten: a key names the state it was worked out from (the catalog's head, the last
event about people, the embedder, the scope), so a change makes another key. Nothing is shared between people: an answer
that comes sooner because somebody else has asked before would tell that they did. Hits from memory are checked again like any
others, and a replay uses no memory at all.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import fields, replace
from typing import Any, Generic, TypeVar

import numpy as np

from affidavit.domain.canonical import Json, digest, text_digest
from affidavit.domain.records import Scope
from affidavit.policy.scope import Identity
from affidavit.ports.index import Feed, Query, SearchResult
from affidavit.runs.recorder import Run

V = TypeVar("V")

_ENTRY = 500  # bytes that an entry takes besides its value, roughly
_CANDIDATE = 250
_NAME = 120
_NUMBER = 60
VECTORS, IDENTITIES, RESULTS, SCORES = 16_000_000, 8_000_000, 32_000_000, 8_000_000
"""Bytes each kind may take, roughly; what was not used for longest goes first."""


class Kept(Generic[V]):
    """A bounded memory. Safe to share between threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """How much it holds, roughly; never more than its limit."""
        return self._bytes

    def get(self, key: Hashable) -> V | None:
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                return None
            self._entries.move_to_end(key)
            return found[0]

    def put(self, key: Hashable, value: V, size: int) -> None:
        """Keep ``value``, which takes ``size`` bytes, unless it is larger than everything together may be."""
        size += _ENTRY
        with self._lock:
            if size > self._limit or key in self._entries:
                return
            self._entries[key] = (value, size)
            self._bytes += size
            while self._bytes > self._limit:
                self._bytes -= self._entries.popitem(last=False)[1][1]


class Caches:
    """The memory of one process. ``share`` scales what it may take; 0 keeps nothing."""

    def __init__(self, share: float = 1.0) -> None:
        self.vectors: Kept[Mapping[str, Any]] = Kept(int(VECTORS * share))
        self.identities: Kept[Identity] = Kept(int(IDENTITIES * share))
        self.results: Kept[SearchResult] = Kept(int(RESULTS * share))
        self.scores: Kept[Mapping[str, Any]] = Kept(int(SCORES * share))

    def of(self, run: Run, principal: str) -> Memory:
        """What ``principal`` may be given again in ``run``, whose record will say so."""
        return Memory(self, run, principal)


class Memory:
    """One person's part of the caches, for one run."""

    def __init__(self, caches: Caches, run: Run, principal: str) -> None:
        self._caches = caches
        self._run = run
        self._who = (run.tenant, principal)

    def vector(
        self, fingerprint: str, text: str, compute: Callable[[], Mapping[str, Any]], *, late: bool = False
    ) -> Mapping[str, Any]:
        """What the embedder ``fingerprint`` says of ``text``, with token vectors if ``late``. That it could not be asked is not
        kept."""
        key = (*self._who, fingerprint, text_digest(text), late)
        found = self._caches.vectors.get(key) if fingerprint else None
        if found is not None:
            self._run.reuse("embed")
            return found
        said = compute()
        if fingerprint and said["vector"] is not None:
            self._caches.vectors.put(key, said, len(said["vector"]) + len(said.get("tokens", "")))
        return said

    def scores(self, given: Json, compute: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """What the embedder says of the sentences that ``given`` names, by digests of all that goes into it."""
        key = (*self._who, digest(given))
        found = self._caches.scores.get(key)
        if found is not None:
            self._run.reuse("score")
            return found
        said = compute()
        if "unavailable" not in said:
            self._caches.scores.put(key, said, sum(_NUMBER * len(numbers) for numbers in said.values()))
        return said

    def identity(self, position: tuple[int, ...], compute: Callable[[], Identity]) -> Identity:
        """Who the person is, as the events about people up to ``position`` have it."""
        key = (*self._who, position)
        found = self._caches.identities.get(key)
        if found is not None:
            self._run.reuse("scope")
            return found
        made = compute()
        self._caches.identities.put(key, made, _NAME * len(made.principals))
        return made

    def result(
        self, feed: Feed, scope: Scope, query: Query, k: int, compute: Callable[[], SearchResult]
    ) -> SearchResult:
        """The candidates for ``query`` in ``scope``. Call inside the snapshot that ``feed`` reads."""
        head = feed.head()
        # rows change at positions up to the head alone, so from there on every position sees the same
        settled = replace(scope, head=min(scope.head, head), position=min(scope.position, head))
        key = (*self._who, feed.fingerprint, head, settled, _known_by(query), k)
        found = self._caches.results.get(key)
        if found is not None:
            self._run.reuse("retrieve")
            return found
        result = compute()
        size = 0 if query.vector is None else query.vector.nbytes
        self._caches.results.put(key, result, size + _CANDIDATE * len(result.candidates))
        return result


def _known_by(query: Query) -> tuple[object, ...]:
    """Every field of ``query``, also one that is added tomorrow: what is left out of a key is answered wrongly."""
    return tuple(_hashable(getattr(query, each.name)) for each in fields(query))


def _hashable(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if isinstance(value, Mapping):
        return tuple(sorted(value.items()))
    return text_digest(value) if isinstance(value, str) else value
