"""The embedded index passes the suite of its port; and the suite fails for indexes that are broken on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from affidavit.adapters.embedded import EmbeddedIndex
from affidavit.domain.records import FOREVER, Scope, tie_break
from affidavit.ports.index import AccessRow, ChunkRow, Feed, Index, Query, SearchResult
from affidavit.testing.index_conformance import (
    IndexConformance,
    MemoryFeed,
    ReferenceIndex,
    agrees,
    same,
    unit,
)
from affidavit.testing.index_reference import reference_search


class TestEmbedded(IndexConformance):
    def make(self, folder: Path) -> Index:
        return EmbeddedIndex(folder)


class TestInMemory(IndexConformance):
    """Without a folder: reopening starts from nothing."""

    keeps_files = False

    def make(self, folder: Path) -> Index:
        return EmbeddedIndex(None)


class UncheckedReference(ReferenceIndex):
    def search(self, feed: Feed, scope: Scope, query: Query, k: int) -> SearchResult:
        return super().search(feed, scope, query, k) 
