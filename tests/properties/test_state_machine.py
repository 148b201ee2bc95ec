"""Nobody sees what the reference says they may not, across random sequences of share, unshare, move, rename, delete, edit, join,
leave, sync, crash and resume; and the same machine fails for every seeded fault, which shows that it can."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from affidavit.adapters.folder import FolderConnector, tree
from affidavit.adapters.folder.connector import _Entered, _Place
from affidavit.adapters.folder.manifest import Effective, Manifest, Rules
from affidavit.app.feed import CatalogFeed
from affidavit.ask.rank import Ranked
from affidavit.ask.retrieve import Checked, Passage, Retriever
from affidavit.ask.scopes import Reader, Scopes
from affidavit.domain.access import AccessRule, Verdict
from affidavit.domain.errors import ManifestError
from affidavit.ingest.sync import Sync
from affidavit.ports.index import AccessRow, ChunkRow
from affidavit.store.catalog import Catalog
from affidavit.store.people import People
from tests.properties.machine import Leak, Loss, Waste, run

Patch = Any


def test_nobody_ever_sees_what_they_may_not(tmp_path: Path) -> None:
    run(tmp_path, examples=20, steps=30, shrink=True)


# -- seeded faults, each one seen in a real product


def unchecked(self: Retriever, reader: Reader, ranked: Sequence[Ranked], at: int | None = None) -> Checked:
    """The index is believed."""
    views = self._catalog.views([r.chunk for r in ranked], reader.scope.position)
    return Checked([Passage(views[r.chunk], r, "", self.text) for r in ranked], [], reader.scope.head)


NO_RECHECK = patch.object(Retriever, "recheck", unchecked)


def first_access_only(self: CatalogFeed, after: int, upto: int) -> Iterator[AccessRow]:
    """The index learns a document's first rule and no other."""
    seen: set[int] = set()
    for document, rule, since, _ in list(self._catalog.access_rows(-1, upto)):
        if document not in seen and after < since:
            yield AccessRow(document, rule, since, 2**62)
        seen.add(document)


STALE_RULES = patch.object(CatalogFeed, "access", first_access_only)


def _endless_chunks(self: CatalogFeed, after: int, upto: int) -> Iterator[ChunkRow]:
    for row in _chunks(self, after, upto):
        yield replace(row, until=2**62)


_chunks = CatalogFeed.chunks
STALE_CHUNKS = (
    patch.object(CatalogFeed, "ended", lambda self, after, upto: iter(())),
    patch.object(CatalogFeed, "chunks", _endless_chunks),
)


def permits_without_deny(self: AccessRule, principals: frozenset[str]) -> bool:
    return bool(self.layers) and all(layer & principals for layer in self.layers)


def permits_when_empty(self: AccessRule, principals: frozenset[str]) -> bool:
    return all(layer & principals for layer in self.layers) and not self.deny & principals


def deciding(permits: Callable[[AccessRule, frozenset[str]], bool]) -> list[Patch]:
    """Another meaning of a rule, for listing and checking alike."""
    return [
        patch.object(AccessRule, "permits", permits),
        patch.object(AccessRule, "verdict", lambda self, who: Verdict(permits(self, who), "")),
    ]


_under = Effective.under


def nearest_manifest_only(self: Effective, rules: Rules) -> Effective:
    return self if rules == Rules() else _under(Effective(sealed=self.sealed), rules)


def direct_groups_only(self: People, tenant: int, principal: str, position: int) -> frozenset[str]:
    return frozenset({principal} | self.groups_of(tenant, principal, position))


def manifest_ignored_when_broken(self: FolderConnector, fd: int, place: _Place) -> _Entered:
    try:
        manifest = self._manifest(fd, place.name)
    except ManifestError:
        manifest = Manifest()
    return _Entered(place, manifest, place.inherited.under(manifest.folder), None)


_resolve = Scopes.resolve


def as_they_were_then(
    self: Scopes, tenant: int, principal: str, as_of: int | None = None, *rest: Any, **named: Any
) -> Reader:
    reader = _resolve(self, tenant, principal, as_of, *rest, **named)
    return replace(reader, scope=replace(reader.scope, now=frozenset(self._catalog.rules(tenant))))


def as_they_are_now(
    self: Scopes, tenant: int, principal: str, as_of: int | None = None, *rest: Any, **named: Any
) -> Reader:
    reader = _resolve(self, tenant, principal, as_of, *rest, **named)
    return replace(reader, scope=replace(reader.scope, then=frozenset(self._catalog.rules(tenant))))


def nothing(*_: object, **__: object) -> None:
    """Leaves out a step."""


FAULTS: dict[str, list[Patch]] = {
    "the index's rules are stale and nothing is rechecked": [STALE_RULES, NO_RECHECK],
    "the index's chunks are stale and nothing is rechecked": [*STALE_CHUNKS, NO_RECHECK],
    "deletions are ignored": [patch.object(Sync, "_remove", nothing)],
    "edits are ignored": [patch.object(tree, "stamp", lambda found: "same")],
    "changed rules are ignored": [patch.object(Sync, "_govern", nothing)],
    "what is narrowed is never widened": [patch.object(Sync, "_regovern", nothing)],
    "memberships only grow": [patch.object(People, "leave", nothing)],
    "groups in groups are ignored": [patch.object(People, "closure", direct_groups_only)],
    "deny is ignored": deciding(permits_without_deny),
    "an empty rule is public": deciding(permits_when_empty),
    "inheritance is dropped": [patch.object(Effective, "under", nearest_manifest_only)],
    "a broken manifest is no manifest": [
        patch.object(FolderConnector, "_enter", manifest_ignored_when_broken)
    ],
    "as-of asks for then only": [patch.object(Scopes, "resolve", as_they_were_then), NO_RECHECK],
    "as-of asks for now only": [patch.object(Scopes, "resolve", as_they_are_now), NO_RECHECK],
    "rules of a moved document stay": [patch.object(Catalog, "end_document", nothing)],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_machine_finds(fault: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        for one in FAULTS[fault]:
            stack.enter_context(one)
        with pytest.raises((Leak, Loss, Waste)):
            run(tmp_path, examples=100, steps=30, sound=False, chance=1)


HARMLESS: dict[str, list[Patch]] = {
    "the index's rules are stale": [STALE_RULES],
    "the index's chunks are stale": [*STALE_CHUNKS],
    "nothing is rechecked": [NO_RECHECK],
}


@pytest.mark.parametrize("fault", HARMLESS)
def test_one_line_of_defence_is_enough(fault: str, tmp_path: Path) -> None:
    """An exact index leaks nothing by itself, and the recheck leaks nothing whatever the index says."""
    with ExitStack() as stack:
        for one in HARMLESS[fault]:
            stack.enter_context(one)
        run(tmp_path, examples=8, steps=25, complete=fault == "nothing is rechecked")
