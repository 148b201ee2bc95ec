"""Which access rule governs which document, at every position: rows beside the index, changed without touching it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from affidavit.adapters.embedded.arrays import I32, I64, Directory
from affidavit.domain.records import FOREVER
from affidavit.ports.index import AccessRow


@dataclass(frozen=True, eq=False)
class AccessBatch:
    """Access rows as columns, with the catalog's ids."""

    document: I64
    rule: I64
    since: I64
    until: I64

    @classmethod
    def of(cls, rows: Iterable[AccessRow]) -> AccessBatch:
        """Columns of ``rows``; rows that never were true (``until <= since``) are left out."""
        held = list(rows)
        since = np.array([r.since for r in held], np.int64)
        until = np.array([r.until for r in held], np.int64)
        document = np.array([r.document for r in held], np.int64)
        rule = np.array([r.rule for r in held], np.int64)
        lived = until > since
        return cls(document[lived], rule[lived], since[lived], until[lived])


@dataclass(frozen=True, eq=False)
class AccessTable:
    """The history of access rows by ordinals. Immutable: ``apply`` gives a new one.

    ``open``: per document the history row that is true without end, or -1. ``current``: its rule, or -1.
    ``changed``: from this position on, ``current`` is the truth.
    """

    document: I32
    rule: I32
    since: I64
    until: I64
    open: I32
    current: I32
    changed: int

    @classmethod
    def empty(cls) -> AccessTable:
        i32, i64 = np.empty(0, np.int32), np.empty(0, np.int64)
        return cls(i32, i32, i64, i64, i32, i32, -1)

    def apply(self, batch: AccessBatch, documents: Directory, rules: Directory) -> AccessTable:
        """This table after ``batch``: rows that end and rows that are new, in any order.

        A row that comes again is recognised while it is open, and harmless afterwards: twice the same is the same.
        """
        table = self._grown(len(documents))
        if not len(batch.document):
            return table
        document, rule = documents.find(batch.document), rules.find(batch.rule)
        opened = table.open[document]
        known = opened >= 0
        known[known] = table.since[opened[known]] == batch.since[known]
        until = table.until.copy()
        until[opened[known]] = batch.until[known]
        new = ~known
        first = len(table.document)
        open_ = table.open.copy()
        open_[document[known & (batch.until < FOREVER)]] = -1
        lasting = np.flatnonzero(new & (batch.until >= FOREVER))
        open_[document[lasting]] = first + (np.cumsum(new) - 1)[lasting]
        history = np.concatenate((table.rule, rule[new]))
        current = np.append(history, np.int32(-1))[open_]
        finite = batch.until[batch.until < FOREVER]
        return AccessTable(
            np.concatenate((table.document, document[new])),
            history,
            np.concatenate((table.since, batch.since[new])),
            np.concatenate((until, batch.until[new])),
            open_,
            current,
            max(table.changed, int(batch.since.max()), int(finite.max(initial=-1))),
        )

    def rules_at(self, position: int) -> I32:
        """Per document the ordinal of the rule that governs it at ``position``; -1 for none."""
        if position >= self.changed:
            return self.current
        alive = (self.since <= position) & (position < self.until)
        out = np.full(len(self.open), -1, np.int32)
        out[self.document[alive]] = self.rule[alive]
        return out

    def _grown(self, documents: int) -> AccessTable:
        missing = documents - len(self.open)
        if missing <= 0:
            return self
        nothing = np.full(missing, -1, np.int32)
        return replace(
            self,
            open=np.concatenate((self.open, nothing)),
            current=np.concatenate((self.current, nothing)),
        )

    def columns(self, documents: Directory, rules: Directory) -> AccessBatch:
        """The whole history with the catalog's ids."""
        return AccessBatch(documents.ids[self.document], rules.ids[self.rule], self.since, self.until)
